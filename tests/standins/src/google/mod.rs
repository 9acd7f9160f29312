//! Google Secret Manager, and what its clients log in to.
//!
//! What each part was written from, and what it is strict about, is said in its module: [`secrets`],
//! [`oauth`], [`sts`], [`iam`], [`metadata`]. Who may use what token where is said in `principals`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::cluster::Cluster;
use crate::detour::Detour;
use crate::fault::Fault;
use crate::journal::{Asked, Journal, Part};
use crate::pki::{self, KeyPair};
use crate::server::Server;
use leasehold_harness::tmpfs::{Folder, tmpfs};

pub mod iam;
pub mod metadata;
pub mod oauth;
mod people;
mod principals;
pub mod secrets;
mod status;
mod store;
pub mod sts;

use principals::{ServiceAccount, Token};
pub use store::VersionState;
use store::{Place, Store};

/// Secret Manager with its token services and a machine's metadata server. Everything ends when it is dropped.
pub struct Google {
    shared: Arc<Shared>,
    folder: Folder,
    secrets: Server,
    regional: Server,
    token: Server,
    sts: Server,
    iam: Server,
    metadata: Server,
}

/// What the parts share.
pub(crate) struct Shared {
    pub(crate) journal: Arc<Journal>,
    /// Signs identity tokens.
    pub(crate) key: Arc<KeyPair>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: HashMap<String, ServiceAccount>,
    /// Refresh tokens: the OAuth client's id and secret, and whose they are.
    pub(crate) refresh: HashMap<String, (String, String, String)>,
    /// Trusted issuers by the provider's full name.
    pub(crate) pools: HashMap<String, Vec<Cluster>>,
    /// Who may act as a service account.
    pub(crate) impersonators: Vec<(String, String)>,
    /// Federated principals that get a token.
    pub(crate) conditions: HashSet<String>,
    /// Who may read the secrets.
    pub(crate) readers: HashSet<String>,
    /// The machine's service account.
    pub(crate) machine: Option<String>,
    pub(crate) tokens: HashMap<String, Token>,
    /// The machine's last token, by account and scopes.
    pub(crate) machine_tokens: HashMap<(String, String), String>,
    /// Tokens that were signed before this time are no good, in seconds since 1970.
    pub(crate) signed_since: u64,
    pub(crate) token_lifetime: Option<Duration>,
    pub(crate) token_uri: String,
    pub(crate) store: Store,
    pub(crate) page: Option<usize>,
    pub(crate) throttled: (u32, Duration),
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for Google {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Google({})", self.endpoint())
    }
}

impl Google {
    /// The project, by its id.
    pub const PROJECT: &'static str = "leasehold-tests";
    /// The project, by its number: answers name it so, whichever was asked.
    pub const PROJECT_NUMBER: &'static str = "391827465001";
    /// Where the regional endpoint is.
    pub const LOCATION: &'static str = "europe-west3";
    /// The scope that a token for Secret Manager needs.
    pub const SCOPE: &'static str = "https://www.googleapis.com/auth/cloud-platform";

    /// Starts it: no secret, nobody registered.
    #[track_caller]
    pub fn start() -> Self {
        let tls = pki::served().config.clone();
        let shared =
            Arc::new(Shared { journal: Arc::default(), key: pki::signer(), state: Mutex::default() });
        let journal = || shared.journal.clone();
        let https = |part, service| Server::start(part, None, Some(tls.clone()), journal(), service);
        let token = https(Part::Token, Arc::new(oauth::OAuth(shared.clone())));
        shared.state().token_uri = format!("{}/token", token.url());
        let global = Arc::new(secrets::Secrets(shared.clone(), Place::Global));
        let regional = Arc::new(secrets::Secrets(shared.clone(), Place::Regional));
        Self {
            secrets: https(Part::Secrets, global),
            regional: https(Part::RegionalSecrets, regional),
            sts: https(Part::Sts, Arc::new(sts::Sts(shared.clone()))),
            iam: https(Part::Iam, Arc::new(iam::Iam(shared.clone()))),
            metadata: Server::start(
                Part::Metadata,
                None,
                None,
                journal(),
                Arc::new(metadata::Metadata(shared.clone())),
            ),
            token,
            shared,
            folder: tmpfs(),
        }
    }

