//! What the settings say of themselves, for people. No credential, and of identifiers only those that a
//! store shows everybody.

use std::time::Duration;

use leasehold_core::{Character, Cloud, Nature, Portrait, SecretRef, Terms};

use crate::auth::{Auth, Method, Source};
use crate::config::Settings;
use crate::fetch::is_static_role;
use crate::mounts::{Engine, Mount};

/// Store, log-in and session.
pub(crate) fn of(settings: &Settings) -> Portrait {
    let mut store = format!("Vault or OpenBao at {}", settings.address.full());
    if let Some(namespace) = &settings.namespace {
        store.push_str(&format!(", namespace {namespace}"));
    }
    let others = settings.address.others();
    if !others.is_empty() {
        store.push_str(&format!("; a standby may send requests on to {}", others.join(", ")));
    }
    let Auth { mount, method, .. } = &settings.auth;
    let mut login = login(method);
    if !matches!(method, Method::Token(_)) {
        let namespace = settings.auth.namespace(settings.namespace.as_deref());
        let namespace = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
        login.push_str(&format!(". The log-in is at auth/{mount}{namespace}"));
    }
    let session = match method {
        Method::Token(_) => {
            "The token was given to us, so it is renewed where it can be, and never revoked: of it only the \
             leases that we took are given back, each by its id. A lease ends with it"
        }
        _ => {
            "The log-in brings a token. It is renewed like a lease, replaced by a new log-in before the last end \
             that it can reach, and revoked at our end with one call, which ends every lease taken under it. A \
             lease ends with its token"
        }
    };
    Portrait { store, login, session: session.to_owned() }
}

fn login(method: &Method) -> String {
    match method {
        Method::Token(Source::File(path)) => {
            format!("with the token in {}, which is read again when it changes", path.display())
        }
        Method::Token(Source::Inline(_)) => "with the token of VAULT_TOKEN".to_owned(),
        Method::AppRole(role) => {
            let secret = match (&role.secret_id, role.wrapped) {
                (None, _) => "no secret id".to_owned(),
                (Some(source), false) => format!("the secret id {}", place(source)),
                (Some(source), true) => format!(
                    "the secret id in the wrapping token {}, which is unwrapped once and then kept in the hand-over",
                    place(source)
                ),
            };
            format!("by approle, with the role id {} and {secret}", place(&role.role_id))
        }
        Method::Kubernetes(jwt) => format!(
            "by kubernetes as role {}, showing the service account's token in {}",
            jwt.role.as_deref().unwrap_or("(the default one)"),
            jwt.token_file.display()
        ),
        Method::Jwt(jwt) => format!(
            "by jwt as {}, showing the signed token in {}",
            role(jwt.role.as_deref()),
            jwt.token_file.display()
        ),
        Method::Userpass(user) | Method::Ldap(user) => {
            format!(
                "by {} as user {}, with the password {}",
                method.word(),
                user.username,
                place(&user.password)
            )
        }
        Method::Cert(cert) => {
            format!("by cert as {}, with the client certificate of tls", role(cert.role.as_deref()))
        }
        Method::Cloud(login) => {
            let chosen = match &login.request.cloud {
                Cloud::Aws { role_arn, .. } => role_arn.as_ref(),
                Cloud::Gcp { service_account, .. } => service_account.as_ref(),
                Cloud::Azure { client_id, .. } => client_id.as_ref(),
            };
            let cloud = login.request.cloud.as_str();
            let who =
                chosen.map_or_else(|| format!("what {cloud} knows this machine as"), |chosen| chosen.clone());
            format!("by {cloud} as role {}, proving to be {who}", login.role)
        }
    }
}

fn role(name: Option<&str>) -> String {
    name.map_or_else(|| "the method's default role".to_owned(), |name| format!("role {name}"))
}

fn place(source: &Source) -> String {
    match source {
        Source::Inline(_) => "of the configuration".to_owned(),
        Source::File(path) => format!("in {}", path.display()),
    }
}

/// What a secret is, by its path.
pub(crate) fn character(reference: &SecretRef) -> Character {
    let mount = Mount::supposed(&reference.path);
    let (nature, words) = match (mount.engine, &reference.data) {
        _ if is_static_role(&reference.path) => {
            (Nature::Rotating, "the password of a static role, which the store changes by itself")
        }
        (Engine::Kv2, _) => (
            Nature::Kept,
            "a secret of a KV mount of version 2: a poll asks for its version, and reads the value only where \
             that has changed",
        ),
        (Engine::Kv1, _) => (Nature::Kept, "a secret of a KV mount of version 1"),
        (Engine::Pki, _) => (Nature::Issued, "a certificate, issued at each request"),
        (Engine::Other, _) => (Nature::Leased, "a dynamic credential, made at each request"),
        (Engine::Unknown, Some(_)) => {
            (Nature::Open, "what a write brings; whether under a lease, only the store knows")
        }
        (Engine::Unknown, None) => {
            (Nature::Open, "what is kept at that path, or made there under a lease: only the store knows")
        }
    };
    let renewable = matches!(nature, Nature::Leased | Nature::Open);
    let terms = asked_for(reference).map(|ttl| Terms {
        ttl,
        max_ttl: None,
        renewable,
        source: "its `data` asks for".to_owned(),
    });
    Character { nature, words: words.to_owned(), terms }
}

