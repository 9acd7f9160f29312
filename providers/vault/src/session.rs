//! Tokens: from a log-in or a look-up to a session, and what can be done with one.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Error, Kind, Operation, Origin, SecretBytes, Session, Term};
use serde_json::json;
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest, RevokeTokenSelfRequest};

use crate::api::{Answer, Api, Ask};
use crate::endpoints::{Auth, Call, TokenState, whole_seconds};
use crate::error::Site;

/// Whether a token that was refused still lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// It lives, so a policy is missing.
    Alive,
    /// The store does not know it any more.
    Dead,
}

/// The session that a log-in brought.
pub(crate) fn logged_in(auth: Auth, request_id: &str, site: &Site<'_>) -> Result<Session, Error> {
    let usable = auth.client_token.expose_text().is_some_and(crate::auth::is_header_safe);
    if !usable {
        return Err(site.error(
            Kind::Denied,
            "the store gave no token: it may want a second factor, which a machine does not have",
        ));
    }
    let batch = is_batch(&auth.token_type);
    let id = if auth.accessor.is_empty() { format!("batch:{request_id}") } else { auth.accessor };
    Ok(Session {
        id,
        credential: Arc::new(auth.client_token),
        term: term(auth.lease_duration, auth.renewable && !batch),
        origin: Origin::LoggedIn,
        revocable: !batch,
        uses_left: uses(auth.num_uses),
    })
}

/// The session of a token that was given.
pub(crate) fn given(token: Arc<SecretBytes>, state: TokenState, site: &Site<'_>) -> Result<Session, Error> {
    let term = remaining(&state, site)?;
    let batch = is_batch(&state.kind);
    let id = if state.accessor.is_empty() {
        format!("batch:{}:{}", state.path, state.creation_time)
    } else {
        state.accessor
    };
    let uses_left = uses(state.num_uses);
    Ok(Session { id, credential: token, term, origin: Origin::Given, revocable: !batch, uses_left })
}

/// Nothing left counts as ended: the server still lists what it is about to revoke.
fn remaining(state: &TokenState, site: &Site<'_>) -> Result<Option<Term>, Error> {
    match u64::try_from(state.ttl) {
        Ok(ttl) if ttl > 0 => Ok(Some(Term {
            ttl: Duration::from_secs(ttl),
            renewable: state.renewable && !is_batch(&state.kind),
        })),
        _ if state.ttl == 0 && state.expire_time.is_none() => Ok(None),
        _ => Err(ended(site)),
    }
}

fn term(seconds: u64, renewable: bool) -> Option<Term> {
    (seconds > 0).then_some(Term { ttl: Duration::from_secs(seconds), renewable })
}

fn uses(count: i64) -> Option<u64> {
    // Below zero: its last use is over, and the store is about to revoke it.
    (count != 0).then(|| u64::try_from(count).unwrap_or(0))
}

fn is_batch(kind: &str) -> bool {
    kind == "batch"
}

fn ended(site: &Site<'_>) -> Error {
    site.error(Kind::SessionEnded, "the token has ended: a new log-in is needed")
}

impl Api {
    /// `auth/token/lookup-self`.
    pub(crate) async fn look_token_up(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        self.exchange(ask, LookupTokenSelfRequest {}).await
    }

    /// Whether the token that met a 403 still lives. One that may not even look itself up (without
    /// the default policy) needs a second question.
    pub(crate) async fn pulse(&self, ask: &Ask<'_>) -> Result<Pulse, Error> {
        let answer = self.look_token_up(ask).await?;
        let site = self.site(ask);
        if answer.status.is_success() {
            let state: TokenState = answer.data(&site)?;
            return Ok(if remaining(&state, &site).is_ok() { Pulse::Alive } else { Pulse::Dead });
        }
        if answer.status.as_u16() != 403 {
            return Err(answer.refused(&site));
        }
        self.pulse_open(ask).await
    }

    /// Asks an endpoint that is open to every living token, whatever its policies.
    pub(crate) async fn pulse_open(&self, ask: &Ask<'_>) -> Result<Pulse, Error> {
        let open = self.exchange(ask, Call::read("sys/internal/ui/mounts")).await?;
        match open.status.as_u16() {
            200..=299 => Ok(Pulse::Alive),
            400..=428 => Ok(Pulse::Dead),
            _ => Err(open.refused(&self.site(ask))),
        }
    }

