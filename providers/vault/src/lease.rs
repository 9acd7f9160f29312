//! What was taken under a session: looked up, renewed, revoked.

use std::time::Duration;

use leasehold_core::{Bound, Error, Kind, Lease, SecretRef, Term};
use serde_json::{Value, json};

use crate::api::{Api, Ask};
use crate::endpoints::{Call, LeaseState, look_lease_up, renew_lease, revoke_lease};
use crate::error::{Site, date};
use crate::mounts::Mounts;
use crate::pki::Validity;
use crate::session::stanza;

fn gone(site: &Site<'_>) -> Error {
    site.error(Kind::LeaseGone, "the store does not hold the lease any more: a new secret is needed")
}

/// What is left of it.
pub(crate) async fn lookup(
    api: &Api,
    mounts: &Mounts,
    ask: &Ask<'_>,
    lease: &Lease,
    reference: &SecretRef,
) -> Result<Option<Term>, Error> {
    if lease.bound == Bound::Itself {
        return look_certificate_up(api, mounts, ask, lease, reference).await;
    }
    let answer = api.exchange(ask, look_lease_up(&lease.id)).await?;
    let site = api.site(ask);
    match answer.status.as_u16() {
        200..=299 => {
            let state: LeaseState = answer.data(&site)?;
            match u64::try_from(state.ttl) {
                Ok(ttl) if ttl > 0 => {
                    Ok(Some(Term { ttl: Duration::from_secs(ttl), renewable: state.renewable }))
                }
                // Still listed: expired, queued for revocation, or irrevocable.
                _ => Err(gone(&site)),
            }
        }
        400 | 404 => Err(gone(&site)),
        _ => Err(api.settle(ask, &answer, &stanza("sys/leases/lookup", &["update"])).await),
    }
}

/// Prolongs it.
pub(crate) async fn renew(
    api: &Api,
    ask: &Ask<'_>,
    lease: &Lease,
    increment: Duration,
) -> Result<Option<Term>, Error> {
    let site = api.site(ask);
    if lease.bound == Bound::Itself {
        return Err(site.error(Kind::Internal, "a certificate cannot be renewed, only issued anew"));
    }
    let answer = api.exchange(ask, renew_lease(&lease.id, increment)).await?;
    match answer.status.as_u16() {
        200..=299 => {
            let reply = answer.reply(&site)?;
            let ttl = Duration::from_secs(reply.lease_duration);
            Ok(Some(Term { ttl, renewable: reply.renewable }))
        }
        400 | 404 => Err(site.error(
            Kind::LeaseGone,
            format!(
                "the store would not renew the lease ({}): a look-up tells whether it is gone",
                answer.status.as_u16()
            ),
        )),
        _ => Err(api.settle(ask, &answer, &stanza("sys/leases/renew", &["update"])).await),
    }
}

/// Ends it. What is gone already counts as ended.
pub(crate) async fn revoke(
    api: &Api,
    mounts: &Mounts,
    ask: &Ask<'_>,
    lease: &Lease,
    reference: &SecretRef,
) -> Result<(), Error> {
    let (call, policy) = match lease.bound {
        Bound::Session => (revoke_lease(&lease.id), stanza("sys/leases/revoke", &["update"])),
        Bound::Itself => {
            let path = format!("{}/revoke", pki_mount(api, mounts, ask, reference).await?);
            let policy = stanza(&path, &["update"]);
            (Call::write(path, &json!({ "serial_number": lease.id })), policy)
        }
    };
    let answer = api.exchange(ask, call).await?;
    match answer.status.as_u16() {
        200..=299 | 404 => Ok(()),
        // Asked to wait for the end, Vault says 400 also when what is behind it (a database) fails.
        400 => match lookup(api, mounts, ask, lease, reference).await {
            Err(error) if error.kind == Kind::LeaseGone && lease.bound == Bound::Itself => Ok(()),
            Err(error) if error.kind == Kind::LeaseGone => Ok(()),
            _ => Err(api.site(ask).error(
                Kind::Unavailable,
                "the store could not revoke it (400): what stands behind it may have failed; it is tried again",
            )),
        },
        _ => Err(api.settle(ask, &answer, &policy).await),
    }
}

async fn look_certificate_up(
    api: &Api,
    mounts: &Mounts,
    ask: &Ask<'_>,
    lease: &Lease,
    reference: &SecretRef,
) -> Result<Option<Term>, Error> {
    let mount = pki_mount(api, mounts, ask, reference).await?;
    let answer = api.exchange(ask, Call::read(format!("{mount}/cert/{}", lease.id))).await?;
    let site = api.site(ask);
    match answer.status.as_u16() {
        200..=299 => {
            let data = answer.reply(&site)?.data.unwrap_or_default();
            if data.get("revocation_time").and_then(Value::as_u64).unwrap_or_default() > 0 {
                return Err(gone(&site));
            }
            let certificate = data.get("certificate").and_then(Value::as_str).unwrap_or_default();
            let validity = Validity::of(certificate)
                .ok_or_else(|| site.malformed("a certificate whose end cannot be read"))?;
            let ttl = validity.left(date(&answer.headers));
            if ttl.is_zero() { Err(gone(&site)) } else { Ok(Some(Term { ttl, renewable: false })) }
        }
        400 | 404 => Err(gone(&site)),
        _ => Err(api.settle(ask, &answer, &stanza(&format!("{mount}/cert/*"), &["read"])).await),
    }
}

async fn pki_mount(
    api: &Api,
    mounts: &Mounts,
    ask: &Ask<'_>,
    reference: &SecretRef,
) -> Result<String, Error> {
    Ok(mounts.find(api, ask, &reference.path).await?.path)
}
