//! Certificates and signed tokens, made for one test.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::tmpfs::{Folder, tmpfs};
use crate::vault;
use crate::vault::PkiMount;

/// SubjectPublicKeyInfo of an uncompressed point on P-256 (RFC 5480), but for the point.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A certificate authority, played by a PKI mount of the shared Vault.
#[derive(Debug)]
pub struct Authority {
    mount: PkiMount<'static>,
    issue: String,
    folder: Folder,
}

/// A certificate in files, for a server or a client.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let mount = vault().pki_mount(name);
        let issue = mount.role("any", json!({}));
        let folder = tmpfs();
        std::fs::write(folder.join("ca.pem"), &mount.ca).expect("a fresh folder of ours");
        Self { mount, issue, folder }
    }

    /// Its own certificate, PEM.
    pub fn ca(&self) -> &str {
        &self.mount.ca
    }

    /// The file of its own certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Signs for a name, `localhost` and 127.0.0.1. Issued again, the files are replaced.
    #[track_caller]
    pub fn issue(&self, common_name: &str) -> Certificate {
        let data = json!({ "common_name": common_name, "alt_names": "localhost", "ip_sans": "127.0.0.1" });
        self.issue_with(common_name, data)
    }

    /// Signs what `data` says (as for `pki/issue/:name`), into files named after `name`.
    #[track_caller]
    pub fn issue_with(&self, name: &str, data: Value) -> Certificate {
        let made = vault().write(&self.issue, data);
        let write = |field: &str, ending: &str| {
            let path = self.folder.join(format!("{name}{ending}"));
            std::fs::write(&path, made["data"][field].as_str().expect("it is text"))
                .expect("a folder of ours");
            path
        };
        Certificate { certificate: write("certificate", ".pem"), key: write("private_key", "-key.pem") }
    }
}

/// Whether a private key is that of a certificate, both PEM: for EC keys on P-256 in PKCS #8
/// (`private_key_format: pkcs8`).
///
/// # Errors
/// What is wrong, where they are not a pair.
pub fn is_pair(certificate: &str, key: &str) -> Result<(), String> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(key)?, &SystemRandom::new())
        .map_err(|why| format!("the key: {why}"))?;
    let public = [&SPKI, pair.public_key().as_ref()].concat();
    match der(certificate)?.windows(public.len()).any(|part| part == public) {
        true => Ok(()),
        false => Err("the certificate has another public key".to_owned()),
    }
}

fn der(pem: &str) -> Result<Vec<u8>, String> {
    let lines = pem.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let body: String = lines.take_while(|line| !line.starts_with("-----END")).collect();
    STANDARD.decode(body).map_err(|why| format!("no PEM: {why}"))
}

/// Signs JSON Web Tokens with ES256, as a cluster signs those of its service accounts.
#[derive(Debug)]
pub struct TokenSigner {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl TokenSigner {
    /// Makes a key.
    #[allow(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("the system has random bytes");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("it was just made");
        Self { pair, random }
    }

    /// The public key, PEM: for `jwt_validation_pubkeys` or `pem_keys`.
    pub fn public_key(&self) -> String {
        let encoded = STANDARD.encode([&SPKI, self.pair.public_key().as_ref()].concat());
        let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({ "alg": "ES256", "typ": "JWT" })), encode(claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).expect("the system has random bytes");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::vault::{Tls, Vault, VaultConfig, unique};

    #[test]
    fn a_key_belongs_to_its_own_certificate_alone() {
        let authority = Authority::new("pair");
        let issue = |name: &str| {
            let data = json!({ "common_name": name, "private_key_format": "pkcs8" });
            let made = authority.issue_with(name, data);
            [made.certificate, made.key].map(|file| std::fs::read_to_string(file).unwrap())
        };
        let (one, other) = (issue("one.test"), issue("other.test"));
        assert_eq!(is_pair(&one[0], &one[1]), Ok(()));
        assert!(is_pair(&one[0], &other[1]).is_err());
        assert!(is_pair(&one[0], "torn").is_err());
    }

    #[test]
    fn vault_serves_tls_with_a_certificate_of_ours() {
        let authority = Authority::new("tls");
        let Certificate { certificate, key } = authority.issue("vault.test");
        let vault = Vault::own(VaultConfig::default().tls(Tls { certificate, key, client_ca: None }));
        // It waits for a TLS greeting: what it makes of plain HTTP says that it does.
        let request = crate::http::Request {
            method: "GET".into(),
            path: "/v1/sys/health".into(),
            ..Default::default()
        };
        let answer = crate::http::send(vault.tls_address(), &request).unwrap();
        assert_eq!(answer.status, 400);
        assert!(String::from_utf8_lossy(&answer.body).contains("HTTPS"));
    }

    #[test]
    fn vault_accepts_a_token_of_ours_and_refuses_a_strangers() {
        let (ours, strangers) = (TokenSigner::new(), TokenSigner::new());
        let mount = vault().auth_mount("jwt", "signed");
        vault()
            .write(&format!("auth/{mount}/config"), json!({ "jwt_validation_pubkeys": [ours.public_key()] }));
        let role = json!({ "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"] });
        vault().write(&format!("auth/{mount}/role/web"), role);

        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "sub": unique("web"), "aud": "vault", "iat": now, "exp": now + 60 });
        let login = |token| {
            vault().client("").write(&format!("auth/{mount}/login"), &json!({ "role": "web", "jwt": token }))
        };
        assert!(login(ours.sign(&claims)).unwrap()["auth"]["client_token"].is_string());
        assert_eq!(login(strangers.sign(&claims)).unwrap_err().status, 400);
    }
}
