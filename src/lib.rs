//! leasehold: short-lived secrets beside an application. See `ARCHITECTURE.md`.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")
)]

pub mod admin;
pub mod app;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
#[cfg(any(feature = "generate-key", feature = "keystore"))]
mod der;
#[cfg(feature = "mock")]
pub mod dev;
pub mod drill;
pub mod events;
#[cfg(feature = "explain")]
pub mod explain;
pub mod handover;
pub mod hook;
mod http_server;
pub mod install;
pub mod keeper;
pub mod keys;
pub mod lock;
pub mod logging;
pub mod notify_app;
pub mod preflight;
pub mod process;
pub mod publisher;
pub mod registry;
pub mod render;
pub mod schedule;
pub mod slot;
pub mod status;
pub mod supervisor;
pub mod systemd;
pub mod telemetry;
pub mod volume;
pub mod watch;
