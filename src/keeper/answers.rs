//! What the store and the publisher answered, applied to the slots.

use std::time::Duration;

use leasehold_core::{Effect, Error, Fetched, Kind, Operation, SecretRef, Term};

use super::requests::Done;
use super::sessions::lose;
use super::{Fatal, Keeper, LeftOut, Orphan};
use crate::clock::Moment;
use crate::config::model::{OnExpiry, Overlap};
use crate::events::Event;
use crate::handover::{Entry, EntryId, Role};
use crate::publisher::{Answer, Lack, Offer, Published, Refused, ToPublisher, Value};
use crate::schedule;
use crate::slot::{Busy, Candidate, Held, Offered, Retiring, Retry, Revocation, Want};

/// Why a secret that is not required is left out while its store gives no good answer.
const UNREACHABLE: &str = "the store is not reachable";

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

    fn unanswered(&self, name: &str) -> Error {
        Error::new(Kind::Malformed, Operation::Fetch, &self.name, "the answer lacks this secret")
            .on(format!("secret \"{name}\""))
    }

    #[expect(clippy::too_many_arguments, reason = "one per fact of an answer; all are used at once")]
    fn fetched(
        &mut self,
        name: &str,
        reference: SecretRef,
        sent: Moment,
        session: &str,
        effect: Effect,
        group: &str,
        result: Result<Fetched, Error>,
    ) {
        let unwanted = self.secrets.get(name).is_none_or(|kept| kept.plan.reference != reference);
        if let Some(kept) = self.secrets.get_mut(name)
            && !unwanted
        {
            kept.slot.busy = None;
        }
        match result {
            Ok(fetched) if unwanted => self.orphan_answer(name, reference, sent, session, fetched),
            Ok(fetched) => self.took(name, sent, session, effect, fetched),
            Err(_) if unwanted => {}
            Err(error) => self.fetch_failed(name, session, group, error),
        }
    }

    /// A value came for a secret that the configuration no longer has, or has otherwise.
    fn orphan_answer(
        &mut self,
        name: &str,
        reference: SecretRef,
        sent: Moment,
        session: &str,
        fetched: Fetched,
    ) {
        let Some(held) = self.held(name, sent, session, &fetched, Overlap::Auto) else { return };
        if held.is_revocable() {
            self.record_held(name, String::new(), &held, Role::Unwanted);
            let now = self.links.clock.now();
            self.orphans.push(Orphan {
                secret: name.to_owned(),
                reference,
                held,
                at: now,
                revocation: Revocation::Due(Retry::default()),
            });
        }
    }

    /// What a fetch brought, as something that we hold.
    fn held(
        &mut self,
        _name: &str,
        sent: Moment,
        session: &str,
        fetched: &Fetched,
        overlap: Overlap,
    ) -> Option<Held> {
        let fields = fetched.fields.clone()?;
        Some(Held {
            key: self.dice.key(),
            fields,
            version: fetched.version.clone(),
            lease: fetched.lease.clone(),
            session: session.to_owned(),
            issued: sent,
            life: fetched.term.map(|term| schedule::life(None, term, sent, overlap, &mut self.dice)),
            changes_at: fetched.changes_in.map(|change| sent + change),
        })
    }

    fn took(&mut self, name: &str, sent: Moment, session: &str, effect: Effect, fetched: Fetched) {
        let now = self.links.clock.now();
        let Some(overlap) = self.secrets.get(name).map(|kept| kept.plan.policy.overlap) else { return };
        let held = self.held(name, sent, session, &fetched, overlap);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        kept.slot.fetch_retry = Retry::default();
        kept.slot.denied_under = None;
        kept.slot.confirmed = Some(now);
        kept.error = None;
        kept.left_out = LeftOut::No;
        if fetched.term.is_none() {
            kept.slot.poll_at =
                Some(schedule::poll_at(kept.plan.policy.refresh, fetched.changes_in, now, &mut self.dice));
        }
        let same = held.as_ref().is_none_or(|held| {
            held.lease.is_none()
                && held.life.is_none()
                && kept.slot.newest().is_some_and(|newest| newest.fields == held.fields)
        });
        if same {
            if let (Some(newest), Some(version)) = (kept.slot.newest_mut(), fetched.version) {
                newest.version = Some(version);
            }
            kept.slot.want = None;
            for waiting in kept.waiting.drain(..) {
                let _ = waiting.send(super::Refreshed::Unchanged);
            }
            self.links.events.emit(&Event::Unchanged { secret: name, provider: &self.name });
            return;
        }
        let Some(held) = held else { return };
        self.links.events.emit(&Event::Fetched {
            secret: name,
            provider: &self.name,
            effect,
            lease: held.lease.as_ref().map(|lease| lease.id.as_str()),
            ttl: fetched.term.map(|term| term.ttl),
            version: held.version.as_deref(),
        });
        let unseen = kept.slot.candidate.take().map(|candidate| candidate.held);
        let reference = kept.plan.reference.clone();
        kept.slot.want = None;
        kept.slot.renew_retry = Retry::default();
        kept.slot.lookup_retry = Retry::default();
        let fingerprint = kept.plan.fingerprint.clone();
        kept.slot.candidate =
            Some(Candidate { held: held.clone(), offer: Offered::No, retry: Retry::default() });
        self.say_overlap(name, &held);
        self.record_held(name, fingerprint, &held, Role::Current);
        if let Some(unseen) = unseen {
            self.give_up(name, &reference, unseen, overlap);
        }
    }

    /// A candidate was overtaken by another before its publication was confirmed: it has died meanwhile, or
    /// its secret left the configuration and came back, and both mints were answered. The files may hold it
    /// for a moment.
    fn give_up(&mut self, name: &str, reference: &SecretRef, held: Held, configured: Overlap) {
        let now = self.links.clock.now();
        let session = self.sessions.held(&held.session);
        let lives = schedule::effective_end(&held, session).is_some_and(|end| end > now);
        if lives && held.is_revocable() {
            let grant = schedule::effective_grant(&held, session).unwrap_or_default();
            self.orphan(name, reference, held, schedule::overlap(configured, grant));
        } else {
            self.let_go(&held.key);
        }
    }

    /// Says once that `overlap` is more than the store's grant lets it be.
    fn say_overlap(&mut self, name: &str, held: &Held) {
        let session = self.sessions.held(&held.session);
        let Some(grant) = schedule::effective_grant(held, session) else { return };
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if let Overlap::Fixed(configured) = kept.plan.policy.overlap {
            let effective = schedule::overlap(kept.plan.policy.overlap, grant);
            if effective < configured && kept.overlap_said != Some(effective) {
                kept.overlap_said = Some(effective);
                self.links.events.emit(&Event::OverlapShortened { secret: name, configured, effective });
            }
        }
    }

    pub(super) fn record_held(&self, secret: &str, fingerprint: String, held: &Held, role: Role) {
        self.record(&Entry::Held { secret: secret.to_owned(), fingerprint, held: held.clone(), role });
    }

    fn fetch_failed(&mut self, name: &str, session: &str, group: &str, error: Error) {
        let now = self.links.clock.now();
        let starting = self.is_starting();
        if error.kind == Kind::SessionEnded {
            self.session_gone(session, &error);
        }
        let Some(kept) = self.secrets.get(name) else { return };
        let optional = !kept.plan.required;
        let fatal = match error.kind {
            Kind::Denied | Kind::Invalid | Kind::Internal => true,
            Kind::Absent | Kind::LeaseGone => !optional,
            _ => false,
        };
        if starting && fatal {
            self.links.events.emit(&Event::Failed { secret: Some(name), error: &error, retry_in: None });
            return self.fail(Fatal::Store(error));
        }
        let absent = error.kind == Kind::Absent;
        let unreachable = matches!(error.kind, Kind::Unavailable | Kind::Throttled | Kind::Malformed);
        if optional && (absent || (unreachable && kept.slot.newest().is_none())) {
            self.leave_out(name, if absent { "it does not exist" } else { UNREACHABLE });
        }
        let nearest = self.nearest_end(name);
        self.note_health(&error, group, nearest, now);
        let session_end = self.sessions.current().and_then(|held| held.end());
        let relogin = self.answer_denial(name, session, &error, now);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let before = kept.slot.fetch_retry;
        let mut retry = schedule::retry(before, error.retry_after, nearest, now, &mut self.dice);
        if error.kind == Kind::Denied && !relogin {
            retry = patient(retry, session_end, now);
        } else if absent || error.kind == Kind::Invalid {
            retry.wait = retry.wait.max(kept.plan.policy.refresh.min(schedule::LONGEST_WAIT));
            retry.at = Some(now + retry.wait);
        }
        kept.slot.fetch_retry = retry;
        kept.error = Some(last_error(&error, retry.count, now));
        for waiting in kept.waiting.drain(..) {
            let _ = waiting.send(super::Refreshed::Failed(error.to_string()));
        }
        self.links.events.emit(&Event::Failed {
            secret: Some(name),
            error: &error,
            retry_in: Some(retry.wait),
        });
    }

    /// A denial costs one new log-in: the role may have got its right meanwhile. Answers whether
    /// one was asked for now.
    fn answer_denial(&mut self, name: &str, session: &str, error: &Error, now: Moment) -> bool {
        if error.kind != Kind::Denied {
            return false;
        }
        let Some(kept) = self.secrets.get_mut(name) else { return false };
        if kept.slot.denied_under.is_some() {
            return false;
        }
        kept.slot.denied_under = Some(session.to_owned());
        self.sessions.want_login(now);
        true
    }

    /// The store cannot even be logged in at: what is not required and not there is done without.
    pub(super) fn leave_out_the_unreachable(&mut self) {
        let missing = |kept: &super::Kept| !kept.plan.required && kept.slot.newest().is_none();
        let names: Vec<String> =
            self.secrets.iter().filter(|(_, kept)| missing(kept)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.leave_out(&name, UNREACHABLE);
        }
    }

    /// Tells the publisher to do without a secret that is not required.
    fn leave_out(&mut self, name: &str, why: &str) {
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if kept.left_out == LeftOut::Told {
            return;
        }
        kept.left_out = LeftOut::Told;
        if let Some(old) = kept.slot.current.take() {
            self.let_go(&old.key);
        }
        self.links.events.emit(&Event::LeftOut { secret: name, provider: &self.name, why });
        self.withdraw(name, Lack::LeftOut);
    }

    /// Offers the lack of a value.
    fn withdraw(&self, name: &str, lack: Lack) {
        let offer = Offer {
            secret: name.to_owned(),
            key: String::new(),
            value: Err(lack),
            urgent: None,
            answer: self.answer_to.clone(),
        };
        // The publisher outlives the keepers.
        let _ = self.links.publisher.send(ToPublisher::Offer(offer));
    }

    /// Offers the candidate.
    pub(super) fn offer(&mut self, name: &str) {
        let urgent = self
            .secrets
            .get(name)
            .and_then(|kept| kept.slot.current.as_ref())
            .and_then(|current| schedule::effective_end(current, self.sessions.held(&current.session)));
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let Some(candidate) = &mut kept.slot.candidate else { return };
        candidate.offer = Offered::Yes;
        let held = &candidate.held;
        let expires = held.life.as_ref().filter(|life| !life.renewable).map(|life| life.end);
        let offer = Offer {
            secret: name.to_owned(),
            key: held.key.clone(),
            value: Ok(Value {
                fields: held.fields.clone(),
                version: held.version.clone(),
                issued: held.issued,
                expires,
            }),
            urgent,
            answer: self.answer_to.clone(),
        };
        let _ = self.links.publisher.send(ToPublisher::Offer(offer));
    }

    /// The publisher answered an offer.
    pub(super) fn published(&mut self, answer: Answer) {
        let now = self.links.clock.now();
        let Some(kept) = self.secrets.get_mut(&answer.secret) else { return };
        let Some(candidate) = kept.slot.candidate.take_if(|candidate| candidate.held.key == answer.key)
        else {
            return;
        };
        match answer.outcome {
            Ok(published) => self.in_place(&answer.secret, candidate.held, published),
            Err(Refused { why }) => {
                let retry = schedule::retry(candidate.retry, None, None, now, &mut self.dice);
                kept.slot.candidate = Some(Candidate { held: candidate.held, offer: Offered::No, retry });
                for waiting in kept.waiting.drain(..) {
                    let _ = waiting.send(super::Refreshed::Failed(why.clone()));
                }
            }
        }
    }

    fn in_place(&mut self, name: &str, held: Held, published: Published) {
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let old = kept.slot.current.replace(held);
        kept.slot.generation = published.generation;
        kept.slot.expired = false;
        kept.slot.poll_at = kept.slot.poll_at.or_else(|| {
            let current = kept.slot.current.as_ref()?;
            current.life.is_none().then(|| {
                schedule::poll_at(kept.plan.policy.refresh, None, published.announced, &mut self.dice)
            })
        });
        for waiting in kept.waiting.drain(..) {
            let _ = waiting.send(super::Refreshed::Published(published.generation));
        }
        let Some(old) = old else { return };
        let lost = kept.slot.lost_key.take_if(|key| *key == old.key).is_some();
        let grant = schedule::effective_grant(&old, self.sessions.held(&old.session));
        let overlap =
            grant.map_or(Duration::ZERO, |grant| schedule::overlap(kept.plan.policy.overlap, grant));
        if lost {
            self.let_go(&old.key);
            return;
        }
        if !old.is_revocable() && old.life.is_none() {
            self.let_go(&old.key);
            return;
        }
        let fingerprint = kept.plan.fingerprint.clone();
        let retiring = Retiring {
            held: old,
            announced: published.announced,
            generation: published.generation,
            overlap,
            awaits: published.awaits,
            revocation: Revocation::Due(Retry::default()),
        };
        let entry = retiring_entry(name, fingerprint, &retiring);
        kept.slot.retiring.push(retiring);
        self.record(&entry);
    }

    /// A replaced credential is no more: its record goes, and its generations may.
    pub(super) fn let_go(&self, key: &str) {
        self.unrecord(&EntryId::held(key));
        let _ = self.links.publisher.send(ToPublisher::Release { key: key.to_owned() });
    }

    /// A replaced credential has ended by itself.
    pub(super) fn forget_retired(&mut self, name: &str, key: &str) {
        if let Some(kept) = self.secrets.get_mut(name) {
            kept.slot.retiring.retain(|retiring| retiring.held.key != key);
        }
        self.let_go(key);
    }

    fn renewed(
        &mut self,
        name: &str,
        key: &str,
        sent: Moment,
        session: &str,
        group: &str,
        result: Result<Option<Term>, Error>,
    ) {
        let now = self.links.clock.now();
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if kept.slot.busy == Some(Busy::Renewing) {
            kept.slot.busy = None;
        }
        let overlap = kept.plan.policy.overlap;
        let Some(held) = kept.slot.newest_mut().filter(|held| held.key == key) else { return };
        match result {
            Ok(Some(term)) => {
                let life = schedule::life(held.life.as_ref(), term, sent, overlap, &mut self.dice);
                let capped = life.capped;
                held.life = Some(life);
                let held = held.clone();
                if capped {
                    let seen = (sent + term.ttl).since(held.issued);
                    kept.slot.shortest_life =
                        Some(kept.slot.shortest_life.map_or(seen, |before| before.min(seen)));
                }
                kept.slot.renew_retry = Retry::default();
                kept.slot.denied_under = None;
                kept.slot.confirmed = Some(now);
                kept.error = None;
                let fingerprint = kept.plan.fingerprint.clone();
                self.gate.reached();
                self.links.events.emit(&Event::Renewed {
                    secret: name,
                    provider: &self.name,
                    ttl: term.ttl,
                    capped,
                });
                self.record_held(name, fingerprint, &held, Role::Current);
            }
            Ok(None) => {
                held.life = None;
                self.gate.reached();
            }
            Err(error) => {
                if matches!(error.kind, Kind::LeaseGone | Kind::Invalid | Kind::Absent) {
                    kept.slot.suspect.get_or_insert(crate::slot::Suspicion::RenewalRefused);
                }
                if error.kind == Kind::SessionEnded {
                    self.session_gone(session, &error);
                }
                let deadline = self.rotation(name);
                self.note_health(&error, group, deadline, now);
                let session_end = self.sessions.current().and_then(|held| held.end());
                let relogin = self.answer_denial(name, session, &error, now);
                let Some(kept) = self.secrets.get_mut(name) else { return };
                let mut retry =
                    schedule::retry(kept.slot.renew_retry, error.retry_after, deadline, now, &mut self.dice);
                if error.kind == Kind::Denied && !relogin {
                    retry = patient(retry, session_end, now);
                }
                kept.slot.renew_retry = retry;
                kept.error = Some(last_error(&error, retry.count, now));
                self.links.events.emit(&Event::Failed {
                    secret: Some(name),
                    error: &error,
                    retry_in: Some(retry.wait),
                });
            }
        }
    }

    fn looked_up(
        &mut self,
        name: &str,
        key: &str,
        sent: Moment,
        session: &str,
        group: &str,
        result: Result<Option<Term>, Error>,
    ) {
        let now = self.links.clock.now();
        let nearest = self.nearest_end(name);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if kept.slot.busy == Some(Busy::LookingUp) {
            kept.slot.busy = None;
        }
        if kept.slot.newest().is_none_or(|held| held.key != key) {
            return;
        }
        match result {
            Ok(term) => {
                if let (Some(term), Some(life)) =
                    (term, kept.slot.newest_mut().and_then(|held| held.life.as_mut()))
                {
                    schedule::confirm(life, term, sent);
                }
                kept.slot.suspect = None;
                kept.slot.lookup_retry = Retry::default();
                kept.slot.confirmed = Some(now);
                self.gate.reached();
            }
            Err(error) if matches!(error.kind, Kind::LeaseGone | Kind::Absent | Kind::Invalid) => {
                self.gate.reached();
                let at = schedule::heal_at(kept.slot.suspect, &kept.plan.policy, now, &mut self.dice);
                lose(kept, at);
                if let Some(candidate) = kept.slot.candidate.take() {
                    self.unrecord(&EntryId::held(&candidate.held.key));
                }
                self.links.events.emit(&Event::LeaseLost {
                    secret: name,
                    provider: &self.name,
                    replaced_in: at.since(now),
                });
            }
            Err(error) => {
                if error.kind == Kind::Denied {
                    // Unknown: it is kept, and asked about again at its next renewal.
                    kept.slot.suspect = None;
                }
                let retry =
                    schedule::retry(kept.slot.lookup_retry, error.retry_after, nearest, now, &mut self.dice);
                kept.slot.lookup_retry = retry;
                if error.kind == Kind::SessionEnded {
                    self.session_gone(session, &error);
                }
                self.note_health(&error, group, nearest, now);
                self.links.events.emit(&Event::Failed {
                    secret: Some(name),
                    error: &error,
                    retry_in: Some(retry.wait),
                });
            }
        }
    }

    fn revoked(&mut self, name: &str, key: &str, session: &str, group: &str, result: Result<(), Error>) {
        let now = self.links.clock.now();
        let lease = self.retiring_lease(name, key).unwrap_or_default();
        let error = match result {
            Ok(()) => {
                self.gate.reached();
                self.links.events.emit(&Event::Revoked { secret: name, provider: &self.name, lease: &lease });
                self.orphans.retain(|orphan| orphan.held.key != key);
                return self.forget_retired(name, key);
            }
            Err(error) => error,
        };
        let end = self.retiring_end(name, key);
        let denied = matches!(error.kind, Kind::Denied | Kind::Invalid | Kind::Internal);
        if error.kind == Kind::SessionEnded {
            self.session_gone(session, &error);
        }
        self.note_health(&error, group, end, now);
        let dice = &mut self.dice;
        let next = |revocation: &mut Revocation| {
            let before = match *revocation {
                Revocation::Due(retry) => retry,
                _ => Retry::default(),
            };
            *revocation = if denied {
                Revocation::Forgone
            } else {
                Revocation::Due(schedule::retry(before, error.retry_after, None, now, dice))
            };
        };
        let retiring = self
            .secrets
            .get_mut(name)
            .and_then(|kept| kept.slot.retiring.iter_mut().find(|retiring| retiring.held.key == key));
        match (retiring, self.orphans.iter_mut().find(|orphan| orphan.held.key == key)) {
            (Some(retiring), _) => {
                let mut next = next;
                next(&mut retiring.revocation);
            }
            (None, Some(orphan)) => {
                let mut next = next;
                next(&mut orphan.revocation);
            }
            (None, None) => return,
        }
        if denied {
            self.orphans.retain(|orphan| orphan.held.key != key);
        }
        // A right that is missing is missing for every lease: it is said once.
        self.links.events.emit(&Event::RevokeFailed {
            secret: name,
            error: &error,
            ends_in: end.map(|end| end.since(now)),
            repeated: error.kind == Kind::Denied && self.revocation_denied,
        });
        self.revocation_denied |= error.kind == Kind::Denied;
    }

    /// The current one has ended and nothing has replaced it.
    pub(super) fn expire(&mut self, name: &str) {
        let Some(kept) = self.secrets.get_mut(name) else { return };
        kept.slot.expired = true;
        let (action, word) = match kept.plan.on_expiry {
            OnExpiry::Keep => (OnExpiry::Keep, "keep"),
            OnExpiry::Delete => (OnExpiry::Delete, "delete"),
            OnExpiry::Exit => (OnExpiry::Exit, "exit"),
        };
        if kept.slot.candidate.is_none() && kept.slot.want.is_none() {
            kept.slot.want = Some(Want::Asked);
        }
        self.links.events.emit(&Event::Expired { secret: name, provider: &self.name, action: word });
        match action {
            OnExpiry::Keep => {}
            OnExpiry::Delete => {
                if self.secrets.get(name).is_some_and(|kept| kept.slot.candidate.is_none()) {
                    self.withdraw(name, Lack::Expired);
                }
            }
            OnExpiry::Exit => self.fail(Fatal::Expired { secret: name.to_owned() }),
        }
    }

    pub(super) fn start_orphan_revocation(&mut self, key: &str) {
        let Some(orphan) = self.orphans.iter_mut().find(|orphan| orphan.held.key == key) else { return };
        orphan.revocation = Revocation::Asked;
        let (secret, reference, held) =
            (orphan.secret.clone(), orphan.reference.clone(), orphan.held.clone());
        self.send_revocation(secret, reference, held);
    }

    fn retiring_lease(&self, name: &str, key: &str) -> Option<String> {
        let retiring = self.secrets.get(name).and_then(|kept| {
            kept.slot.retiring.iter().map(|retiring| &retiring.held).find(|held| held.key == key)
        });
        let orphan = self.orphans.iter().map(|orphan| &orphan.held).find(|held| held.key == key);
        retiring.or(orphan)?.lease.as_ref().map(|lease| lease.id.clone())
    }

    fn retiring_end(&self, name: &str, key: &str) -> Option<Moment> {
        let held = self
            .secrets
            .get(name)?
            .slot
            .retiring
            .iter()
            .map(|retiring| &retiring.held)
            .find(|held| held.key == key)?;
        schedule::effective_end(held, self.sessions.held(&held.session))
    }

    /// The nearest end of what a secret holds.
    pub(super) fn nearest_end(&self, name: &str) -> Option<Moment> {
        let held = self.secrets.get(name)?.slot.newest()?;
        schedule::effective_end(held, self.sessions.held(&held.session))
    }

    /// When a secret's successor has to be fetched.
    fn rotation(&self, name: &str) -> Option<Moment> {
        let kept = self.secrets.get(name)?;
        let held = kept.slot.newest()?;
        schedule::rotate_at(held, self.sessions.held(&held.session), &kept.plan.policy)
    }
}

/// A denial after its one new log-in: no hurry, and never slower than a fifth of what is left.
fn patient(mut retry: Retry, session_end: Option<Moment>, now: Moment) -> Retry {
    let longest = session_end.map_or(schedule::LONGEST_WAIT * 10, |end| end.since(now) / 5);
    retry.wait = longest.clamp(schedule::FLOOR, schedule::LONGEST_WAIT * 10);
    retry.at = Some(now + retry.wait);
    retry
}

pub(super) fn last_error(error: &Error, count: u32, at: Moment) -> crate::status::LastError {
    crate::status::LastError { kind: error.kind, text: error.to_string(), at, count }
}

/// The hand-over's entry for a replaced credential.
pub(super) fn retiring_entry(secret: &str, fingerprint: String, retiring: &Retiring) -> Entry {
    Entry::Held {
        secret: secret.to_owned(),
        fingerprint,
        held: retiring.held.clone(),
        role: Role::Retiring {
            announced: retiring.announced,
            generation: retiring.generation,
            overlap: retiring.overlap,
            awaits: retiring.awaits,
        },
    }
}
