//! As much of DER as a key and a request for a certificate are written in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Encoded, and wiped: it may hold a key.
pub(super) type Der = Zeroizing<Vec<u8>>;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// How many letters of base64 make a line of PEM.
const LINE: usize = 64;

/// One element with these parts inside. Its buffer never grows.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Der {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = Zeroizing::new(Vec::with_capacity(length + significant.len() + 2));
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        // A length has at most as many bytes as a word of the machine.
        _ => {
            out.push(0x80 | significant.len().to_le_bytes()[0]);
            out.extend_from_slice(significant);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

pub(super) fn sequence(parts: &[&[u8]]) -> Der {
    element(SEQUENCE, parts)
}

/// A number that is not negative, from its big-endian bytes.
pub(super) fn unsigned(bytes: &[u8]) -> Der {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    // The first bit would be the sign; nothing at all is zero.
    let sign: &[u8] = if bytes.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    element(INTEGER, &[sign, bytes])
}

/// Whole bytes as bits.
pub(super) fn bits(bytes: &[u8]) -> Der {
    element(BIT_STRING, &[&[0], bytes])
}

/// PEM, without a line break at its end, as a PKI gives it.
pub(super) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let lines = base64.len().div_ceil(LINE);
    let mut out = Zeroizing::new(String::with_capacity(base64.len() + lines + 2 * label.len() + 40));
    for text in ["-----BEGIN ", label, "-----\n"] {
        out.push_str(text);
    }
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    for text in ["-----END ", label, "-----"] {
        out.push_str(text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_written_as_short_as_they_can_be() {
        assert_eq!(element(SEQUENCE, &[])[..], [0x30, 0]);
        assert_eq!(element(OCTET_STRING, &[&[7; 127]])[..2], [0x04, 0x7f]);
        assert_eq!(element(OCTET_STRING, &[&[7; 100], &[7; 28]])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(element(OCTET_STRING, &[&[7; 1_190]])[..4], [0x04, 0x82, 0x04, 0xa6]);
        assert_eq!(unsigned(&[0, 0])[..], [0x02, 1, 0]);
        assert_eq!(unsigned(&[0, 0x7f])[..], [0x02, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80])[..], [0x02, 2, 0, 0x80]);
        assert_eq!(bits(&[0xff])[..], [0x03, 2, 0, 0xff]);
    }

    #[test]
    fn a_buffer_never_grows() {
        let der = element(OCTET_STRING, &[&[7; 3_000]]);
        assert!(der.capacity() <= der.len() + 8, "it was made as long as it is");
        let pem = pem("PRIVATE KEY", &der);
        assert!(pem.capacity() >= pem.len() && pem.capacity() < pem.len() + 64, "{}", pem.capacity());
        assert!(pem.lines().all(|line| line.len() <= LINE));
    }
}
