//! Keys and certificates, made on the spot by `openssl`: the tree has no maker of RSA keys.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leasehold_harness::tmpfs::{Folder, tmpfs};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding,
    RsaKeyPair, UnparsedPublicKey,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::jwt;

/// The names that the servers' certificate is good for, beside 127.0.0.1.
const NAMES: &[&str] = &[
    "localhost",
    "*.vault.azure.net",
    "*.vault.azure.cn",
    "*.vault.usgovcloudapi.net",
    "login.microsoftonline.com",
    "login.chinacloudapi.cn",
    "login.microsoftonline.us",
    "*.googleapis.com",
    "secretmanager.europe-west3.rep.googleapis.com",
];

/// The authority and the certificate that all stand-ins of this process serve with.
pub(crate) struct Served {
    pub(crate) ca: PathBuf,
    pub(crate) config: Arc<ServerConfig>,
    _folder: Folder,
}

/// Made on first use.
#[track_caller]
pub(crate) fn served() -> &'static Served {
    static SERVED: OnceLock<Served> = OnceLock::new();
    SERVED.get_or_init(Served::make)
}

impl Served {
    fn make() -> Self {
        let folder = tmpfs();
        let names: Vec<_> = NAMES.iter().map(|name| format!("DNS:{name}")).collect();
        let config = format!(
            "[req]\ndistinguished_name = name\n[name]\n\
             [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
             subjectKeyIdentifier = hash\n\
             [server]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n\
             extendedKeyUsage = serverAuth\nsubjectAltName = IP:127.0.0.1, {}\n\
             subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n",
            names.join(", ")
        );
        write(&folder.join("openssl.cnf"), config.as_bytes());
        let make = |name: &str, more: &[&str]| {
            let mut command = openssl(&folder, &["req", "-x509", "-config", "openssl.cnf", "-days", "2"]);
            command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
            command.args(["-extensions", name, "-subj", &format!("/CN=stand-in {name}")]);
            command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]).args(more);
            run(command);
        };
        make("ca", &[]);
        make("server", &["-CA", "ca.pem", "-CAkey", "ca.key"]);
        let certificate =
            CertificateDer::from_pem_file(folder.join("server.pem")).expect("openssl writes PEM");
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("openssl writes PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate and its key");
        Self { ca: folder.join("ca.pem"), config: Arc::new(config), _folder: folder }
    }
}

/// What stand-ins sign with themselves. One for all of this process: making it takes long, and a token that
/// another one signed is still none of theirs.
#[track_caller]
pub(crate) fn signer() -> Arc<KeyPair> {
    static SIGNER: OnceLock<Arc<KeyPair>> = OnceLock::new();
    SIGNER.get_or_init(|| Arc::new(KeyPair::new("tokens"))).clone()
}

/// An RSA key of 2048 bits and a certificate that it signed for itself.
pub struct KeyPair {
    key: PathBuf,
    certificate: PathBuf,
    pair: RsaKeyPair,
    der: Vec<u8>,
    folder: Folder,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "KeyPair({})", self.certificate.display())
    }
}

impl KeyPair {
    /// Makes one, named `common_name`.
    #[track_caller]
    pub fn new(common_name: &str) -> Self {
        let folder = tmpfs();
        write(&folder.join("openssl.cnf"), b"[req]\ndistinguished_name = name\n[name]\n");
        let mut command = openssl(&folder, &["req", "-x509", "-config", "openssl.cnf", "-days", "2"]);
        command.args(["-newkey", "rsa:2048", "-nodes", "-subj", &format!("/CN={common_name}")]);
        run({
            command.args(["-keyout", "key.pem", "-out", "certificate.pem"]);
            command
        });
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let private = PrivateKeyDer::from_pem_file(&key).expect("openssl writes PEM");
        let pair = RsaKeyPair::from_pkcs8(private.secret_der()).expect("openssl makes PKCS #8");
        let der = CertificateDer::from_pem_file(&certificate).expect("openssl writes PEM").to_vec();
        Self { key, certificate, pair, der, folder }
    }

    /// The file of the private key, PEM (PKCS #8).
    pub fn key_file(&self) -> &Path {
        &self.key
    }

    /// The private key, PEM (PKCS #8).
    pub fn key_pem(&self) -> String {
        read(&self.key)
    }

    /// The file of the certificate, PEM.
    pub fn certificate_file(&self) -> &Path {
        &self.certificate
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        read(&self.certificate)
    }

    /// The certificate, DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// Key and certificate as PKCS #12, under this password (none: the empty one).
    #[track_caller]
    pub fn pkcs12(&self, password: &str) -> Vec<u8> {
        let mut command = openssl(&self.folder, &["pkcs12", "-export", "-inkey", "key.pem"]);
        command.args(["-in", "certificate.pem", "-passout", &format!("pass:{password}")]);
        run(command)
    }

    /// The public key, PEM (SubjectPublicKeyInfo): for whoever verifies what was signed here.
    #[track_caller]
    pub fn public_pem(&self) -> String {
        let out = run(openssl(&self.folder, &["pkey", "-in", "key.pem", "-pubout"]));
        String::from_utf8(out).expect("openssl writes PEM")
    }

    /// A JSON Web Token with these claims, signed with RS256, and with these headers beside `alg` and `typ`.
    pub fn token(&self, headers: &[(&str, &str)], claims: &serde_json::Value) -> String {
        jwt::sign(self, headers, claims)
    }

    /// The same, signed with PS256.
    pub fn pss_token(&self, headers: &[(&str, &str)], claims: &serde_json::Value) -> String {
        jwt::assemble(&[&[("alg", "PS256")], headers].concat(), claims, |message| {
            self.sign_as(&RSA_PSS_SHA256, message)
        })
    }

    /// PKCS #1 with SHA-256: RS256.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_as(&RSA_PKCS1_SHA256, message)
    }

    fn sign_as(&self, padding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(padding, &random, message, &mut signature).expect("the system has random bytes");
        signature
    }

    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let public: &[u8] = self.pair.public().as_ref();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(message, signature).is_ok()
    }

    /// The same with PSS: PS256.
    pub(crate) fn has_signed_with_pss(&self, message: &[u8], signature: &[u8]) -> bool {
        let public: &[u8] = self.pair.public().as_ref();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public).verify(message, signature).is_ok()
    }

    /// Modulus and exponent, for a JSON Web Key.
    pub(crate) fn components(&self) -> (Vec<u8>, Vec<u8>) {
        let parts = PublicKeyComponents::<Vec<u8>>::from(self.pair.public());
        (parts.n, parts.e)
    }
}

/// PEM of a body.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn openssl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments);
    command
}

#[track_caller]
fn run(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("openssl, which makes test keys: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a fresh folder of ours");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("we wrote it")
}
