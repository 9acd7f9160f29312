//! Who may read the secrets, and what each of them logs in with.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Google;
use super::principals::ServiceAccount;
use crate::cluster::Cluster;
use crate::jwt::random_hex;
use crate::pki::KeyPair;

impl Google {
    /// A service account of the project, called `NAME@PROJECT.iam.gserviceaccount.com`, that may read the
    /// secrets; its e-mail address. Its key is made on the spot.
    #[track_caller]
    pub fn register_service_account(&self, name: &str) -> String {
        let email = format!("{name}@{}.iam.gserviceaccount.com", Self::PROJECT);
        let account = ServiceAccount { key: Arc::new(KeyPair::new(name)), key_id: random_hex(20) };
        let mut state = self.shared.state();
        state.accounts.insert(email.clone(), account);
        state.readers.insert(email.clone());
        email
    }

    /// The key of a service account as the console hands it out: what `GOOGLE_APPLICATION_CREDENTIALS` holds.
    #[track_caller]
    pub fn service_account_key(&self, email: &str) -> Value {
        let state = self.shared.state();
        let account = state.accounts.get(email).unwrap_or_else(|| panic!("{email} is not registered"));
        json!({
            "type": "service_account", "project_id": Self::PROJECT, "private_key_id": account.key_id,
            "private_key": account.key.key_pem(), "client_email": email, "client_id": "104728356190283746501",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": state.token_uri,
            "universe_domain": "googleapis.com",
        })
    }

    /// A JSON Web Token that a service account signs with its key.
    #[track_caller]
    pub fn sign_as(&self, email: &str, claims: &Value) -> String {
        let account = self.shared.state().accounts.get(email).cloned();
        let account = account.unwrap_or_else(|| panic!("{email} is not registered"));
        account.key.token(&[("kid", &account.key_id)], claims)
    }

    /// [`Google::service_account_key`] in a file of its own.
    #[track_caller]
    pub fn service_account_file(&self, email: &str) -> PathBuf {
        self.file("service-account", &self.service_account_key(email))
    }

    /// A refresh token of a person who may read the secrets, as `gcloud auth application-default login` leaves
    /// it (`type: authorized_user`).
    #[track_caller]
    pub fn register_user(&self, email: &str) -> Value {
        let (id, secret) = (format!("{}.apps.googleusercontent.com", random_hex(8)), random_hex(12));
        let refresh = format!("1//{}", random_hex(24));
        let known = (id.clone(), secret.clone(), email.to_owned());
        let mut state = self.shared.state();
        state.refresh.insert(refresh.clone(), known);
        state.readers.insert(email.to_owned());
        json!({
            "type": "authorized_user", "client_id": id, "client_secret": secret, "refresh_token": refresh,
            "quota_project_id": Self::PROJECT, "universe_domain": "googleapis.com",
        })
    }

    /// A subject of a cluster that may read the secrets through a workload identity pool: the provider's full
    /// name, which is the audience of the exchange. Its tokens must be made for that name, with or without
    /// `https:` before it.
    #[track_caller]
    pub fn register_federated(&self, cluster: &Cluster, subject: &str) -> String {
        let number = Self::PROJECT_NUMBER;
        let provider = format!(
            "//iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/pool/providers/cluster"
        );
        let mut state = self.shared.state();
        let clusters = state.pools.entry(provider.clone()).or_default();
        if !clusters.iter().any(|known| known.issuer() == cluster.issuer()) {
            clusters.push(cluster.clone());
        }
        let principal = Self::federated_principal(subject);
        state.conditions.insert(principal.clone());
        state.readers.insert(principal);
        provider
    }

    /// This principal (an e-mail address, or [`Google::federated_principal`]) still gets tokens, and may read
    /// nothing with them.
    pub fn refuse(&self, principal: &str) {
        self.shared.state().readers.remove(principal);
    }

    /// What a federated subject is called where it is given rights.
    pub fn federated_principal(subject: &str) -> String {
        let number = Self::PROJECT_NUMBER;
        format!(
            "principal://iam.googleapis.com/projects/{number}/locations/global/workloadIdentityPools/pool\
             /subject/{subject}"
        )
    }

    /// Lets a principal act as a service account: the role `iam.serviceAccountTokenCreator` on it.
    pub fn let_impersonate(&self, principal: &str, email: &str) {
        self.shared.state().impersonators.push((principal.into(), email.into()));
    }

    /// The service account that the machine runs as.
    #[track_caller]
    pub fn register_machine(&self, email: &str) {
        let mut state = self.shared.state();
        assert!(state.accounts.contains_key(email), "{email} is not registered");
        state.machine = Some(email.into());
    }

    #[track_caller]
    fn file(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.folder.join(format!("{name}-{}.json", random_hex(4)));
        std::fs::write(&path, content.to_string()).expect("a folder of ours");
        path
    }
}
