//! What a `path` means, and what can be seen to be wrong with a secret before the vault is asked.

use leasehold_core::{Problem, SecretRef};

/// What is read of the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A secret, by its name.
    Secret(&'a str),
    /// A certificate with its key: the secret of the same name.
    Certificate(&'a str),
}

impl<'a> Item<'a> {
    /// `NAME`, `secrets/NAME` or `certificates/NAME`. The error is for a person.
    pub(crate) fn parse(path: &'a str) -> Result<Self, &'static str> {
        let (item, name) = match path.split_once('/') {
            None => (Self::Secret(path), path),
            Some(("secrets", name)) => (Self::Secret(name), name),
            Some(("certificates", name)) => (Self::Certificate(name), name),
            Some(("keys", _)) => {
                return Err("a key of a key vault cannot be read: a certificate with its key is at \
                            certificates/NAME");
            }
            Some(("https:", _)) => return Err("a path is the secret's name alone, not its identifier"),
            Some(_) => {
                return Err("a path is NAME, secrets/NAME or certificates/NAME; a version goes into version");
            }
        };
        if name.contains('/') {
            return Err("a path is NAME, secrets/NAME or certificates/NAME; a version goes into version");
        }
        let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if sound && (1..=127).contains(&name.len()) {
            Ok(item)
        } else {
            Err("a name in a key vault has letters, digits and hyphens, 127 at most")
        }
    }

    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Secret(name) | Self::Certificate(name) => name,
        }
    }
}

/// A version's identifier: never something that would lead elsewhere in a path.
pub(crate) fn is_version(text: &str) -> bool {
    !text.is_empty() && text.len() <= 127 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Every problem of a secret's keys.
pub(crate) fn problems(reference: &SecretRef) -> Vec<Problem> {
    let mut problems = Vec::new();
    let item = Item::parse(&reference.path);
    if let Err(why) = item {
        problems.push(Problem::new("path", why));
    }
    if reference.version.as_deref().is_some_and(|version| !is_version(version)) {
        problems.push(Problem::new("version", "is no version's identifier: it has 32 digits from 0 to f"));
    }
    if reference.key.is_some() && matches!(item, Ok(Item::Certificate(_))) {
        problems.push(Problem::new(
            "key",
            "a certificate has the fields certificate, private_key and ca_chain: name one where it is used",
        ));
    }
    for (key, written) in [
        ("data", reference.data.is_some()),
        ("stage", reference.stage.is_some()),
        ("namespace", reference.namespace.is_some()),
        ("revoke", reference.revoke),
    ] {
        if written {
            problems.push(Problem::new(key, "means nothing to a key vault: leave it out"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(reference: &SecretRef) -> Vec<String> {
        problems(reference).into_iter().map(|problem| problem.key).collect()
    }

    fn at(path: &str) -> SecretRef {
        SecretRef { path: path.to_owned(), ..SecretRef::default() }
    }

    #[test]
    fn a_path_is_a_name_with_or_without_its_collection() {
        assert_eq!(Item::parse("db-1"), Ok(Item::Secret("db-1")));
        assert_eq!(Item::parse("secrets/db-1"), Ok(Item::Secret("db-1")));
        assert_eq!(Item::parse("certificates/web"), Ok(Item::Certificate("web")));
        for path in [
            "",
            "keys/web",
            "db_1",
            "a/b",
            "secrets/",
            "secrets/../certificates/x",
            "secrets/db/0123",
            "https://team.vault.azure.net/secrets/db",
            "db?x",
        ] {
            assert_eq!(keys(&at(path)), ["path"], "{path}");
        }
        assert!(Item::parse(&"a".repeat(128)).is_err());
    }

    #[test]
    fn keys_that_mean_nothing_here_are_problems() {
        let reference = SecretRef {
            version: Some("../x".to_owned()),
            key: Some("a".to_owned()),
            data: Some(serde_json::Map::new()),
            stage: Some("AWSCURRENT".to_owned()),
            namespace: Some("team".to_owned()),
            revoke: true,
            ..at("certificates/web")
        };
        assert_eq!(keys(&reference), ["version", "key", "data", "stage", "namespace", "revoke"]);
        let sound =
            SecretRef { version: Some("0123abcd".to_owned()), key: Some("a.b".to_owned()), ..at("db") };
        assert!(problems(&sound).is_empty());
    }
}
