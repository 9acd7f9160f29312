//! What has to do with being a process, and the only place where `unsafe` is allowed.
//!
//! Being hard to look into ([`harden()`], [`scrub_environment`], [`ALLOCATOR`], [`hook_panics`]),
//! the runtime, and other processes: finding, signalling and outliving one in a shared PID
//! namespace; starting programs ([`Programs`]) and waiting for every child ([`Reaper`]). It handles
//! no signal of ours (tokio does). And what only the C library knows: the time of day here.

#![allow(unsafe_code, reason = "each block says why it is sound")]

mod allocator;
mod descriptor;
mod environment;
mod find;
mod harden;
mod inherited;
mod local_time;
mod panic;
mod reaper;
mod runtime;
mod spawn;
mod terminal;
mod watch;

#[cfg(test)]
mod child;

pub use allocator::{ALLOCATOR, Allocator};
pub use descriptor::watched;
pub use environment::{
    inherited_by_the_command, is_ours, is_secret_name, read_environment, scrub_environment,
    switch_backtraces_off,
};
pub use find::{FindError, Process, number};
pub use harden::harden;
pub use local_time::time_of_day;
pub use panic::hook_panics;
pub use reaper::{Happened, Reaper};
pub use runtime::runtime;
pub use spawn::{Foreground, Programs, Supervised};
pub use watch::watch_exit;
