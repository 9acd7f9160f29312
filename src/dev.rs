//! Development on a laptop: a directory for once, and what happens said in short lines.
//!
//! The engine is that of production. Here are only what surrounds it: where it works
//! ([`Scratch`]), what is told of it ([`Teller`]), and which weather is played on it
//! ([`announce_weather`]). That stores are made up is decided where the configuration is read.

mod scratch;
mod teller;
mod weather;

pub use scratch::Scratch;
pub use teller::Teller;
pub use weather::announce as announce_weather;
