//! The suite of all providers, run with Secrets Manager and Parameter Store as moto plays them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use leasehold_aws::{ParameterStore, Raw, SecretsManager};
use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{Environment, Observer, Provider, ProviderSettings, SecretRef, Surroundings};
use leasehold_harness::Proxy;
use leasehold_harness::http::Response;
use leasehold_harness::moto::moto;
use leasehold_harness::proxy::Rule;

use crate::given::{KEYS, Store, at_proxy, aws_error};

mod secrets {
    leasehold_conformance::suite!(|| super::Kept::in_store(super::Store::Secrets));
}

mod parameters {
    leasehold_conformance::suite!(|| super::Kept::in_store(super::Store::Parameters));
}

/// What one of the two services keeps, behind a proxy that plays.
struct Kept {
    store: Store,
    proxy: Proxy,
    made: Mutex<BTreeSet<String>>,
}

impl Kept {
    fn in_store(store: Store) -> Self {
        Self { store, proxy: Proxy::to(moto().address()), made: Mutex::default() }
    }

    fn raw(&self) -> Raw {
        serde_json::from_value(at_proxy(&self.proxy)).unwrap()
    }

    fn environment() -> Environment {
        Environment::new(KEYS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    /// The actions that bring values.
    fn action(&self) -> &'static str {
        match self.store {
            Store::Secrets => "GetSecretValue",
            Store::Parameters => "GetParameter",
        }
    }
}

impl Subject for Kept {
    fn name(&self) -> String {
        match self.store {
            Store::Secrets => "aws secrets manager (moto)".to_owned(),
            Store::Parameters => "aws parameter store (moto)".to_owned(),
        }
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let leases = "the service gives out no leases";
        let mut lacks = vec![
            (
                Capability::QuietLibraries,
                "the SDK says whole answers at trace level; our log shows our targets alone",
            ),
            (Capability::Empty, "the service keeps no empty value"),
            (Capability::Denial, "moto looks at no policy"),
            (Capability::Strangers, "moto checks no signature"),
            (Capability::Sessions, "requests are signed: there is no log-in"),
            (Capability::Leases, leases),
            (Capability::Renewal, leases),
            (Capability::Lookup, leases),
            (Capability::Revocation, leases),
            (Capability::OneSlow, "the proxy sees actions, and not whose secret they are about"),
        ];
        if matches!(self.store, Store::Parameters) {
            lacks.extend([
                (Capability::Binary, "a parameter is text"),
                (
                    Capability::OddPaths,
                    "a path that ends in a slash is a hierarchy, and / is all that there is",
                ),
                (Capability::Stages, "a parameter's label is asked for as a version"),
            ]);
        }
        lacks
    }

    fn facts(&self) -> Facts {
        match self.store {
            Store::Secrets => Facts { batch: 20, requests_per_batch: 1, largest: 65_536, patience: 0 },
            Store::Parameters => Facts { batch: 10, requests_per_batch: 1, largest: 4_096, patience: 0 },
        }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        let (raw, environment, around) = (self.raw(), Self::environment(), Surroundings::observed(observer));
        match self.store {
            Store::Secrets => SecretsManager::parse(name, raw, &environment).unwrap().build(name, around),
            Store::Parameters => ParameterStore::parse(name, raw, &environment).unwrap().build(name, around),
        }
        .unwrap()
    }

    fn settings_shown(&self) -> String {
        match self.store {
            Store::Secrets => {
                let settings = SecretsManager::parse("store", self.raw(), &Self::environment()).unwrap();
                format!("{settings:?} {}", settings.identity())
            }
            Store::Parameters => {
                let settings = ParameterStore::parse("store", self.raw(), &Self::environment()).unwrap();
                format!("{settings:?} {}", settings.identity())
            }
        }
    }

    fn credentials(&self) -> Vec<String> {
        vec![KEYS[1].1.to_owned()]
    }

    fn reference(&self, secret: &str) -> SecretRef {
        let path = match self.store {
            Store::Secrets => format!("suite/{secret}"),
            Store::Parameters => format!("/suite/{secret}"),
        };
        SecretRef { name: secret.to_owned(), path, ..SecretRef::default() }
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        let path = self.reference(secret).path;
        let fresh = self.made.lock().unwrap().insert(path.clone());
        let text = || String::from_utf8(content.plain()).unwrap();
        Some(match (self.store, content) {
            (Store::Parameters, _) => moto().put_parameter(&path, "SecureString", &text()).to_string(),
            (Store::Secrets, Content::Bytes(bytes)) => moto().create_binary(&path, bytes).version,
            (Store::Secrets, _) if fresh => moto().create_secret(&path, &text()).version,
            (Store::Secrets, _) => moto().put_secret(&path, &text()),
        })
    }

    fn remove(&self, secret: &str) {
        let path = self.reference(secret).path;
        match self.store {
            Store::Secrets => moto().delete_secret(&path),
            Store::Parameters => moto().delete_parameter(&path),
        }
    }

    fn play(&self, fault: Fault, _: &SecretRef) -> Box<dyn Playing + '_> {
        let (at, proxy) = (self.action(), &self.proxy);
        let page = Response {
            status: 200,
            headers: vec![("Content-Type".into(), "text/html".into())],
            body: b"<html><body>Please log in to the network first.</body></html>".to_vec(),
        };
        let rule = match fault {
            Fault::Throttle(wait) => {
                let throttled = aws_error(400, "ThrottlingException");
                proxy.answer(at, throttled.header("Retry-After", &wait.as_secs().to_string()))
            }
            Fault::Withhold => proxy.withhold(at),
            Fault::HalfSent => proxy.halve(at),
            Fault::Reset => proxy.lose_answers(at),
            Fault::WrongContentType => proxy.answer(at, page),
            Fault::Nonsense => proxy.answer(at, Response::json(200, r#"{"SecretString":[7,"#)),
            Fault::ServerError => proxy.answer(at, aws_error(500, "InternalServiceError")),
        };
        Box::new(Played { rule, fault })
    }

    fn requests(&self) -> u64 {
        self.proxy.requests("").len() as u64
    }

    fn stage(&self, secret: &str, content: &Content) -> String {
        let text = String::from_utf8(content.plain()).unwrap();
        moto().put_staged(&self.reference(secret).path, &text, &["AWSPENDING"]);
        "AWSPENDING".to_owned()
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
