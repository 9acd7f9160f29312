//! The end: what is taken back, what is left, and why.
//!
//! Mints in flight are awaited for the first half of the time, since a mint that is answered after
//! its session was revoked leaves its lease to its own TTL. Then what no session ends is revoked
//! by its own handle (certificates; leases under a session that is not ours to end), and then the
//! sessions that are, one call each. What is not confirmed stays in the hand-over and is named.

use std::time::Duration;

use leasehold_core::{Bound, Error, Kind, Origin, SecretRef, Session, Target};
use tokio::task::JoinSet;

use super::{Keeper, MOST_IN_FLIGHT};
use crate::clock::Moment;
use crate::events::{Event, Was};
use crate::handover::EntryId;
use crate::schedule;
use crate::slot::Held;

/// What is taken back at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndMode {
    /// Everything.
    Revoke,
    /// What this process took and did not publish: it ends on an error.
    Unpublished,
    /// Nothing: a successor takes it over.
    Leave,
}

/// What is left at the store, in words.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// One entry each: what, and why.
    pub items: Vec<(String, String)>,
}

impl Keeper {
    /// Ends within `timeout`.
    pub(super) async fn end(&mut self, mode: EndMode, timeout: Duration) -> Left {
        let start = self.links.clock.now();
        let mut left = Left::default();
        self.await_mints(start + timeout / 2).await;
        for name in &self.minting {
            left.items.push((
                format!("a mint of secret \"{name}\" that is still in flight"),
                "the store did not answer in time; what it mints ends by its own TTL".to_owned(),
            ));
        }
        if mode == EndMode::Leave {
            return self.told(left);
        }
        let deadline = start + timeout;
        let by_handle = self.to_revoke_by_handle(mode);
        let sessions = self.sessions_to_revoke(mode);
        self.revoke_handles(by_handle, &sessions, deadline, &mut left).await;
        self.revoke_sessions(sessions, deadline, &mut left).await;
        self.told(left)
    }

    fn told(&self, left: Left) -> Left {
        for (what, why) in &left.items {
            self.links.events.emit(&Event::LeftBehind { provider: &self.name, what, why });
        }
        left
    }

    /// Waits for answers that may bring something to take back.
    async fn await_mints(&mut self, until: Moment) {
        while self.something_may_come() {
            let clock = self.links.clock.clone();
            tokio::select! {
                biased;
                Some(done) = self.inflight.join_next() => self.joined(done),
                () = clock.sleep_until(until) => return,
            }
        }
    }

    fn something_may_come(&self) -> bool {
        !self.inflight.is_empty() && (!self.minting.is_empty() || self.sessions.login_under_way())
    }

    /// What has to be ended by its own handle.
    fn to_revoke_by_handle(&self, mode: EndMode) -> Vec<(String, SecretRef, Held)> {
        let mut all = Vec::new();
        for (name, kept) in &self.secrets {
            let candidate = kept.slot.candidate.iter().map(|candidate| &candidate.held);
            let held: Vec<&Held> = match mode {
                EndMode::Revoke => kept.slot.all_held().collect(),
                EndMode::Unpublished => candidate.filter(|held| !self.adopted.contains(&held.key)).collect(),
                EndMode::Leave => Vec::new(),
            };
            for held in held {
                all.push((name.clone(), kept.plan.reference.clone(), held.clone()));
            }
        }
        for orphan in &self.orphans {
            all.push((orphan.secret.clone(), orphan.reference.clone(), orphan.held.clone()));
        }
        all.retain(|(_, _, held)| {
            held.lease.as_ref().is_some_and(|lease| {
                lease.bound == Bound::Itself || !self.goes_with_its_session(mode, &held.session)
            })
        });
        all
    }

    fn goes_with_its_session(&self, mode: EndMode, id: &str) -> bool {
        self.sessions_to_revoke(mode).iter().any(|session| session.id == id)
    }

    fn sessions_to_revoke(&self, mode: EndMode) -> Vec<Session> {
        self.sessions
            .iter()
            .filter(|held| held.session.origin == Origin::LoggedIn && held.session.revocable)
            .filter(|held| mode == EndMode::Revoke || !self.is_in_use(&held.session.id))
            .map(|held| held.session.clone())
            .collect()
    }

    /// Whether something that was adopted or published hangs on a session, or it was itself
    /// adopted: then a process that fails leaves it alone.
    fn is_in_use(&self, id: &str) -> bool {
        self.adopted.contains(id)
            || self.session_file.as_ref().is_some_and(|file| file.holds(id))
            || self.secrets.values().any(|kept| {
                let candidate = kept
                    .slot
                    .candidate
                    .iter()
                    .map(|candidate| &candidate.held)
                    .filter(|held| self.adopted.contains(&held.key));
                kept.slot
                    .current
                    .iter()
                    .chain(candidate)
                    .chain(kept.slot.retiring.iter().map(|retiring| &retiring.held))
                    .any(|held| held.session == id && held.hangs_on_session())
            })
    }

