//! The contract between leasehold and a secret store.
//!
//! A [`Provider`] is settings and a client: it keeps no token, reads no clock, retries nothing and
//! starts no task. What it learns of the outside it returns as values ([`Session`], [`Fetched`],
//! [`Term`], [`Error`]); the engine decides what they mean. Times are lengths, counted from the
//! moment the request was sent: a provider turns absolute times of the store into lengths with
//! the store's own clock (the answer's `Date`).
//!
//! Secret material lives in [`SecretBytes`], which is wiped when dropped and can be neither printed,
//! serialised nor cloned by accident. Copies that parsers and HTTP clients make on the way are
//! wiped by the binary's allocator, not here.

mod environment;
mod error;
mod fetched;
mod identity;
mod key_kind;
mod observer;
mod payload;
mod pick;
mod portrait;
mod problem;
mod provider;
mod reference;
mod secret;
mod session;
mod settings;
mod spawn;

pub use environment::Environment;
pub use error::{Error, Kind, Operation};
pub use fetched::{Bound, Fetched, Lease, Term};
pub use identity::{Cloud, Identity, IdentityRequest, Proof};
pub use key_kind::KeyKind;
pub use observer::{NoObserver, Observer};
pub use payload::NoSuchKey;
pub use pick::pick;
pub use portrait::{Character, Grants, Nature, Portrait, Terms};
pub use problem::Problem;
pub use provider::{Effect, Login, MissingRight, Provider, Target, Traits, Wanted};
pub use reference::SecretRef;
pub use secret::{Field, Fields, SecretBytes, Shape};
pub use session::{Origin, Session};
pub use settings::{ProviderSettings, Surroundings};
pub use spawn::{Failed, NoSpawn, Program, Ran, Spawn, Status};

/// Re-exported so that a provider implements [`Provider`] with the same version of the macro.
pub use async_trait::async_trait;
