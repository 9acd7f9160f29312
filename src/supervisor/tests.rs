//! A supervisor over a scripted command, on paused time.

mod ends;
mod restarts;
mod rig;
