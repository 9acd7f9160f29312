//! An event as one log line: a level, a sentence that a person can follow, and the same facts as
//! fields for machines.
//!
//! Names, versions, lease ids and accessors stand in it; no value does. What came from outside is
//! stripped of control characters, so that nobody can forge a second line.

use std::fmt;
use std::time::Duration;

use leasehold_core::{Effect, Origin};
use tracing::Level;

use super::words::{count, human, left, list, one_line, seconds};
use super::{Event, Was};

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// How important it is.
    pub level: Level,
    /// Which kind of fact, in one word: `renewed`.
    pub event: &'static str,
    /// The sentence. Lower case, no full stop.
    pub message: String,
    /// Which secret it is about.
    pub secret: Option<&'a str>,
    /// Which provider it is about.
    pub provider: Option<&'a str>,
    /// Which generation it is about.
    pub generation: Option<u64>,
    /// Which lease it is about.
    pub lease: Option<&'a str>,
    /// Which session it is about.
    pub session: Option<&'a str>,
    /// What kind of failure it is.
    pub kind: Option<&'static str>,
    /// What is left of a lease or session.
    pub ttl: Option<Duration>,
    /// When something is tried next.
    pub retry_in: Option<Duration>,
}

impl<'a> Line<'a> {
    fn new(level: Level, event: &'static str, message: impl AsRef<str>) -> Self {
        Self {
            level,
            event,
            message: one_line(message.as_ref()),
            secret: None,
            provider: None,
            generation: None,
            lease: None,
            session: None,
            kind: None,
            ttl: None,
            retry_in: None,
        }
    }

    fn secret(mut self, secret: &'a str, provider: &'a str) -> Self {
        self.secret = Some(secret);
        self.provider(provider)
    }

    fn provider(mut self, provider: &'a str) -> Self {
        self.provider = Some(provider);
        self
    }

    fn error(mut self, error: &'a leasehold_core::Error) -> Self {
        self.kind = Some(error.kind.as_str());
        self.provider(&error.provider)
    }

    fn session(mut self, session: &'a str) -> Self {
        self.session = Some(session);
        self
    }

    fn lease(mut self, lease: Option<&'a str>) -> Self {
        self.lease = lease;
        self
    }

    fn generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    fn ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    fn retry_in(mut self, retry_in: Option<Duration>) -> Self {
        self.retry_in = retry_in;
        self
    }

    /// Hands it to `tracing`.
    pub fn log(&self) {
        macro_rules! at {
            ($level:expr) => {
                tracing::event!(
                    target: "leasehold",
                    $level,
                    event = self.event,
                    secret = self.secret.map(one_line),
                    provider = self.provider,
                    generation = self.generation,
                    lease = self.lease.map(one_line),
                    session = self.session.map(one_line),
                    kind = self.kind,
                    ttl_seconds = self.ttl.map(seconds),
                    retry_in_seconds = self.retry_in.map(seconds),
                    "{}",
                    self.message
                )
            };
        }
        match self.level {
            Level::ERROR => at!(Level::ERROR),
            Level::WARN => at!(Level::WARN),
            Level::INFO => at!(Level::INFO),
            Level::DEBUG => at!(Level::DEBUG),
            Level::TRACE => at!(Level::TRACE),
        }
    }

