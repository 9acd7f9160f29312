//! Actions of a real leasehold: what a command and a request get, what their end means for the replaced lease
//! at the servers, and what is said of them.

use std::fs;
use std::path::PathBuf;

use harness::http::{self, Request};
use harness::leasehold::{Finished, Running};
use harness::process::Exit;
use harness::{Leasehold, Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::Value;

use crate::SOON;
use crate::stage::{Rights, Stage, leasehold, ready};

mod acknowledged;
mod commands;
mod encrypted;
mod requests;
mod timing;
mod unfit;

/// A leasehold with actions, running at the shared servers.
struct Told {
    stage: Stage,
    config: PathBuf,
    running: Running,
}

impl Told {
    /// Waits for its first set. In `actions`, FOLDER stands for the folder of the stage.
    #[track_caller]
    fn start(stage: Stage, lifecycle: &str, actions: &str) -> Self {
        let config = configured(&stage, lifecycle, actions);
        Self::running(stage, config)
    }

    #[track_caller]
    fn running(stage: Stage, config: PathBuf) -> Self {
        // Of what is in our environment, nothing gets into that of a command.
        let running =
            leasehold("run", &config).env("VAULT_TOKEN", "not-for-actions").env("OURS", "yes").start();
        ready(&running, &config);
        Self { stage, config, running }
    }

    fn ask<const N: usize>(&self, words: [&str; N]) -> Finished {
        let words = words.map(AsRef::as_ref).into_iter();
        Leasehold::command(words.chain(["-c".as_ref(), self.config.as_os_str()])).finish(SOON * 2)
    }

    /// Replaces the credential, as an operator does. Returns the lease that was replaced.
    #[track_caller]
    fn rotate(&self) -> String {
        let before = self.status()["secrets"]["db"]["lease"].as_str().unwrap().to_owned();
        let end = self.ask(["refresh", "db"]);
        assert_eq!(end.exit, Exit::Code(0), "{}{}\n{}", end.stdout, end.stderr, self.log());
        before
    }

    #[track_caller]
    fn status(&self) -> Value {
        let end = self.ask(["status", "--json"]);
        serde_json::from_str(&end.stdout).unwrap_or_else(|_| panic!("{}\n{}", end.stderr, self.log()))
    }

    fn log(&self) -> String {
        self.running.stderr()
    }

    /// Waits until the log has a line with all of these words, and returns it.
    #[track_caller]
    fn says<const N: usize>(&self, words: [&str; N]) -> String {
        eventually(&words.join(" … "), SOON * 2, || {
            let log = self.log();
            let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
            line.map(str::to_owned).ok_or(log)
        })
    }

    /// What `status` has for an action, once it has something.
    #[track_caller]
    fn answer(&self, action: &str) -> String {
        eventually(action, SOON, || {
            let status = self.status();
            let answer = status["generation"]["actions"][action].as_str().map(str::to_owned);
            answer.ok_or_else(|| format!("{}\n{}", status["generation"], self.log()))
        })
    }

    /// The bytes of a file in place.
    #[track_caller]
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.stage.live().join(name)).unwrap()
    }

    /// How many leases it has given back.
    fn given_back(&self) -> Option<f64> {
        self.stage.metric(r#"leasehold_revocations_total{secret="db",provider="vault",outcome="ok"}"#)
    }

    /// Waits until a lease is no more at the servers.
    #[track_caller]
    fn is_gone(&self, lease: &str) {
        eventually("the replaced lease is gone", SOON * 2, || {
            let lives = vault().lease_lookup(lease).is_some_and(|lease| lease.lives());
            if lives { Err(self.log()) } else { Ok(()) }
        });
    }

    /// Waits until the overlap of a second has long passed without an acknowledgement; then the lease lives.
    #[track_caller]
    fn is_kept(&self, lease: &str) {
        eventually("an acknowledgement is waited for, for longer than the overlap", SOON, || {
            let status = self.status();
            let waiting = status["secrets"]["db"]["awaiting_ack_seconds"].as_f64();
            if waiting.is_some_and(|seconds| seconds >= 2.0) { Ok(()) } else { Err(status.to_string()) }
        });
        assert!(vault().lease_lookup(lease).is_some_and(|lease| lease.lives()), "{}", self.log());
        assert_eq!(self.given_back(), None, "{}", self.log());
    }

    /// Ends it without waiting for the application.
    #[track_caller]
    fn end(mut self) {
        self.running.signal(Signal::INT);
        assert_eq!(self.running.wait(SOON), Exit::Code(0), "{}", self.log());
        self.stage.nothing_is_left();
    }
}

/// Credentials of so long a life, which may be given back one by one.
#[track_caller]
fn stage(name: &str, ttl: &str) -> Stage {
    Stage::new(name, ttl, "10m", Rights::RevokeLeases)
}

/// Writes the configuration of a stage with these keys of `lifecycle` and these actions.
#[track_caller]
fn configured(stage: &Stage, lifecycle: &str, actions: &str) -> PathBuf {
    let config = stage.config(&format!("overlap: 1s, revoke_delay: 0s{lifecycle}"));
    let actions = actions.replace("FOLDER", &stage.folder.display().to_string());
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}on_change:\n{actions}\n")).unwrap();
    config
}
