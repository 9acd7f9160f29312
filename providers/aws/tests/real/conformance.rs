//! The suite of all providers, run with moto behind a proxy that plays the faults.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_aws::{ParameterStore, Raw, SecretsManager};
use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{Environment, Observer, Provider, ProviderSettings, SecretRef, Surroundings};
use leasehold_harness::Proxy;
use leasehold_harness::http::Response;
use leasehold_harness::moto::{Moto, moto};
use leasehold_harness::proxy::Rule;
use leasehold_harness::vault::unique;
use serde_json::{Value, json};

use crate::given::{KEYS, Store, at_proxy, aws_error};

mod secrets_manager {
    leasehold_conformance::suite!(|| super::Kept::new(super::Store::Secrets));
}

mod parameter_store {
    leasehold_conformance::suite!(|| super::Kept::new(super::Store::Parameters));
}

/// Names of its own in the moto that all share.
struct Kept {
    store: Store,
    proxy: Proxy,
    above: String,
}

impl Kept {
    fn new(store: Store) -> Self {
        Self { store, proxy: Proxy::to(moto().address()), above: unique("suite") }
    }

    fn path(&self, secret: &str) -> String {
        match self.store {
            Store::Secrets => format!("{}/{secret}", self.above),
            Store::Parameters => format!("/{}/{secret}", self.above),
        }
    }

    fn environment() -> Environment {
        Environment::new(KEYS.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn raw(&self) -> Raw {
        serde_json::from_value(at_proxy(&self.proxy)).unwrap()
    }

    fn change(&self, action: &str, body: &Value) -> Option<Value> {
        moto().call(Moto::REGION, "secretsmanager", action, body).ok()
    }

    fn put_version(&self, secret: &str, content: &Content, stages: &[&str]) -> String {
        let path = self.path(secret);
        let (key, value) = match content {
            Content::Bytes(bytes) => ("SecretBinary", STANDARD.encode(bytes)),
            _ => ("SecretString", String::from_utf8(content.plain()).unwrap()),
        };
        let made = self.change("CreateSecret", &json!({ "Name": path, key: value })).unwrap_or_else(|| {
            self.change("PutSecretValue", &json!({ "SecretId": path, key: value, "VersionStages": stages }))
                .expect("it is put")
        });
        made["VersionId"].as_str().unwrap().to_owned()
    }
}

impl Subject for Kept {
    fn name(&self) -> String {
        match self.store {
            Store::Secrets => "aws secrets manager, moto".to_owned(),
            Store::Parameters => "aws parameter store, moto".to_owned(),
        }
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let leases = "aws mints nothing here";
        let mut lacks = vec![
            (Capability::Denial, "moto has no policies; tests/real/failures.rs scripts what aws answers"),
            (Capability::Strangers, "moto takes any key; tests/real/failures.rs scripts what aws answers"),
            (Capability::Sessions, "the SDK logs in by itself"),
            (Capability::OneSlow, "the proxy does not tell secrets apart"),
            (Capability::Leases, leases),
            (Capability::Renewal, leases),
            (Capability::Lookup, leases),
            (Capability::Revocation, leases),
            (Capability::Empty, "aws takes no empty value"),
        ];
        if matches!(self.store, Store::Parameters) {
            lacks.push((Capability::Binary, "a parameter is text"));
            lacks.push((Capability::Stages, "parameters have labels, which are versions"));
        }
        lacks
    }

    fn facts(&self) -> Facts {
        match self.store {
            Store::Secrets => Facts { batch: 20, requests_per_batch: 1, largest: 64 * 1024, patience: 0 },
            Store::Parameters => Facts { batch: 10, requests_per_batch: 1, largest: 4 * 1024, patience: 0 },
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
        let settings = SecretsManager::parse("aws", self.raw(), &Self::environment()).unwrap();
        format!("{settings:?} {}", settings.identity())
    }

    fn credentials(&self) -> Vec<String> {
        vec![KEYS[1].1.to_owned()]
    }

    fn reference(&self, secret: &str) -> SecretRef {
        SecretRef { name: secret.to_owned(), path: self.path(secret), ..SecretRef::default() }
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        Some(match self.store {
            Store::Secrets => self.put_version(secret, content, &["AWSCURRENT"]),
            Store::Parameters => {
                let value = String::from_utf8(content.plain()).unwrap();
                moto().put_parameter(&self.path(secret), "SecureString", &value).to_string()
            }
        })
    }

    fn remove(&self, secret: &str) {
        match self.store {
            Store::Secrets => moto().delete_secret(&self.path(secret)),
            Store::Parameters => moto().delete_parameter(&self.path(secret)),
        }
    }

    fn play(&self, fault: Fault, _: &SecretRef) -> Box<dyn Playing + '_> {
        let all = "";
        Box::new(Played(match fault {
            Fault::Throttle(wait) => {
                let answer = aws_error(400, "ThrottlingException");
                self.proxy.answer(all, answer.header("Retry-After", &seconds(wait)))
            }
            Fault::Withhold => return Box::new(Withheld(self.proxy.withhold(all))),
            Fault::HalfSent => self.proxy.halve(all),
            Fault::Reset => self.proxy.lose_answers(all),
            Fault::WrongContentType => self.proxy.answer(
                all,
                Response {
                    status: 200,
                    headers: vec![("Content-Type".into(), "text/html".into())],
                    body: PAGE.into(),
                },
            ),
            Fault::Nonsense => self.proxy.answer(all, Response::json(200, "[\"no\", \"sense\"]")),
            Fault::ServerError => self.proxy.answer(all, aws_error(500, "InternalServiceError")),
        }))
    }

    fn requests(&self) -> u64 {
        self.proxy.requests("").len() as u64
    }

    fn stage(&self, secret: &str, content: &Content) -> String {
        self.put_version(secret, content, &["AWSPENDING"]);
        "AWSPENDING".to_owned()
    }
}

const PAGE: &str = "<html><body>Please log in</body></html>";

fn seconds(wait: Duration) -> String {
    wait.as_secs().to_string()
}

struct Played(Rule);

impl Playing for Played {
    fn met(&self) -> u64 {
        self.0.hits() as u64
    }
}

struct Withheld(Rule);

impl Playing for Withheld {
    fn met(&self) -> u64 {
        self.0.waiting() as u64
    }
}
