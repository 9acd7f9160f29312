//! Providers that each break one rule, and the cases that notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use leasehold_conformance::{Verdict, judge};
use leasehold_core::{
    Effect, Error, Fetched, Field, Fields, Kind, Login, MissingRight, NoObserver, Operation, Provider,
    SecretBytes, SecretRef, Session, Target, Term, Traits, Wanted, async_trait,
};
use tokio::sync::Mutex;

use crate::behind::Behind;
use crate::scripted::Scripted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    None,
    BatchInOrder,
    BatchFailsOneByOne,
    AbsentIsAbsent,
    DeniedIsDenied,
    PinIsKept,
    ChangeIsSeen,
    NothingOfWhatIsKnown,
    EveryByte,
    NoRetry,
    NoValueInErrors,
    NoValueInLogs,
    LowerCase,
    SecretIsNamed,
    RetryAfterIsSaid,
    MintsAreDescribed,
    CheckMintsNothing,
    RevokedTwiceIsFine,
    GoneIsGone,
    OneHoldsUpNoOther,
    EachLogInIsAnother,
    IdIsNoCredential,
    NoDeadlineForMints,
    DroppedLeavesNothing,
    VersionIsTheStores,
}

/// Each rule, and the case that holds it.
const HELD: [(Rule, &str); 27] = [
    (Rule::BatchInOrder, "a_batch_keeps_its_order_and_one_bad_secret_fails_alone"),
    (Rule::BatchFailsOneByOne, "a_batch_keeps_its_order_and_one_bad_secret_fails_alone"),
    (Rule::AbsentIsAbsent, "what_is_not_there_is_absent"),
    (Rule::AbsentIsAbsent, "what_was_removed_is_absent"),
    (Rule::DeniedIsDenied, "what_is_denied_is_denied"),
    (Rule::PinIsKept, "a_pinned_version_stays"),
    (Rule::ChangeIsSeen, "a_changed_secret_brings_its_fields"),
    (Rule::NothingOfWhatIsKnown, "an_unchanged_secret_brings_no_fields"),
    (Rule::EveryByte, "any_character_is_brought_as_it_is"),
    (Rule::NoRetry, "a_connection_that_ends_is_no_verdict"),
    (Rule::NoRetry, "a_mint_whose_answer_is_lost_is_not_sent_again"),
    (Rule::NoValueInErrors, "what_was_removed_is_absent"),
    (Rule::NoValueInLogs, "what_is_kept_is_read"),
    (Rule::NoValueInLogs, "the_libraries_below_say_no_value_either"),
    (Rule::LowerCase, "what_is_not_there_is_absent"),
    (Rule::SecretIsNamed, "what_is_not_there_is_absent"),
    (Rule::RetryAfterIsSaid, "too_many_requests_are_throttled"),
    (Rule::MintsAreDescribed, "a_mint_is_described_as_one_and_comes_with_its_lease"),
    (Rule::CheckMintsNothing, "checking_mints_nothing"),
    (Rule::RevokedTwiceIsFine, "a_lease_is_revoked_and_twice_is_fine"),
    (Rule::GoneIsGone, "a_lease_that_is_gone_is_said_to_be"),
    (Rule::OneHoldsUpNoOther, "a_late_answer_is_brought_and_holds_up_nothing_else"),
    (Rule::EachLogInIsAnother, "two_log_ins_do_not_hang_together"),
    (Rule::IdIsNoCredential, "a_log_in_says_what_it_brought"),
    (Rule::NoDeadlineForMints, "a_late_mint_is_brought_and_was_sent_once"),
    (Rule::DroppedLeavesNothing, "a_dropped_read_leaves_nothing_behind"),
    (Rule::VersionIsTheStores, "a_new_value_has_another_version"),
];

#[test]
fn a_provider_that_breaks_a_rule_fails_the_case_that_holds_it() {
    for (rule, case) in HELD {
        let verdict = judge(case, &without(rule));
        assert!(matches!(verdict, Verdict::Failed(_)), "{case} with {rule:?} broken: {verdict:?}");
    }
}

