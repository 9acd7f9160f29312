//! The engine against the mock store, on paused time: what an application would see.

mod adoption;
mod ending;
mod failures;
#[cfg(feature = "generate-key")]
mod keys;
mod leases;
mod orders;
mod rig;
mod session_file;
mod sessions;
mod verify;
