//! The suite of all providers, run with the stand-in for Google.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{
    Environment, NoObserver, Observer, Provider, ProviderSettings, SecretRef, Surroundings,
};
use leasehold_gcp::Settings;
use leasehold_harness::http::{Request, Response};
use leasehold_harness::proxy::{Proxy, Rule};
use leasehold_harness::server::{HttpServer, Reply};
use leasehold_harness::tmpfs::{Folder, tmpfs};
use leasehold_http::{Client, RawTls, Transport};
use leasehold_standins::Google;
use serde_json::{Value, json};

use crate::given::{raw, settings};

mod secret_manager {
    leasehold_conformance::suite!(super::Kept::new);
}

/// A stand-in, behind a proxy that plays. That one speaks in the clear, and the stand-in does not: between
/// them is a bridge.
struct Kept {
    google: Google,
    user: Value,
    folder: Folder,
    proxy: Proxy,
    _bridge: HttpServer,
}

impl Kept {
    fn new() -> Self {
        let google = Google::start();
        let mut user = google.register_user("anna@example.com");
        user["token_uri"] = json!(google.token_uri());
        let bridge = bridge(google.endpoint(), google.ca_file().to_owned());
        let proxy = Proxy::to(bridge.address());
        Self { google, user, folder: tmpfs(), proxy, _bridge: bridge }
    }

    fn settings(&self, name: &str, user: &Value) -> Settings {
        let file: PathBuf = self.folder.join(name);
        std::fs::write(&file, user.to_string()).expect("a folder of ours");
        settings(raw(&self.google, json!({ "endpoint": self.proxy.url(), "credentials_file": file })), &[])
    }

    fn secret(&self, member: &str) -> String {
        self.user[member].as_str().expect("it is text").to_owned()
    }
}

/// Passes requests on to an address with TLS.
fn bridge(to: String, ca_file: PathBuf) -> HttpServer {
    HttpServer::start(move |request: Request| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        match runtime.block_on(pass_on(&to, &ca_file, request)) {
            Some(response) => Reply::Whole(response),
            None => Reply::Nothing,
        }
    })
}

async fn pass_on(to: &str, ca_file: &Path, request: Request) -> Option<Response> {
    let tls = RawTls { ca_file: Some(ca_file.to_owned()), ..RawTls::default() };
    let transport = Transport::parse(tls, Some("none"), &Environment::default()).ok()?;
    let mut onward =
        http::Request::builder().method(request.method.as_str()).uri(format!("{to}{}", request.path));
    for (name, value) in &request.headers {
        if !["host", "content-length", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
            onward = onward.header(name, value);
        }
    }
    let answer =
        Client::new("bridge", transport).send(onward.body(Bytes::from(request.body)).ok()?).await.ok()?;
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    Some(Response {
        status: answer.status().as_u16(),
        headers: answer.headers().iter().filter_map(header).collect(),
        body: answer.body().to_vec(),
    })
}

impl Subject for Kept {
    fn name(&self) -> String {
        "gcp-secret-manager (stand-in)".to_owned()
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        vec![
            (Capability::Batch, "the store's API reads one secret a request"),
            (Capability::Empty, "the store keeps no empty payload"),
            (Capability::Stages, "the store has aliases, which are versions, and no stages"),
            (Capability::Leases, "the store mints nothing"),
            (Capability::Renewal, "the store mints nothing"),
            (Capability::Lookup, "the store mints nothing"),
            (Capability::Revocation, "the store mints nothing"),
        ]
    }

    fn facts(&self) -> Facts {
        Facts { batch: 1, requests_per_batch: 1, largest: 64 << 10, patience: 0 }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        let settings = self.settings("user.json", &self.user);
        settings.build(name, Surroundings::observed(observer)).expect("nothing has to be prepared")
    }

    fn settings_shown(&self) -> String {
        let settings = self.settings("user.json", &self.user);
        format!("{settings:?} {}", settings.identity())
    }

    fn credentials(&self) -> Vec<String> {
        vec![self.secret("refresh_token"), self.secret("client_secret")]
    }

    fn stranger(&self, name: &str) -> (Box<dyn Provider>, String) {
        let wrong = "1//0wrong-refresh-token-7d1e".to_owned();
        let mut user = self.user.clone();
        user["refresh_token"] = json!(wrong);
        let settings = self.settings("stranger.json", &user);
        let surroundings = Surroundings::observed(Arc::new(NoObserver));
        (settings.build(name, surroundings).expect("nothing has to be prepared"), wrong)
    }

    fn reference(&self, secret: &str) -> SecretRef {
        SecretRef { name: secret.to_owned(), path: secret.to_owned(), ..SecretRef::default() }
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        Some(self.google.put_secret(secret, content.plain()))
    }

    fn remove(&self, secret: &str) {
        self.google.delete(secret);
    }

    fn deny(&self, reference: &SecretRef) {
        self.google.deny(&reference.path);
    }

    fn play(&self, fault: Fault, at: &SecretRef) -> Box<dyn Playing + '_> {
        let at = format!("/secrets/{}/", at.path);
        let page = Response {
            status: 200,
            headers: vec![("Content-Type".into(), "text/html".into())],
            body: "<html><body>Please log in to the network first.</body></html>".into(),
        };
        let error = |status, word| Response::json(status, &crate::given::error(status, word, json!([])));
        let rule = match fault {
            Fault::Throttle(wait) => {
                let answer = error(429, "RESOURCE_EXHAUSTED");
                self.proxy.answer(&at, answer.header("Retry-After", &wait.as_secs().to_string()))
            }
            Fault::Withhold => self.proxy.withhold(&at),
            Fault::HalfSent => self.proxy.halve(&at),
            Fault::Reset => self.proxy.lose_answers(&at),
            Fault::WrongContentType => self.proxy.answer(&at, page),
            Fault::Nonsense => self.proxy.answer(&at, Response::json(200, r#"{"name":"projects/1/"#)),
            Fault::ServerError => self.proxy.answer(&at, error(500, "INTERNAL")),
        };
        Box::new(Played { rule, fault })
    }

    fn requests(&self) -> u64 {
        self.proxy.requests("/secrets/").len() as u64
    }
}

struct Played {
    rule: Rule,
    fault: Fault,
}

impl Playing for Played {
    fn met(&self) -> u64 {
        let met = if self.fault == Fault::Withhold { self.rule.waiting() } else { self.rule.hits() };
        met as u64
    }
}
