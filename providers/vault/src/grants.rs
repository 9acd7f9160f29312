//! The whole policy of a configuration, before any store is asked: what kind a mount is, its path has to tell.

use std::collections::BTreeMap;

use leasehold_core::{Grants, SecretRef};

use crate::auth::Method;
use crate::config::Settings;
use crate::mounts::Mount;
use crate::rights::{self, Right};

/// A comment's width, so that a policy fits a terminal.
const WIDTH: usize = 76;

/// The least that the store has to grant for these secrets.
pub(crate) fn of(settings: &Settings, references: &[&SecretRef]) -> Grants {
    let mut policy = Policy::default();
    let mut notes = vec![carrier(settings)];
    let login = settings.auth.namespace(settings.namespace.as_deref());
    for reference in references {
        let own = settings.namespace_of(reference.namespace.as_deref());
        let Some(prefix) = below(login, own) else {
            notes.push(format!(
                "Secret {} lies in namespace {}, which is not below that of the log-in ({}): no policy of the \
                 log-in reaches it.",
                reference.name,
                own.unwrap_or("root"),
                login.unwrap_or("root"),
            ));
            continue;
        };
        let mount = Mount::supposed(&reference.path);
        for right in rights::of_secret(&mount, reference) {
            let stanza = right.remedy(&mount).replace("path \"", &format!("path \"{prefix}"));
            policy.add(&right, stanza, Some(&reference.name));
        }
    }
    let given = matches!(settings.auth.method, Method::Token(_));
    for right in rights::of_session() {
        // A token that was given is never revoked.
        if given && right.path == "auth/token/revoke-self" {
            continue;
        }
        let stanza = right.remedy(&Mount::supposed(&right.path));
        policy.add(&right, stanza, None);
    }
    Grants { language: "a policy of Vault or OpenBao".to_owned(), text: policy.text(), notes }
}

/// Who has to carry it.
fn carrier(settings: &Settings) -> String {
    match &settings.auth.method {
        Method::Token(_) => "The token that is given has to carry it.".to_owned(),
        _ => format!(
            "The log-in itself needs no policy: the role or user at auth/{} has to carry this one \
             (token_policies).",
            settings.auth.mount
        ),
    }
}

/// What stands before a path of `own` in a policy of `login`. `None`: it is not below it.
fn below(login: Option<&str>, own: Option<&str>) -> Option<String> {
    match (login, own) {
        (login, own) if login == own => Some(String::new()),
        (None, Some(own)) => Some(format!("{own}/")),
        (Some(login), Some(own)) => {
            let rest = own.strip_prefix(login)?.strip_prefix('/')?;
            Some(format!("{rest}/"))
        }
        (_, None) => None,
    }
}

/// Stanzas, each once, with who wants them for what.
#[derive(Default)]
struct Policy(BTreeMap<Part, Vec<(String, Vec<Wish>)>>);

/// A purpose, and the secrets that have it.
struct Wish {
    purpose: &'static str,
    secrets: Vec<String>,
}

/// How a policy is divided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Required,
    Optional,
    Default,
}

impl Part {
    fn heading(self) -> &'static str {
        match self {
            Self::Required => "Without these it does not work.",
            Self::Optional => "Without these it works less well, as each line says.",
            Self::Default => {
                "The server's default policy grants these already. They are needed here only where a role \
                 takes that policy away (token_no_default_policy)."
            }
        }
    }
}

impl Policy {
    fn add(&mut self, right: &Right, stanza: String, secret: Option<&str>) {
        let part = match right {
            Right { by_default: true, .. } => Part::Default,
            Right { required: true, .. } => Part::Required,
            Right { .. } => Part::Optional,
        };
        let stanzas = self.0.entry(part).or_default();
        let at = stanzas.iter().position(|(known, _)| *known == stanza).unwrap_or_else(|| {
            stanzas.push((stanza, Vec::new()));
            stanzas.len() - 1
        });
        let wishes = &mut stanzas[at].1;
        let at = wishes.iter().position(|wish| wish.purpose == right.purpose).unwrap_or_else(|| {
            wishes.push(Wish { purpose: right.purpose, secrets: Vec::new() });
            wishes.len() - 1
        });
        wishes[at].secrets.extend(secret.map(str::to_owned));
    }

    fn text(&self) -> String {
        let mut blocks = Vec::new();
        for (part, stanzas) in &self.0 {
            blocks.push(comment(part.heading()));
            for (stanza, wishes) in stanzas {
                let mut block = String::new();
                for Wish { purpose, secrets } in wishes {
                    let line = match secrets.as_slice() {
                        [] => (*purpose).to_owned(),
                        secrets => format!("{}: {purpose}", secrets.join(", ")),
                    };
                    block.push_str(&comment(&line));
                    block.push('\n');
                }
                block.push_str(stanza);
                blocks.push(block);
            }
        }
        blocks.join("\n\n")
    }
}

/// Lines that begin with `# `.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        let fits = lines.last().is_some_and(|line| line.len() == 1 || line.len() + 1 + word.len() <= WIDTH);
        if !fits {
            lines.push(String::from("#"));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use leasehold_core::{Environment, ProviderSettings as _};
    use serde_json::json;

    use super::*;

    fn grants(auth: serde_json::Value, namespace: &str, references: &[SecretRef]) -> Grants {
        let raw = json!({ "address": "https://vault:8200", "namespace": namespace, "auth": auth });
        let raw = serde_json::from_value(raw).unwrap();
        let settings = Settings::parse("vault", raw, &Environment::default()).unwrap();
        of(&settings, &references.iter().collect::<Vec<_>>())
    }

    fn at(name: &str, path: &str) -> SecretRef {
        SecretRef { name: name.to_owned(), path: path.to_owned(), ..SecretRef::default() }
    }

    #[test]
    fn each_stanza_stands_once_with_everybody_who_wants_it() {
        let mut cert = at("cert", "pki/issue/web");
        cert.data = Some(serde_json::Map::new());
        cert.revoke = true;
        let secrets =
            [at("a", "database/creds/web"), at("b", "database/creds/web"), cert, at("kv", "kv/app")];
        let text = grants(json!({ "method": "kubernetes", "role": "web" }), "", &[]).text;
        assert!(!text.contains("sys/leases"), "{text}");
        let given = json!({ "method": "kubernetes", "role": "web" });
        let text = grants(given, "", &secrets).text;
        let count = |what: &str| text.matches(&format!("path \"{what}\"")).count();
        for path in ["database/creds/web", "pki/issue/web", "pki/revoke", "sys/leases/revoke", "kv/data/app"]
        {
            assert_eq!(count(path), 1, "{path}\n{text}");
        }
        assert!(text.contains("# a, b: to read the secret\n"), "{text}");
    }

    #[test]
    fn a_namespace_below_that_of_the_log_in_is_part_of_the_path_and_another_is_said() {
        let auth = || json!({ "method": "kubernetes", "role": "web" });
        let mut inner = at("db", "database/creds/web");
        inner.namespace = Some("team/web".to_owned());
        let found = grants(auth(), "team", &[inner.clone()]);
        assert!(found.text.contains("path \"web/database/creds/web\""), "{}", found.text);
        assert!(found.text.contains("path \"web/sys/leases/renew\""), "{}", found.text);
        assert!(found.text.contains("path \"auth/token/renew-self\""), "{}", found.text);
        let other = grants(auth(), "teams", &[inner]);
        assert!(!other.text.contains("database"), "{}", other.text);
        assert!(other.notes.iter().any(|note| note.contains("not below")), "{:?}", other.notes);
    }
}
