//! Reads and writes of any path, with the lease that comes back.

use std::time::Duration;

use leasehold_core::{Bound, Error, Fetched, Fields, Kind, Lease, SecretRef, Term, Wanted};
use serde_json::{Map, Value};

use crate::api::{Answer, Api, Ask};
use crate::endpoints::Call;
use crate::error::{Site, date};
use crate::kv::{self, Memory};
use crate::mounts::{Engine, Mount, Mounts};
use crate::pki::Validity;
use crate::session::stanza;

/// Fetches one secret.
pub(crate) async fn fetch(
    api: &Api,
    mounts: &Mounts,
    memory: &Memory,
    ask: &Ask<'_>,
    wanted: &Wanted<'_>,
) -> Result<Fetched, Error> {
    let reference = wanted.reference;
    let site = api.site(ask);
    sound(&reference.path, &site)?;
    let path = reference.path.as_str();
    let mount = mounts.find(api, ask, path).await?;
    possible(&mount, reference, &site)?;
    let result = match (mount.engine, &reference.data) {
        (Engine::Kv2, _) => memory.fetch(api, ask, &mount, wanted).await,
        (_, Some(data)) => {
            let call = Call::write(path, &Value::Object(data.clone()));
            generic(api, ask, call, &mount, wanted, stanza(path, &["update"])).await
        }
        (_, None) => {
            let mut call = Call::read(path);
            if let Some(version) = &reference.version {
                call = call.with_query(format!("version={}", kv::pinned(version, &site)?));
            }
            generic(api, ask, call, &mount, wanted, mount.policy_to_read(path)).await
        }
    };
    match &result {
        // By nothing but kv does an answer without lease or end have a version.
        Ok(fetched)
            if mount.engine == Engine::Unknown
                && fetched.version.is_some()
                && fetched.changes_in.is_none() =>
        {
            mounts.settled(ask.namespace, path, Mount { engine: Engine::Kv2, ..mount });
        }
        Ok(_) => mounts.served(ask.namespace, path, &mount),
        Err(error) if matches!(error.kind, Kind::Absent | Kind::Invalid) => {
            mounts.forget(ask.namespace, path)
        }
        Err(_) => {}
    }
    result
}

async fn generic(
    api: &Api,
    ask: &Ask<'_>,
    call: Call,
    mount: &Mount,
    wanted: &Wanted<'_>,
    policy: String,
) -> Result<Fetched, Error> {
    let answer = api.exchange(ask, call).await?;
    let site = api.site(ask);
    if !answer.status.is_success() {
        return Err(api.settle(ask, &answer, &policy).await);
    }
    if answer.is_empty() {
        return Err(site.error(
            Kind::Invalid,
            "the store did it and gave nothing back: there is no secret at this path",
        ));
    }
    understand(&answer, mount, wanted, &site)
}

