//! A directory or a file as a provider: for secrets that another tool drops (a Kubernetes Secret volume,
//! SOPS, an operator's hand), for sites without a store, and for tests.
//!
//! `path` names either a directory, in which a secret is a file or a sub-directory, or one document, in
//! which a secret is a part. What is read is read through one opened handle, so that a directory that is
//! replaced as a kubelet replaces it (`..data`) is seen whole, old or new. Nothing outside of the
//! directory is read, wherever links lead. The directory is watched, and read again at once.
//!
//! It writes nothing, remembers nothing, and speaks to nobody: `tls` and `proxy` are no keys of it.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests write their own files"))]

mod backend;
mod config;
mod content;
mod directory;
mod error;
mod handle;

#[cfg(test)]
mod tests;

pub use config::{Format, Raw, Settings};
