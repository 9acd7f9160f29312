//! What `status` and `/readyz` see of the command.

use crate::clock::Moment;

/// The command, for the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandState {
    /// What it is doing.
    pub phase: CommandPhase,
    /// Its process id, while there is one.
    pub pid: Option<i32>,
    /// Since when it runs.
    pub since: Option<Moment>,
    /// How often it was restarted.
    pub restarts: u64,
    /// When it is restarted next, where that is known.
    pub next_restart: Option<Moment>,
}

/// See [`CommandState`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommandPhase {
    /// It waits for the first set.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// It runs, and is about to be restarted: nobody is to count on it.
    Draining,
    /// It was asked to end, and starts again then.
    Restarting,
    /// It has ended.
    Ended,
}

impl CommandPhase {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Restarting => "restarting",
            Self::Ended => "ended",
        }
    }
}
