//! A store that is away, sealed or throttling, a start without it, and a configuration that changes under a
//! running process: what is held stays, and everything recovers alone.

mod reload;
mod start;
mod timing;
