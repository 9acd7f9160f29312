//! Azure Key Vault, the Microsoft identity platform, and the Instance Metadata Service of a machine.
//!
//! What each part was written from, and what it is strict about, is said in its module: [`vault`],
//! [`authority`], [`imds`], [`app_service`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::cluster::Cluster;
use crate::detour::Detour;
use crate::fault::Fault;
use crate::hold::Held;
use crate::journal::{Asked, Journal, Part};
use crate::jwt::{now, random_hex};
use crate::pki::{self, KeyPair};
use crate::server::Server;

pub mod app_service;
pub mod authority;
pub mod imds;
mod store;
pub mod vault;

use authority::{Application, Credential, Token};
pub use store::Attributes;
use store::{Kind, Store};

/// A vault with its authority and a machine's metadata service. Everything ends when it is dropped.
pub struct Azure {
    shared: Arc<Shared>,
    vault: Server,
    authority: Server,
    imds: Server,
    app_service: Server,
}

/// What the parts share.
pub(crate) struct Shared {
    pub(crate) journal: Arc<Journal>,
    /// Signs the tokens.
    pub(crate) key: Arc<KeyPair>,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) tenants: Vec<String>,
    pub(crate) applications: HashMap<String, Application>,
    /// Managed identities: what IMDS and App Service give tokens of. The first is the machine's own.
    pub(crate) identities: Vec<String>,
    /// What App Service's identity endpoint wants to be shown.
    pub(crate) identity_header: String,
    /// Clients that may read nothing.
    pub(crate) refused: HashSet<String>,
    pub(crate) tokens: HashMap<String, Token>,
    /// The last token of a managed identity, by client and resource.
    pub(crate) machine_tokens: HashMap<(String, String), String>,
    pub(crate) token_lifetime: Duration,
    pub(crate) resource: String,
    pub(crate) authority: String,
    pub(crate) store: Store,
    pub(crate) page: usize,
    pub(crate) throttled: (u32, Duration),
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Azure({})", self.address())
    }
}

impl Azure {
    /// The tenant that the vault belongs to.
    pub const TENANT: &'static str = "6f6c0ffe-57a1-4d1b-9a7e-5c3a1d2b4e90";
    /// Another tenant, which the authority knows as well: its tokens are no good for the vault.
    pub const OTHER_TENANT: &'static str = "0b5e55ed-9a3c-4f0e-8b1d-7e2f6a4c1d38";
    /// What a token for the vault is made for: its audience, and without `/.default` its scope.
    pub const RESOURCE: &'static str = "https://vault.azure.net";
    /// The audience of a federated token: what a workload identity's projected token is made for.
    pub const FEDERATED_AUDIENCE: &'static str = "api://AzureADTokenExchange";

    /// Starts it: an empty vault, nobody registered.
    #[track_caller]
    pub fn start() -> Self {
        let served = pki::served();
        let shared = Arc::new(Shared {
            journal: Arc::default(),
            key: pki::signer(),
            state: Mutex::new(State {
                tenants: vec![Self::TENANT.into(), Self::OTHER_TENANT.into()],
                applications: HashMap::new(),
                identities: Vec::new(),
                identity_header: random_hex(16),
                refused: HashSet::new(),
                tokens: HashMap::new(),
                machine_tokens: HashMap::new(),
                token_lifetime: Duration::from_secs(3600),
                resource: Self::RESOURCE.into(),
                authority: String::new(),
                store: Store::default(),
                page: vault::MOST_PER_PAGE,
                throttled: (0, Duration::ZERO),
            }),
        });
        let tls = || Some(served.config.clone());
        let authority = Arc::new(authority::Authority(shared.clone()));
        let authority = Server::start(Part::Authority, None, tls(), shared.journal.clone(), authority);
        shared.state().authority = authority.url();
        let vault = Arc::new(vault::Vault(shared.clone()));
        let vault = Server::start(Part::Vault, None, tls(), shared.journal.clone(), vault);
        let imds = Arc::new(imds::Imds(shared.clone()));
        let imds = Server::start(Part::Imds, None, None, shared.journal.clone(), imds);
        let app_service = Arc::new(app_service::AppService(shared.clone()));
        let app_service = Server::start(Part::AppService, None, None, shared.journal.clone(), app_service);
        Self { shared, vault, authority, imds, app_service }
    }

