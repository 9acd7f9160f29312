use std::path::PathBuf;
use std::sync::Arc;

use crate::environment::Environment;
use crate::error::Error;
use crate::identity::{Identity, IdentityRequest};
use crate::observer::Observer;
use crate::portrait::{Character, Grants, Portrait};
use crate::problem::Problem;
use crate::provider::Provider;
use crate::reference::SecretRef;
use crate::spawn::{NoSpawn, Spawn};

/// The valid settings of one type of provider: what stands between the configuration and a
/// [`Provider`]. Parsing opens nothing and reads no file.
pub trait ProviderSettings: Sized {
    /// The settings as written: what serde reads and the schema shows.
    type Raw;

    /// Checks what was written and fills in what the environment says; the file wins. `name` is
    /// the provider's in the configuration. No problem repeats a value.
    ///
    /// # Errors
    /// All problems, at least one, each with its key.
    fn parse(name: &str, raw: Self::Raw, environment: &Environment) -> Result<Self, Vec<Problem>>;

    /// What tells this store and log-in from others, for the hand-over. Never a credential.
    fn identity(&self) -> String;

    /// The store, and who we are there, for people. Reads no file, and names no credential.
    fn portrait(&self) -> Portrait;

    /// What a secret of this provider is, as far as can be told without asking the store.
    fn character(&self, reference: &SecretRef) -> Character;

    /// The least that the store has to grant for these secrets and for what the engine does with
    /// them, in the store's own language. What [`Provider::check`] finds missing is part of it.
    fn grants(&self, references: &[&SecretRef]) -> Grants;

    /// The provider. Opens no connection and reads no file.
    ///
    /// # Errors
    /// What has to be prepared, and cannot be.
    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error>;

    /// What can be seen to be wrong with a secret of this provider before the store is asked.
    fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        let _ = reference;
        Vec::new()
    }

    /// The program that is started for each request, where there is one, and the environment in which it is looked
    /// for. Not one whose place is relative to a directory of its own.
    fn program(&self) -> Option<(&[String], &Environment)> {
        None
    }

    /// Whether a log-in uses up something that exists only once, so that nobody may log in only
    /// to look.
    fn unwraps(&self) -> bool {
        false
    }

    /// Whether its sessions have a credential that others could use, too. Not where the store's SDK, the
    /// machine or a program proves who we are.
    fn has_session(&self) -> bool {
        false
    }

    /// The same settings, logging in with the token in this file: for who holds another
    /// identity's token and wants to know what it may do.
    ///
    /// # Errors
    /// The log-in takes no such token.
    fn with_jwt_file(self, file: PathBuf) -> Result<Self, Problem> {
        let _ = file;
        Err(Problem::new("", "a provider of this type logs in without a token file"))
    }

    /// Whom it has to be proved to that we are who a cloud says we are, where the log-in hangs on
    /// that.
    fn identity_request(&self) -> Option<&IdentityRequest> {
        None
    }
}

/// What a provider is given of the process around it.
#[derive(Clone)]
pub struct Surroundings {
    /// Counts requests.
    pub observer: Arc<dyn Observer>,
    /// Starts programs.
    pub spawn: Arc<dyn Spawn>,
    /// Proves who we are, where [`ProviderSettings::identity_request`] asked for that.
    pub identity: Option<Arc<dyn Identity>>,
}

impl Surroundings {
    /// With this observer, without programs and without an identity: for tests, and for a look at
    /// a store that needs neither.
    pub fn observed(observer: Arc<dyn Observer>) -> Self {
        Self { observer, spawn: Arc::new(NoSpawn), identity: None }
    }
}
