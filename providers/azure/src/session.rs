//! An access token as a session: it ends, and nothing renews or revokes it.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Origin, SecretBytes, Session, Term};

/// A token that was granted.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) token: SecretBytes,
    /// Counted from the sending of the request.
    pub(crate) expires_in: Duration,
}

/// The session that it is. The same token, given twice, is the same session.
pub(crate) fn of(grant: Grant) -> Session {
    Session {
        id: format!("token-{:016x}", fingerprint(grant.token.expose())),
        credential: Arc::new(grant.token),
        term: Some(Term { ttl: grant.expires_in, renewable: false }),
        origin: Origin::LoggedIn,
        revocable: false,
        uses_left: None,
    }
}

/// FNV-1a. A token is signed, and so of high entropy: equal or not, and no way back.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(token: &str) -> Session {
        of(Grant { token: SecretBytes::from_text(token.to_owned()), expires_in: Duration::from_secs(3599) })
    }

    #[test]
    fn a_token_is_a_session_that_ends_and_cannot_be_taken_back() {
        let one = session("canary-one");
        assert_eq!(one.term, Some(Term { ttl: Duration::from_secs(3599), renewable: false }));
        assert_eq!((one.origin, one.revocable, one.uses_left), (Origin::LoggedIn, false, None));
        assert_eq!(one.id, session("canary-one").id);
        assert_ne!(one.id, session("canary-two").id);
        assert!(!format!("{one:?}").contains("canary"));
    }
}