    /// Secret Manager's URL: `https://127.0.0.1:PORT`, for `https://secretmanager.googleapis.com`.
    pub fn endpoint(&self) -> String {
        self.secrets.url()
    }

    /// The URL of the regional Secret Manager, for `https://secretmanager.LOCATION.rep.googleapis.com`.
    pub fn regional_endpoint(&self) -> String {
        self.regional.url()
    }

    /// The OAuth token endpoint: `https://127.0.0.1:PORT/token`, for `https://oauth2.googleapis.com/token`.
    pub fn token_uri(&self) -> String {
        format!("{}/token", self.token.url())
    }

    /// The Security Token Service's URL, for `https://sts.googleapis.com`; tokens are exchanged at `/v1/token`.
    pub fn sts(&self) -> String {
        self.sts.url()
    }

    /// IAM credentials' URL, for `https://iamcredentials.googleapis.com`.
    pub fn iam(&self) -> String {
        self.iam.url()
    }

    /// The metadata server's URL, plain HTTP, for `http://metadata.google.internal`. `GCE_METADATA_HOST` takes
    /// it without its scheme.
    pub fn metadata(&self) -> String {
        self.metadata.url()
    }

    /// The certificate authority of all but the metadata server, PEM. All stand-ins of a test process share it.
    pub fn ca_file(&self) -> &Path {
        &pki::served().ca
    }

    /// A proxy by which `https://secretmanager.googleapis.com`, its regional endpoint, `https://sts.googleapis.com`,
    /// `https://iamcredentials.googleapis.com`, `https://oauth2.googleapis.com` and `https://www.googleapis.com`
    /// (the keys that identity tokens are signed with) are this stand-in's, and so is plain
    /// `http://metadata.google.internal`.
    #[track_caller]
    pub fn detour(&self) -> Detour {
        let oauth = self.token.url();
        Detour::start(&[
            ("secretmanager.googleapis.com", self.endpoint()),
            ("secretmanager.europe-west3.rep.googleapis.com", self.regional_endpoint()),
            ("sts.googleapis.com", self.sts()),
            ("iamcredentials.googleapis.com", self.iam()),
            ("oauth2.googleapis.com", oauth.clone()),
            ("www.googleapis.com", oauth),
            ("metadata.google.internal", self.metadata()),
            ("169.254.169.254", self.metadata()),
        ])
    }

    /// The key that identity tokens are signed with, PEM: for whoever verifies them elsewhere.
    pub fn public_key(&self) -> String {
        self.shared.key.public_pem()
    }

