//! What can happen: one variant per fact.

use std::time::Duration;

use leasehold_core::{Effect, Error, Operation, Origin};

/// What a lease was, before it was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// Replaced by a successor.
    Replaced,
    /// A candidate's, which the check (`verify`) has refused.
    Refused,
    /// Not needed any more: the process ends, or the secret left the configuration.
    Unneeded,
}

/// A fact that an operator may want to know. No value is in any of them.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A session was opened, or a given one taken.
    LoggedIn {
        /// At which provider.
        provider: &'a str,
        /// What may be shown of it.
        session: &'a str,
        /// Ours or given.
        origin: Origin,
        /// How long it lives; `None`: it does not end.
        ttl: Option<Duration>,
        /// False for a batch token, which cannot be revoked.
        revocable: bool,
    },
    /// Sessions and leases of an earlier process were taken over.
    Adopted {
        /// At which provider.
        provider: &'a str,
        /// How many sessions.
        sessions: usize,
        /// How many secrets.
        secrets: usize,
        /// False: the store was away, the recorded ends are trusted.
        confirmed: bool,
    },
    /// A session was prolonged.
    SessionRenewed {
        /// At which provider.
        provider: &'a str,
        /// What is left of it.
        ttl: Option<Duration>,
    },
    /// A session nears its end or is over; another is opened.
    SessionReplacing {
        /// At which provider.
        provider: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A session was revoked, and with it its leases.
    SessionRevoked {
        /// At which provider.
        provider: &'a str,
        /// Which.
        session: &'a str,
    },
    /// A mint is about to be sent. It counts from here on, whatever comes of it.
    Minting {
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
    },
    /// A value came: read or minted.
    Fetched {
        /// Which secret.
        secret: &'a str,
        /// From which provider.
        provider: &'a str,
        /// Read or minted.
        effect: Effect,
        /// The lease, where there is one.
        lease: Option<&'a str>,
        /// How long it lives, where it dies.
        ttl: Option<Duration>,
        /// The store's version.
        version: Option<&'a str>,
    },
    /// A poll found nothing new.
    Unchanged {
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
    },
    /// A lease was prolonged.
    Renewed {
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
        /// What is left of it.
        ttl: Duration,
        /// True: less than was asked, the max TTL is near.
        capped: bool,
    },
    /// Something was asked of a store and failed.
    Failed {
        /// On which secret, or a log-in or session where `None`.
        secret: Option<&'a str>,
        /// What went wrong.
        error: &'a Error,
        /// When it is tried again; `None`: it ends the process, which says so at its end.
        retry_in: Option<Duration>,
    },
    /// The store has lost a lease.
    LeaseLost {
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
        /// When its successor is fetched.
        replaced_in: Duration,
    },
    /// The ceiling on mints was reached.
    MintsLimited {
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
        /// Mints in 60 s.
        ceiling: u32,
        /// When the next is allowed.
        wait: Duration,
    },
    /// `overlap` is more than a third of what the store grants.
    OverlapShortened {
        /// Which secret.
        secret: &'a str,
        /// What was configured.
        configured: Duration,
        /// What counts.
        effective: Duration,
    },
    /// What passes until a successor is in use is more than a quarter of what the store grants.
    LeadShortened {
        /// Which secret.
        secret: &'a str,
        /// What it takes: `settle`, and under `exec` a restart.
        wanted: Duration,
        /// By how much rotation is due earlier.
        effective: Duration,
    },
    /// A lease was revoked.
    Revoked {
        /// What it was until then.
        was: Was,
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
        /// Which lease.
        lease: &'a str,
    },
    /// A lease could not be revoked and ends by itself.
    RevokeFailed {
        /// Which secret.
        secret: &'a str,
        /// Why.
        error: &'a Error,
        /// When it ends.
        ends_in: Option<Duration>,
        /// Denied before, too: said once is enough.
        repeated: bool,
    },
    /// A secret expired with no successor.
    Expired {
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
        /// What is done: `keep`, `delete` or `exit`.
        action: &'a str,
    },
    /// A secret that is not required is left out.
    LeftOut {
        /// Which secret.
        secret: &'a str,
        /// At which provider.
        provider: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A generation is in place.
    Published {
        /// Its number.
        generation: u64,
        /// The files whose bytes changed.
        changed: &'a [String],
        /// How many files it has.
        files: usize,
        /// Whether what the command is given has changed, too.
        environment: bool,
    },
    /// What the command is given has changed, and no file has.
    EnvironmentChanged {
        /// The generation in place.
        generation: u64,
    },
    /// A set could not be published; the one in place stays.
    PublishRefused {
        /// Why.
        why: &'a str,
    },
    /// `verify` has looked at a set before it is in place.
    Checked {
        /// The number that it is to get.
        generation: u64,
        /// `good`, `refused` or `unknown`.
        outcome: &'static str,
        /// What it said, where it is not good.
        said: &'a str,
        /// When it is asked again; `None`: not again.
        again_in: Option<Duration>,
        /// It said the same before.
        repeated: bool,
    },
    /// A set is put in place that `verify` has not found good.
    CheckOverruled {
        /// Its number.
        generation: u64,
        /// What was said last.
        why: &'a str,
    },
    /// A set is given up that `verify` has not found good.
    CheckDecided {
        /// The number that it would have got.
        generation: u64,
        /// What was said last.
        why: &'a str,
    },
    /// What a command of an action printed, without any value.
    ActionSaid {
        /// Which action.
        action: &'a str,
        /// A line of it.
        line: &'a str,
        /// Whether the action went wrong.
        failed: bool,
    },
    /// An action ended.
    ActionDone {
        /// Which: `signal HUP to nginx`.
        action: &'a str,
        /// Its kind.
        operation: &'static str,
        /// Its name, where it has one.
        name: Option<&'a str>,
        /// The generation it announced.
        generation: u64,
        /// What went wrong, if anything.
        error: Option<&'a str>,
    },
    /// One of those who have to acknowledge has answered.
    Answered {
        /// Who.
        name: &'a str,
        /// For which generation.
        generation: u64,
        /// Who has yet to.
        missing: &'a [String],
    },
    /// The application acknowledged a generation.
    Acknowledged {
        /// Which.
        generation: u64,
    },
    /// The application says that it was refused.
    ReportedStale {
        /// Which secret.
        secret: &'a str,
        /// What is done about it, in words.
        done: &'a str,
    },
    /// The configuration was read again.
    Reloaded {
        /// What changed, in a few words; empty: nothing.
        changes: &'a [String],
        /// What changed and needs a restart.
        needs_restart: &'a [String],
    },
    /// The configuration was read again and refused; the old one stays.
    ReloadRefused {
        /// Why.
        why: &'a str,
    },
    /// A termination signal came.
    Ending {
        /// What is waited for.
        waiting_for: &'a str,
    },
    /// The command that `exec` runs was started.
    CommandStarted {
        /// Its process id.
        pid: i32,
        /// How often it was restarted.
        restarts: u64,
        /// The generation in place.
        generation: u64,
    },
    /// What the command was given has changed: it will be restarted.
    CommandRestartDue {
        /// The generation that changed it.
        generation: u64,
        /// In how long.
        wait: Duration,
    },
    /// A restart has begun: nobody is to count on the command.
    CommandDraining {
        /// For how long, before it is asked to end.
        length: Duration,
    },
    /// The command has ended, and starts again.
    CommandStopped {
        /// How it ended, in words.
        how: &'a str,
    },
    /// The command has ended, and our end follows.
    CommandEnded {
        /// How it ended, in words.
        how: &'a str,
        /// What becomes of what is held, in words.
        held: &'a str,
    },
    /// Something that is left at the store after the end.
    LeftBehind {
        /// At which provider.
        provider: &'a str,
        /// What: a lease id, an accessor, a mint in flight.
        what: &'a str,
        /// Why.
        why: &'a str,
    },
    /// Something worth a warning that has no metric.
    Warning {
        /// The whole text.
        text: &'a str,
    },
    /// Something worth a line that has no metric.
    Note {
        /// The whole text.
        text: &'a str,
    },
    /// A request on the wire ended (from a provider's observer).
    Request {
        /// At which provider.
        provider: &'a str,
        /// What was asked.
        operation: Operation,
        /// `ok` or the kind of failure.
        outcome: &'a str,
        /// How long it took.
        took: Duration,
    },
}
