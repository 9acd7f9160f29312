//! The provider against real servers; and, for what no server does on demand, against a scripted one.
#![allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")]

mod errors;
mod given;
mod leases;
mod login;
mod secrets;
mod sessions;
mod tls;
