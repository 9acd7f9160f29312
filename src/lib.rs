//! leasehold: short-lived secrets beside an application. See `ARCHITECTURE.md`.

pub mod clock;
pub mod config;
pub mod events;
pub mod handover;
pub mod lock;
pub mod process;
pub mod registry;
pub mod slot;
pub mod status;
