//! leasehold in pods: real manifests of `deploy/`, a real API server, scheduler and kubelet, the real Vault and
//! PostgreSQL beside them. `tests/cluster/run` brings the node and runs this; alone it finds no node and fails.
//!
//! A test has a namespace and mounts of its own, so tests run beside each other. Those that stop a part of the
//! node are in modules named `alone` and run by themselves.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests start programs, wait on real clocks and write their own files"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

mod actions;
mod api_server;
mod classic;
mod components;
mod exec;
mod handover;
mod input;
mod irsa;
mod jobs;
mod log;
mod login;
mod machine;
mod manifests;
mod memory;
mod native;
mod node;
mod policy;
mod refusals;
mod replicas;
mod stage;

use std::time::Duration;

/// Long enough for a pod on a busy machine to be scheduled, started and ready.
const SOON: Duration = Duration::from_secs(60);
