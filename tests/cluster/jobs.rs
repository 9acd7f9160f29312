//! Work that ends by itself: the sidecar lets it.

use harness::eventually;
use leasehold_harness as harness;
use serde_json::Value;

use crate::SOON;
use crate::stage::{APPLICATION, Changes, Stage};

#[test]
fn a_job_completes_and_leaves_nothing() {
    let stage = Stage::new("job", "10s", "20s");
    stage.deploy("job", &Changes::default().environment("CREDENTIALS", "2"));
    completes(&stage, "web");
    assert_eq!((stage.mints().len(), stage.tokens().len()), (2, 1));
}

#[test]
fn a_job_without_native_sidecars_completes_since_ours_follows_the_applications_end() {
    let stage = Stage::new("job-classic", "10s", "20s");
    let changes = Changes::default()
        .environment("CREDENTIALS", "2")
        .own_environment("APPLICATION_PROCESS", "application");
    stage.deploy("job-classic", &changes);
    completes(&stage, "web");
    assert_eq!((stage.mints().len(), stage.tokens().len()), (2, 1));
}

#[test]
fn a_job_without_native_sidecars_completes_also_when_its_work_is_over_in_a_moment() {
    let stage = Stage::new("moment", "10m", "1h");
    let changes = Changes::default()
        .environment("CREDENTIALS", "1")
        .own_environment("APPLICATION_PROCESS", "application");
    stage.deploy("job-classic", &changes);
    completes(&stage, "web");
}

#[test]
fn a_cron_jobs_run_completes_and_leaves_nothing() {
    let stage = Stage::new("cron", "10m", "1h");
    let soon = r#"[{ "op": "replace", "path": "/spec/schedule", "value": "@every 5s" }]"#;
    let changes = Changes::default().environment("CREDENTIALS", "1").patch("CronJob", soon);
    stage.deploy("cronjob", &changes);
    let job = eventually("a run of it", 2 * SOON, || {
        let printed = stage.space.kubectl(&["get", "jobs", "-o", "name"]).done();
        printed.lines().next().map(|line| line.trim_start_matches("job.batch/").to_owned())
    });
    // One run is enough.
    stage.space.kubectl(&["patch", "cronjob", "web", "-p", r#"{"spec": {"suspend": true}}"#]).done();
    completes(&stage, &job);
}

/// Waits until a job is complete, at the first attempt, and all that it took was given back.
#[track_caller]
fn completes(stage: &Stage, job: &str) {
    let has = |status: &Value, condition: &str| {
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|it| it["type"] == condition && it["status"] == "True")
    };
    let status = eventually("the job is complete", 3 * SOON, || {
        let status = stage.space.get("job", job).expect("it stays")["status"].take();
        assert!(!has(&status, "Failed"), "{status}");
        if has(&status, "Complete") { Ok(status) } else { Err(status.to_string()) }
    });
    assert_eq!((status["succeeded"].as_u64(), status["failed"].as_u64()), (Some(1), None), "{status}");
    // The job goes only once its pod has ended, and that with nothing left behind.
    stage.wait_until_nothing_is_left();

    let selector = format!("{APPLICATION},batch.kubernetes.io/job-name={job}");
    let pod = stage.space.pod(&selector);
    let (ours, its) = (pod.ended("leasehold").unwrap(), pod.ended("application").unwrap());
    assert_eq!((&ours["exitCode"], &its["exitCode"]), (&0.into(), &0.into()), "{ours} {its}");
    let (ours, its) = (pod.lines("leasehold"), pod.lines("application"));
    assert!(its.at("ended: ") < ours.at("\"session_revoked\""), "{ours:#?} {its:#?}");
    assert_eq!(its.with("failed log-in"), [""; 0], "{its:#?}");
    assert_eq!(its.with("started with files").len(), 1, "{its:#?}");
}
