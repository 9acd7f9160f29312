//! The provider against a stand-in for Azure, and against scripted servers for what that cannot play.
#![allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")]
#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

mod certificates;
mod conformance;
mod errors;
mod given;
mod identity;
mod login;
mod secrets;
mod wires;
