//! What is minted under a lease: renewed, looked up, revoked.

use std::collections::BTreeSet;
use std::time::Duration;

use leasehold_core::{Effect, Kind};

use crate::stage::{Stage, bounded, until};
use crate::subject::{Cannot, Capability};
use crate::together;

pub(crate) async fn a_mint_is_described_as_one_and_comes_with_its_lease(
    stage: &Stage<'_>,
) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    let used = stage.enter().await;
    let reference = stage.subject.leased();
    assert_eq!(used.describe(&reference).effect, Effect::Mints, "before anything is known of it");
    let (first, second) = (used.mint().await, used.mint().await);
    assert_eq!(used.describe(&reference).effect, Effect::Mints, "and afterwards");
    assert_ne!(first.lease.id, second.lease.id, "each mint has a lease of its own");
    assert!(first.fetched.fields != second.fetched.fields, "each mint has values of its own");
    let term = first.fetched.term.expect("what is leased ends");
    assert!(!term.ttl.is_zero(), "it lives for a while");
    let living = stage.subject.living();
    for taken in [&first, &second] {
        assert!(living.contains(&taken.lease.id), "the lease lives at the store");
    }
    Ok(())
}

pub(crate) async fn a_dozen_mints_at_once_are_a_dozen(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    let used = stage.enter().await;
    let taken = bounded("mints", together::all((0..12).map(|_| used.mint()))).await;
    let ids: BTreeSet<&str> = taken.iter().map(|taken| taken.lease.id.as_str()).collect();
    assert_eq!(ids.len(), 12, "each has a lease of its own");
    let living = stage.subject.living();
    assert!(taken.iter().all(|taken| living.contains(&taken.lease.id)), "all of them live");
    Ok(())
}

pub(crate) async fn a_lease_is_renewed(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    stage.needs(Capability::Renewal)?;
    let used = stage.enter().await;
    let taken = used.mint().await;
    let granted = taken.fetched.term.expect("what is leased ends");
    assert!(granted.renewable, "it says that it can be renewed");
    let renewed = used.renew(&taken, granted.ttl).await.unwrap_or_else(|error| panic!("renewed: {error}"));
    let renewed = renewed.expect("a lease that ends still ends when it was renewed");
    assert!(!renewed.ttl.is_zero() && renewed.ttl <= granted.ttl + Duration::from_secs(1), "{renewed:?}");
    Ok(())
}

pub(crate) async fn a_lease_that_is_gone_is_said_to_be(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    stage.needs(Capability::Renewal)?;
    let used = stage.enter().await;
    let taken = used.mint().await;
    stage.subject.end(&taken.lease.id);
    let error = used.renew(&taken, Duration::from_secs(60)).await.expect_err("it is gone");
    assert_eq!(error.kind, Kind::LeaseGone, "{error}");
    if stage.has(Capability::Lookup) {
        let error = used.lookup(&taken).await.expect_err("it is gone");
        assert_eq!(error.kind, Kind::LeaseGone, "{error}");
    }
    Ok(())
}

pub(crate) async fn a_lease_is_looked_up(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    stage.needs(Capability::Lookup)?;
    let used = stage.enter().await;
    let taken = used.mint().await;
    let granted = taken.fetched.term.expect("what is leased ends");
    let left = used.lookup(&taken).await.unwrap_or_else(|error| panic!("looked up: {error}"));
    let left = left.expect("a lease that ends has something left");
    assert!(!left.ttl.is_zero() && left.ttl <= granted.ttl, "{left:?} of {granted:?}");
    Ok(())
}

pub(crate) async fn a_lease_is_revoked_and_twice_is_fine(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    stage.needs(Capability::Revocation)?;
    let used = stage.enter().await;
    let (taken, other) = (used.mint().await, used.mint().await);
    used.revoke(&taken).await.unwrap_or_else(|error| panic!("revoked: {error}"));
    until("the lease is gone at the store", || !stage.subject.living().contains(&taken.lease.id)).await;
    assert!(stage.subject.living().contains(&other.lease.id), "and no other one");
    used.revoke(&taken).await.unwrap_or_else(|error| panic!("what is gone counts as ended: {error}"));
    Ok(())
}

pub(crate) async fn checking_mints_nothing(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let kept = stage.kept();
    used.check(&kept.reference).await.unwrap_or_else(|error| panic!("checked: {error}"));
    if stage.has(Capability::Leases) {
        let before = stage.subject.living();
        used.check(&stage.subject.leased()).await.unwrap_or_else(|error| panic!("checked: {error}"));
        assert_eq!(stage.subject.living(), before, "no lease came of it");
    }
    Ok(())
}
