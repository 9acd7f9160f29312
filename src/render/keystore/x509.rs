//! What a keystore wants to know of a certificate. Nothing is verified.

use crate::der::{self, Der, Reader};

/// A certificate, and where in it things are.
pub(super) struct Certificate {
    der: Der,
}

/// The parts of one that matter here.
struct Parts<'a> {
    issuer: &'a [u8],
    validity: Reader<'a>,
    subject: &'a [u8],
    key: Reader<'a>,
    extensions: Option<Reader<'a>>,
}

impl Certificate {
    /// `None`: these bytes are no certificate.
    pub(super) fn new(der: Der) -> Option<Self> {
        let certificate = Self { der };
        certificate.parts()?;
        Some(certificate)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.der.bytes()
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let mut signed = Reader::inside(self.bytes(), der::SEQUENCE)?;
        let mut rest = Reader::new(signed.take(der::SEQUENCE)?.content);
        rest.optional(der::CONTEXT_0); // version
        rest.take(der::INTEGER)?; // serial number
        rest.take(der::SEQUENCE)?; // signature algorithm
        let issuer = rest.take(der::SEQUENCE)?.whole;
        let validity = Reader::new(rest.take(der::SEQUENCE)?.content);
        let subject = rest.take(der::SEQUENCE)?.whole;
        let key = Reader::new(rest.take(der::SEQUENCE)?.content);
        let mut extensions = None;
        while let Some(read) = rest.next() {
            if read.tag == der::CONTEXT_3 {
                extensions = Some(Reader::inside(read.content, der::SEQUENCE)?);
            }
        }
        Some(Parts { issuer, validity, subject, key, extensions })
    }

    /// Whether it is one that signs others: so it says, or it is an old one that signed itself.
    pub(super) fn is_authority(&self) -> bool {
        let Some(parts) = self.parts() else { return false };
        let Some(mut extensions) = parts.extensions else { return parts.issuer == parts.subject };
        let basic_constraints = der::oid(&[2, 5, 29, 19]);
        while let Some(extension) = extensions.take(der::SEQUENCE) {
            let mut inside = Reader::new(extension.content);
            if inside.take(der::OBJECT_IDENTIFIER).is_none_or(|id| id.whole != basic_constraints.bytes()) {
                continue;
            }
            inside.optional(der::BOOLEAN); // critical
            let value =
                inside.take(der::OCTET_STRING).and_then(|value| Reader::inside(value.content, der::SEQUENCE));
            return value
                .and_then(|mut value| value.optional(der::BOOLEAN))
                .is_some_and(|is| is.content != [0]);
        }
        false
    }

    /// The public key: what kind it is, with its parameters, and its bits.
    pub(super) fn public_key(&self) -> Option<(&[u8], &[u8])> {
        let mut key = self.parts()?.key;
        let algorithm = key.take(der::SEQUENCE)?.content;
        let (unused, bits) = key.take(der::BIT_STRING)?.content.split_first()?;
        (*unused == 0).then_some((algorithm, bits))
    }

    /// When it begins to be valid, in milliseconds since 1970: what Java calls an entry's date. Zero where
    /// it does not say.
    pub(super) fn begin(&self) -> u64 {
        self.parts().and_then(|mut parts| moment(&parts.validity.next()?)).unwrap_or_default()
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn moment(read: &der::Read<'_>) -> Option<u64> {
    const UTC_TIME: u8 = 0x17;
    let text = std::str::from_utf8(read.content).ok()?.strip_suffix('Z')?;
    let years = if read.tag == UTC_TIME { 2 } else { 4 };
    let (year, rest) = text.split_at_checked(years)?;
    let year: u64 = year.parse().ok()?;
    let year = match (years, year) {
        (2, 50..) => 1900 + year,
        (2, _) => 2000 + year,
        _ => year,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day) = (number(0)?, number(2)?);
    let seconds = (number(4)? * 60 + number(6)?) * 60 + number(8)?;
    let (1970.., 1..=12, 1..=31) = (year, month, day) else { return None };
    // Years that begin in March: the leap day is the last of one.
    let (from_march, year) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (from_march * 153 + 2) / 5 + day;
    Some(((days - 719_469) * 86_400 + seconds) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (tag, text, seconds) in [
            (0x17, "700101000000Z", 0),
            (0x17, "000229120000Z", 951_825_600),
            (0x17, "261130225000Z", 1_796_079_000),
            (0x18, "20510101000000Z", 2_556_144_000),
            (0x18, "21000301000000Z", 4_107_542_400),
        ] {
            let read = der::Read { tag, content: text.as_bytes(), whole: &[] };
            assert_eq!(moment(&read), Some(seconds * 1000), "{text}");
        }
        for text in ["", "Z", "261330225000Z", "2611302250", "2é1130225000Z"] {
            assert_eq!(
                moment(&der::Read { tag: 0x17, content: text.as_bytes(), whole: &[] }),
                None,
                "{text}"
            );
        }
    }
}
