//! The provider against the stand-in for Google; and, for what that does not do on demand, against a scripted
//! server.
#![allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")]
#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

mod checks;
mod credentials;
mod errors;
mod given;
mod identity;
mod network;
mod reads;
mod suite;
