use std::fmt;
use std::time::Duration;

use leasehold_core::Failed;
use leasehold_http::Trouble;

/// The exit code by which a command says that it could not tell.
const TEMPFAIL: i32 = 75;

/// Why a run did not go well. Its text is for a person and says what to do; it holds nothing that a command
/// printed or a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The program could not be started, or was stopped for what it wrote.
    NotRun(Failed),
    /// The command ended with another code than 0.
    Exited {
        /// The code.
        code: i32,
        /// The last lines that it printed, fit to be shown.
        said: Vec<String>,
    },
    /// A signal ended the command.
    Signalled {
        /// Which.
        signal: i32,
        /// The last lines that it printed, fit to be shown.
        said: Vec<String>,
    },
    /// It took longer than its time-out. A command was killed.
    TimedOut(Duration),
    /// The answer has a status that means no success.
    Status {
        /// The status.
        status: u16,
        /// What would have been one; empty: any 2xx.
        expected: Vec<u16>,
    },
    /// Nobody answered.
    Unreachable(Trouble),
    /// The unix socket could not be connected to, and why.
    Socket(String),
}

impl Failure {
    /// Whether a command says by its exit code (75) that it could not tell.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Exited { code: TEMPFAIL, .. })
    }

    /// The last lines that a command printed, fit to be shown.
    pub fn said(&self) -> &[String] {
        match self {
            Self::Exited { said, .. } | Self::Signalled { said, .. } => said,
            _ => &[],
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(why @ Failed::NotFound) => {
                write!(f, "{why}: it has to be in leasehold's own container, by its absolute path or on PATH")
            }
            Self::NotRun(why @ (Failed::NotExecutable | Failed::NoInterpreter)) => {
                write!(f, "{why}: look at its mode and its first line; the image has no shell")
            }
            Self::NotRun(why) => write!(f, "{why}"),
            Self::Exited { code, .. } => write!(f, "it ended with exit code {code}"),
            Self::Signalled { signal, .. } => write!(f, "it was ended by signal {signal}"),
            Self::TimedOut(limit) => {
                write!(f, "it was not done within {limit:?} and was given up; a longer `timeout` may help")
            }
            Self::Status { status, expected } => {
                write!(f, "it answered with status {status}, expected was ")?;
                match expected.as_slice() {
                    [] => f.write_str("any 2xx")?,
                    some => {
                        let some: Vec<String> = some.iter().map(ToString::to_string).collect();
                        f.write_str(&some.join(" or "))?;
                    }
                }
                if (300..400).contains(status) { f.write_str("; no redirect is followed") } else { Ok(()) }
            }
            Self::Unreachable(trouble) => write!(f, "{trouble}"),
            Self::Socket(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}