    async fn revoke_handles(
        &mut self,
        all: Vec<(String, SecretRef, Held)>,
        leaving: &[Session],
        deadline: Moment,
        left: &mut Left,
    ) {
        let mut asked = JoinSet::new();
        let mut waiting = all.into_iter();
        loop {
            while asked.len() < MOST_IN_FLIGHT
                && let Some((secret, reference, held)) = waiting.next()
            {
                let Some(session) = self.sessions.for_lease(&held.session).map(|held| held.session.clone())
                else {
                    left.items
                        .push((named(&secret, &held), "there is no session to revoke it with".to_owned()));
                    continue;
                };
                let call = self.call();
                // Sessions go after this and want their share of the time.
                let until = if leaving.is_empty() { deadline } else { deadline.before(SHARE) };
                asked.spawn(async move {
                    let wait = until.since(call.clock.now());
                    let result = match &held.lease {
                        Some(lease) => {
                            let what = Target::Lease { lease, reference: &reference };
                            call.clock.within(wait, call.revoke(&session, what)).await
                        }
                        None => Some(Ok(())),
                    };
                    (secret, held, result)
                });
            }
            let Some(answer) = asked.join_next().await else { return };
            let Ok((secret, held, result)) = answer else { continue };
            self.handle_ended(&secret, &held, result, left);
        }
    }

    fn handle_ended(&self, secret: &str, held: &Held, result: Option<Result<(), Error>>, left: &mut Left) {
        let now = self.links.clock.now();
        let lease = held.lease.as_ref().map(|lease| lease.id.as_str()).unwrap_or_default();
        match result {
            Some(Ok(())) => {
                self.unrecord(&EntryId::held(&held.key));
                self.links.events.emit(&Event::Revoked {
                    was: Was::Unneeded,
                    secret,
                    provider: &self.name,
                    lease,
                });
            }
            Some(Err(error)) => {
                let end = schedule::effective_end(held, self.sessions.held(&held.session));
                let ends_in = end.map(|end| end.since(now));
                self.links.events.emit(&Event::RevokeFailed {
                    secret,
                    error: &error,
                    ends_in,
                    repeated: error.kind == Kind::Denied && self.revocation_denied,
                });
                left.items.push((named(secret, held), ends_by_itself(error.detail, ends_in)));
            }
            None => left.items.push((named(secret, held), "the store did not answer in time".to_owned())),
        }
    }

    async fn revoke_sessions(&mut self, sessions: Vec<Session>, deadline: Moment, left: &mut Left) {
        let mut asked = JoinSet::new();
        for session in sessions {
            let call = self.call();
            asked.spawn(async move {
                let wait = deadline.since(call.clock.now());
                let result = call.clock.within(wait, revoke_firmly(&call, &session)).await;
                (session.id, result)
            });
        }
        while let Some(answer) = asked.join_next().await {
            let Ok((id, result)) = answer else { continue };
            match result {
                Some(Ok(())) => {
                    self.links.events.emit(&Event::SessionRevoked { provider: &self.name, session: &id });
                    self.forget_all_of(&id);
                }
                Some(Err(error)) => left.items.push((
                    format!("the session (accessor {id}) with its leases"),
                    ends_by_itself(error.detail, self.session_ends_in(&id)),
                )),
                None => left.items.push((
                    format!("the session (accessor {id}) with its leases"),
                    ends_by_itself("the store did not answer in time".to_owned(), self.session_ends_in(&id)),
                )),
            }
        }
    }

    fn session_ends_in(&self, id: &str) -> Option<Duration> {
        let now = self.links.clock.now();
        self.sessions.held(id).and_then(|held| held.end()).map(|end| end.since(now))
    }

    /// Removes a revoked session's record and those of all that hung on it.
    fn forget_all_of(&mut self, id: &str) {
        let mut gone = Vec::new();
        for kept in self.secrets.values() {
            for held in kept.slot.all_held().filter(|held| held.session == id && held.hangs_on_session()) {
                gone.push(held.key.clone());
            }
        }
        for key in gone {
            self.unrecord(&EntryId::held(&key));
        }
        self.drop_session(id);
    }
}

/// What sessions get of the time at the least.
const SHARE: Duration = Duration::from_secs(1);

/// Tries again while the store is only throttling or away: this is the last chance.
async fn revoke_firmly(call: &super::call::Call, session: &Session) -> Result<(), Error> {
    loop {
        match call.revoke(session, Target::Session).await {
            Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Throttled | Kind::Malformed) => {
                call.clock.sleep(error.retry_after.unwrap_or(schedule::FLOOR)).await;
            }
            Err(error) if error.kind == Kind::SessionEnded => return Ok(()),
            other => return other,
        }
    }
}

fn named(secret: &str, held: &Held) -> String {
    let lease = held.lease.as_ref().map(|lease| lease.id.as_str()).unwrap_or_default();
    format!("the lease {lease} of secret \"{secret}\"")
}

fn ends_by_itself(why: String, ends_in: Option<Duration>) -> String {
    match ends_in {
        Some(left) => format!("{why}; it ends by itself in {} s", left.as_secs()),
        None => why,
    }
}
