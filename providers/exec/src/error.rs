//! What went wrong, in our words: the program did not run, answered nothing that makes sense, or said
//! why it failed.

use std::time::Duration;

use leasehold_core::{Error, Failed, Kind, Operation, Status};

use crate::config::Messages;
use crate::protocol::{Asked, Refusal, RefusalKind, VERSION};
use crate::words::{Values, said};

/// Where something was tried: what an error begins with.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) provider: &'a str,
    pub(crate) asked: Asked,
    /// `secret "db" (database/creds/web)`
    pub(crate) on: &'a str,
    /// The program, as configured.
    pub(crate) program: &'a str,
    pub(crate) messages: Messages,
}

impl Asked {
    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::Fetch => Operation::Fetch,
            Self::Renew => Operation::Renew,
            Self::Lookup => Operation::Lookup,
            Self::Revoke => Operation::Revoke,
            Self::Check => Operation::Check,
        }
    }

    /// The word of the protocol.
    pub(crate) fn word(self) -> &'static str {
        self.operation().as_str()
    }

    /// Whether a wrong verdict would cost a lease that may still live.
    fn is_about_what_we_hold(self) -> bool {
        matches!(self, Self::Renew | Self::Lookup | Self::Revoke)
    }
}

impl<'a> Site<'a> {
    /// The same about one of several secrets.
    pub(crate) fn about(self, on: &'a str) -> Self {
        Self { on, ..self }
    }

    /// About what we hold, only the program's own word that it is gone has a meaning, and the caller knows
    /// that one.
    pub(crate) fn error(&self, kind: Kind, detail: impl Into<String>) -> Error {
        let kind = match kind {
            Kind::Invalid | Kind::Absent if self.asked.is_about_what_we_hold() => Kind::Unavailable,
            kind => kind,
        };
        Error::new(kind, self.asked.operation(), self.provider, detail).on(self.on)
    }

    pub(crate) fn malformed(&self, what: &str) -> Error {
        let detail = format!(
            "the answer of program \"{}\" makes no sense ({what}): run it by hand with a request, and see \
             docs/exec-provider.md for what it has to answer",
            self.program
        );
        self.error(Kind::Malformed, detail)
    }

    /// It did not run to its end.
    pub(crate) fn failed(&self, failed: &Failed) -> Error {
        let (kind, remedy) = match failed {
            Failed::NotFound => {
                (Kind::Invalid, ": give its whole path in command, or its directory in environment.PATH")
            }
            Failed::NoInterpreter => {
                (Kind::Invalid, ": is it in this image? (one made for leasehold has no shell)")
            }
            Failed::NoDirectory => (Kind::Invalid, ": make it, or change directory"),
            Failed::NotExecutable => {
                (Kind::Invalid, ": give our uid the right to execute it, or name its interpreter in command")
            }
            Failed::NotStarted(_) => (Kind::Unavailable, ""),
            Failed::TimedOut(_) => {
                (Kind::Unavailable, ": its store is slow or away, or time_limit is too short")
            }
            Failed::TooMuchOutput(_) => (Kind::Malformed, ": raise output_limit where that is in order"),
        };
        self.error(kind, format!("program \"{}\": {failed}{remedy}", self.program))
    }

    /// It ended without an answer.
    pub(crate) fn silent(&self, status: Status, errors: &[u8], values: &Values) -> Error {
        let how = match status {
            Status::Exited(0) => {
                return self.malformed("there is none on its standard output");
            }
            Status::Exited(code) => format!("ended with code {code}"),
            Status::Signalled(signal) => format!("was ended by signal {signal}"),
        };
        let words = String::from_utf8_lossy(errors);
        let detail = format!(
            "program \"{}\" {how} and without an answer{}",
            self.program,
            said(Some(&words), self.messages, values)
        );
        self.error(Kind::Unavailable, detail)
    }

    pub(crate) fn other_version(&self, version: u64) -> Error {
        let detail = format!(
            "program \"{}\" answers in version {version} of the protocol, and this leasehold speaks {VERSION}: take a \
             program and a leasehold that fit",
            self.program
        );
        self.error(Kind::Invalid, detail)
    }

    /// It said why it failed.
    pub(crate) fn refused(&self, refusal: &Refusal, values: &Values) -> Error {
        let holds = self.asked.is_about_what_we_hold();
        let (kind, what) = match refusal.kind {
            RefusalKind::Denied => (Kind::Denied, "denied: does the store let it do this?"),
            // Gone, says the one who knows.
            RefusalKind::Absent if holds => {
                return Error::new(
                    Kind::LeaseGone,
                    self.asked.operation(),
                    self.provider,
                    format!("program \"{}\" says that there is no such lease", self.program),
                )
                .on(self.on);
            }
            RefusalKind::Absent => (Kind::Absent, "absent: check path, version and stage"),
            RefusalKind::Invalid => (Kind::Invalid, "invalid: check path, data, version and stage"),
            RefusalKind::Throttled => (Kind::Throttled, "throttled"),
            RefusalKind::Unavailable => (Kind::Unavailable, "unavailable"),
        };
        let (kind, passing) = match (kind, refusal.passing) {
            (kind @ (Kind::Denied | Kind::Absent | Kind::Invalid), Some(true)) => {
                (if holds { kind } else { Kind::Unavailable }, " (and that it may pass)")
            }
            (Kind::Throttled | Kind::Unavailable, Some(false)) => {
                (Kind::Invalid, " (and that it will not pass)")
            }
            (kind, _) => (kind, ""),
        };
        let detail = format!(
            "program \"{}\" answers {what}{passing}{}",
            self.program,
            said(refusal.message.as_deref(), self.messages, values)
        );
        self.error(kind, detail).retry_after(refusal.retry_after.and_then(seconds))
    }
}

/// A length in seconds, where it is one.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    /// Longer than anything lives.
    const LONGEST: f64 = 100.0 * 366.0 * 24.0 * 3_600.0;
    (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}
