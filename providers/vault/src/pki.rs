//! How long a certificate lives, read from the certificate itself.
//!
//! Only as much of X.509 as leads to `notAfter`. Nothing is verified: the store that signed it is
//! the one that we asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A PKI mount dates certificates back by this much, unless told otherwise.
const BACKDATED: Duration = Duration::from_secs(30);

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate begins and ends to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Validity {
    /// Of the first certificate in a text: PEM, also with a key before it, or bare base64 (DER).
    pub(crate) fn of(certificate: &str) -> Option<Self> {
        let base64 = match certificate.split_once("-----BEGIN CERTIFICATE-----") {
            Some((_, rest)) => rest.split_once("-----END CERTIFICATE-----")?.0,
            None => certificate,
        };
        let bare: String = base64.chars().filter(|character| !character.is_whitespace()).collect();
        Self::of_der(&STANDARD.decode(bare).ok()?)
    }

    fn of_der(der: &[u8]) -> Option<Self> {
        let (_, certificate, _) = expect(der, SEQUENCE)?;
        let (_, mut rest, _) = expect(certificate, SEQUENCE)?;
        if rest.first() == Some(&EXPLICIT_VERSION) {
            rest = expect(rest, EXPLICIT_VERSION)?.2;
        }
        rest = expect(rest, INTEGER)?.2; // serial number
        rest = expect(rest, SEQUENCE)?.2; // signature algorithm
        rest = expect(rest, SEQUENCE)?.2; // issuer
        let (_, validity, _) = expect(rest, SEQUENCE)?;
        let (tag, before, rest) = element(validity)?;
        let not_before = moment(tag, before)?;
        let (tag, after, _) = element(rest)?;
        Some(Self { not_before, not_after: moment(tag, after)? })
    }

    /// What was left of it when the request was sent, at the least. `answered` is the store's
    /// clock, in whole seconds: up to one second more may have passed.
    pub(crate) fn left(&self, answered: Option<SystemTime>) -> Duration {
        match answered {
            Some(date) => {
                self.not_after.duration_since(date).unwrap_or_default().saturating_sub(Duration::from_secs(1))
            }
            None => {
                self.not_after.duration_since(self.not_before).unwrap_or_default().saturating_sub(BACKDATED)
            }
        }
    }
}

/// One element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (bytes, rest) = rest.split_at(count);
        (bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)), rest)
    };
    (rest.len() >= length).then(|| {
        let (content, after) = rest.split_at(length);
        (tag, content, after)
    })
}

fn expect(der: &[u8], tag: u8) -> Option<(u8, &[u8], &[u8])> {
    element(der).filter(|(found, ..)| *found == tag)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that X.509 allows.
fn moment(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let short: i64 = text[..2].parse().ok()?;
            (if short < 50 { 2000 + short } else { 1900 + short }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let number = |from: usize| rest[from..from + 2].parse::<i64>().ok();
    let (month, day) = (number(0)?, number(2)?);
    let (hour, minute, second) = (number(4)?, number(6)?, number(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Days since 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap
/// day is the last of one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with openssl: valid from 2026-01-02 03:04:05 to 2051-02-28 23:59:58, P-256.
    const LONG_LIVED: &str = include_str!("../tests/data/until-2051.pem");

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn both_forms_of_time_are_read_from_a_certificate() {
        let validity = Validity::of(LONG_LIVED).unwrap();
        assert_eq!(validity.not_before, at(1_767_323_045));
        assert_eq!(validity.not_after, at(2_561_241_598));
        let with_key = format!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n{LONG_LIVED}");
        assert_eq!(Validity::of(&with_key), Some(validity));
        let bare: String = LONG_LIVED.lines().filter(|line| !line.starts_with("-----")).collect();
        assert_eq!(Validity::of(&bare), Some(validity));
    }

    #[test]
    fn what_is_left_is_counted_by_the_clock_of_the_store() {
        let validity = Validity { not_before: at(70), not_after: at(200) };
        assert_eq!(validity.left(Some(at(100))), Duration::from_secs(99));
        assert_eq!(validity.left(Some(at(300))), Duration::ZERO);
        assert_eq!(validity.left(None), Duration::from_secs(100));
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        let cut = &LONG_LIVED[..LONG_LIVED.len() / 2];
        for text in ["", "hello", cut, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "MIIB"] {
            assert_eq!(Validity::of(text), None, "{text}");
        }
    }

    #[test]
    fn damage_anywhere_is_survived() {
        let base64: String = LONG_LIVED.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(base64).unwrap();
        let whole = Validity::of_der(&der);
        let mut changed = 0;
        for at in 0..der.len() {
            for value in [0x00, 0x01, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = der.clone();
                damaged[at] = value;
                changed += usize::from(Validity::of_der(&damaged) != whole);
            }
            assert_eq!(Validity::of_der(&der[..at]), None, "cut at {at}");
        }
        assert!(changed > 0, "some of it matters");
    }

    #[test]
    fn dates_become_days_across_leap_years() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(2024, 2, 29), 19_782);
        assert_eq!(days(2100, 3, 1), 47_541);
    }
}
