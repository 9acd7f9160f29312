//! The SDK's requests over our own client, each of them counted.
//!
//! So `tls` and `proxy` of the configuration hold for everything that the SDK asks, log-ins included.
//! What says who this machine is (container credentials, instance metadata) answers in the clear, on the
//! machine itself: no proxy stands between, whatever the environment says.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use leasehold_core::{Kind, Observer, Operation};
use leasehold_http::{Client, Proxy, TlsFiles, Transport, Trouble, now, within};
use tracing::Dispatch;
use tracing::dispatcher::get_default;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::error::{code_of, kind_of};

/// What carries the SDK's requests, for one operation of the engine.
#[derive(Clone)]
pub(crate) struct Wire {
    clients: Arc<Clients>,
    observer: Arc<dyn Observer>,
    operation: Operation,
    /// Who hears what our client has to say, since nobody hears the SDK.
    heard_by: Option<Dispatch>,
}

struct Clients {
    /// To the store itself.
    store: Client,
    /// To STS: the name in the store's certificate, and ours, are not meant for it.
    sts: Client,
    /// To what runs on this machine.
    local: Client,
}

impl Wire {
    /// One for log-ins.
    pub(crate) fn new(provider: &str, transport: Transport, observer: Arc<dyn Observer>) -> Self {
        let tls = TlsFiles { ca: transport.tls.ca.clone(), server_name: None, identity: None };
        let clients = Clients {
            sts: Client::new(provider, Transport { tls: tls.clone(), proxy: transport.proxy.clone() }),
            local: Client::new(provider, Transport { tls, proxy: Proxy::default() }),
            store: Client::new(provider, transport),
        };
        Self { clients: Arc::new(clients), observer, operation: Operation::Login, heard_by: None }
    }

    /// The same for another operation.
    pub(crate) fn counting(&self, operation: Operation) -> Self {
        Self { operation, heard_by: Some(get_default(Dispatch::clone)), ..self.clone() }
    }

    fn client(&self, request: &http::Request<Bytes>) -> &Client {
        match self.operation {
            Operation::Login if request.uri().scheme_str() == Some("http") => &self.clients.local,
            Operation::Login => &self.clients.sts,
            _ => &self.clients.store,
        }
    }

    async fn send(
        self,
        request: HttpRequest,
        limit: Option<Duration>,
    ) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let request = request.map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
        let started = now();
        let sending = async {
            let sending = self.client(&request).send(request);
            match limit {
                None => sending.await,
                Some(limit) => within(limit, sending).await.unwrap_or(Err(Trouble::TimedOut(limit))),
            }
        };
        let outcome = match self.heard_by.clone() {
            None => sending.await,
            Some(heard_by) => sending.with_subscriber(heard_by).await,
        };
        let took = now().saturating_duration_since(started);
        let kind = match &outcome {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(kind_of(answer.status().as_u16(), code_of(answer).as_deref())),
            Err(_) => Some(Kind::Unavailable),
        };
        self.observer.request(self.operation, kind, took);
        match outcome {
            Ok(answer) => HttpResponse::try_from(answer.map(SdkBody::from))
                .map_err(|error| ConnectorError::other(error.into(), None)),
            Err(trouble @ (Trouble::TimedOut(_) | Trouble::ConnectTimedOut)) => {
                Err(ConnectorError::timeout(trouble.into()))
            }
            Err(trouble) => Err(ConnectorError::io(trouble.into())),
        }
    }
}

/// Does what the SDK does where nobody hears it. At the finest level it writes its parts and what it sends and
/// gets into its own log, and values and credentials are among them.
pub(crate) async fn quietly<T>(work: impl Future<Output = T>) -> T {
    work.with_subscriber(NoSubscriber::default()).await
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.operation.as_str())
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // Both are set by what asks this machine, which is quick or not there. The store has our own limits.
        let limit = settings.connect_timeout().zip(settings.read_timeout());
        SharedHttpConnector::new(Leg {
            wire: self.clone(),
            limit: limit.map(|(connect, read)| connect + read),
        })
    }
}

/// A wire with the SDK's limit for what it asks of it.
#[derive(Debug)]
struct Leg {
    wire: Wire,
    limit: Option<Duration>,
}

impl HttpConnector for Leg {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.wire.clone().send(request, self.limit))
    }
}
