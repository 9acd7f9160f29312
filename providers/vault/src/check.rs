//! What the token may not do, and the policy that would let it. Mints nothing.

use leasehold_core::{Error, MissingRight, SecretRef};

use crate::api::{Api, Ask};
use crate::fetch::sound;
use crate::mounts::Mounts;
use crate::rights;

/// The rights that are missing for one secret, and those of the session that every secret needs.
pub(crate) async fn check(
    api: &Api,
    mounts: &Mounts,
    ask: &Ask<'_>,
    reference: &SecretRef,
) -> Result<Vec<MissingRight>, Error> {
    sound(&reference.path, &api.site(ask))?;
    let mount = mounts.find(api, ask, &reference.path).await?;
    let mut rights = rights::of_secret(&mount, reference);
    rights.extend(rights::of_session());
    let paths: Vec<&str> = rights.iter().map(|right| right.path.as_str()).collect();
    let granted = api.capabilities(ask, &paths).await?;
    let missing = rights.into_iter().zip(granted).filter(|(right, granted)| {
        !granted.iter().any(|capability| capability == right.capability || capability == "root")
            || granted.iter().any(|capability| capability == "deny")
    });
    Ok(missing
        .map(|(right, _)| MissingRight {
            remedy: right.remedy(&mount),
            purpose: right.full_purpose(),
            path: right.path,
            capabilities: vec![right.capability.to_owned()],
            required: right.required,
        })
        .collect())
}
