//! Reading a version of a secret.
//!
//! A poll is one call of `access` and nothing else, also where the version is known: it needs no right
//! beside the one to read the secret, and its quota (90,000 a minute and project) is 150 times that of
//! metadata calls, which a fleet would use up. Google charges 0.03 dollars for 10,000 of them. A value
//! whose version is known already is dropped.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use leasehold_core::{Error, Fetched, Fields, Kind, Session, Wanted};
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Answer, Ask};
use crate::error::Site;
use crate::reference::{Resource, is_version};
use crate::store::Store;

const LATEST: &str = "latest";

/// Base64 with or without its padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What `access` answers.
#[derive(Deserialize)]
struct Accessed {
    name: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    /// Left out where it is empty.
    #[serde(default)]
    data: String,
    /// A number of 64 bits, which is a text in JSON.
    data_crc32c: Value,
}

/// What is told of a version beside its payload.
#[derive(Deserialize)]
struct Version {
    name: String,
    #[serde(default)]
    state: String,
}

/// Fetches one secret.
pub(crate) async fn fetch(
    store: &Store,
    ask: &Ask<'_>,
    session: &Session,
    wanted: &Wanted<'_>,
) -> Result<Fetched, Error> {
    let reference = wanted.reference;
    let site = store.api.site(ask);
    let version = reference.version.as_deref().unwrap_or(LATEST);
    if !is_version(version) {
        return Err(site.error(Kind::Invalid, "version is neither a number, nor `latest`, nor an alias"));
    }
    let resource = store.locate(ask, reference).await?;
    let answer = store.ask(ask, session, &resource, &format!("/versions/{version}:access"), None).await?;
    if !answer.status.is_success() {
        return Err(match answer.status.as_u16() {
            400 if answer.verdict().status == "FAILED_PRECONDITION" => {
                unreadable(store, ask, session, &resource, version).await
            }
            _ => store.refused(&site, &answer, &resource),
        });
    }
    let Accessed { name, payload } = answer.read(&site)?;
    let number = number_of(&name, &resource).ok_or_else(|| {
        site.malformed(&answer, "it names another secret than was asked for, or no version")
    })?;
    let bytes = payload.bytes(&answer, &site)?;
    if wanted.known_version == Some(number) {
        return Ok(Fetched::unchanged(Some(number.to_owned())));
    }
    let fields = Fields::of_payload(bytes, reference.key.as_deref())
        .map_err(|missing| site.error(Kind::Absent, missing.to_string()))?;
    Ok(Fetched {
        fields: Some(fields.into()),
        version: Some(number.to_owned()),
        lease: None,
        term: None,
        changes_in: None,
    })
}

impl Payload {
    /// The bytes, once their checksum is found to be theirs.
    fn bytes(&self, answer: &Answer, site: &Site<'_>) -> Result<Vec<u8>, Error> {
        let checksum = match &self.data_crc32c {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64(),
            _ => None,
        };
        let checksum = checksum.ok_or_else(|| site.malformed(answer, "it has no checksum"))?;
        let bytes =
            LENIENT.decode(&self.data).map_err(|_| site.malformed(answer, "its payload is no base64"))?;
        if u64::from(crc32c::crc32c(&bytes)) != checksum {
            return Err(site.error(
                Kind::Malformed,
                "the payload does not have the checksum that was sent with it: it was damaged on its way and is \
                 not used",
            ));
        }
        Ok(bytes)
    }
}

/// The number of a version by its whole name, where that is one of this secret. The project may be
/// named by its number.
fn number_of<'a>(name: &'a str, resource: &Resource) -> Option<&'a str> {
    let (secret, number) = name.rsplit_once("/versions/")?;
    let (_, secret) = secret.rsplit_once("/secrets/")?;
    let sound = secret == resource.secret && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    sound.then_some(number)
}

/// Why a version that is there cannot be read: its state says, where we may ask for it.
async fn unreadable(
    store: &Store,
    ask: &Ask<'_>,
    session: &Session,
    resource: &Resource,
    version: &str,
) -> Error {
    let site = store.api.site(ask);
    let found = state(store, ask, session, resource, version).await;
    let (state, number) = match &found {
        Some(found) => (found.state.as_str(), number_of(&found.name, resource)),
        None => ("", None),
    };
    let what = match number {
        Some(number) if number != version => format!("version {number} of it, which is {version},"),
        _ => format!("version {version} of it"),
    };
    let enable = format!(
        "\"gcloud secrets versions enable {} --secret={} {}\"",
        number.unwrap_or(version),
        resource.secret,
        resource.flags()
    );
    match state {
        "DISABLED" => site.error(
            Kind::Absent,
            format!("{what} is disabled: enable it ({enable}), or add a new version, or set another one"),
        ),
        "DESTROYED" => site.error(
            Kind::Absent,
            format!("{what} is destroyed and does not come back: add a new version, or set another one"),
        ),
        "ENABLED" => site.error(
            Kind::Unavailable,
            format!(
                "{what} is enabled and still cannot be read: can Secret Manager use the key of Cloud KMS that it \
                 is encrypted with?"
            ),
        ),
        _ => site.error(
            Kind::Absent,
            format!(
                "{what} is there and cannot be read (FAILED_PRECONDITION): it is disabled or destroyed; enable it \
                 ({enable}), or add a new version, or set another one"
            ),
        ),
    }
}

/// What is told of a version, where we may ask; a denial is remembered.
async fn state(
    store: &Store,
    ask: &Ask<'_>,
    session: &Session,
    resource: &Resource,
    version: &str,
) -> Option<Version> {
    if !store.may_ask_states(resource) {
        return None;
    }
    let answer = store.ask(ask, session, resource, &format!("/versions/{version}"), None).await.ok()?;
    if answer.status.as_u16() == 403 {
        store.may_not_ask_states(resource);
    }
    if !answer.status.is_success() {
        return None;
    }
    answer.read(&store.api.site(ask)).ok()
}