#[test]
fn what_the_observer_is_not_told_is_noticed() {
    let mut deaf = without(Rule::None);
    let mock = deaf.scripted.mock.clone();
    deaf.wrap = Box::new(move |_, name| mock.provider(name, Arc::new(NoObserver)));
    for case in ["every_request_is_told_to_the_observer", "a_store_that_fails_is_unavailable"] {
        let verdict = judge(case, &deaf);
        assert!(matches!(verdict, Verdict::Failed(_)), "{case}: {verdict:?}");
    }
}

#[test]
fn a_provider_that_keeps_all_rules_passes_what_it_can() {
    for case in leasehold_conformance::names() {
        let verdict = judge(case, &without(Rule::None));
        assert!(!matches!(verdict, Verdict::Failed(_)), "{case}: {verdict:?}");
    }
}

fn without(rule: Rule) -> Behind {
    Behind {
        scripted: Scripted::new(),
        name: "mock, spoilt",
        lacks: Vec::new(),
        patience: 0,
        wrap: Box::new(move |inner, _| Box::new(Spoilt::new(inner, rule))),
    }
}

/// A provider that keeps all rules but one.
struct Spoilt {
    inner: Box<dyn Provider>,
    broken: Rule,
    one_by_one: Mutex<()>,
    first_session: Mutex<Option<Session>>,
    last_value: std::sync::Mutex<String>,
    busy: AtomicBool,
    revoked: AtomicU64,
}

impl Spoilt {
    fn new(inner: Box<dyn Provider>, broken: Rule) -> Self {
        Self {
            inner,
            broken,
            one_by_one: Mutex::default(),
            first_session: Mutex::default(),
            last_value: std::sync::Mutex::default(),
            busy: AtomicBool::new(false),
            revoked: AtomicU64::new(0),
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.broken == rule
    }

    fn spoil(&self, result: Result<Fetched, Error>) -> Result<Fetched, Error> {
        let mut error = match result {
            Ok(fetched) => return Ok(self.spoil_fetched(fetched)),
            Err(error) => error,
        };
        match self.broken {
            Rule::AbsentIsAbsent if error.kind == Kind::Absent => error.kind = Kind::Unavailable,
            Rule::DeniedIsDenied if error.kind == Kind::Denied => error.kind = Kind::Absent,
            Rule::NoValueInErrors => {
                error.detail = format!("last seen as {}", self.last_value.lock().unwrap());
            }
            Rule::LowerCase => error.detail = "Not found.".to_owned(),
            Rule::SecretIsNamed => error.reference = String::new(),
            Rule::RetryAfterIsSaid => error.retry_after = None,
            _ => {}
        }
        Err(error)
    }

    fn spoil_fetched(&self, mut fetched: Fetched) -> Fetched {
        let Some(fields) = &fetched.fields else { return fetched };
        let values: Vec<(String, Vec<u8>)> =
            fields.iter().map(|(name, field)| (name.to_owned(), field.bytes.expose().to_vec())).collect();
        match self.broken {
            Rule::EveryByte => {
                let mut trimmed = Fields::new();
                for (name, mut bytes) in values {
                    bytes.retain(|byte| *byte != b'\r');
                    trimmed.insert(
                        name,
                        Field { bytes: SecretBytes::new(bytes), shape: leasehold_core::Shape::Text },
                    );
                }
                fetched.fields = Some(Arc::new(trimmed));
            }
            Rule::NoValueInErrors => {
                *self.last_value.lock().unwrap() = String::from_utf8_lossy(&values[0].1).into_owned();
            }
            Rule::NoValueInLogs => {
                tracing::trace!(target: "foreign", body = %String::from_utf8_lossy(&values[0].1), "read");
            }
            Rule::VersionIsTheStores => fetched.version = Some("latest".to_owned()),
            _ => {}
        }
        fetched
    }
}

#[async_trait]
impl Provider for Spoilt {
    fn describe(&self, reference: &SecretRef) -> Traits {
        let traits = self.inner.describe(reference);
        let effect = if self.breaks(Rule::MintsAreDescribed) { Effect::Reads } else { traits.effect };
        Traits { effect, ..traits }
    }

