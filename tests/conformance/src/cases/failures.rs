//! What fails is told as what it is, costs nothing, and leaves the provider usable.

use std::time::Duration;

use leasehold_core::{Error, Kind};

use super::brings;
use crate::stage::Stage;
use crate::subject::{Cannot, Capability, Content, Fault};

pub(crate) async fn too_many_requests_are_throttled(stage: &Stage<'_>) -> Result<(), Cannot> {
    let wait = Duration::from_secs(7);
    let (error, ()) = (met(stage, Fault::Throttle(wait), &[Kind::Throttled]).await?, ());
    match stage.has(Capability::RetryAfter) {
        true => assert_eq!(error.retry_after, Some(wait), "when to come back: {error:?}"),
        false => assert_eq!(error.retry_after, None, "nobody said when to come back: {error:?}"),
    }
    Ok(())
}

pub(crate) async fn an_answer_that_breaks_off_is_no_verdict(stage: &Stage<'_>) -> Result<(), Cannot> {
    met(stage, Fault::HalfSent, &[Kind::Unavailable, Kind::Malformed]).await.map(drop)
}

pub(crate) async fn a_connection_that_ends_is_no_verdict(stage: &Stage<'_>) -> Result<(), Cannot> {
    met(stage, Fault::Reset, &[Kind::Unavailable]).await.map(drop)
}

pub(crate) async fn a_page_for_people_is_no_secret(stage: &Stage<'_>) -> Result<(), Cannot> {
    met(stage, Fault::WrongContentType, &[Kind::Malformed, Kind::Unavailable]).await.map(drop)
}

pub(crate) async fn an_answer_without_sense_is_malformed(stage: &Stage<'_>) -> Result<(), Cannot> {
    met(stage, Fault::Nonsense, &[Kind::Malformed]).await.map(drop)
}

pub(crate) async fn a_store_that_fails_is_unavailable(stage: &Stage<'_>) -> Result<(), Cannot> {
    met(stage, Fault::ServerError, &[Kind::Unavailable]).await.map(drop)
}

/// A read meets the fault and fails as one of these kinds, having asked no more than it must;
/// afterwards the same provider reads.
async fn met(stage: &Stage<'_>, fault: Fault, kinds: &[Kind]) -> Result<Error, Cannot> {
    stage.needs(fault.capability())?;
    let used = stage.enter().await;
    let kept = stage.kept();
    // Whatever is asked only once has been asked.
    used.fetch(&kept.reference).await;
    let playing = stage.play(fault, &kept.reference)?;
    stage.observed();
    let before = stage.has(Capability::Counting).then(|| stage.subject.requests());
    let error = match used.try_fetch(&kept.reference).await {
        Err(error) => error,
        Ok(_) => panic!("the fetch met {fault:?} and brought something"),
    };
    assert!(kinds.contains(&error.kind), "{:?} is one of {kinds:?}: {error}", error.kind);
    assert_eq!(playing.met(), 1, "what failed is not tried again by the provider itself");
    let told = stage.observed();
    if let Some(before) = before {
        let arrived = stage.subject.requests() - before;
        assert_eq!(told.len() as u64, arrived, "what arrived, and what the observer was told: {told:?}");
    }
    if matches!(fault, Fault::Throttle(_) | Fault::Reset | Fault::ServerError) {
        let failed = told.iter().any(|(_, outcome)| *outcome == Some(error.kind));
        assert!(failed, "the observer was told of it as {:?}: {told:?}", error.kind);
    }
    drop(playing);
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value));
    Ok(error)
}