    /// What happened, in words.
    #[allow(clippy::too_many_lines, reason = "one arm per event, each a sentence")]
    pub fn of(event: &Event<'a>) -> Self {
        use Level as L;
        match *event {
            Event::LoggedIn { provider, session, origin, ttl, revocable } => {
                let how = match origin {
                    Origin::LoggedIn => "logged in at",
                    Origin::Given => "using the session that was given for",
                    Origin::Ambient => "using",
                };
                let lives = ttl.map_or_else(String::new, |ttl| format!(", for {}", human(ttl)));
                let note = match origin {
                    Origin::LoggedIn if !revocable => {
                        "; it cannot be revoked: its leases are revoked one by one where that is allowed, \
                         and else end with it"
                    }
                    Origin::Given => "; it is never revoked, only the leases taken under it are",
                    _ => "",
                };
                let text = format!("{how} provider \"{provider}\" (session {session}){lives}{note}");
                Self::new(L::INFO, "logged_in", text).provider(provider).session(session).ttl(ttl)
            }
            Event::Adopted { provider, sessions: 0, secrets: 0, .. } => {
                let text = format!(
                    "nothing that the process before left for provider \"{provider}\" lives any more: starting anew"
                );
                Self::new(L::INFO, "adopted", text).provider(provider)
            }
            Event::Adopted { provider, sessions, secrets, confirmed } => {
                let held = format!(
                    "took over {} and {} of provider \"{provider}\" from the process before",
                    count(sessions, "session"),
                    count(secrets, "secret"),
                );
                let line = if confirmed {
                    Self::new(L::INFO, "adopted", held)
                } else {
                    let text = format!("{held}; the store cannot be asked, so the recorded ends are trusted");
                    Self::new(L::WARN, "adopted", text)
                };
                line.provider(provider)
            }
            Event::SessionRenewed { provider, ttl } => {
                let text = format!("renewed the session at provider \"{provider}\"{}", left(ttl));
                Self::new(L::DEBUG, "session_renewed", text).provider(provider).ttl(ttl)
            }
            Event::SessionReplacing { provider, why } => {
                let text = format!("replacing the session at provider \"{provider}\": {why}");
                Self::new(L::INFO, "session_replacing", text).provider(provider)
            }
            Event::SessionRevoked { provider, session } => {
                let text = format!("revoked session {session} at provider \"{provider}\", and its leases");
                Self::new(L::INFO, "session_revoked", text).provider(provider).session(session)
            }
            Event::Minting { secret, provider } => {
                let text = format!("asking provider \"{provider}\" for a new credential for \"{secret}\"");
                Self::new(L::DEBUG, "minting", text).secret(secret, provider)
            }
            Event::Fetched { secret, provider, effect, lease, ttl, version } => {
                let what = match effect {
                    Effect::Mints => "got a new credential for",
                    Effect::Reads => "read",
                };
                let version = version.map_or_else(String::new, |version| format!(", version {version}"));
                let lives = ttl.map_or_else(String::new, |ttl| format!(", for {}", human(ttl)));
                let lease_id = lease.map_or_else(String::new, |lease| format!(", lease {lease}"));
                let text = format!("{what} \"{secret}\" from \"{provider}\"{version}{lives}{lease_id}");
                Self::new(L::INFO, "fetched", text).secret(secret, provider).lease(lease).ttl(ttl)
            }
            Event::Unchanged { secret, provider } => {
                let text = format!("looked at \"{secret}\" at provider \"{provider}\": unchanged");
                Self::new(L::DEBUG, "unchanged", text).secret(secret, provider)
            }
            Event::Renewed { secret, provider, ttl, capped } => {
                let note = if capped { "; its max TTL is near, a new credential comes next" } else { "" };
                let text = format!("renewed \"{secret}\"{}{note}", left(Some(ttl)));
                Self::new(L::INFO, "renewed", text).secret(secret, provider).ttl(Some(ttl))
            }
            Event::Failed { secret, error, retry_in } => {
                let (level, next) = match retry_in {
                    Some(wait) => (L::WARN, format!("; trying again in {}", human(wait))),
                    // It ends the process, whose last line says it again and as an error.
                    None => (L::DEBUG, String::new()),
                };
                let mut line =
                    Self::new(level, "failed", format!("{error}{next}")).error(error).retry_in(retry_in);
                line.secret = secret;
                line
            }
            Event::LeaseLost { secret, provider, replaced_in } => {
                let text = format!(
                    "the lease of \"{secret}\" is gone at provider \"{provider}\" (revoked there, or \
                     expired); replacing it in {}",
                    human(replaced_in)
                );
                Self::new(L::WARN, "lease_lost", text).secret(secret, provider).retry_in(Some(replaced_in))
            }
            Event::MintsLimited { secret, provider, ceiling, wait } => {
                let text = format!(
                    "not asking for a new credential for \"{secret}\": the ceiling of {ceiling} a minute is \
                     reached; the next is allowed in {} (limits.mints_per_minute)",
                    human(wait)
                );
                Self::new(L::WARN, "mints_limited", text).secret(secret, provider).retry_in(Some(wait))
            }
            Event::OverlapShortened { secret, configured, effective } => {
                let text = format!(
                    "the overlap of \"{secret}\" is shortened from {} to {}, a third of the TTL that the \
                     store grants; raise the TTL at the store or lower `overlap`",
                    human(configured),
                    human(effective)
                );
                let mut line = Self::new(L::WARN, "overlap_shortened", text);
                line.secret = Some(secret);
                line
            }
            Event::LeadShortened { secret, wanted, effective } => {
                let text = format!(
                    "a successor of \"{secret}\" may take {} until it is in use (settle, exec.drain, exec.grace), \
                     but rotation is due only {} earlier for it, a quarter of the TTL that the store grants: what it \
                     replaces may end before; raise the TTL at the store or lower these",
                    human(wanted),
                    human(effective)
                );
                let mut line = Self::new(L::WARN, "lead_shortened", text);
                line.secret = Some(secret);
                line
            }
            Event::Revoked { was, secret, provider, lease } => {
                let which = match was {
                    Was::Replaced => "a replaced lease",
                    Was::Refused => "the lease of a refused candidate",
                    Was::Unneeded => "a lease",
                };
                let text = format!("revoked {which} of \"{secret}\": {lease}");
                Self::new(L::INFO, "revoked", text).secret(secret, provider).lease(Some(lease))
            }
            Event::RevokeFailed { secret, error, ends_in, repeated } => {
                let ends = match ends_in {
                    Some(ends) => format!("it ends by itself in {}", human(ends)),
                    None => "it ends by itself".to_owned(),
                };
                let text = format!("could not revoke a lease of \"{secret}\", {ends}: {error}");
                let level = if repeated { L::DEBUG } else { L::WARN };
                let line = Self::new(level, "revoke_failed", text).error(error).ttl(ends_in);
                Self { secret: Some(secret), ..line }
            }
            Event::Expired { secret, provider, action } => {
                let text = format!("\"{secret}\" has expired without a successor; on_expiry is {action}");
                Self::new(L::ERROR, "expired", text).secret(secret, provider)
            }
            Event::LeftOut { secret, provider, why } => {
                let text = format!("leaving out \"{secret}\", which is not required: {why}");
                Self::new(L::WARN, "left_out", text).secret(secret, provider)
            }
            Event::Published { generation, changed, files, environment } => {
                let text = format!(
                    "published generation {generation}: {}, changed: {}{}",
                    count(files, "file"),
                    list(changed),
                    if environment { "; what the command is given has changed" } else { "" }
                );
                Self::new(L::INFO, "published", text).generation(generation)
            }
            Event::EnvironmentChanged { generation } => {
                let text = "what the command is given has changed, and no file has";
                Self::new(L::INFO, "environment_changed", text).generation(generation)
            }
            Event::PublishRefused { why } => {
                let text =
                    format!("could not publish a new generation, the one in place stays for now: {why}");
                Self::new(L::ERROR, "publish_refused", text)
            }
            Event::Checked { generation, outcome, said, again_in, repeated } => {
                let again = again_in
                    .map(|wait| format!("; asked again in {:.1} s", wait.as_secs_f64()))
                    .unwrap_or_default();
                let (level, text) = match outcome {
                    "good" => (L::INFO, format!("verify finds generation {generation} good")),
                    "refused" => (
                        if repeated { L::DEBUG } else { L::WARN },
                        format!(
                            "verify refuses generation {generation}, it is not put in place: {said}{again}"
                        ),
                    ),
                    _ => (
                        if repeated { L::DEBUG } else { L::WARN },
                        format!("verify cannot tell whether generation {generation} is good: {said}{again}"),
                    ),
                };
                Self::new(level, "verified", text).generation(generation)
            }
            Event::CheckOverruled { generation, why } => {
                let text = format!(
                    "generation {generation} is put in place all the same (verify.on_failure is publish): {why}"
                );
                Self::new(L::WARN, "verify_overruled", text).generation(generation)
            }
            Event::CheckDecided { generation, why } => {
                let text = format!(
                    "generation {generation} is given up, what is in place stays, and what was minted for it is \
                     given back (verify.on_failure is keep): {why}"
                );
                Self::new(L::ERROR, "verify_failed", text).generation(generation)
            }
            Event::ActionSaid { action, line, failed } => {
                let level = if failed { L::WARN } else { L::INFO };
                Self::new(level, "action_said", format!("{action} says: {line}"))
            }
            Event::ActionDone { action, generation, error, .. } => {
                let line = match error {
                    None => {
                        let text = format!("announced generation {generation}: {action}");
                        Self::new(L::INFO, "action_done", text)
                    }
                    Some(error) => {
                        let text = format!("could not announce generation {generation}: {action}: {error}");
                        Self::new(L::WARN, "action_failed", text)
                    }
                };
                line.generation(generation)
            }
            Event::Answered { name, generation, missing } => {
                let text = match missing.is_empty() {
                    true => format!("{name} acknowledged generation {generation}"),
                    false => {
                        format!("{name} acknowledged generation {generation}, waiting for {}", list(missing))
                    }
                };
                Self::new(L::INFO, "answered", text).generation(generation)
            }
            Event::Acknowledged { generation } => {
                let text = format!("the application acknowledged generation {generation}");
                Self::new(L::INFO, "acknowledged", text).generation(generation)
            }
            Event::ReportedStale { secret, done } => {
                let text = format!("the application was refused with \"{secret}\"; {done}");
                let mut line = Self::new(L::WARN, "reported_stale", text);
                line.secret = Some(secret);
                line
            }
            Event::Reloaded { changes, needs_restart } => {
                let changed = if changes.is_empty() {
                    "read the configuration again: nothing changes".to_owned()
                } else {
                    format!("read the configuration again: {}", changes.join("; "))
                };
                if needs_restart.is_empty() {
                    Self::new(L::INFO, "reloaded", changed)
                } else {
                    let text = format!("{changed}; only a restart takes over: {}", needs_restart.join("; "));
                    Self::new(L::WARN, "reloaded", text)
                }
            }
            Event::ReloadRefused { why } => {
                let text = format!("the changed configuration is refused, the old one stays: {why}");
                Self::new(L::ERROR, "reload_refused", text)
            }
            Event::Ending { waiting_for } => {
                Self::new(L::INFO, "ending", format!("told to end; waiting for {waiting_for}"))
            }
            Event::CommandStarted { pid, restarts: 0, generation } => {
                let text = format!("started the command: process {pid}");
                Self::new(L::INFO, "command_started", text).generation(generation)
            }
            Event::CommandStarted { pid, restarts, generation } => {
                let text = format!("started the command again (restart {restarts}): process {pid}");
                Self::new(L::INFO, "command_started", text).generation(generation)
            }
            Event::CommandRestartDue { generation, wait } => {
                let text =
                    format!("what the command was given has changed; it is restarted in {}", human(wait));
                Self::new(L::INFO, "command_restart_due", text).generation(generation)
            }
            Event::CommandDraining { length } => {
                let text =
                    format!("not ready for {} (exec.drain), then the command is restarted", human(length));
                Self::new(L::INFO, "command_draining", text)
            }
            Event::CommandStopped { how } => {
                Self::new(L::INFO, "command_stopped", format!("the command ended {how}, as it was asked to"))
            }
            Event::CommandEnded { how, held } => {
                Self::new(L::INFO, "command_ended", format!("the command ended {how}; {held}"))
            }
            Event::LeftBehind { provider, what, why } => {
                let text = format!("left behind at provider \"{provider}\": {what}: {why}");
                Self::new(L::WARN, "left_behind", text).provider(provider)
            }
            Event::Warning { text } => Self::new(L::WARN, "warning", text),
            Event::Note { text } => Self::new(L::INFO, "note", text),
            Event::Request { provider, operation, outcome, took } => {
                let text = format!(
                    "request to provider \"{provider}\" for {}: {outcome} after {} ms",
                    operation.as_str(),
                    took.as_millis()
                );
                Self::new(L::TRACE, "request", text).provider(provider)
            }
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.as_str().to_ascii_lowercase();
        write!(f, "{level} {}: {}", self.event, self.message)
    }
}

#[cfg(test)]
mod tests;
