//! Reads of secrets, and of certificates through the secrets behind them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_security_keyvault_secrets::models::{ContentType, Secret, SecretClientGetSecretOptions};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient, SecretClientOptions};
use leasehold_core::{Error, Fetched, Fields, Kind, SecretRef, Session, Wanted, async_trait};

use crate::address::Address;
use crate::content;
use crate::error::{Site, date};
use crate::reference::{Item, is_version};
use crate::wire::{Exchange, Seen, Wire};

/// One vault, and the way to it.
pub(crate) struct Vault {
    pub(crate) address: Address,
    /// What its challenge has to name, where that is configured.
    pub(crate) resource: Option<String>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) warned: Warned,
}

/// Which versions were warned of.
#[derive(Default)]
pub(crate) struct Warned(Mutex<BTreeSet<String>>);

impl Vault {
    /// Fetches one secret.
    pub(crate) async fn fetch(
        &self,
        session: &Session,
        wanted: &Wanted<'_>,
        site: &Site<'_>,
    ) -> Result<Fetched, Error> {
        let item = Item::parse(&wanted.reference.path).map_err(|why| site.error(Kind::Invalid, why))?;
        let (secret, now) = self.read(session, item, wanted.reference, site).await?;
        let version = secret
            .resource_id()
            .ok()
            .and_then(|id| id.version)
            .filter(|version| is_version(version))
            .ok_or_else(|| site.malformed("it names no version"))?;
        self.warn(&secret, &version, item, now, site);
        if wanted.known_version == Some(&version) {
            return Ok(Fetched::unchanged(Some(version)));
        }
        let fields = fields(secret, item, wanted.reference, site)?;
        Ok(Fetched { fields: Some(Arc::new(fields)), ..Fetched::unchanged(Some(version)) })
    }

    /// Reads it, and the vault's clock with it.
    pub(crate) async fn read(
        &self,
        session: &Session,
        item: Item<'_>,
        reference: &SecretRef,
        site: &Site<'_>,
    ) -> Result<(Secret, Option<SystemTime>), Error> {
        if reference.version.as_deref().is_some_and(|version| !is_version(version)) {
            return Err(site.error(Kind::Invalid, "version is no version's identifier"));
        }
        let exchange = Exchange::new(&self.wire, site.operation);
        let options = SecretClientOptions {
            client_options: exchange.options(Some(Arc::clone(&session.credential))),
            // Where the resource is configured, the log-in compared it: it is of another domain.
            verify_challenge_resource: Some(self.resource.is_none()),
            ..SecretClientOptions::default()
        };
        let client = SecretClient::new(self.address.as_str(), Arc::new(Spent), Some(options))
            .map_err(|_| site.error(Kind::Internal, "no client can be made for the vault's address"))?;
        let options = SecretClientGetSecretOptions {
            secret_version: reference.version.clone(),
            // The service itself turns what it keeps as PKCS #12 into PEM.
            out_content_type: matches!(item, Item::Certificate(_)).then_some(ContentType::Pem),
            ..SecretClientGetSecretOptions::default()
        };
        let answered = client.get_secret(item.name(), Some(options)).await;
        match (exchange.last(), answered) {
            (None, _) => Err(site.error(Kind::Internal, "the secrets client sent no request")),
            (Some(Seen::Nothing(trouble)), _) => {
                Err(site.unanswered(&trouble, "the vault", self.address.shown()))
            }
            (Some(Seen::Answer(answer)), Ok(response)) => response
                .into_model()
                .map(|secret| (secret, date(&answer.headers)))
                .map_err(|_| site.malformed("it is no secret in JSON")),
            (Some(Seen::Answer(answer)), Err(_)) if answer.status.is_success() => {
                Err(site.malformed("it is no success of this API"))
            }
            (Some(Seen::Answer(answer)), Err(_)) => Err(site.refused(&answer, &self.address)),
        }
    }

    /// Says once for each version that it is outside its time. The vault serves it all the same, and
    /// so do we.
    fn warn(&self, secret: &Secret, version: &str, item: Item<'_>, now: Option<SystemTime>, site: &Site<'_>) {
        let Some(attributes) = &secret.attributes else { return };
        let Some(now) =
            now.and_then(|now| i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok())
        else {
            return;
        };
        let expired = attributes.expires.is_some_and(|at| at.unix_timestamp() <= now);
        let early = attributes.not_before.is_some_and(|at| at.unix_timestamp() > now);
        let mark = format!("{}/{version}", item.name());
        if !(expired || early) || !self.warned.0.lock().unwrap_or_else(PoisonError::into_inner).insert(mark) {
            return;
        }
        let (provider, on) = (site.provider, site.on);
        if expired {
            tracing::warn!(
                target: "leasehold::azure",
                provider,
                version,
                "{on}: its expiry date has passed; the vault still serves it, and so it is used: write a new \
                 version, or move the date with az keyvault secret set-attributes --expires"
            );
        } else {
            tracing::warn!(
                target: "leasehold::azure",
                provider,
                version,
                "{on}: its activation date is still to come; the vault serves it already, and so it is used: \
                 pin the version before it, or move the date with az keyvault secret set-attributes \
                 --not-before"
            );
        }
    }
}

fn fields(secret: Secret, item: Item<'_>, reference: &SecretRef, site: &Site<'_>) -> Result<Fields, Error> {
    let content_type = secret.content_type.unwrap_or_default();
    let value = secret.value.ok_or_else(|| site.malformed("it has no value"))?;
    match item {
        Item::Secret(_) => content::of_secret(value, &content_type, reference.key.as_deref(), site),
        Item::Certificate(_) => content::of_certificate(&value, &content_type, site),
    }
}

/// What the secrets client turns to when the vault refuses the session's token: there is no other
/// one. A new log-in is the engine's to order.
#[derive(Debug)]
struct Spent;

#[async_trait]
impl TokenCredential for Spent {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Err(azure_core::Error::with_message(
            azure_core::error::ErrorKind::Credential,
            "the session has ended",
        ))
    }
}
