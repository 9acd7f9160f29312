//! Log-ins as values.

use leasehold_core::{Kind, Operation, Origin, Target};

use super::brings;
use crate::stage::{NAME, Stage, bounded, until};
use crate::subject::{Cannot, Capability, Content};

pub(crate) async fn a_log_in_says_what_it_brought(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let session = &used.session;
    assert!(!session.id.is_empty(), "a session can be named");
    if stage.has(Capability::Sessions) {
        assert_ne!(session.origin, Origin::Ambient, "the store knows it");
        assert!(!session.credential.is_empty(), "there is something to show to the store");
        assert!(
            session.credential.expose_text().is_none_or(|credential| !session.id.contains(credential)),
            "what may be shown of it is not the credential"
        );
        assert!(session.term.is_none_or(|term| !term.ttl.is_zero()), "it lives for a while");
    } else {
        // None at all, or a token that serves until it ends, and that nobody can ask about.
        assert!(!session.revocable, "the store does not know it, and so cannot revoke it");
        match session.origin {
            Origin::Ambient => assert!(session.credential.is_empty() && session.term.is_none()),
            Origin::LoggedIn | Origin::Given => {
                assert!(!session.credential.is_empty(), "there is something to show to the store");
                let term = session.term;
                let serves = term.is_none_or(|term| !term.ttl.is_zero() && !term.renewable);
                assert!(serves, "it serves until it ends: {term:?}");
            }
        }
        // Nobody needs to ask; who asks gets no failure for it.
        let found = bounded("look-up", used.provider.lookup(session, Target::Session)).await;
        assert_eq!(found, Ok(None), "nothing is known beside what the log-in said");
        let revoked = bounded("revocation", used.provider.revoke(session, Target::Session)).await;
        assert_eq!(revoked, Ok(()), "what is not there counts as ended");
    }
    Ok(())
}

pub(crate) async fn two_log_ins_do_not_hang_together(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Sessions)?;
    let mut used = stage.enter().await;
    let kept = stage.kept();
    let other = stage.log_in(&*used.provider).await;
    assert_ne!(used.session.id, other.id, "two sessions differ in what may be shown of them");
    assert!(used.session.credential != other.credential, "each has a credential of its own");
    if used.session.revocable && used.session.origin == Origin::LoggedIn {
        used.end_session().await;
    }
    used.session = other;
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value));
    Ok(())
}

pub(crate) async fn a_session_is_looked_up_and_renewed(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Sessions)?;
    let used = stage.enter().await;
    let granted = used.session.term.expect("a session of the subject ends");
    let left =
        used.patiently(Operation::Lookup, || used.provider.lookup(&used.session, Target::Session)).await;
    let left = left.unwrap_or_else(|error| panic!("looked up: {error}"));
    if left.is_none() && !granted.renewable && !used.session.revocable {
        return Err(Cannot("the store tells nothing of its tokens: they end when they were said to"));
    }
    let left = left.expect("what ends has something left");
    assert!(!left.ttl.is_zero() && left.ttl <= granted.ttl, "{left:?} of {granted:?}");
    if granted.renewable {
        let renew = || used.provider.renew(&used.session, Target::Session, granted.ttl);
        let renewed = used.patiently(Operation::Renew, renew).await;
        let renewed = renewed.unwrap_or_else(|error| panic!("renewed: {error}")).expect("it still ends");
        assert!(!renewed.ttl.is_zero(), "{renewed:?}");
    }
    Ok(())
}

pub(crate) async fn a_revoked_session_has_ended_and_its_leases_with_it(
    stage: &Stage<'_>,
) -> Result<(), Cannot> {
    stage.needs(Capability::Sessions)?;
    let used = stage.enter().await;
    if !used.session.revocable {
        return Err(Cannot("the store does not take its tokens back: they end"));
    }
    let kept = stage.kept();
    let taken = match stage.has(Capability::Leases) {
        true => Some(used.mint().await),
        false => None,
    };
    used.end_session().await;
    used.end_session().await;
    let error = used.refused(&kept.reference).await;
    assert_eq!(error.kind, Kind::SessionEnded, "a fetch under it: {error}");
    let found =
        used.patiently(Operation::Lookup, || used.provider.lookup(&used.session, Target::Session)).await;
    let error = found.expect_err("it has ended");
    assert_eq!(error.kind, Kind::SessionEnded, "a look-up of it: {error}");
    if let Some(taken) = taken {
        let gone = || !stage.subject.living().contains(&taken.lease.id);
        until("the lease ends with its session", gone).await;
    }
    Ok(())
}

pub(crate) async fn a_wrong_credential_is_denied(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Strangers)?;
    let (provider, credential) = stage.subject.stranger(NAME);
    stage.keep_quiet(&credential);
    // Where an SDK logs in behind our back, the first fetch is what is refused.
    let error = match bounded("log-in", provider.login(None)).await {
        Err(error) => {
            stage.judge(&error, Operation::Login, None);
            error
        }
        Ok(leasehold_core::Login::Keep(_)) => panic!("a wrong credential was exchanged"),
        Ok(leasehold_core::Login::Session(session)) => {
            assert_eq!(session.origin, Origin::Ambient, "a log-in at the store was to be refused");
            let kept = stage.kept();
            let wanted = [leasehold_core::Wanted { reference: &kept.reference, known_version: None }];
            let fetched = bounded("fetch", provider.fetch(&session, &wanted)).await;
            let error = fetched.and_then(|mut results| results.remove(0)).expect_err("it is refused");
            stage.show(&error);
            error
        }
    };
    assert_eq!(error.kind, Kind::Denied, "{error}");
    Ok(())
}
