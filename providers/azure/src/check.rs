//! What our identity may not do, and the command that grants it. A vault has no question for that
//! but the read itself.

use leasehold_core::{Error, Kind, MissingRight, SecretRef, Session};

use crate::auth::Auth;
use crate::error::Site;
use crate::fetch::Vault;
use crate::reference::Item;

/// The right to read one secret, where it is missing.
pub(crate) async fn check(
    vault: &Vault,
    auth: &Auth,
    session: &Session,
    reference: &SecretRef,
    site: &Site<'_>,
) -> Result<Vec<MissingRight>, Error> {
    let item = Item::parse(&reference.path).map_err(|why| site.error(Kind::Invalid, why))?;
    match vault.read(session, item, reference, site).await {
        Ok(_) => Ok(Vec::new()),
        // Network rules and policies are no right that could be granted.
        Err(error) if error.kind == Kind::Denied && error.detail.contains(ROLE) => Ok(vec![MissingRight {
            path: format!("secrets/{}", item.name()),
            capabilities: vec!["get".to_owned()],
            purpose: match item {
                Item::Secret(_) => "to read the secret".to_owned(),
                Item::Certificate(_) => "to read the certificate with its key, which is a secret".to_owned(),
            },
            required: true,
            remedy: remedy(vault.address.vault(), item.name(), auth.client()),
        }]),
        Err(error) => Err(error),
    }
}

/// The role that reads secrets and no more.
pub(crate) const ROLE: &str = "Key Vault Secrets User";

/// For this secret alone; the scope without its last part is the whole vault.
pub(crate) fn remedy(vault: &str, name: &str, client: Option<&str>) -> String {
    let who = client.unwrap_or("OUR_IDENTITY");
    format!(
        "az role assignment create --role \"{ROLE}\" --assignee {who} --scope \"$(az keyvault show --name \
         {vault} --query id --output tsv)/secrets/{name}\""
    )
}
