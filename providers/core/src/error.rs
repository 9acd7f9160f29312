use std::fmt;
use std::time::Duration;

/// What kind of failure it is. What it *means* (retry, end, mint anew) is the engine's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The store knows us and says no. For a log-in: it does not accept us.
    Denied,
    /// There is no such secret, or its version is deleted or destroyed.
    Absent,
    /// The request itself is wrong (400 to a read or write): the configuration has to change.
    Invalid,
    /// The session is over: log in anew.
    SessionEnded,
    /// The lease that was to be renewed or looked up is not there, or is about to be revoked.
    LeaseGone,
    /// Too many requests; `retry_after` says when to come back, where the store did.
    Throttled,
    /// Not reached, timed out, sealed, standby, 5xx.
    Unavailable,
    /// It answered, and the answer makes no sense.
    Malformed,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// The word used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Absent => "absent",
            Self::Invalid => "invalid",
            Self::SessionEnded => "session_ended",
            Self::LeaseGone => "lease_gone",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Malformed => "malformed",
            Self::Internal => "internal",
        }
    }
}

/// What was asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Log-in, with whatever requests it needs.
    Login,
    /// Read or mint.
    Fetch,
    /// Ask whether a session or lease still lives.
    Lookup,
    /// Prolong it.
    Renew,
    /// End it.
    Revoke,
    /// Ask what we may do.
    Check,
}

impl Operation {
    /// The word used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Fetch => "fetch",
            Self::Lookup => "lookup",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Check => "check",
        }
    }
}

/// A failure, as data. `detail` is in our own words: never a foreign error's text, a response
/// body or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure.
    pub kind: Kind,
    /// How long the store asked us to wait.
    pub retry_after: Option<Duration>,
    /// A denial that a third party may lift by itself (a log-in that Vault confirms with a
    /// Kubernetes API server, an LDAP server, a cloud): worth trying again for a while, even
    /// before the first generation.
    pub passing: bool,
    /// How many times such a denial is worth trying, where asking again can lock us out
    /// (ldap: 3). `None`: as long as the engine thinks right.
    pub tries: Option<u32>,
    /// What was tried.
    pub operation: Operation,
    /// On which provider (its name in the configuration).
    pub provider: String,
    /// On which secret or lease: `secret "db" (database/creds/web)`. Empty for a log-in.
    pub reference: String,
    /// What happened and what to do next. Lower case, no full stop.
    pub detail: String,
}

impl Error {
    /// An error of this kind; the rest is added by the `with_…` functions.
    pub fn new(kind: Kind, operation: Operation, provider: &str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            retry_after: None,
            passing: false,
            tries: None,
            operation,
            provider: provider.to_owned(),
            reference: String::new(),
            detail: detail.into(),
        }
    }

    /// Says on which secret or lease it was tried.
    #[must_use]
    pub fn on(mut self, reference: impl Into<String>) -> Self {
        self.reference = reference.into();
        self
    }

    /// Says how long the store asked us to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Marks a denial that may pass by itself, tried at most `tries` times where given.
    #[must_use]
    pub fn passing(mut self, tries: Option<u32>) -> Self {
        self.passing = true;
        self.tries = tries;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at provider \"{}\"", self.operation.as_str(), self.provider)?;
        if !self.reference.is_empty() {
            write!(f, ", {}", self.reference)?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Error {}