    /// The error of an answer to a request made with the session's token. A 403 is told apart: a
    /// dead token, or a policy that is missing, and which.
    pub(crate) async fn settle(&self, ask: &Ask<'_>, answer: &Answer, policy: &str) -> Error {
        let site = self.site(ask);
        if answer.status.as_u16() != 403 {
            return answer.refused(&site);
        }
        match self.pulse(ask).await {
            Err(error) => error,
            Ok(Pulse::Dead) => ended(&site),
            Ok(Pulse::Alive) => site.error(
                Kind::Denied,
                format!("the store denied it (403): if the path is right, the policy lacks {policy}"),
            ),
        }
    }

    /// What is left of the session.
    pub(crate) async fn session_term(&self, ask: &Ask<'_>) -> Result<Option<Term>, Error> {
        let answer = self.look_token_up(ask).await?;
        let site = self.site(ask);
        match answer.status.as_u16() {
            200..=299 => remaining(&answer.data(&site)?, &site),
            400 | 404 => Err(ended(&site)),
            _ => Err(self.settle(ask, &answer, &stanza("auth/token/lookup-self", &["read"])).await),
        }
    }

    /// Prolongs the session.
    pub(crate) async fn renew_session(
        &self,
        ask: &Ask<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error> {
        let increment = Some(format!("{}s", whole_seconds(increment)));
        let answer = self.exchange(ask, RenewTokenSelfRequest { increment }).await?;
        let site = self.site(ask);
        match answer.status.as_u16() {
            200..=299 => {
                let auth = answer.reply(&site)?.auth.ok_or_else(|| site.malformed("no auth in it"))?;
                let batch = is_batch(&auth.token_type);
                Ok(term(auth.lease_duration, auth.renewable && !batch))
            }
            400 | 404 => Err(site.error(
                Kind::LeaseGone,
                "the store would not renew the token: it is at its end, or cannot be renewed",
            )),
            _ => Err(self.settle(ask, &answer, &stanza("auth/token/renew-self", &["update"])).await),
        }
    }

    /// Ends the session, and with it every lease taken under it.
    pub(crate) async fn revoke_session(&self, ask: &Ask<'_>) -> Result<(), Error> {
        let answer = self.exchange(ask, RevokeTokenSelfRequest {}).await?;
        if answer.status.is_success() || answer.status.as_u16() == 404 {
            return Ok(());
        }
        let error = self.settle(ask, &answer, &stanza("auth/token/revoke-self", &["update"])).await;
        // A token that is not known any more is a token that is revoked.
        if error.kind == Kind::SessionEnded { Ok(()) } else { Err(error) }
    }

    /// What the token may do at these paths, in their order.
    pub(crate) async fn capabilities(
        &self,
        ask: &Ask<'_>,
        paths: &[&str],
    ) -> Result<Vec<Vec<String>>, Error> {
        let answer = self.exchange(ask, crate::endpoints::capabilities(paths)).await?;
        let site = self.site(ask);
        if !answer.status.is_success() {
            return Err(self.settle(ask, &answer, &stanza("sys/capabilities-self", &["update"])).await);
        }
        let mut data = answer.reply(&site)?.data.ok_or_else(|| site.malformed("no data in it"))?;
        paths
            .iter()
            .map(|path| {
                let found = data.remove(*path).unwrap_or(json!(["deny"]));
                serde_json::from_value(found).map_err(|_| site.malformed("capabilities are no list"))
            })
            .collect()
    }
}

/// What an administrator writes to grant it.
pub(crate) fn stanza(path: &str, capabilities: &[&str]) -> String {
    let quoted: Vec<String> = capabilities.iter().map(|capability| format!("\"{capability}\"")).collect();
    format!("path \"{path}\" {{ capabilities = [{}] }}", quoted.join(", "))
}

/// A request of the session's own, in the namespace of its log-in.
pub(crate) fn own<'a>(operation: Operation, session: &'a Session, namespace: Option<&'a str>) -> Ask<'a> {
    Ask { operation, token: session.credential.expose_text(), namespace, on: "" }
}
