//! Credential files, as Google and gcloud write them. An error names the file and the key that is
//! wrong, never what stands there.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::federation::Federated;
use super::impersonation::{Impersonation, RawImpersonated};
use super::service_account::{RawServiceAccount, ServiceAccount};
use super::user::{RawUser, User};
use super::{Base, Credential};

/// The credential in a file. The error is for a person: which file, and what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Credential, String> {
    let bytes = super::read(path)?;
    parse(&bytes).map_err(|why| format!("the credential file {} {why}", path.display()))
}

/// What every kind of file may say beside its own keys.
#[derive(Deserialize)]
struct Common {
    r#type: String,
    project_id: Option<String>,
    quota_project_id: Option<String>,
}

fn parse(bytes: &[u8]) -> Result<Credential, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| "is not JSON".to_owned())?;
    let Common { r#type: kind, project_id, quota_project_id } =
        keys(&value).map_err(|_| "has no `type`: it is no credential of Google".to_owned())?;
    let mut via = Vec::new();
    let base = match kind.as_str() {
        "impersonated_service_account" => {
            let raw: RawImpersonated = keys(&value)?;
            via.push(Impersonation::parse(&raw)?);
            base(&raw.source_credentials, &mut via)
                .map_err(|why| format!("has source_credentials where it {why}"))?
        }
        _ => base(&value, &mut via)?,
    };
    // Those of the innermost credential come first.
    via.reverse();
    Ok(Credential { base, via, project: project_id, quota_project: quota_project_id })
}

/// The credential itself; what it impersonates on the way is added to `via`.
fn base(value: &Value, via: &mut Vec<Impersonation>) -> Result<Base, String> {
    let Common { r#type: kind, .. } = keys(value).map_err(|_| "has no `type`".to_owned())?;
    match kind.as_str() {
        "service_account" => {
            ServiceAccount::parse(keys::<RawServiceAccount>(value)?).map(Base::ServiceAccount)
        }
        "authorized_user" => User::parse(keys::<RawUser>(value)?).map(Base::User),
        "external_account" => {
            let (federated, hop) = Federated::parse(keys(value)?)?;
            via.extend(hop);
            Ok(Base::Federated(federated))
        }
        _ => Err("is of a type that is not known here: service_account, authorized_user, external_account \
                  and impersonated_service_account are"
            .to_owned()),
    }
}

/// The keys of one kind. Serde's own words may quote a value: only the key is taken from nowhere.
fn keys<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|_| "lacks a key of its type, or has one of another form".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(file: Value) -> String {
        parse(file.to_string().as_bytes()).err().expect("it is refused")
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named_without_what_stands_in_it() {
        let service = json!({ "type": "service_account", "client_email": "a@b", "private_key": "canary" });
        let bad_url = json!({
            "type": "external_account", "audience": "a", "subject_token_type": "t",
            "token_url": "canary", "credential_source": { "file": "/f" },
        });
        let program = json!({
            "type": "external_account", "audience": "a", "subject_token_type": "t",
            "token_url": "https://sts", "credential_source": { "executable": { "command": "canary" } },
        });
        let aws = json!({
            "type": "external_account", "audience": "a", "subject_token_type": "t",
            "token_url": "https://sts", "credential_source": { "environment_id": "aws1" },
        });
        let nested = json!({
            "type": "impersonated_service_account",
            "service_account_impersonation_url": "https://iam/v1/projects/-/serviceAccounts/a@b.iam:generateAccessToken",
            "source_credentials": { "type": "canary" },
        });
        for (file, said) in [
            (json!({ "no": "canary" }), "no `type`"),
            (json!({ "type": "canary" }), "type that is not known"),
            (json!({ "type": "authorized_user", "client_id": "canary" }), "lacks a key"),
            (service, "private_key"),
            (bad_url, "token_url"),
            (program, "executable"),
            (aws, "aws"),
            (nested, "source_credentials"),
        ] {
            let error = refused(file);
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        assert_eq!(parse(b"canary").err().as_deref(), Some("is not JSON"));
    }

    #[test]
    fn a_chain_of_impersonation_begins_at_the_inner_credential() {
        let url = |account: &str| {
            format!("https://iam.example/v1/projects/-/serviceAccounts/{account}@p.iam:generateAccessToken")
        };
        let file = json!({
            "type": "impersonated_service_account",
            "service_account_impersonation_url": url("outer"),
            "quota_project_id": "q",
            "source_credentials": {
                "type": "external_account", "audience": "a", "subject_token_type": "t",
                "token_url": "https://sts.example/v1/token", "credential_source": { "file": "/f" },
                "service_account_impersonation_url": url("inner"),
            },
        });
        let credential = parse(file.to_string().as_bytes()).map_err(|why| panic!("{why}")).unwrap();
        let accounts: Vec<&str> = credential.via.iter().map(Impersonation::account).collect();
        assert_eq!(accounts, ["inner@p.iam", "outer@p.iam"]);
        assert_eq!(credential.account(), Some("outer@p.iam"));
        assert_eq!(credential.quota_project.as_deref(), Some("q"));
    }
}
