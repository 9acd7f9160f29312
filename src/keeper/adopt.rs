//! Taking over what an earlier process left.
//!
//! The store is asked about each session and lease; where it is away, the recorded ends are
//! trusted. What is good becomes a candidate: it is offered like anything fetched, and since its
//! bytes are those in place, nothing changes for the application.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_core::{Bound, Error, Kind, Origin, Session, Target, Term};
use tokio::task::JoinSet;

use super::call::Call;
use super::{Keeper, MOST_IN_FLIGHT, Orphan};
use crate::clock::Moment;
use crate::events::{Event, Was};
use crate::handover::{Entry, EntryId, Role};
use crate::schedule;
use crate::slot::{Candidate, Held, Offered, Retiring, Retry, Revocation, Want};

/// How long the store may take to confirm one thing that is adopted.
const DEADLINE: Duration = Duration::from_secs(5);

/// What the store said of something recorded.
enum Word {
    Lives(Moment, Option<Term>),
    Gone,
    /// Away, or not telling.
    Unknown,
}

impl Keeper {
    /// Takes over what is ours of the hand-over.
    pub(super) async fn adopt(&mut self, entries: Vec<Entry>) {
        let mut held = Vec::new();
        for entry in entries {
            match entry {
                Entry::Session { identity, held: session, .. } if identity == self.identity => {
                    self.adopted.insert(session.session.id.clone());
                    self.links.known.credential(&session.session.credential);
                    self.sessions.insert(session);
                }
                Entry::Session { held: session, .. } => {
                    self.unrecord(&EntryId::session(&self.name, &session.session.id));
                    self.links.events.emit(&Event::Warning {
                        text: &format!(
                            "provider \"{}\" is configured otherwise than before: its former session \
                             (accessor {}) is not taken over and ends by itself",
                            self.name, session.session.id
                        ),
                    });
                }
                Entry::Kept { identity, bytes, .. } if identity == self.identity => {
                    self.sessions.kept = Some(bytes);
                }
                Entry::Kept { .. } => self.unrecord(&EntryId::kept(&self.name)),
                Entry::Secret { secret, mints } => {
                    if let Some(kept) = self.secrets.get_mut(&secret) {
                        kept.slot.mints = mints.into();
                    }
                }
                Entry::Held { secret, fingerprint, held: value, role } => {
                    held.push((secret, fingerprint, value, role));
                }
                Entry::Announced { .. } => {}
            }
        }
        if held.is_empty() && self.sessions.iter().next().is_none() {
            return;
        }
        let reached = self.confirm_sessions().await;
        held.retain(|(_, _, value, _)| self.session_lives_for(value));
        let confirmed = reached && self.confirm_leases(&mut held).await;
        self.choose_current_session();
        if reached {
            self.learn();
        }
        let secrets = self.take_over(held);
        let sessions = self.sessions.iter().count();
        self.links.events.emit(&Event::Adopted { provider: &self.name, sessions, secrets, confirmed });
    }

    /// Asks about each session; answers whether the store could be reached.
    async fn confirm_sessions(&mut self) -> bool {
        let mut reached = true;
        let all: Vec<Session> = self.sessions.iter().map(|held| held.session.clone()).collect();
        let mut asked = JoinSet::new();
        for session in all {
            let call = self.call();
            asked.spawn(async move {
                let word = ask(&call, &session, Target::Session).await;
                (session.id, word)
            });
        }
        while let Some(answer) = asked.join_next().await {
            let Ok((id, word)) = answer else { continue };
            match word {
                Word::Gone => {
                    self.sessions.remove(&id);
                    self.unrecord(&EntryId::session(&self.name, &id));
                }
                Word::Lives(sent, term) => self.sessions.confirm(&id, sent, term),
                Word::Unknown => reached = false,
            }
        }
        reached
    }

    /// What hung on a session that is gone is gone with it.
    fn session_lives_for(&self, value: &Held) -> bool {
        let now = self.links.clock.now();
        let ended = value.life.as_ref().is_some_and(|life| life.end <= now);
        let lives = !ended && (!value.hangs_on_session() || self.sessions.held(&value.session).is_some());
        if !lives {
            self.let_go(&value.key);
        }
        lives
    }

    /// Asks about each lease, and drops those that are gone. Answers whether the store told of all.
    async fn confirm_leases(&mut self, held: &mut Vec<(String, String, Held, Role)>) -> bool {
        let mut confirmed = true;
        let mut words: BTreeMap<String, Word> = BTreeMap::new();
        let mut asked = JoinSet::new();
        for (secret, _, value, _) in held.iter() {
            let Some(lease) = value.lease.clone().filter(|lease| lease.bound == Bound::Session) else {
                continue;
            };
            let Some(session) = self.sessions.for_lease(&value.session).map(|held| held.session.clone())
            else {
                continue;
            };
            let reference = self.reference_of(secret);
            let (call, key) = (self.call(), value.key.clone());
            if asked.len() >= MOST_IN_FLIGHT
                && let Some(Ok((key, word))) = asked.join_next().await
            {
                words.insert(key, word);
            }
            asked.spawn(async move {
                let what = Target::Lease { lease: &lease, reference: &reference };
                let word = ask(&call, &session, what).await;
                (key, word)
            });
        }
        while let Some(answer) = asked.join_next().await {
            if let Ok((key, word)) = answer {
                words.insert(key, word);
            }
        }
        let newest = newest(held);
        held.retain_mut(|(secret, _, value, _)| match words.get(&value.key) {
            Some(Word::Gone) => {
                self.let_go(&value.key);
                // A replaced one was to go anyway: its revocation had come through.
                if newest.contains(&value.key) {
                    self.links.events.emit(&Event::LeaseLost {
                        secret,
                        provider: &self.name,
                        replaced_in: Duration::ZERO,
                    });
                }
                false
            }
            Some(Word::Lives(sent, Some(term))) => {
                if let Some(life) = &mut value.life {
                    schedule::confirm(life, *term, *sent);
                }
                true
            }
            Some(Word::Lives(_, None)) | None => true,
            Some(Word::Unknown) => {
                confirmed = false;
                true
            }
        });
        confirmed
    }

