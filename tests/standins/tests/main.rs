//! The stand-ins are as strict as what they stand for: asked as a client asks, over TLS.

mod azure;
mod client;
mod google;
