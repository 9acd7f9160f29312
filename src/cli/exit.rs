use std::process::ExitCode;

use leasehold_core::Kind;

use crate::app::Failure;
use crate::client::ClientError;

/// How the process ends. The numbers are a contract (those of `sysexits.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Done = 0,
    /// The command line is wrong.
    Usage = 2,
    /// A required secret does not exist.
    Absent = 66,
    /// Our own fault.
    Internal = 70,
    /// The output cannot be written, or another process owns it.
    Output = 73,
    /// The store (or, asked for by a client command, the running instance) was unreachable,
    /// throttled us or answered nonsense.
    Unavailable = 75,
    /// The store (or the running instance) denied us.
    Denied = 77,
    /// The configuration, or a request that it makes, is wrong.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
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
            Failure::Internal(_) => Self::Internal,
        }
    }
}

impl From<&ClientError> for Exit {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::NotRunning { .. } | ClientError::NotReady { .. } | ClientError::NoAnswer { .. } => {
                Self::Unavailable
            }
            ClientError::Forbidden { .. } => Self::Denied,
            ClientError::Off { .. } | ClientError::Refused { .. } => Self::Configuration,
        }
    }
}
