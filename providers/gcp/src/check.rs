//! What we may not do with a secret, and what an administrator types to let us. Reads nothing.

use leasehold_core::{Error, MissingRight, SecretRef, Session};
use serde::Deserialize;
use serde_json::json;

use crate::api::Ask;
use crate::store::{Store, grant};

const ACCESS: &str = "secretmanager.versions.access";

#[derive(Deserialize)]
struct Tested {
    /// Those that we have; left out where there are none.
    #[serde(default)]
    permissions: Vec<String>,
}

/// The right to read one secret, where it is missing.
pub(crate) async fn check(
    store: &Store,
    ask: &Ask<'_>,
    session: &Session,
    reference: &SecretRef,
) -> Result<Vec<MissingRight>, Error> {
    let site = store.api.site(ask);
    let resource = store.locate(ask, reference).await?;
    let body = json!({ "permissions": [ACCESS] });
    let answer = store.ask(ask, session, &resource, ":testIamPermissions", Some(&body)).await?;
    if !answer.status.is_success() {
        return Err(store.refused(&site, &answer, &resource));
    }
    let Tested { permissions } = answer.read(&site)?;
    if permissions.iter().any(|permission| permission == ACCESS) {
        return Ok(Vec::new());
    }
    let account = account(store, ask).await;
    Ok(vec![MissingRight {
        path: resource.name(),
        capabilities: vec![ACCESS.to_owned()],
        purpose: "to read the secret (Google says the same of one that does not exist)".to_owned(),
        required: true,
        remedy: grant(&resource, account.as_deref()),
    }])
}

/// Whom we act as, where that is known or can be asked.
async fn account(store: &Store, ask: &Ask<'_>) -> Option<String> {
    let sources = &store.settings.sources;
    let credential = sources.read(&store.api.site(ask)).ok()?;
    match credential.account() {
        Some(known) => Some(known.to_owned()),
        None if credential.is_of_the_machine() => {
            let email = sources.metadata().email(&store.api, ask).await.ok()?;
            email.contains('@').then_some(email)
        }
        None => None,
    }
}
