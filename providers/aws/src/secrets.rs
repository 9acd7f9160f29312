//! Secrets Manager: `BatchGetSecretValue` for what is polled, `GetSecretValue` for the rest.
//!
//! A batch always brings the values of AWSCURRENT, up to 20 of them, and takes no version and no stage. Where
//! the version is the one we hold, its value is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::types::{ApiErrorType, SecretValueEntry};
use aws_smithy_types::Blob;
use leasehold_core::{Kind, SecretRef, Wanted};

use crate::error::{About, Refusal, named, of_code, refusal};
use crate::service::{Asking, Outcome, fetched};
use crate::value;
use crate::wire::quietly;

/// The most that one batch takes.
const BATCH: usize = 20;
const CURRENT: &str = "AWSCURRENT";
pub(crate) const GET: &str = "secretsmanager:GetSecretValue";
pub(crate) const GET_BATCH: &str = "secretsmanager:BatchGetSecretValue";

#[derive(Default)]
pub(crate) struct Secrets {
    /// Our role may not ask in batches. Forgotten with the session.
    one_by_one: AtomicBool,
}

/// What a secret's value came with, whichever call brought it.
struct Value<'a> {
    version: Option<&'a str>,
    text: Option<&'a str>,
    binary: Option<&'a Blob>,
}

impl Secrets {
    /// How many go into one request, and what is throttled together.
    pub(crate) fn batch(&self, reference: &SecretRef) -> (usize, &'static str) {
        if is_current(reference) && !self.one_by_one.load(Ordering::Relaxed) {
            (BATCH, "BatchGetSecretValue")
        } else {
            (1, "GetSecretValue")
        }
    }

    pub(crate) fn forget(&self) {
        self.one_by_one.store(false, Ordering::Relaxed);
    }

    pub(crate) async fn fetch(&self, asking: &Asking<'_>, wanted: &[Wanted<'_>]) -> Vec<Outcome> {
        let client = client(asking);
        let current: Vec<Wanted<'_>> =
            wanted.iter().copied().filter(|one| is_current(one.reference)).collect();
        // One alone needs no right to batches.
        let batched = match current.len() > 1 && !self.one_by_one.load(Ordering::Relaxed) {
            true => self.in_batches(&client, asking, &current).await,
            false => None,
        };
        let mut batched = batched.map(Vec::into_iter);
        let mut outcomes = Vec::with_capacity(wanted.len());
        for one in wanted {
            outcomes.push(match &mut batched {
                Some(batched) if is_current(one.reference) => {
                    batched.next().unwrap_or_else(|| Err(asking.malformed(one.reference, "nothing of it")))
                }
                _ => get(&client, asking, one).await,
            });
        }
        outcomes
    }

    /// `None`: they have to be asked for one by one.
    async fn in_batches(
        &self,
        client: &Client,
        asking: &Asking<'_>,
        wanted: &[Wanted<'_>],
    ) -> Option<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(wanted.len());
        for wanted in wanted.chunks(BATCH) {
            match batch(client, asking, wanted).await {
                Ok(found) => outcomes.extend(found),
                Err(refused) if refused.about == About::Rights => {
                    if !self.one_by_one.swap(true, Ordering::Relaxed) {
                        tracing::info!(
                            target: "leasehold::aws",
                            provider = asking.provider,
                            "iam denied {GET_BATCH}: each secret costs a request of its own per poll"
                        );
                    }
                    return None;
                }
                // Something about one of them, which a batch does not name.
                Err(refused) if refused.about == About::Request => return None,
                Err(refused) => outcomes.extend(wanted.iter().map(|one| Err(refused.of(one.reference)))),
            }
        }
        Some(outcomes)
    }
}

pub(crate) fn is_current(reference: &SecretRef) -> bool {
    reference.version.is_none() && reference.stage.as_deref().is_none_or(|stage| stage == CURRENT)
}

