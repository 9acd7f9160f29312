//! The stand-ins are as strict as what they stand for: asked as a client asks, over TLS.

#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

mod azure;
mod client;
mod google;

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
