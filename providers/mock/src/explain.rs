//! What the settings say of themselves, for people.

use leasehold_core::{Character, Grants, Nature, Portrait, SecretRef, Terms};

use crate::config::{SecretKind, Settings};

/// Store, log-in, session.
pub(crate) fn portrait() -> Portrait {
    Portrait {
        store: "a mock inside this process: no store is asked, and values are made up or written down"
            .to_owned(),
        login: "as nobody: the log-in is played".to_owned(),
        session: "The session is played, too: renewed, replaced and revoked like a real one".to_owned(),
    }
}

/// What a secret is; a mock also knows how long it lives.
pub(crate) fn character(settings: &Settings, reference: &SecretRef) -> Character {
    let secret = settings.secret(&reference.path);
    let (nature, words) = match settings.kind(&reference.path) {
        SecretKind::Dynamic => (Nature::Leased, "a dynamic credential, made at each request"),
        SecretKind::Certificate => (Nature::Issued, "a certificate, made at each request"),
        SecretKind::Rotating => (Nature::Rotating, "a value that the mock changes by itself"),
        SecretKind::Static => (Nature::Kept, "a value that stays until somebody, or the script, changes it"),
        SecretKind::Absent => (Nature::Kept, "a secret that does not exist"),
    };
    let mut character = Character::new(nature, words);
    if matches!(nature, Nature::Leased | Nature::Issued) {
        character.terms = Some(Terms {
            ttl: secret.ttl,
            max_ttl: Some(secret.max_ttl),
            renewable: secret.renewable && nature == Nature::Leased,
            source: "the mock's settings say".to_owned(),
        });
    }
    character
}

/// Nothing.
pub(crate) fn grants() -> Grants {
    let notes = vec!["A mock grants everything.".to_owned()];
    Grants { language: "nothing".to_owned(), text: String::new(), notes }
}