    /// The vault's URL: `https://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.vault.url()
    }

    /// The authority's URL, without a tenant: what `AZURE_AUTHORITY_HOST` says.
    pub fn authority(&self) -> String {
        self.authority.url()
    }

    /// The metadata service's URL, plain HTTP: what `AZURE_POD_IDENTITY_AUTHORITY_HOST` says.
    pub fn imds(&self) -> String {
        self.imds.url()
    }

    /// App Service's identity endpoint, plain HTTP: what `IDENTITY_ENDPOINT` says there.
    pub fn identity_endpoint(&self) -> String {
        format!("{}/MSI/token", self.app_service.url())
    }

    /// What `IDENTITY_HEADER` says there.
    pub fn identity_header(&self) -> String {
        self.shared.state().identity_header.clone()
    }

    /// The certificate authority of vault and authority, PEM. All stand-ins of a test process share it.
    pub fn ca_file(&self) -> &Path {
        &pki::served().ca
    }

    /// A proxy by which `https://NAME.vault.azure.net` is the vault and `https://login.microsoftonline.com` the
    /// authority; and so for the clouds of China and of the US government. Plain `http://169.254.169.254` is the
    /// metadata service.
    #[track_caller]
    pub fn detour(&self) -> Detour {
        Detour::start(&[
            ("*.vault.azure.net", self.address()),
            ("*.vault.azure.cn", self.address()),
            ("*.vault.usgovcloudapi.net", self.address()),
            ("login.microsoftonline.com", self.authority()),
            ("login.chinacloudapi.cn", self.authority()),
            ("login.microsoftonline.us", self.authority()),
            ("169.254.169.254", self.imds()),
        ])
    }

    /// The key that tokens are signed with, PEM: for whoever verifies them elsewhere.
    pub fn public_key(&self) -> String {
        self.shared.key.public_pem()
    }

    /// An application in [`Azure::TENANT`] that may read the vault: its client id, and a client secret.
    #[track_caller]
    pub fn register_client(&self, client_id: &str) -> String {
        self.register_client_in(Self::TENANT, client_id)
    }

    /// The same in another tenant.
    #[track_caller]
    pub fn register_client_in(&self, tenant: &str, client_id: &str) -> String {
        let secret = format!("{}~+/=&", random_hex(16));
        self.register(tenant, client_id, Credential::Secret(secret.clone()));
        secret
    }

    /// An application that shows a certificate: this key pair's.
    #[track_caller]
    pub fn register_certificate(&self, client_id: &str, pair: &Arc<KeyPair>) {
        self.register(Self::TENANT, client_id, Credential::Certificate(pair.clone()));
    }

    /// An application that trusts this service account of a cluster, by tokens for
    /// [`Azure::FEDERATED_AUDIENCE`].
    #[track_caller]
    pub fn register_federated(&self, client_id: &str, cluster: &Cluster, subject: &str) {
        let credential = Credential::Federated {
            cluster: cluster.clone(),
            subject: subject.into(),
            audience: Self::FEDERATED_AUDIENCE.into(),
        };
        self.register(Self::TENANT, client_id, credential);
    }

    /// A managed identity of the machine. The first one registered is what it is without a `client_id`.
    pub fn register_identity(&self, client_id: &str) {
        self.shared.state().identities.push(client_id.into());
    }

    /// This client or identity still gets tokens, and may read nothing with them.
    pub fn refuse(&self, client_id: &str) {
        self.shared.state().refused.insert(client_id.into());
    }

    #[track_caller]
    fn register(&self, tenant: &str, client_id: &str, credential: Credential) {
        let mut state = self.shared.state();
        assert!(state.tenants.iter().any(|known| known == tenant), "the authority knows no tenant {tenant}");
        let new = || Application { tenant: tenant.into(), credentials: Vec::new() };
        let application = state.applications.entry(client_id.into()).or_insert_with(new);
        assert_eq!(application.tenant, tenant, "{client_id} is registered in one tenant");
        application.credentials.push(credential);
    }

    /// Tokens issued from now on live that long (at first: an hour).
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.shared.state().token_lifetime = lifetime;
    }

    /// No token issued until now is good any more.
    pub fn revoke_tokens(&self) {
        self.shared.state().tokens.clear();
    }

    /// Another cloud's resource: what the challenge names, and what a token must be made for.
    pub fn set_resource(&self, resource: &str) {
        self.shared.state().resource = resource.into();
    }

    /// A new version of a secret, and what it is called. Key Vault holds text alone.
    #[track_caller]
    pub fn put_secret(&self, name: &str, value: impl AsRef<[u8]>) -> String {
        self.put_typed(name, value, None)
    }

    /// The same, with a content type that says what the text is.
    #[track_caller]
    pub fn put_typed(&self, name: &str, value: impl AsRef<[u8]>, content_type: Option<&str>) -> String {
        let value = std::str::from_utf8(value.as_ref()).expect("Key Vault holds text: encode it");
        let put = self.shared.state().store.put(name, value, content_type, Kind::Plain);
        put.unwrap_or_else(|why| panic!("putting {name}: {why}"))
    }

    /// A new version of a certificate, with its key, as a secret of the same name with PEM inside.
    #[track_caller]
    pub fn put_certificate(&self, name: &str, pair: &KeyPair) -> String {
        let value = format!("{}{}", pair.key_pem(), pair.certificate_pem());
        self.put_bundle(name, &value, "application/x-pem-file", pair)
    }

    /// The same as PKCS #12 (without a password), in base64.
    #[track_caller]
    pub fn put_pkcs12(&self, name: &str, pair: &KeyPair) -> String {
        let value = pki::base64(&pair.pkcs12(""));
        self.put_bundle(name, &value, "application/x-pkcs12", pair)
    }

    #[track_caller]
    fn put_bundle(&self, name: &str, value: &str, content_type: &str, pair: &KeyPair) -> String {
        let kind = Kind::Certificate(pair.certificate_der().to_vec());
        let put = self.shared.state().store.put(name, value, Some(content_type), kind);
        put.unwrap_or_else(|why| panic!("putting {name}: {why}"))
    }

    /// Changes the attributes of a version: enables it again, says from when it is good, …
    #[track_caller]
    pub fn set_attributes(&self, name: &str, version: &str, change: impl FnOnce(&mut Attributes)) {
        let mut state = self.shared.state();
        let version = state.store.version_mut(name, Some(version));
        change(&mut version.unwrap_or_else(|| panic!("there is no such version of {name}")).attributes);
    }

    /// Disables a version: it can be listed and no longer read.
    #[track_caller]
    pub fn disable(&self, name: &str, version: &str) {
        self.set_attributes(name, version, |attributes| attributes.enabled = false);
    }

    /// Says when a version expires. Key Vault serves it all the same.
    #[track_caller]
    pub fn set_expiry(&self, name: &str, version: &str, end: SystemTime) {
        self.set_attributes(name, version, |attributes| attributes.expires = Some(seconds(end)));
    }

    /// Deletes a secret with all its versions; it can still be recovered.
    #[track_caller]
    pub fn delete(&self, name: &str) {
        assert!(self.shared.state().store.delete(name, now()), "there is no secret {name} to delete");
    }

    /// Destroys a secret with all its versions: deleted, and purged.
    #[track_caller]
    pub fn destroy(&self, name: &str) {
        let mut state = self.shared.state();
        assert!(state.store.delete(name, now()), "there is no secret {name} to delete");
        state.store.purge(name);
    }

    /// Nobody may read this secret any more, whether it exists or not.
    pub fn deny(&self, name: &str) {
        self.shared.state().store.denied.insert(name.to_ascii_lowercase());
    }

    /// Whoever has a token may read this secret again.
    pub fn allow(&self, name: &str) {
        self.shared.state().store.denied.remove(&name.to_ascii_lowercase());
    }

    /// The vault answers the next `count` requests that bring a good token with 429.
    pub fn throttle(&self, count: u32, retry_after: Duration) {
        self.shared.state().throttled = (count, retry_after);
    }

    /// The most that a page of a listing holds (at first, and at most: 25).
    pub fn set_page(&self, most: usize) {
        self.shared.state().page = most.clamp(1, vault::MOST_PER_PAGE);
    }

    /// Spoils the vault's next answer that is no challenge. Several wait for one answer each.
    pub fn fail_next(&self, fault: Fault) {
        self.vault.fail_next(fault);
    }

    /// The same for any part.
    #[track_caller]
    pub fn fail_next_at(&self, part: Part, fault: Fault) {
        let server = match part {
            Part::Vault => &self.vault,
            Part::Authority => &self.authority,
            Part::Imds => &self.imds,
            Part::AppService => &self.app_service,
            other => panic!("{other:?} is no part of Azure"),
        };
        server.fail_next(fault);
    }

    /// Keeps the vault's answers about this secret back.
    pub fn hold(&self, name: &str) -> Held {
        self.vault.hold(&format!("/secrets/{name}/"))
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

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}