    fn reference_of(&self, secret: &str) -> leasehold_core::SecretRef {
        match self.secrets.get(secret) {
            Some(kept) => kept.plan.reference.clone(),
            None => leasehold_core::SecretRef { name: secret.to_owned(), ..Default::default() },
        }
    }

    /// The newest session is current. A given one may have been replaced meanwhile: look.
    fn choose_current_session(&mut self) {
        let newest = self.sessions.iter().max_by_key(|held| held.issued).cloned();
        if let Some(newest) = newest {
            self.sessions.set_current(&newest.session.id);
            if newest.session.origin != Origin::LoggedIn {
                let now = self.links.clock.now();
                self.sessions.want_login(now);
            }
        }
    }

    /// Puts each value into its place; answers for how many secrets there is one.
    fn take_over(&mut self, held: Vec<(String, String, Held, Role)>) -> usize {
        let now = self.links.clock.now();
        let mut newest_first = held;
        newest_first.sort_by_key(|(_, _, held, _)| std::cmp::Reverse(held.issued));
        for (secret, fingerprint, held, role) in newest_first {
            let Some(kept) = self.secrets.get_mut(&secret) else {
                self.adopt_orphan(secret, held, now);
                continue;
            };
            let matches = kept.plan.fingerprint == fingerprint;
            match role {
                Role::Current if matches && kept.slot.candidate.is_none() && kept.slot.want.is_none() => {
                    self.adopted.insert(held.key.clone());
                    kept.slot.confirmed = Some(now);
                    if held.life.is_none() {
                        kept.slot.poll_at = Some(now);
                    }
                    let retry = self.settling(&secret, &held, held.issued);
                    if let Some(kept) = self.secrets.get_mut(&secret) {
                        kept.slot.candidate = Some(Candidate { held, offer: Offered::No, retry });
                    }
                }
                // An older one that was in use when its successor was recorded, or one that is
                // configured otherwise now: in use until its successor is published.
                Role::Current if kept.slot.current.is_none() && held.is_revocable() => {
                    self.adopted.insert(held.key.clone());
                    if !matches {
                        kept.slot.want = Some(Want::Asked);
                    }
                    kept.slot.current = Some(held);
                }
                Role::Retiring { announced, generation, overlap, awaits } => {
                    kept.slot.retiring.push(Retiring {
                        held,
                        announced,
                        generation,
                        overlap,
                        awaits,
                        revocation: Revocation::Due(Retry::default()),
                    });
                }
                Role::Current | Role::Unwanted => self.adopt_orphan(secret, held, now),
            }
        }
        self.secrets.values().filter(|kept| kept.slot.newest().is_some()).count()
    }

    fn adopt_orphan(&mut self, secret: String, held: Held, now: Moment) {
        if !held.is_revocable() {
            self.let_go(&held.key);
            return;
        }
        let grant = held.life.as_ref().map(|life| life.granted).unwrap_or_default();
        let reference = self.reference_of(&secret);
        self.orphans.push(Orphan {
            was: Was::Unneeded,
            secret,
            reference,
            at: now + schedule::longest_room(&self.session_rooms, grant),
            held,
            revocation: Revocation::Due(Retry::default()),
        });
    }
}

/// The keys of what stands for the secrets.
fn newest(held: &[(String, String, Held, Role)]) -> BTreeSet<String> {
    let mut newest: BTreeMap<&str, &Held> = BTreeMap::new();
    for (secret, _, value, role) in held {
        if matches!(role, Role::Current)
            && newest.get(secret.as_str()).is_none_or(|other| other.issued < value.issued)
        {
            newest.insert(secret, value);
        }
    }
    newest.values().map(|held| held.key.clone()).collect()
}

async fn ask(call: &Call, session: &Session, what: Target<'_>) -> Word {
    let sent = call.clock.now();
    let answer = call.clock.within(DEADLINE, call.lookup(session, what)).await;
    match answer {
        Some(Ok(term)) => Word::Lives(sent, term),
        Some(Err(Error {
            kind: Kind::SessionEnded | Kind::LeaseGone | Kind::Absent | Kind::Invalid,
            ..
        })) => Word::Gone,
        Some(Err(_)) | None => Word::Unknown,
    }
}
