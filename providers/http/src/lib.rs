//! How every provider reaches its store: HTTP over hyper and rustls, with `tls` and `proxy` of the
//! configuration, and every failure told apart by its type.
//!
//! A provider's crate brings what is its store's own (or its vendor's SDK, over a few lines that
//! pass requests on to [`Client`]); what a CA, a client certificate, CONNECT, NO_PROXY and a time-out
//! mean is the same for all of them, and is here. It keeps no cookie and no credential, follows no
//! redirect, retries nothing, and starts no program.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests wait on real clocks and write their own files")
)]

mod client;
mod connect;
mod crypto;
mod limit;
mod proxy;
mod tls;
mod transport;

pub use client::{Client, REQUEST_LIMIT};
pub use connect::{CONNECT_LIMIT, Trouble, classify};
pub use crypto::{CRYPTOGRAPHY, sha256, sign_ps256, sign_rs256};
pub use limit::{now, within};
pub use proxy::Proxy;
pub use tls::{RawTls, TlsFiles, why};
pub use transport::Transport;
