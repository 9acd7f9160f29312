//! `check --online`: what the stores say, before anything is started.
//!
//! Each provider is logged in to, static secrets are read, and the store is asked what our session
//! may do for the others. Files are rendered in memory where everything they use was read. Nothing
//! is written, nothing is unwrapped, and nothing is minted but on request, and then it is given
//! back. A session that we logged in for is revoked at the end.
#![allow(clippy::disallowed_methods, reason = "it asks a store without keeping anything")]

mod findings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Bound, Effect, Error, Fetched, Fields, Kind, Login, MissingRight, NoObserver, Origin, Provider, Session,
    Spawn, Target, Wanted,
};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::config::model::{Files, Secret};
use crate::events::words::{human, one_line};
use crate::keys::Prepared;
use crate::process::Programs;
use crate::registry::Settings;
use crate::render::{Paths, Renderer};
pub use findings::{Finding, Findings, Weight};

/// How far it goes.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Whether leased secrets are minted, and given back.
    pub mint: Mint,
    /// Log in as the holder of the token in this file, where a provider's method takes one.
    pub jwt: Option<PathBuf>,
}

/// See [`Request::mint`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mint {
    /// The store is only asked.
    #[default]
    Nothing,
    /// Minted, looked at, and revoked.
    GiveBack,
}

/// Longer than any session lives: a renewal that asks for it is granted what there is.
const FOR_EVER: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Asks every provider of the configuration.
pub async fn preflight(config: &Config, request: &Request) -> Findings {
    let Ok((programs, reaper)) = Programs::new(Clock::boot()) else {
        let mut findings = Findings::default();
        findings.wrong("the process", "cannot wait for children: nothing was asked".to_owned());
        return findings;
    };
    let spawn: Arc<dyn Spawn> = Arc::new(programs);
    let build = |name: &str, settings: &Settings| settings.build(name, Arc::new(NoObserver), &spawn);
    tokio::select! {
        findings = preflight_with(config, request, build) => findings,
        // Nobody cancels it.
        () = reaper.run(CancellationToken::new()) => Findings::default(),
    }
}

/// As [`preflight`], with providers from elsewhere.
async fn preflight_with(
    config: &Config,
    request: &Request,
    build: impl Fn(&str, &Settings) -> Result<Box<dyn Provider>, Error>,
) -> Findings {
    let mut findings = Findings::default();
    let mut read: BTreeMap<String, Option<Arc<Fields>>> = BTreeMap::new();
    for (name, provider) in &config.providers {
        let secrets: BTreeMap<&str, &Secret> = config
            .secrets
            .iter()
            .filter(|(_, secret)| secret.provider == *name)
            .map(|(name, secret)| (name.as_str(), secret))
            .collect();
        let mut visit = Visit { name, secrets, mint: request.mint, findings: &mut findings, read: &mut read };
        visit.provider(&provider.settings, request.jwt.as_ref(), &build).await;
    }
    render(config, &read, &mut findings);
    findings
}

/// One provider's turn.
struct Visit<'a> {
    name: &'a str,
    secrets: BTreeMap<&'a str, &'a Secret>,
    mint: Mint,
    findings: &'a mut Findings,
    read: &'a mut BTreeMap<String, Option<Arc<Fields>>>,
}