/// What an answer holds: a lease, a certificate, a static role's password, or plain values.
fn understand(
    answer: &Answer,
    mount: &Mount,
    wanted: &Wanted<'_>,
    site: &Site<'_>,
) -> Result<Fetched, Error> {
    let reference = wanted.reference;
    let reply = answer.reply(site)?;
    let Some(data) = reply.data else {
        return Err(match reply.auth {
            Some(_) => site.error(
                Kind::Invalid,
                "this path answers with a token: tokens are the provider's log-in, not a secret of it",
            ),
            None => {
                site.error(Kind::Absent, "the store's answer holds no data: nothing is kept at this path")
            }
        });
    };
    let plain = mount.engine == Engine::Kv1;
    if mount.engine == Engine::Unknown && is_versioned(&data) {
        return kv::versioned(answer, reference, site).map(|(fetched, _)| fetched);
    }
    let mut fetched = Fetched { fields: None, version: None, lease: None, term: None, changes_in: None };
    if !reply.lease_id.is_empty() {
        let ttl = Duration::from_secs(reply.lease_duration);
        fetched.term = (!ttl.is_zero()).then_some(Term { ttl, renewable: reply.renewable });
        fetched.lease =
            Some(Lease { id: reply.lease_id, bound: Bound::Session, namespace: reference.namespace.clone() });
    } else if let Some(serial) = (!plain).then(|| issued(&data)).flatten() {
        let certificate = data.get("certificate").and_then(Value::as_str).unwrap_or_default();
        let validity = Validity::of(certificate)
            .ok_or_else(|| site.malformed("a certificate whose end cannot be read"))?;
        fetched.term = Some(Term { ttl: validity.left(date(&answer.headers)), renewable: false });
        fetched.lease = reference.revoke.then(|| Lease {
            id: serial,
            bound: Bound::Itself,
            namespace: reference.namespace.clone(),
        });
    } else if !plain && is_static_role(&reference.path) {
        fetched.changes_in = data.get("ttl").and_then(Value::as_u64).map(Duration::from_secs);
        fetched.version = data.get("last_vault_rotation").and_then(Value::as_str).map(str::to_owned);
        if fetched.version.is_some() && fetched.version.as_deref() == wanted.known_version {
            return Ok(fetched);
        }
    }
    fetched.fields = Some(fields(data, reference.key.as_deref(), site)?.into());
    Ok(fetched)
}

/// The fields of a secret, or of the one value in it that `key` leads to.
pub(crate) fn fields(data: Map<String, Value>, key: Option<&str>, site: &Site<'_>) -> Result<Fields, Error> {
    Fields::of_object(data, key).map_err(|missing| site.error(Kind::Absent, missing.to_string()))
}

/// Refuses a path that the way to the store would change (empty, `.` and `..` segments), and what no
/// path of the store may hold.
pub(crate) fn sound(path: &str, site: &Site<'_>) -> Result<(), Error> {
    let bad = path.split('/').any(|part| part.is_empty() || part == "." || part == "..")
        || path.chars().any(is_unseen);
    if bad {
        return Err(site.error(
            Kind::Invalid,
            "the path has an empty, a . or a .. segment, a slash at its begin or end, or a character that \
             cannot be seen: write it like database/creds/web",
        ));
    }
    Ok(())
}

/// The store refuses characters that cannot be printed, and not in the words of its API: what an
/// editor or a chat slips in is better said here.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
            | '\u{e0000}'..)
}

/// Refuses what would do something else than is meant.
fn possible(mount: &Mount, reference: &SecretRef, site: &Site<'_>) -> Result<(), Error> {
    let keeps = matches!(mount.engine, Engine::Kv1 | Engine::Kv2);
    if keeps && reference.data.is_some() {
        return Err(site.error(
            Kind::Invalid,
            format!("data would overwrite what is kept at {}: a kv secret is read, without data", mount.path),
        ));
    }
    let versioned = matches!(mount.engine, Engine::Kv2 | Engine::Unknown);
    if reference.version.is_some() && (!versioned || reference.data.is_some()) {
        return Err(site.error(
            Kind::Invalid,
            format!("{} keeps no versions: version goes with a kv mount of version 2", mount.path),
        ));
    }
    if reference.stage.is_some() {
        return Err(site.error(Kind::Invalid, "stage is not known here: kv has versions, by number"));
    }
    Ok(())
}

/// A static role's password changes at the store by itself.
pub(crate) fn is_static_role(path: &str) -> bool {
    path.split('/').skip(1).any(|segment| matches!(segment, "static-creds" | "static-cred"))
}

/// The serial number, where a certificate was issued or signed.
fn issued(data: &Map<String, Value>) -> Option<String> {
    data.get("certificate")?.as_str()?;
    data.get("serial_number")?.as_str().map(str::to_owned)
}

/// The shape of a KV v2 answer.
fn is_versioned(data: &Map<String, Value>) -> bool {
    data.get("metadata").and_then(|metadata| metadata.get("version")).is_some_and(Value::is_u64)
        && data.get("data").is_some_and(|data| data.is_object() || data.is_null())
}
