//! Keys that are made here, over a life.

use std::time::Duration;

use leasehold_core::{KeyKind, Kind};

use super::rig::{Rig, Setup, scratch};
use crate::keeper::EndMode;
use crate::keeper::Fatal;

fn setup(scratch: &tempfile::TempDir, path: &'static str, kind: KeyKind) -> Setup {
    Setup {
        yaml: "{ ttl: 60s, max_ttl: 60s }",
        secrets: vec![("cert", path)],
        generate_key: Some(kind),
        state: Some(scratch.path().join("state")),
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
}

fn directories() -> tempfile::TempDir {
    let scratch = scratch();
    std::fs::create_dir(scratch.path().join("state")).expect("a fresh directory on tmpfs");
    scratch
}

/// What the application reads: certificate and key of one generation.
fn published(scratch: &tempfile::TempDir) -> (String, String) {
    let set = scratch.path().join("live/..data").canonicalize().expect("there is a set");
    let read = |field: &str| std::fs::read_to_string(set.join("cert").join(field)).expect("it is in the set");
    (read("certificate"), read("private_key"))
}

#[tokio::test(start_paused = true)]
async fn a_rotation_brings_a_new_key_and_a_restart_none() {
    let scratch = directories();
    let mut first = setup(&scratch, "pki/sign/web", KeyKind::EcP256).start();
    first.is_ready().await;
    let before = published(&scratch);
    first.until("a rotation", |rig: &Rig| rig.generation() == 2).await;
    let after = published(&scratch);
    assert!(after.0 != before.0 && after.1 != before.1, "certificate and key are both new");
    let mints = first.mock.mints("pki/sign/web");
    let (mock, clock) = first.kill().await;

    let mut second = setup(&scratch, "pki/sign/web", KeyKind::EcP256).start_on(mock, clock);
    second.is_ready().await;
    assert_eq!(published(&scratch), after);
    assert_eq!(second.mock.mints("pki/sign/web"), mints, "adopted with its key");
    second.end(EndMode::Revoke).await;
}

#[tokio::test(start_paused = true)]
async fn an_rsa_key_is_waited_for_and_joins_its_certificate() {
    let scratch = directories();
    let mut rig = setup(&scratch, "pki/sign/web", KeyKind::Rsa2048).start();
    rig.is_ready().await;
    let (certificate, key) = published(&scratch);
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----") && key.len() > 1_600, "{}", key.len());
    assert_eq!(rig.mock.mints("pki/sign/web"), 1);
}

#[tokio::test(start_paused = true)]
async fn another_kind_of_key_is_another_secret_on_reload() {
    let scratch = directories();
    let mut rig = setup(&scratch, "pki/sign/web", KeyKind::EcP256).start();
    rig.is_ready().await;
    let before = published(&scratch);
    let mut plans = rig.plans.clone();
    let plan = plans.get_mut("cert").expect("the rig's secret");
    plan.reference.generate_key = Some(KeyKind::Ed25519);
    plan.fingerprint.push_str(" ed25519");
    rig.reload(plans).await;
    rig.until("the new kind in place", |rig| rig.generation() == 2).await;
    assert!(published(&scratch).1.len() < before.1.len(), "Ed25519 keys are the shortest");
}

#[tokio::test(start_paused = true)]
async fn a_path_that_issues_keys_of_its_own_ends_the_start_and_names_the_one_that_signs() {
    let scratch = directories();
    let mut rig = setup(&scratch, "pki/issue/web", KeyKind::EcP256).start();
    let fatal = tokio::time::timeout(Duration::from_secs(600), rig.fatal.recv()).await.expect("it ends");
    let Some(Fatal::Store(error)) = fatal else { panic!("{fatal:?}") };
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.detail.contains("sign/ROLE and not issue/ROLE"), "{error}");
}
