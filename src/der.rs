//! As much of DER as keys, requests for certificates and keystores need: elements are written whole, and
//! taken apart one by one.
#![cfg_attr(
    not(all(feature = "generate-key", feature = "keystore")),
    allow(dead_code, reason = "each of the two features uses a part of it")
)]

use std::ops::Deref;

use zeroize::Zeroizing;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const BMP_STRING: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]` around another element.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// `[1]` around another element.
pub(super) const CONTEXT_1: u8 = 0xa1;
/// `[3]` around another element.
pub(super) const CONTEXT_3: u8 = 0xa3;

/// Bytes of DER: wiped, and never moved while they grow.
pub(super) struct Der(Zeroizing<Vec<u8>>);

impl Der {
    /// Bytes that are DER already, or go into an element.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, for who wipes them.
    pub(super) fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }
}

impl Deref for Der {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// One element with these contents.
pub(super) fn element(tag: u8, contents: &[&[u8]]) -> Der {
    let length: usize = contents.iter().map(|content| content.len()).sum();
    let mut bytes = Vec::with_capacity(length + 2 + size_of::<usize>());
    bytes.push(tag);
    let big_endian = length.to_be_bytes();
    let significant = &big_endian[(length.leading_zeros() / 8) as usize..];
    match length {
        0..0x80 => bytes.push(length as u8),
        _ => {
            bytes.push(0x80 | significant.len() as u8);
            bytes.extend_from_slice(significant);
        }
    }
    contents.iter().for_each(|content| bytes.extend_from_slice(content));
    Der::of(bytes)
}

pub(super) fn sequence(contents: &[&[u8]]) -> Der {
    element(SEQUENCE, contents)
}

pub(super) fn octets(content: &[u8]) -> Der {
    element(OCTET_STRING, &[content])
}

/// Whole bytes as bits.
pub(super) fn bits(bytes: &[u8]) -> Der {
    element(BIT_STRING, &[&[0], bytes])
}

/// A number that is not negative.
pub(super) fn integer(number: u32) -> Der {
    unsigned(&number.to_be_bytes())
}

/// The same from its bytes, the largest first.
pub(super) fn unsigned(bytes: &[u8]) -> Der {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    // The first bit would be the sign; nothing at all is zero.
    let sign: &[u8] = if bytes.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    element(INTEGER, &[sign, bytes])
}

/// An object identifier, from its arcs.
pub(super) fn oid(arcs: &[u32]) -> Der {
    let mut content = Vec::new();
    let (first, rest) = match arcs {
        [first, second, rest @ ..] => (first * 40 + second, rest),
        _ => return element(OBJECT_IDENTIFIER, &[]),
    };
    for arc in std::iter::once(first).chain(rest.iter().copied()) {
        let groups = (32 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group > 0 { 0x80 } else { 0 };
            content.push(more | (arc >> (7 * group)) as u8 & 0x7f);
        }
    }
    element(OBJECT_IDENTIFIER, &[&content])
}

/// UTF-16, the larger half first: text as PKCS#12 and JKS take it.
pub(super) fn utf16(text: &str) -> Der {
    let mut bytes = Vec::with_capacity(text.len() * 2);
    text.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_be_bytes()));
    Der::of(bytes)
}

/// Reads elements one after the other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

/// One element that was read.
pub(super) struct Read<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The contents of the one element that these bytes are, nothing after it.
    pub(super) fn inside(bytes: &'a [u8], tag: u8) -> Option<Self> {
        let mut outer = Self(bytes);
        let inner = outer.take(tag)?;
        outer.0.is_empty().then_some(Self(inner.content))
    }

    pub(super) fn next(&mut self) -> Option<Read<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            _ => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                if bytes.is_empty() || bytes.len() > 4 {
                    return None;
                }
                (bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)), rest)
            }
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Read { tag, content, whole })
    }

    /// The next one, where it is of this kind.
    pub(super) fn take(&mut self, tag: u8) -> Option<Read<'a>> {
        self.next().filter(|read| read.tag == tag)
    }

    /// The next one if it is of this kind; else nothing is read.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Read<'a>> {
        let mut ahead = *self;
        let read = ahead.take(tag)?;
        *self = ahead;
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lengths_and_identifiers_are_as_der_has_them() {
        for (number, bytes) in [
            (0, vec![2, 1, 0]),
            (127, vec![2, 1, 0x7f]),
            (128, vec![2, 2, 0, 0x80]),
            (10_000, vec![2, 2, 0x27, 0x10]),
            (u32::MAX, vec![2, 5, 0, 0xff, 0xff, 0xff, 0xff]),
        ] {
            assert_eq!(integer(number).bytes(), bytes, "{number}");
        }
        assert_eq!(unsigned(&[0, 0]).bytes(), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0x80]).bytes(), [2, 2, 0, 0x80]);
        assert_eq!(bits(&[0xff]).bytes(), [3, 2, 0, 0xff]);
        assert_eq!(oid(&[1, 2, 840, 113549]).bytes(), [6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]);
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let written = element(SEQUENCE, &[&content]);
            let mut reader = Reader::new(written.bytes());
            let read = reader.next().unwrap();
            assert_eq!((read.tag, read.content.len(), read.whole), (SEQUENCE, length, written.bytes()));
            assert!(reader.next().is_none());
            assert!(Reader::new(&written.bytes()[..written.bytes().len() - 1]).next().is_none());
        }
    }
}