/// The TTL that a write asks for: `24h`, or seconds.
fn asked_for(reference: &SecretRef) -> Option<Duration> {
    let ttl = match reference.data.as_ref()?.get("ttl")? {
        serde_json::Value::Number(seconds) => Duration::from_secs(seconds.as_u64()?),
        serde_json::Value::String(text) => length(text)?,
        _ => return None,
    };
    (!ttl.is_zero()).then_some(ttl)
}

/// As the server reads it: `90`, `30m`, `1h30m`.
fn length(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if !number.is_empty() {
        total = total.checked_add(number.parse().ok()?)?;
    }
    Some(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use leasehold_core::{Environment, ProviderSettings as _};
    use serde_json::{Value, json};

    use super::*;

    fn portrait(auth: Value) -> Portrait {
        let tls = json!({ "client_certificate": "/c", "client_key": "/k" });
        let raw = json!({ "address": "https://vault:8200", "namespace": "team", "auth": auth, "tls": tls });
        let environment = [("VAULT_TOKEN".to_owned(), "hvs.canary".to_owned())];
        let settings =
            Settings::parse("vault", serde_json::from_value(raw).unwrap(), &Environment::new(environment));
        of(&settings.unwrap())
    }

    #[test]
    fn who_we_are_is_said_for_every_method_and_no_credential() {
        for (auth, said) in [
            (json!({ "method": "token" }), "VAULT_TOKEN"),
            (json!({ "method": "token", "token_file": "/t" }), "the token in /t"),
            (json!({ "method": "approle", "role_id": "canary", "secret_id": "canary" }), "approle"),
            (
                json!({ "method": "approle", "role_id": "canary", "secret_id_file": "/s", "wrapped": true }),
                "wrapping token in /s",
            ),
            (json!({ "method": "kubernetes", "role": "web", "mount": "k8s" }), "auth/k8s in namespace team"),
            (json!({ "method": "jwt", "token_file": "/t" }), "the method's default role"),
            (json!({ "method": "userpass", "username": "ann", "password": "canary" }), "as user ann"),
            (json!({ "method": "ldap", "username": "ann", "password_file": "/p" }), "the password in /p"),
            (json!({ "method": "cert", "role": "web" }), "by cert as role web"),
            (json!({ "method": "aws", "role": "web", "region": "eu-west-1" }), "by aws as role web"),
            (json!({ "method": "azure", "role": "web", "resource": "https://m/" }), "by azure as role web"),
        ] {
            let Portrait { store, login, session } = portrait(auth);
            let all = format!("{store}. {login}. {session}.");
            assert!(all.contains(said), "{said}: {all}");
            assert!(!all.contains("canary"), "{all}");
        }
    }

    #[test]
    fn what_a_secret_is_follows_from_its_path() {
        for (path, nature) in [
            ("database/creds/web", Nature::Leased),
            ("aws/sts/web", Nature::Leased),
            ("database/static-creds/web", Nature::Rotating),
            ("pki/issue/web", Nature::Issued),
            ("ssh/sign/web", Nature::Open),
            ("secret/data/app", Nature::Kept),
            ("secret/app", Nature::Open),
        ] {
            let reference = SecretRef { path: path.to_owned(), ..SecretRef::default() };
            assert_eq!(character(&reference).nature, nature, "{path}");
        }
    }

    #[test]
    fn a_ttl_that_data_asks_for_is_read_as_the_server_reads_it() {
        let asked = |ttl: Value| {
            let data = json!({ "ttl": ttl }).as_object().cloned();
            character(&SecretRef { path: "pki/issue/web".to_owned(), data, ..SecretRef::default() }).terms
        };
        let seconds = |ttl: Value| asked(ttl).map(|terms| terms.ttl.as_secs());
        assert_eq!(seconds(json!("24h")), Some(86_400));
        assert_eq!(seconds(json!("1h30m")), Some(5_400));
        assert_eq!(seconds(json!("90")), Some(90));
        assert_eq!(seconds(json!(90)), Some(90));
        for nonsense in [json!("soon"), json!("h"), json!(""), json!(-1), json!(0), json!(null)] {
            assert_eq!(seconds(nonsense.clone()), None, "{nonsense}");
        }
    }
}
