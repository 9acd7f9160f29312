//! Versions: seen, pinned, and told apart without bringing values.

use leasehold_core::{Kind, SecretRef};

use super::brings;
use crate::stage::{Kept, Stage};
use crate::subject::{Cannot, Capability, Content};

fn pinned(kept: &Kept, version: &str) -> SecretRef {
    SecretRef { version: Some(version.to_owned()), ..kept.reference.clone() }
}

pub(crate) async fn a_new_value_has_another_version(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Versions)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    let first = used.fetch(&kept.reference).await;
    assert!(first.version.is_some(), "what is read carries its version");
    if kept.version.is_some() {
        assert_eq!(first.version, kept.version, "the version is the store's own");
    }
    let content = Content::Text(stage.value());
    stage.subject.put(&kept.name, &content);
    let second = used.fetch(&kept.reference).await;
    brings(&second, &content);
    assert_ne!(second.version, first.version, "another value, another version");
    Ok(())
}

pub(crate) async fn a_pinned_version_stays(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Pinning)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    let version = used.fetch(&kept.reference).await.version.expect("what can be pinned has a version");
    stage.subject.put(&kept.name, &Content::Text(stage.value()));
    let fetched = used.fetch(&pinned(&kept, &version)).await;
    assert_eq!(fetched.version.as_deref(), Some(version.as_str()), "the version that was asked for");
    brings(&fetched, &Content::Text(kept.value.clone()));
    Ok(())
}

pub(crate) async fn a_version_that_is_not_there_is_absent(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Pinning)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    let other = stage.kept();
    stage.subject.put(&other.name, &Content::Text(stage.value()));
    let foreign = used.fetch(&other.reference).await.version.expect("what can be pinned has a version");
    // Well-formed, and of another secret; in a store that counts, the one after the last.
    let error = used.refused(&pinned(&kept, &foreign)).await;
    assert_eq!(error.kind, Kind::Absent, "{error}");
    Ok(())
}

pub(crate) async fn a_version_that_leads_elsewhere_brings_nothing(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Pinning)?;
    let used = stage.enter().await;
    let (kept, other) = (stage.kept(), stage.kept());
    used.fetch(&kept.reference).await;
    let odd = [
        "-1".to_owned(),
        "99999999999999999999999".to_owned(),
        "one".to_owned(),
        "1/../../".to_owned() + &other.name,
        format!("../{}", other.name),
        "1&version=1".to_owned(),
        "1\r\nX-Forged: yes".to_owned(),
        "🔑".to_owned(),
        "9".repeat(10_000),
    ];
    for version in odd {
        let shown: String = version.chars().take(60).collect();
        let error = used.refused(&pinned(&kept, &version)).await;
        let ours = matches!(error.kind, Kind::Invalid | Kind::Absent);
        assert!(ours, "the version {shown:?} is what is wrong: {:?}", error.kind);
    }
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value));
    Ok(())
}

pub(crate) async fn an_unchanged_secret_brings_no_fields(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Unchanged)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    let first = used.fetch(&kept.reference).await;
    let again = used.fetch_since(&kept.reference, first.version.as_deref()).await;
    assert!(again.fields.is_none(), "nothing is brought of what is known");
    assert_eq!(again.version, first.version, "the version is still the known one");
    Ok(())
}

pub(crate) async fn a_changed_secret_brings_its_fields(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let kept = stage.kept();
    let first = used.fetch(&kept.reference).await;
    let content = Content::Text(stage.value());
    stage.subject.put(&kept.name, &content);
    brings(&used.fetch_since(&kept.reference, first.version.as_deref()).await, &content);
    // Nor is a version that nobody ever had taken for the known one.
    brings(&used.fetch_since(&kept.reference, Some("no-such-version")).await, &content);
    Ok(())
}

pub(crate) async fn a_stage_is_read_by_its_name(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Stages)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    let content = Content::Text(stage.value());
    let name = stage.subject.stage(&kept.name, &content);
    let staged = |name: &str| SecretRef { stage: Some(name.to_owned()), ..kept.reference.clone() };
    brings(&used.fetch(&staged(&name)).await, &content);
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value.clone()));
    let error = used.refused(&staged("NOSUCHSTAGE")).await;
    assert_eq!(error.kind, Kind::Absent, "{error}");
    Ok(())
}
