//! Answers that are late, and callers that do not wait for them.

use leasehold_core::{Effect, Kind};

use super::brings;
use crate::stage::{Stage, bounded, until};
use crate::subject::{Cannot, Capability, Content, Fault};
use crate::together;

pub(crate) async fn a_late_answer_is_brought_and_holds_up_nothing_else(
    stage: &Stage<'_>,
) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let (late, other) = (stage.kept(), stage.kept());
    used.fetch(&late.reference).await;
    let playing = stage.play(Fault::Withhold, &late.reference)?;
    let mut waiting = Box::pin(used.try_fetch(&late.reference));
    tokio::select! {
        _ = &mut waiting => panic!("its answer is kept back"),
        () = until("the answer is kept back", || playing.met() == 1) => {}
    }
    if stage.has(Capability::OneSlow) {
        tokio::select! {
            biased;
            fetched = used.fetch(&other.reference) => brings(&fetched, &Content::Text(other.value.clone())),
            _ = &mut waiting => panic!("its answer is kept back"),
        }
    }
    drop(playing);
    let fetched = bounded("fetch", waiting).await.unwrap_or_else(|error| panic!("it came: {error}"));
    brings(&fetched, &Content::Text(late.value));
    Ok(())
}

pub(crate) async fn a_dropped_read_leaves_nothing_behind(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let kept = stage.kept();
    used.fetch(&kept.reference).await;
    let leases = stage.has(Capability::Leases).then(|| stage.subject.living());
    // At whichever moment it is dropped: before it is sent, on its way, half read.
    for polls in 0..24 {
        together::dropped_after(polls, used.try_fetch(&kept.reference)).await;
    }
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value.clone()));
    if let Ok(playing) = stage.play(Fault::Withhold, &kept.reference) {
        for round in 1..=3 {
            // What a caller's deadline does.
            tokio::select! {
                _ = used.try_fetch(&kept.reference) => panic!("its answer is kept back"),
                () = until("the answer is kept back", || playing.met() >= round) => {}
            }
        }
        drop(playing);
    }
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value));
    if let Some(leases) = leases {
        assert_eq!(stage.subject.living(), leases, "no lease came of it");
    }
    Ok(())
}

pub(crate) async fn a_late_mint_is_brought_and_was_sent_once(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    let used = stage.enter().await;
    let reference = stage.subject.leased();
    used.mint().await;
    let before = stage.subject.living();
    let playing = stage.play(Fault::Withhold, &reference)?;
    let mut minting = Box::pin(used.try_fetch(&reference));
    tokio::select! {
        _ = &mut minting => panic!("its answer is kept back"),
        () = until("the answer is kept back", || playing.met() == 1) => {}
    }
    assert_eq!(stage.subject.living().len(), before.len() + 1, "the store has done it");
    // The provider has no deadline of its own that is shorter than a busy store's answer.
    let patience = tokio::time::sleep(std::time::Duration::from_secs(5));
    tokio::select! {
        _ = &mut minting => panic!("the provider gave a mint up after less than five seconds"),
        () = patience => {}
    }
    assert_eq!(playing.met(), 1, "it was sent once");
    drop(playing);
    let fetched = bounded("mint", minting).await.unwrap_or_else(|error| panic!("it came: {error}"));
    let taken = used.taken(fetched, reference);
    let living = stage.subject.living();
    assert_eq!(living.len(), before.len() + 1, "one lease came of it");
    assert!(living.contains(&taken.lease.id), "it is the one that was brought");
    Ok(())
}

pub(crate) async fn a_mint_whose_answer_is_lost_is_not_sent_again(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Leases)?;
    let used = stage.enter().await;
    let reference = stage.subject.leased();
    used.mint().await;
    for fault in [Fault::Reset, Fault::HalfSent] {
        if fault == Fault::HalfSent && !stage.has(Capability::HalfSent) {
            continue;
        }
        let before = stage.subject.living().len();
        let playing = stage.play(fault, &reference)?;
        let Err(error) = used.try_fetch(&reference).await else { panic!("{fault:?}: its answer was lost") };
        assert_eq!(error.kind, Kind::Unavailable, "{fault:?}: {error}");
        assert_eq!(playing.met(), 1, "{fault:?}: it was sent once");
        drop(playing);
        let after = stage.subject.living().len();
        assert!(after <= before + 1, "{fault:?}: at most one lease came of it");
    }
    used.mint().await;
    Ok(())
}

pub(crate) async fn describing_is_steady_and_honest(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let kept = stage.kept();
    let first = used.describe(&kept.reference);
    assert_eq!(first, used.describe(&kept.reference), "the same question, the same answer");
    assert!(first.batch >= 1, "{first:?}");
    let learned = bounded("learning", used.provider.learn(&used.session, &[&kept.reference])).await;
    if let Err(error) = &learned {
        assert!(stage.may_pass(error), "{error}");
    }
    used.fetch(&kept.reference).await;
    let known = used.describe(&kept.reference);
    assert_eq!(known.effect, Effect::Reads, "once it was read");
    let missing = stage.subject.missing(&stage.name());
    used.refused(&missing).await;
    assert_eq!(used.describe(&kept.reference), known, "another secret's failure changes nothing");
    if stage.has(Capability::Leases) {
        let leased = stage.subject.leased();
        let before = stage.subject.living();
        for _ in 0..=stage.facts().patience {
            if bounded("learning", used.provider.learn(&used.session, &[&leased])).await.is_ok() {
                break;
            }
        }
        assert_eq!(used.describe(&leased).effect, Effect::Mints, "what mints is never taken for a read");
        assert_eq!(stage.subject.living(), before, "learning mints nothing");
    }
    Ok(())
}