impl Visit<'_> {
    async fn provider(
        &mut self,
        settings: &Settings,
        jwt: Option<&PathBuf>,
        build: &impl Fn(&str, &Settings) -> Result<Box<dyn Provider>, Error>,
    ) {
        let about = format!("provider {}", self.name);
        let settings = match jwt.map(|file| settings.with_jwt_file(file)) {
            None => settings.clone(),
            Some(Ok(settings)) => settings,
            Some(Err(problem)) => {
                let text = format!("--jwt is not used here: {}", problem.message);
                self.findings.note(&about, text);
                settings.clone()
            }
        };
        if settings.unwraps() {
            let text = "its secret id is wrapped, and unwrapping it here would use it up: nothing was asked of \
                        this provider";
            return self.findings.warning(&about, text.to_owned());
        }
        let provider = match build(self.name, &settings) {
            Ok(provider) => provider,
            Err(error) => return self.findings.problem(&about, &error),
        };
        let session = match login(provider.as_ref()).await {
            Ok(session) => session,
            Err(error) => return self.findings.problem(&about, &error),
        };
        let most = most(provider.as_ref(), &session).await;
        self.describe(&about, &session, most);
        self.look(&about, provider.as_ref(), &session, most).await;
        self.leave(&about, provider.as_ref(), &session).await;
    }

    /// Says who we are there, and for how long at most.
    fn describe(&mut self, about: &str, session: &Session, most: Option<Duration>) {
        let how = match session.origin {
            Origin::LoggedIn => format!("logged in (session {})", one_line(&session.id)),
            Origin::Given => format!("uses the session it was given ({})", one_line(&session.id)),
            Origin::Ambient => "needs no log-in".to_owned(),
        };
        let life = match session.term {
            None => String::new(),
            Some(term) => match most {
                Some(most) if most > term.ttl => {
                    format!(", lives {} and can be renewed up to {}", human(term.ttl), human(most))
                }
                _ if term.renewable => format!(", lives {} and can be renewed", human(term.ttl)),
                _ => format!(", lives {} and cannot be renewed", human(term.ttl)),
            },
        };
        self.findings.good(about, format!("{how}{life}"));
    }

    async fn look(
        &mut self,
        about: &str,
        provider: &dyn Provider,
        session: &Session,
        most: Option<Duration>,
    ) {
        if let Some(uses) = session.uses_left {
            let text =
                format!("the session has {uses} uses left, and each question costs one: nothing was asked");
            return self.findings.warning(about, text);
        }
        let references: Vec<_> = self.secrets.values().map(|secret| &secret.reference).collect();
        // What could not be learnt stays in doubt, and is not minted.
        let _ = provider.learn(session, &references).await;
        let mut missing: Vec<(String, MissingRight)> = Vec::new();
        for (name, secret) in self.secrets.clone() {
            let about = format!("secret {name}");
            let reads = provider.describe(&secret.reference).effect == Effect::Reads;
            let fetched = match reads || self.mint == Mint::GiveBack {
                true => Some(fetch(provider, session, secret).await),
                false => None,
            };
            let rights = provider.check(session, &secret.reference).await;
            match fetched {
                Some(Ok(fetched)) => {
                    self.fetched(&about, name, secret, provider, session, most, fetched).await;
                }
                // The missing right says it, with the policy.
                Some(Err(error))
                    if error.kind == Kind::Denied
                        && rights.as_ref().is_ok_and(|rights| rights.iter().any(|right| right.required)) => {}
                Some(Err(error)) => self.refused(&about, name, secret, &error),
                None => {}
            }
            match rights {
                Ok(rights) => {
                    if rights.iter().all(|right| !right.required) && !reads && self.mint == Mint::Nothing {
                        self.not_fetched(&about, secret, provider);
                    }
                    missing.extend(rights.into_iter().map(|right| (name.to_owned(), right)));
                }
                // A read that went well answers the question.
                Err(_) if reads => {}
                Err(error) => self.refused(&about, name, secret, &error),
            }
        }
        self.findings.rights(about, missing);
    }

    /// Nothing is missing of what the store was asked for.
    fn not_fetched(&mut self, about: &str, secret: &Secret, provider: &dyn Provider) {
        let path = &secret.reference.path;
        match provider.can_check() {
            true => self.findings.good(about, format!("{path}: allowed (not fetched: that would mint)")),
            false => {
                let text = format!(
                    "{path}: cannot tell whether it may be fetched: the program does not answer `check`, and to \
                     fetch would mint (`--mint` does, and gives it back)"
                );
                self.findings.note(about, text);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one fetch and everything it is held against")]
    async fn fetched(
        &mut self,
        about: &str,
        name: &str,
        secret: &Secret,
        provider: &dyn Provider,
        session: &Session,
        most: Option<Duration>,
        fetched: Fetched,
    ) {
        let names = fetched
            .fields
            .as_ref()
            .map_or_else(String::new, |fields| fields.names().map(one_line).collect::<Vec<_>>().join(", "));
        let version = fetched
            .version
            .as_ref()
            .map_or_else(String::new, |version| format!(", version {}", one_line(version)));
        let life = fetched.term.map_or_else(String::new, |term| format!(", granted for {}", human(term.ttl)));
        self.findings.good(about, format!("{}{version}{life}: fields {names}", secret.reference.path));
        if let Some(fields) = fetched.fields {
            self.read.insert(name.to_owned(), Some(fields));
        }
        let Some(lease) = fetched.lease else { return };
        if let (Bound::Session, Some(term), Some(most)) = (lease.bound, fetched.term, most)
            && most < term.ttl
        {
            let text = format!(
                "its lease is granted for {}, and the session it hangs on lives {} at most: it is replaced with \
                 the session. A longer token_max_ttl of the log-in role spares that",
                human(term.ttl),
                human(most)
            );
            self.findings.warning(about, text);
        }
        let target = Target::Lease { lease: &lease, reference: &secret.reference };
        if let Err(error) = provider.revoke(session, target).await
            && !ends_with(session)
        {
            let text = format!(
                "what was minted could not be given back (lease {}): {error}; it ends by its own TTL",
                one_line(&lease.id)
            );
            self.findings.warning(about, text);
        }
    }

    fn refused(&mut self, about: &str, name: &str, secret: &Secret, error: &Error) {
        let excused = !secret.required && matches!(error.kind, Kind::Absent | Kind::Unavailable);
        match excused {
            true => {
                self.read.insert(name.to_owned(), None);
                self.findings.excused(about, error);
            }
            false => self.findings.problem(about, error),
        }
    }

    async fn leave(&mut self, about: &str, provider: &dyn Provider, session: &Session) {
        if session.origin != Origin::LoggedIn {
            return;
        }
        let left = session
            .term
            .map_or_else(|| "for ever".to_owned(), |term| format!("for at most {}", human(term.ttl)));
        if !session.revocable {
            let text = format!("the session of this check cannot be revoked: it lives on {left}");
            return self.findings.note(about, text);
        }
        if let Err(error) = provider.revoke(session, Target::Session).await {
            let id = one_line(&session.id);
            let text = format!(
                "the session of this check (accessor {id}) could not be revoked: {error}; it lives on {left}"
            );
            self.findings.warning(about, text);
        }
    }
}

/// What was minted ends with a session that is revoked.
fn ends_with(session: &Session) -> bool {
    session.origin == Origin::LoggedIn && session.revocable
}

async fn login(provider: &dyn Provider) -> Result<Session, Error> {
    let mut kept = None;
    // One exchange at most leads to a session.
    for _ in 0..2 {
        match provider.login(kept.as_ref()).await? {
            Login::Session(session) => return Ok(session),
            Login::Keep(bytes) => kept = Some(bytes),
        }
    }
    Err(Error::new(Kind::Internal, leasehold_core::Operation::Login, "", "the log-in did not come to an end"))
}

/// How long the session can live. Only one of our own is asked to be renewed.
async fn most(provider: &dyn Provider, session: &Session) -> Option<Duration> {
    let term = session.term?;
    if !term.renewable {
        return Some(term.ttl);
    }
    if session.origin != Origin::LoggedIn || session.uses_left.is_some() {
        return None;
    }
    provider.renew(session, Target::Session, FOR_EVER).await.ok().flatten().map(|term| term.ttl)
}

async fn fetch(provider: &dyn Provider, session: &Session, secret: &Secret) -> Result<Fetched, Error> {
    let wanted = [Wanted { reference: &secret.reference, known_version: None }];
    let prepared = Prepared::new(&secret.provider, &wanted).await?;
    let fetched = provider.fetch(session, &prepared.wanted()).await?;
    match prepared.join(fetched).pop() {
        Some(fetched) => fetched,
        None => Err(Error::new(
            Kind::Internal,
            leasehold_core::Operation::Fetch,
            &secret.provider,
            "the provider brought no result",
        )),
    }
}

/// Renders what can be rendered with what was read, and throws it away.
fn render(config: &Config, read: &BTreeMap<String, Option<Arc<Fields>>>, findings: &mut Findings) {
    let Files::Named(files) = &config.files else { return };
    let paths = Paths::new(&config.files, &config.output);
    for (name, file) in files {
        let one = Files::Named(BTreeMap::from([(name.clone(), file.clone())]));
        let Ok(renderer) = Renderer::new(&one, &paths) else { continue };
        let used: BTreeSet<String> = renderer.uses_of(name);
        if !used.iter().all(|secret| read.contains_key(secret)) {
            continue;
        }
        if let Err(error) = renderer.render(read, &config.output) {
            findings.wrong(&format!("file {name}"), error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
