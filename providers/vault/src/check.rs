//! What the token may not do, and the policy that would let it. Mints nothing.

use leasehold_core::{Error, MissingRight, SecretRef};

use crate::api::{Api, Ask};
use crate::fetch::{is_static_role, sound};
use crate::kv::Place;
use crate::mounts::{Engine, Mounts};
use crate::session::stanza;

/// One right that is wanted.
struct Right {
    path: String,
    capability: &'static str,
    purpose: &'static str,
    required: bool,
}

fn right(path: impl Into<String>, capability: &'static str, purpose: &'static str) -> Right {
    Right { path: path.into(), capability, purpose, required: true }
}

fn wish(path: impl Into<String>, capability: &'static str, purpose: &'static str) -> Right {
    Right { required: false, ..right(path, capability, purpose) }
}

/// The rights that are missing for one secret, and those of the session that every secret needs.
pub(crate) async fn check(
    api: &Api,
    mounts: &Mounts,
    ask: &Ask<'_>,
    reference: &SecretRef,
) -> Result<Vec<MissingRight>, Error> {
    sound(&reference.path, &api.site(ask))?;
    let mount = mounts.find(api, ask, &reference.path).await?;
    let path = reference.path.as_str();
    let mut rights = Vec::new();
    match (mount.engine, &reference.data) {
        (Engine::Kv2, _) => {
            let place = Place::of(&mount, path);
            rights.push(right(place.data, "read", "to read the secret"));
            rights.push(wish(
                place.metadata,
                "read",
                "to find a change by its version; without it each poll reads the secret itself",
            ));
        }
        (_, Some(_)) => rights.push(right(path, "update", "to fetch the secret, which is a write with data")),
        (_, None) => rights.push(right(path, "read", "to read the secret")),
    }
    if reference.revoke && mount.engine == Engine::Pki {
        rights.push(right(
            format!("{}/revoke", mount.path),
            "update",
            "to revoke the certificate (revoke: true)",
        ));
    }
    let leased = matches!(mount.engine, Engine::Other | Engine::Unknown) && !is_static_role(path);
    if leased {
        rights.push(right("sys/leases/renew", "update", "to renew the lease (part of the default policy)"));
        rights.push(wish(
            "sys/leases/lookup",
            "update",
            "to ask whether a lease still lives (part of the default policy)",
        ));
        rights.push(wish(
            "sys/leases/revoke",
            "update",
            "to revoke a replaced lease; without it an old credential ends by its own TTL",
        ));
    }
    rights.push(wish("auth/token/renew-self", "update", "to renew our token (part of the default policy)"));
    rights.push(wish(
        "auth/token/revoke-self",
        "update",
        "to revoke our token and all its leases at the end (part of the default policy)",
    ));
    let paths: Vec<&str> = rights.iter().map(|right| right.path.as_str()).collect();
    let granted = api.capabilities(ask, &paths).await?;
    let missing = rights.into_iter().zip(granted).filter(|(right, granted)| {
        !granted.iter().any(|capability| capability == right.capability || capability == "root")
            || granted.iter().any(|capability| capability == "deny")
    });
    Ok(missing
        .map(|(right, _)| MissingRight {
            remedy: match right.capability {
                "read" => mount.policy_file_to_read(&right.path),
                other => stanza(&right.path, &[other]),
            },
            path: right.path,
            capabilities: vec![right.capability.to_owned()],
            purpose: right.purpose.to_owned(),
            required: right.required,
        })
        .collect())
}