    /// Tokens issued from now on live that long (otherwise an hour, or what was asked for).
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.shared.state().token_lifetime = Some(lifetime);
    }

    /// No token issued or signed until now is good any more. A signature tells whole seconds: whoever asks
    /// waits for the next one, so that what is signed after an answer is always good.
    pub fn revoke_tokens(&self) {
        let mut state = self.shared.state();
        state.tokens.clear();
        state.signed_since = crate::jwt::now() + 1;
        while crate::jwt::now() < state.signed_since {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A new version of a secret, and its number.
    #[track_caller]
    pub fn put_secret(&self, name: &str, payload: impl AsRef<[u8]>) -> String {
        self.put(Place::Global, name, payload.as_ref())
    }

    /// The same for the regional endpoint: these are other secrets, of the same names or not.
    #[track_caller]
    pub fn put_regional_secret(&self, name: &str, payload: impl AsRef<[u8]>) -> String {
        self.put(Place::Regional, name, payload.as_ref())
    }

    #[track_caller]
    fn put(&self, place: Place, name: &str, payload: &[u8]) -> String {
        let put = self.shared.state().store.put(place, name, payload, SystemTime::now());
        put.unwrap_or_else(|why| panic!("putting {name}: {why}")).to_string()
    }

    /// Disables a version.
    #[track_caller]
    pub fn disable(&self, name: &str, version: &str) {
        self.set_state(name, version, VersionState::Disabled);
    }

    /// Enables a disabled version again.
    #[track_caller]
    pub fn enable(&self, name: &str, version: &str) {
        self.set_state(name, version, VersionState::Enabled);
    }

    /// Destroys a version: it can be listed, and its payload is gone.
    #[track_caller]
    pub fn destroy(&self, name: &str, version: &str) {
        self.set_state(name, version, VersionState::Destroyed);
    }

    #[track_caller]
    fn set_state(&self, name: &str, version: &str, to: VersionState) {
        let mut shared = self.shared.state();
        let changed = shared.store.set_state(name, version, to);
        assert!(changed, "there is no version {version} of {name} that can be {to:?}");
    }

    /// Lets an alias name a version.
    #[track_caller]
    pub fn set_alias(&self, name: &str, alias: &str, version: &str) {
        let mut state = self.shared.state();
        assert!(state.store.set_alias(name, alias, version), "no alias {alias} for {version} of {name}");
    }

    /// Says when a secret expires: from then on it is gone, with all its versions.
    #[track_caller]
    pub fn set_expiry(&self, name: &str, end: SystemTime) {
        let mut state = self.shared.state();
        assert!(state.store.set_expiry(name, end), "there is no secret {name}");
    }

    /// Deletes a secret with all its versions.
    #[track_caller]
    pub fn delete(&self, name: &str) {
        assert!(self.shared.state().store.delete(name), "there is no secret {name}");
    }

    /// Nobody may read this secret any more, whether it exists or not.
    pub fn deny(&self, name: &str) {
        self.shared.state().store.denied.insert(name.into());
    }

    /// Whoever has a token may read this secret again.
    pub fn allow(&self, name: &str) {
        self.shared.state().store.denied.remove(name);
    }

    /// From now on the checksum beside this secret's payload is wrong.
    pub fn wrong_checksum(&self, name: &str) {
        self.shared.state().store.miscounted.insert(name.into());
    }

    /// The checksum is right again.
    pub fn right_checksum(&self, name: &str) {
        self.shared.state().store.miscounted.remove(name);
    }

    /// Both endpoints together answer the next `count` requests that bring a good token with 429.
    pub fn throttle(&self, count: u32, retry_after: Duration) {
        self.shared.state().throttled = (count, retry_after);
    }

    /// The most that a page of a listing holds.
    pub fn set_page(&self, most: usize) {
        self.shared.state().page = Some(most.max(1));
    }

    /// Spoils the next answer of Secret Manager (the global endpoint) that is no challenge. Several wait for one
    /// answer each.
    pub fn fail_next(&self, fault: Fault) {
        self.secrets.fail_next(fault);
    }

    /// The same for any part.
    #[track_caller]
    pub fn fail_next_at(&self, part: Part, fault: Fault) {
        let server = match part {
            Part::Secrets => &self.secrets,
            Part::RegionalSecrets => &self.regional,
            Part::Token => &self.token,
            Part::Sts => &self.sts,
            Part::Iam => &self.iam,
            Part::Metadata => &self.metadata,
            other => panic!("{other:?} is no part of Google"),
        };
        server.fail_next(fault);
    }

    /// What was asked of every part, in order.
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.journal.all()
    }

    /// What was asked of one part, in order.
    pub fn requests_of(&self, part: Part) -> Vec<Asked> {
        self.shared.journal.of(part)
    }

    /// Forgets what was asked until now.
    pub fn forget_requests(&self) {
        self.shared.journal.clear();
    }
}
