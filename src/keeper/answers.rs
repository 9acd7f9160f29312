//! The store's answers, each to the part of the keeper that it is for.

use leasehold_core::{Effect, Error, Fetched, Kind, Operation, SecretRef};

use super::requests::Done;
use super::{Fatal, Keeper};
use crate::clock::Moment;

impl Keeper {
    /// A request ended.
    pub(super) fn joined(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(done) => self.answered(done),
            // A provider that panics has told nothing of what it did: the process ends, and the
            // next one finds in the hand-over what is held.
            Err(error) if error.is_panic() => self.fail(Fatal::Store(Error::new(
                Kind::Internal,
                Operation::Fetch,
                &self.name,
                "the provider failed inside; please report it",
            ))),
            Err(_) => {}
        }
    }

    pub(super) fn answered(&mut self, done: Done) {
        if let Done::Fetched { effect: Effect::Mints, secrets, .. } = &done {
            for (name, _) in secrets {
                if let Some(at) = self.minting.iter().position(|minting| minting == name) {
                    self.minting.swap_remove(at);
                }
            }
        }
        if let Some((lane, error)) = done.lane() {
            self.gate.answers(&lane, error);
        }
        match done {
            Done::Login { sent, result } => self.logged_in(sent, result),
            Done::Fetched { sent, session, secrets, result, effect, group } => {
                self.all_fetched(sent, &session, secrets, result, effect, &group);
            }
            Done::Renewed { secret, key, sent, session, result, group } => {
                self.renewed(&secret, &key, sent, &session, &group, result);
            }
            Done::LookedUp { secret, key, sent, session, result, group } => {
                self.looked_up(&secret, &key, sent, &session, &group, result);
            }
            Done::Revoked { secret, key, session, result, group } => {
                self.revoked(&secret, &key, &session, &group, result);
            }
            Done::Learned => self.learned(),
            Done::SessionRenewed { id, sent, result } => self.session_renewed(&id, sent, result),
            Done::SessionLookedUp { id, sent, result } => self.session_looked_up(&id, sent, result),
            Done::SessionRevoked { id, result } => self.session_revoked(&id, result),
        }
    }

    /// One request for several secrets was answered.
    fn all_fetched(
        &mut self,
        sent: Moment,
        session: &str,
        secrets: Vec<(String, SecretRef)>,
        result: Result<Vec<Result<Fetched, Error>>, Error>,
        effect: Effect,
        group: &str,
    ) {
        match result {
            Ok(results) => {
                self.gate.reached();
                let mut results = results.into_iter();
                for (name, reference) in secrets {
                    let result = results.next().unwrap_or_else(|| Err(self.unanswered(&name)));
                    self.fetched(&name, reference, sent, session, effect, group, result);
                }
            }
            Err(error) => {
                for (name, reference) in secrets {
                    self.fetched(&name, reference, sent, session, effect, group, Err(error.clone()));
                }
            }
        }
    }

    pub(super) fn unanswered(&self, name: &str) -> Error {
        Error::new(Kind::Malformed, Operation::Fetch, &self.name, "the answer lacks this secret")
            .on(format!("secret \"{name}\""))
    }
}
