use std::process::ExitCode;

use leasehold_core::{Failed, Kind};

use crate::app::Failure;
use crate::client::ClientError;

/// How the process ends. The numbers are a contract (those of `sysexits.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well: 0.
    Done,
    /// The command line is wrong: 2.
    Usage,
    /// A required secret does not exist: 66.
    Absent,
    /// Our own fault: 70.
    Internal,
    /// The output cannot be written, or another process owns it: 73.
    Output,
    /// The store (or, asked for by a client command, the running instance) was unreachable,
    /// throttled us or answered nonsense: 75.
    Unavailable,
    /// The store (or the running instance) denied us: 77.
    Denied,
    /// The configuration, or a request that it makes, is wrong: 78.
    Configuration,
    /// As the command of `exec` ended; 126 and 127 where it could not be started, as a shell has it.
    Command(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 2,
            Self::Absent => 66,
            Self::Internal => 70,
            Self::Output => 73,
            Self::Unavailable => 75,
            Self::Denied => 77,
            Self::Configuration => 78,
            Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Denied => Self::Denied,
            Kind::Absent => Self::Absent,
            Kind::Invalid => Self::Configuration,
            Kind::Throttled | Kind::Unavailable | Kind::Malformed => Self::Unavailable,
            // Passing ones: a new log-in or a new lease mends them, once the store lets it.
            Kind::SessionEnded | Kind::LeaseGone => Self::Unavailable,
            Kind::Internal => Self::Internal,
        }
    }
}

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Store(error) => Self::from(error.kind),
            Failure::Deadline { .. } | Failure::Expired { .. } | Failure::Interrupted => Self::Unavailable,
            Failure::Output(_) => Self::Output,
            Failure::Render(_) => Self::Configuration,
            Failure::Command { failed: Failed::NotFound, .. } => Self::Command(127),
            Failure::Command { .. } => Self::Command(126),
            Failure::Internal(_) => Self::Internal,
        }
    }
}

impl From<&ClientError> for Exit {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::NotRunning { .. }
            | ClientError::NotReady { .. }
            | ClientError::NotDone { .. }
            | ClientError::NoAnswer { .. } => Self::Unavailable,
            ClientError::Forbidden { .. } => Self::Denied,
            ClientError::Off { .. } | ClientError::Refused { .. } => Self::Configuration,
        }
    }
}
