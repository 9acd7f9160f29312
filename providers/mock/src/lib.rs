//! A secret store that lives in this process: for laptops, where no server is to be had, and for
//! tests, where a store has to fail on demand.
//!
//! It keeps the contract of [`leasehold_core::Provider`] as a real store does: sessions and leases
//! truly end, a lease dies with its session whatever its own term said, renewals stop at the max
//! TTL, static secrets have versions. What it hands out is made up on a seed, or taken from a
//! values file that is read again at each fetch. A script plays outages, denials, throttling,
//! rotations and revocations; a test plays them by hand through [`Mock`].
//!
//! It promises that the same seed and the same requests give the same values, but for the keys of
//! certificates, which are real: of an authority that is made in the process. It does not survive
//! its process: what one process took, another one's mock does not know.

mod authority;
mod backend;
mod config;
mod development;
mod explain;
mod failure;
mod fault;
mod made_up;
mod mock;
mod request;
mod script;
mod shape;
mod store;
mod time;
mod values;
mod weather;

#[cfg(test)]
mod tests;

pub use config::{Given, Raw, RawLine, RawSecret, RawSession, SecretKind, SessionKind, Settings};
pub use development::{Development, Nature, Used};
pub use fault::Fault;
pub use mock::{Hold, LivingLease, LivingSession, Mock, Request};
pub use shape::Shape;
pub use weather::Forecast;