fn client(asking: &Asking<'_>) -> Client {
    let mut config = Builder::from(asking.config).http_client(asking.wire.clone());
    if let Some(endpoint) = asking.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

/// At most 20 secrets, one outcome each.
async fn batch(client: &Client, asking: &Asking<'_>, wanted: &[Wanted<'_>]) -> Result<Vec<Outcome>, Refusal> {
    let mut ids: Vec<String> = wanted.iter().map(|one| asking.id(one.reference).into_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    let mut token: Option<String> = None;
    // A page holds one secret at least.
    for _ in 0..=ids.len() {
        let asked = client.batch_get_secret_value().set_secret_id_list(Some(ids.clone()));
        let answer = quietly(asked.set_next_token(token.take()).send())
            .await
            .map_err(|error| refusal(&asking.site(""), &asking.about_several(GET_BATCH), &error))?;
        values.extend(answer.secret_values.unwrap_or_default());
        errors.extend(answer.errors.unwrap_or_default());
        token = answer.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    Ok(wanted.iter().map(|one| of_batch(asking, one, &values, &errors)).collect())
}

fn of_batch(
    asking: &Asking<'_>,
    wanted: &Wanted<'_>,
    values: &[SecretValueEntry],
    errors: &[ApiErrorType],
) -> Outcome {
    let reference = wanted.reference;
    let id = asking.id(reference);
    if let Some(entry) = values.iter().find(|entry| names(&id, entry.arn(), entry.name())) {
        let value =
            Value { version: entry.version_id(), text: entry.secret_string(), binary: entry.secret_binary() };
        return understand(asking, wanted, &value);
    }
    let on = named(reference);
    match errors
        .iter()
        .find(|error| error.secret_id().is_some_and(|named| names(&id, Some(named), Some(named))))
    {
        Some(error) => Err(of_code(
            &asking.site(&on),
            &asking.about(GET, reference),
            0,
            error.error_code(),
            error.message(),
        )),
        None => Err(asking.malformed(reference, "neither a value nor an error of it")),
    }
}

/// One secret.
async fn get(client: &Client, asking: &Asking<'_>, wanted: &Wanted<'_>) -> Outcome {
    let reference = wanted.reference;
    let asked = client
        .get_secret_value()
        .secret_id(asking.id(reference))
        .set_version_id(reference.version.clone())
        .set_version_stage(reference.stage.clone());
    match quietly(asked.send()).await {
        Err(error) => Err(refusal(&asking.site(&named(reference)), &asking.about(GET, reference), &error)),
        Ok(answer) => {
            let value = Value {
                version: answer.version_id(),
                text: answer.secret_string(),
                binary: answer.secret_binary(),
            };
            understand(asking, wanted, &value)
        }
    }
}

fn understand(asking: &Asking<'_>, wanted: &Wanted<'_>, value: &Value<'_>) -> Outcome {
    let reference = wanted.reference;
    let on = named(reference);
    let (site, key) = (asking.site(&on), reference.key.as_deref());
    let version = value.version.map(str::to_owned);
    fetched(version, wanted.known_version, || match (value.text, value.binary) {
        (Some(text), _) => value::of_text(text.to_owned(), key, &site),
        (None, Some(blob)) => value::of_bytes(blob.as_ref().to_vec(), key, &site),
        (None, None) => Err(site.error(Kind::Malformed, "the answer holds neither a text nor bytes")),
    })
}

/// Whether what was asked for is this secret: by its name, its ARN, or its ARN without the six characters
/// that AWS adds.
fn names(id: &str, arn: Option<&str>, name: Option<&str>) -> bool {
    const ADDED: usize = 6;
    if name == Some(id) || arn == Some(id) {
        return true;
    }
    let rest = arn.and_then(|arn| arn.strip_prefix(id)).and_then(|rest| rest.strip_prefix('-'));
    id.starts_with("arn:") && rest.is_some_and(|rest| rest.len() == ADDED && !rest.contains(['/', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_name_by_arn_and_by_a_partial_arn() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/api-AbCdEf";
        let is_it = |id: &str| names(id, Some(arn), Some("prod/api"));
        assert!(is_it("prod/api") && is_it(arn));
        assert!(is_it("arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/api"));
        for other in [
            "prod",
            "prod/api-AbCdEf",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/api",
        ] {
            assert!(!is_it(other), "{other}");
        }
    }
}
