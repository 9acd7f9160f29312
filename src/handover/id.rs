use std::fmt;

use super::Entry;

/// Names one entry: what is put under an equal one replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(String);

impl EntryId {
    /// Of a session: [`leasehold_core::Session::id`] tells those of one provider apart.
    pub fn session(provider: &str, session: &str) -> Self {
        Self::of("session", &[provider, session])
    }

    /// Of a one-time credential's successor.
    pub fn kept(provider: &str) -> Self {
        Self::of("kept", &[provider])
    }

    /// Of a credential or value, by [`crate::slot::Held::key`].
    pub fn held(key: &str) -> Self {
        Self::of("held", &[key])
    }

    /// Of what is remembered of a secret.
    pub fn secret(secret: &str) -> Self {
        Self::of("secret", &[secret])
    }

    /// Of what was announced.
    pub fn announced() -> Self {
        Self::of("announced", &[])
    }

    /// The name of its file: at most 255 bytes of `[A-Za-z0-9_%.-]`, whatever the names hold.
    pub(super) fn file_name(&self) -> &str {
        &self.0
    }

    fn of(kind: &str, names: &[&str]) -> Self {
        // `.` separates and is never part of an encoded name, so two lists of names never meet.
        let mut file = String::from(kind);
        for name in names {
            file.push('.');
            encode(name, &mut file);
        }
        if file.len() > LONGEST {
            let digest = fnv1a(file.as_bytes());
            file = format!("{kind}..{digest:032x}");
        }
        file.push_str(SUFFIX);
        Self(file)
    }
}

impl From<&Entry> for EntryId {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Session { provider, held, .. } => Self::session(provider, &held.session.id),
            Entry::Kept { provider, .. } => Self::kept(provider),
            Entry::Held { held, .. } => Self::held(&held.key),
            Entry::Secret { secret, .. } => Self::secret(secret),
            Entry::Announced { .. } => Self::announced(),
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end_matches(SUFFIX))
    }
}

pub(super) const SUFFIX: &str = ".json";

/// Leaves room for the suffix, and for the prefix of a file that is being written.
const LONGEST: usize = 200;

fn encode(name: &str, into: &mut String) {
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => into.push(char::from(byte)),
            other => into.push_str(&format!("%{other:02x}")),
        }
    }
}

/// FNV-1a with 128 bits: it keeps honest names apart, which is all that is asked of it. Names come
/// from the configuration and from the store that we trust with the secrets themselves.
fn fnv1a(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_names_give_a_file_name_that_stays_in_the_directory(
            provider in any::<String>(),
            session in ".{0,400}",
        ) {
            let id = EntryId::session(&provider, &session);
            let file = id.file_name();
            prop_assert!(file.len() <= 245, "{} bytes", file.len());
            prop_assert!(file.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-%.".contains(&b)), "{file}");
            prop_assert!(file.starts_with("session."));
        }

        #[test]
        fn other_names_give_another_file(a in "[a-z./%]{0,6}", b in "[a-z./%]{0,6}", c in "[a-z./%]{0,6}", d in "[a-z./%]{0,6}") {
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert_ne!(EntryId::session(&a, &b), EntryId::session(&c, &d));
        }
    }

    #[test]
    fn long_names_are_told_apart() {
        let long = "x".repeat(300);
        assert_ne!(EntryId::secret(&long), EntryId::secret(&format!("{long}y")));
        assert_ne!(EntryId::secret(&long), EntryId::kept(&long));
    }
}
