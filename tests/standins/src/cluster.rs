//! An issuer of projected service-account tokens, as a Kubernetes cluster is one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_harness::tmpfs::{Folder, tmpfs};
use serde_json::json;

use crate::jwt::{Jwt, now, random_hex, sign};
use crate::pki::KeyPair;

/// A cluster: its issuer, and the key that it signs with.
#[derive(Clone)]
pub struct Cluster {
    issuer: String,
    key: Arc<KeyPair>,
    folder: Arc<Folder>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Cluster({})", self.issuer)
    }
}

impl Cluster {
    /// One with this issuer (a URL), and a key of its own.
    #[track_caller]
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            key: Arc::new(KeyPair::new("service accounts")),
            folder: Arc::new(tmpfs()),
        }
    }

    /// `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token of this service account (`system:serviceaccount:NAMESPACE:NAME`), good from now on.
    pub fn token(&self, subject: &str, audience: &str, lifetime: Duration) -> String {
        let now = now();
        let claims = json!({
            "iss": self.issuer, "sub": subject, "aud": [audience], "jti": random_hex(16),
            "iat": now, "nbf": now, "exp": now + lifetime.as_secs(),
        });
        sign(&self.key, &[("kid", "cluster")], &claims)
    }

    /// Writes such a token where a kubelet would put it: `token` behind `..data`, which a further call swaps
    /// at once, as a kubelet does. The file's path is always the same.
    #[track_caller]
    pub fn project(&self, token: &str) -> PathBuf {
        let file = self.folder.join("token");
        let dated = format!("..{}", random_hex(8));
        self.folder_of(&dated, token);
        let link = |target: &str, at: &Path| {
            std::os::unix::fs::symlink(target, at).expect("a folder of ours");
        };
        link(&dated, &self.folder.join("..data_tmp"));
        std::fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))
            .expect("a folder of ours");
        if !file.exists() {
            link("..data/token", &file);
        }
        file
    }

    fn folder_of(&self, name: &str, token: &str) {
        let dated = self.folder.join(name);
        std::fs::create_dir(&dated).expect("a folder of ours");
        std::fs::write(dated.join("token"), token).expect("a folder of ours");
    }

    /// The token, if it is one of ours and good now.
    pub(crate) fn verify(&self, token: &str) -> Option<Jwt> {
        let token = Jwt::parse(token)?;
        let good = token.is_signed_by(&self.key)
            && token.claim("iss") == Some(&self.issuer)
            && token.time("exp").is_some_and(|end| now() < end);
        good.then_some(token)
    }
}
