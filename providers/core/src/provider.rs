use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Error;
use crate::fetched::{Fetched, Lease, Term};
use crate::reference::SecretRef;
use crate::secret::SecretBytes;
use crate::session::Session;

/// What a fetch does at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It can be repeated or dropped at will.
    Reads,
    /// It may create something there: counted before it is sent, never dropped.
    Mints,
}

/// What the engine needs to know of a secret before it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// In doubt [`Effect::Mints`].
    pub effect: Effect,
    /// How many of its kind one `fetch` takes. In doubt 1.
    pub batch: usize,
    /// What the store throttles together (Vault: the mount). A 429 pauses one operation on one
    /// group.
    pub group: String,
}

/// One secret that a `fetch` is to bring.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What it is.
    pub reference: &'a SecretRef,
    /// The version that we hold; where it is still the latest, no value needs to travel.
    pub known_version: Option<&'a str>,
}

/// What is looked up, renewed or revoked.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The session itself.
    Session,
    /// A lease taken under it.
    Lease {
        /// Which.
        lease: &'a Lease,
        /// The secret it belongs to, for errors and for the request's namespace.
        reference: &'a SecretRef,
    },
}

/// What a log-in brought.
#[derive(Debug)]
pub enum Login {
    /// A session.
    Session(Session),
    /// A one-time credential was exchanged for this lasting one (an unwrapped secret id). The
    /// engine records it, then calls `login` again with it: nothing that exists only once is
    /// lost to a crash.
    Keep(SecretBytes),
}

/// A right that the store says we lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// Where (Vault: a path of the API).
    pub path: String,
    /// What (Vault: capabilities).
    pub capabilities: Vec<String>,
    /// Why it is wanted, in a few words.
    pub purpose: String,
    /// False: things work without it, only less well; `purpose` says how.
    pub required: bool,
    /// What an administrator writes to grant it (Vault: a policy stanza).
    pub remedy: String,
}

/// One secret store, as configured. Implementations hold settings and a client, and what can be
/// forgotten without loss (a cache of what kind a mount is).
#[async_trait]
pub trait Provider: Send + Sync {
    /// What is known of a secret before it is fetched.
    fn describe(&self, reference: &SecretRef) -> Traits;

    /// Files whose change means: look again now (a token file; TLS files are read again when
    /// used). Their directories are watched.
    fn watched(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// How long one of its requests may take, where that is longer than what the engine grants: it
    /// bounds itself by this.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Logs in. `kept` is what an earlier [`Login::Keep`] brought, in this process or in one
    /// before it. A store without log-in answers [`Session::ambient`].
    async fn login(&self, kept: Option<&SecretBytes>) -> Result<Login, Error>;

    /// Asks the store what [`Provider::describe`] has to know of these secrets, where that can be
    /// asked without reading or minting anything: before it, `describe` may be in doubt. An error
    /// leaves the doubt, and nothing else.
    async fn learn(&self, session: &Session, references: &[&SecretRef]) -> Result<(), Error> {
        let _ = (session, references);
        Ok(())
    }

    /// Fetches secrets, at most `describe().batch` of one kind. The outer error is about all of
    /// them; else there is one result each, in the order asked.
    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error>;

    /// Asks what is left of it. Gone, queued for revocation or at its end: `LeaseGone` (a lease)
    /// or `SessionEnded` (the session). `None`: it does not end.
    async fn lookup(&self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Error>;

    /// Prolongs it, asking for `increment`. A grant shorter than asked is the max TTL coming near.
    async fn renew(
        &self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error>;

    /// Ends it. What is gone already counts as ended.
    async fn revoke(&self, session: &Session, what: Target<'_>) -> Result<(), Error>;

    /// Whether [`Provider::check`] can say anything. Where it cannot, its empty answer says
    /// nothing.
    fn can_check(&self) -> bool {
        true
    }

    /// Asks what the session may do with this secret, and mints nothing.
    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error>;
}
