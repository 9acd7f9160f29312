//! What the settings say of themselves, for people, and what grants it all.

use leasehold_core::{Character, Grants, Nature, Portrait, SecretRef};

use crate::check::{ROLE, remedy};
use crate::config::Settings;
use crate::reference::Item;

/// Store, credentials, session.
pub(crate) fn portrait(settings: &Settings) -> Portrait {
    let session = "The log-in brings an access token, which is replaced by a new one before its end. It cannot be \
                   revoked";
    Portrait {
        store: format!("Azure Key Vault at {}", settings.address.shown()),
        login: settings.auth.portrait(),
        session: session.to_owned(),
    }
}

/// What a secret is.
pub(crate) fn character(reference: &SecretRef) -> Character {
    let words = match Item::parse(&reference.path) {
        Ok(Item::Certificate(_)) => "a certificate with its key, read at each poll",
        _ => "a secret, read at each poll",
    };
    Character::new(Nature::Kept, words)
}

/// A command for each secret.
pub(crate) fn grants(settings: &Settings, references: &[&SecretRef]) -> Grants {
    let client = settings.auth.client();
    let mut commands: Vec<String> = references
        .iter()
        .filter_map(|reference| Item::parse(&reference.path).ok())
        .map(|item| remedy(settings.address.vault(), item.name(), client))
        .collect();
    commands.dedup();
    let mut notes = Vec::new();
    if client.is_none() {
        notes.push("OUR_IDENTITY is the object id of the identity that we log in as.".to_owned());
    }
    let language = format!("the role {ROLE} on each secret");
    Grants { language, text: commands.join("\n"), notes }
}

#[cfg(test)]
mod tests {
    use leasehold_core::{Environment, ProviderSettings as _};
    use serde_json::json;

    use super::*;

    #[test]
    fn each_secret_has_its_command_and_no_credential_is_said() {
        let auth = json!({ "client_id": "11111111-2222-3333-4444-555555555555", "client_secret": "canary" });
        let raw = json!({ "address": "https://team.vault.azure.net", "auth": auth });
        let raw = serde_json::from_value(raw).unwrap();
        let settings = Settings::parse("azure", raw, &Environment::default()).unwrap();
        let at = |path: &str| SecretRef { path: path.to_owned(), ..SecretRef::default() };
        let text = grants(&settings, &[&at("db"), &at("certificates/web")]).text;
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("--assignee 11111111-2222-3333-4444-555555555555"), "{text}");
        assert!(text.contains("/secrets/web"), "{text}");
        let login = portrait(&settings).login;
        assert!(login.contains("client secret of the configuration") && !login.contains("canary"), "{login}");
    }
}
