//! What the tests stand on: real servers, the binary under test, and waiting without luck.
//!
//! - [`vault()`], [`postgres()`], [`slapd()`] and [`moto()`]: one server of each per test process, started on
//!   first use. A test takes a mount of its own ([`vault::Vault::database_mount`] and its like), or names of
//!   its own ([`vault::unique`]), and so disturbs nobody.
//! - [`vault::Vault::own`]: a server of its own, for a test that seals, stops or kills it.
//! - [`Leasehold`]: the binary, started with a scrubbed environment, its output kept in files.
//! - [`eventually`]: the only way to wait. [`stalls()`]: what the machine took of the time.
//! - [`Proxy`]: between leasehold and a store, for what no server does on demand. [`ForwardProxy`]: what
//!   `HTTPS_PROXY` points at. [`HttpServer`]: a stand-in for what cannot be had.
//! - [`Nginx`] and [`PgBouncer`]: what a rotation is announced to, one for each test. [`TlsClient`]: who comes
//!   to the first of them.
//! - [`Authority`] and [`TokenSigner`]: certificates and signed tokens.
//! - [`tmpfs()`]: folders as a kubelet gives them, also to another uid.
//!
//! Everything that is started or made here ends with the test process, however that ends: see [`process`].
//! Anything that goes wrong here panics with what was tried: it is the test's set-up that failed.
//!
//! The servers' programs are the ones that `tests/servers/install` found or built.

pub mod daemon;
pub mod forward_proxy;
pub mod http;
pub mod leasehold;
pub mod moto;
pub mod nginx;
pub mod pgbouncer;
pub mod pki;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod server;
mod servers;
pub mod slapd;
pub mod stalls;
pub mod timings;
pub mod tls;
pub mod tmpfs;
pub mod vault;
mod wait;

pub use forward_proxy::ForwardProxy;
pub use leasehold::Leasehold;
pub use moto::moto;
pub use nginx::Nginx;
pub use pgbouncer::PgBouncer;
pub use pki::{Authority, TokenSigner};
pub use postgres::postgres;
pub use proxy::Proxy;
pub use rustix::process::Signal;
pub use server::HttpServer;
pub use servers::program;
pub use slapd::slapd;
pub use stalls::stalls;
pub use timings::timed;
pub use tls::TlsClient;
pub use tmpfs::tmpfs;
pub use vault::vault;
pub use wait::{Condition, eventually};