    async fn login(&self, kept: Option<&SecretBytes>) -> Result<Login, Error> {
        if self.breaks(Rule::EachLogInIsAnother)
            && let Some(session) = &*self.first_session.lock().await
        {
            return Ok(Login::Session(session.clone()));
        }
        let mut login = self.inner.login(kept).await;
        if let Ok(Login::Session(session)) = &mut login {
            if self.breaks(Rule::IdIsNoCredential) {
                session.id = session.credential.expose_text().unwrap().to_owned();
            }
            *self.first_session.lock().await = Some(session.clone());
        }
        login
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let _waits = match self.breaks(Rule::OneHoldsUpNoOther) {
            true => Some(self.one_by_one.lock().await),
            false => None,
        };
        if self.breaks(Rule::DroppedLeavesNothing) && self.busy.swap(true, Ordering::Relaxed) {
            let busy = Error::new(Kind::Internal, Operation::Fetch, "store", "still busy");
            return Err(busy.on(format!("secret \"{}\"", wanted[0].reference.name)));
        }
        let mut references: Vec<SecretRef> = wanted.iter().map(|wanted| wanted.reference.clone()).collect();
        if self.breaks(Rule::PinIsKept) {
            references.iter_mut().for_each(|reference| reference.version = None);
        }
        let asked: Vec<Wanted<'_>> = references
            .iter()
            .zip(wanted)
            .map(|(reference, wanted)| {
                let known_version = wanted.known_version.filter(|_| !self.breaks(Rule::NothingOfWhatIsKnown));
                Wanted { reference, known_version }
            })
            .collect();
        if self.breaks(Rule::ChangeIsSeen)
            && let Some(known) = wanted[0].known_version
        {
            return Ok(vec![Ok(Fetched::unchanged(Some(known.to_owned())))]);
        }
        let mut results = match self.breaks(Rule::NoDeadlineForMints) {
            false => self.inner.fetch(session, &asked).await,
            true => match tokio::time::timeout(Duration::from_secs(1), self.inner.fetch(session, &asked))
                .await
            {
                Ok(results) => results,
                Err(_) => Err(Error::new(Kind::Unavailable, Operation::Fetch, "store", "it took too long")
                    .on(format!("secret \"{}\"", wanted[0].reference.name))),
            },
        };
        let failed = match &results {
            Ok(results) => results.iter().any(|result| result.is_err()),
            Err(_) => true,
        };
        if self.breaks(Rule::NoRetry) && failed {
            results = self.inner.fetch(session, &asked).await;
        }
        self.busy.store(false, Ordering::Relaxed);
        let mut results = results.map_err(|error| self.spoil(Err(error)).unwrap_err())?;
        if self.breaks(Rule::BatchInOrder) {
            results.reverse();
        }
        if self.breaks(Rule::BatchFailsOneByOne)
            && let Some(failed) = results.iter().position(Result::is_err)
        {
            return Err(results.remove(failed).unwrap_err());
        }
        Ok(results.into_iter().map(|result| self.spoil(result)).collect())
    }

    async fn lookup(&self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        self.inner.lookup(session, what).await
    }

    async fn renew(
        &self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error> {
        self.inner.renew(session, what, increment).await.map_err(|mut error| {
            if self.breaks(Rule::GoneIsGone) {
                error.kind = Kind::Denied;
            }
            error
        })
    }

    async fn revoke(&self, session: &Session, what: Target<'_>) -> Result<(), Error> {
        self.inner.revoke(session, what).await?;
        if self.breaks(Rule::RevokedTwiceIsFine) && self.revoked.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(
                Error::new(Kind::LeaseGone, Operation::Revoke, "store", "it was gone").on("secret \"db\"")
            );
        }
        Ok(())
    }

    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        if self.breaks(Rule::CheckMintsNothing) {
            let _ = self.inner.fetch(session, &[Wanted { reference, known_version: None }]).await;
        }
        self.inner.check(session, reference).await
    }
}
