//! What has to do with being a process, and the only place where `unsafe` is allowed.

#![allow(unsafe_code, reason = "each block says why it is sound")]

mod descriptor;

pub use descriptor::watched;
