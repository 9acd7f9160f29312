//! What the settings say of themselves, for people, and what grants it all.

use leasehold_core::{Character, Grants, Nature, Portrait, SecretRef};

use crate::config::Settings;
use crate::reference::Resource;
use crate::store::grant;

/// Store, credentials, session.
pub(crate) fn portrait(settings: &Settings) -> Portrait {
    let mut store = "Google Secret Manager".to_owned();
    if let Some(endpoint) = &settings.endpoint {
        store.push_str(&format!(" at {endpoint}"));
    }
    match &settings.project {
        Some(project) => store.push_str(&format!(", project {project}")),
        None => store.push_str(", in the project of the credentials"),
    }
    if let Some(location) = &settings.location {
        store.push_str(&format!(", location {location}"));
    }
    let (from, account) = settings.sources.portrait();
    let login = account.map_or_else(|| from.clone(), |account| format!("{from}, acting as {account}"));
    let session = "The log-in brings an access token, which is replaced by a new one before its end. It cannot be \
                   revoked";
    Portrait { store, login, session: session.to_owned() }
}

/// What a secret is.
pub(crate) fn character(reference: &SecretRef) -> Character {
    let words = match reference.version.as_deref() {
        None | Some("latest") => "the latest version of a secret, read at each poll",
        Some(_) => "one version of a secret, read at each poll",
    };
    Character::new(Nature::Kept, words)
}

/// A command for each secret.
pub(crate) fn grants(settings: &Settings, references: &[&SecretRef]) -> Grants {
    let (_, account) = settings.sources.portrait();
    let mut commands: Vec<String> = references
        .iter()
        .filter_map(|reference| {
            let project = settings.project.as_deref().or(Some("PROJECT"));
            let resource = Resource::parse(&reference.path, project, settings.location.as_deref())?;
            Some(grant(&resource, account))
        })
        .collect();
    commands.dedup();
    let mut notes = Vec::new();
    if account.is_none() {
        notes.push("MEMBER is whom the credentials belong to, such as serviceAccount:NAME@PROJECT.iam.gserviceaccount.com.".to_owned());
    }
    let language = "the role roles/secretmanager.secretAccessor on each secret".to_owned();
    Grants { language, text: commands.join("\n"), notes }
}

#[cfg(test)]
mod tests {
    use leasehold_core::{Environment, ProviderSettings as _};
    use serde_json::json;

    use super::*;

    #[test]
    fn each_secret_has_its_command_and_the_account_where_it_is_known() {
        let raw = json!({ "project": "app", "impersonate": "web@app.iam.gserviceaccount.com" });
        let raw = serde_json::from_value(raw).unwrap();
        let settings = Settings::parse("gcp", raw, &Environment::default()).unwrap();
        let at = |path: &str| SecretRef { path: path.to_owned(), ..SecretRef::default() };
        let (one, two) = (at("one"), at("projects/other/secrets/two"));
        let text = grants(&settings, &[&one, &two]).text;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains(" one --project=app --member=serviceAccount:web@app"), "{text}");
        assert!(lines[1].contains(" two --project=other "), "{text}");
        assert!(portrait(&settings).login.contains("acting as web@app"));
    }
}
