//! What the settings say of themselves, for people, and the IAM policy of a whole configuration.

use std::collections::BTreeSet;

use leasehold_core::{Character, Grants, Nature, Portrait, SecretRef};

use crate::check::{reads_parameter, reads_secret, statement};
use crate::config::Settings;
use crate::{parameters, secrets};

/// Store, credentials, session.
pub(crate) fn portrait(settings: &Settings, store: &str) -> Portrait {
    let places: Vec<String> = settings
        .places
        .iter()
        .map(|place| {
            let region = place.region.as_deref().unwrap_or("the region that the SDK finds");
            match &place.endpoint {
                None => region.to_owned(),
                Some(endpoint) => format!("{region} (at {endpoint})"),
            }
        })
        .collect();
    let mut store = format!("{store} in {}", places[0]);
    if places.len() > 1 {
        store.push_str(&format!(", and while that does not answer in {}", places[1..].join(", ")));
    }
    let chain = &settings.chain;
    let profile = chain.profile.as_deref().or(chain.environment.value("AWS_PROFILE"));
    let mut login = match profile {
        None => {
            "as whom the SDK's default chain of credentials finds (environment, profile, web identity, EKS \
                 Pod Identity, ECS, instance metadata)"
                .to_owned()
        }
        Some(profile) => format!("as whom the profile {profile} says"),
    };
    if let Some(role) = &chain.role {
        login.push_str(&format!(", and with that as {} (session {})", role.arn, role.session_name));
    }
    let session = "There is no log-in: each request is signed, and the SDK replaces its credentials in time. \
                   Nothing is left there that could be revoked";
    Portrait { store, login, session: session.to_owned() }
}

/// What a secret of Secrets Manager is.
pub(crate) fn of_secrets_manager(reference: &SecretRef) -> Character {
    let words = match secrets::is_current(reference) {
        true => "a secret that is read anew at each poll, up to 20 in one request",
        false => "one version of a secret, read in a request of its own at each poll",
    };
    Character::new(Nature::Kept, words)
}

/// What a parameter is.
pub(crate) fn of_parameter_store(reference: &SecretRef) -> Character {
    let words = match parameters::is_tree(reference) {
        true => "all parameters below a path, each a field",
        false => "a parameter, decrypted where it is a SecureString",
    };
    Character::new(Nature::Kept, words)
}

/// The least that IAM has to allow.
pub(crate) fn grants_of_secrets_manager(settings: &Settings, references: &[&SecretRef]) -> Grants {
    let mut statements = read_by(references, reads_secret);
    let mut notes = Vec::new();
    if references.iter().filter(|reference| secrets::is_current(reference)).count() > 1 {
        statements.push(statement(&[secrets::GET_BATCH], "*"));
        notes.push(format!(
            "{} is optional: without it each secret costs a request of its own per poll.",
            secrets::GET_BATCH
        ));
    }
    policy(settings, &statements, notes)
}

/// The same for parameters.
pub(crate) fn grants_of_parameter_store(settings: &Settings, references: &[&SecretRef]) -> Grants {
    policy(settings, &read_by(references, reads_parameter), Vec::new())
}

/// A statement for each, each once.
fn read_by(references: &[&SecretRef], reads: fn(&SecretRef) -> (&'static str, String)) -> Vec<String> {
    let wanted: BTreeSet<_> = references.iter().map(|reference| reads(reference)).collect();
    wanted.iter().map(|(action, resource)| statement(&[action], resource)).collect()
}

fn policy(settings: &Settings, statements: &[String], mut notes: Vec<String>) -> Grants {
    let indented = |statement: &String| {
        let lines: Vec<String> = statement.lines().map(|line| format!("    {line}")).collect();
        lines.join("\n")
    };
    let statements: Vec<String> = statements.iter().map(indented).collect();
    let text = format!(
        "{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{}\n  ]\n}}",
        statements.join(",\n")
    );
    notes.push(
        "A `*` for the region or account is the place to write yours. Where a secret is encrypted with a key of your \
         own, kms:Decrypt on that key is needed, too."
            .to_owned(),
    );
    if let Some(role) = &settings.chain.role {
        notes.push(format!(
            "The policy is that of {}. Whoever we are before that needs sts:AssumeRole on it, and its trust policy \
             has to name us.",
            role.arn
        ));
    }
    Grants { language: "a policy of IAM".to_owned(), text, notes }
}

#[cfg(test)]
mod tests {
    use leasehold_core::{Environment, ProviderSettings as _};

    use super::*;
    use crate::config::{ParameterStore, Raw, SecretsManager};

    fn at(path: &str) -> SecretRef {
        SecretRef { name: "s".to_owned(), path: path.to_owned(), ..SecretRef::default() }
    }

    #[test]
    fn a_policy_is_json_with_each_resource_once_and_batches_only_where_there_are_two() {
        let raw = Raw { region: Some("eu-west-1".to_owned()), ..Raw::default() };
        let settings = SecretsManager::parse("aws", raw, &Environment::default()).unwrap();
        let (one, two) = (at("prod/one"), at("prod/two"));
        let read = |grants: Grants| serde_json::from_str::<serde_json::Value>(&grants.text).unwrap();
        let single = read(settings.grants(&[&one, &one]));
        assert_eq!(single["Statement"].as_array().unwrap().len(), 2, "{single}");
        assert_eq!(single["Statement"][0]["Resource"], "arn:aws:secretsmanager:*:*:secret:prod/one-??????");
        let both = settings.grants(&[&one, &two]);
        assert!(both.notes.iter().any(|note| note.contains(secrets::GET_BATCH)), "{both:?}");
        assert_eq!(read(both)["Statement"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_tree_of_parameters_has_an_action_of_its_own() {
        let settings = ParameterStore::parse("ssm", Raw::default(), &Environment::default()).unwrap();
        let text = settings.grants(&[&at("/prod/db"), &at("/prod/")]).text;
        assert!(text.contains("\"ssm:GetParameters\""), "{text}");
        assert!(text.contains("\"ssm:GetParametersByPath\""), "{text}");
        assert!(text.contains("arn:aws:ssm:*:*:parameter/prod/*"), "{text}");
    }
}
