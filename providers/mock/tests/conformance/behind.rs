//! The mock behind something: each provider over it is wrapped.

use std::sync::Arc;

use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{Observer, Provider, SecretRef};

use crate::scripted::Scripted;

type Wrap = dyn Fn(Box<dyn Provider>, &str) -> Box<dyn Provider> + Send + Sync;

/// A mock whose providers are wrapped.
pub(crate) struct Behind {
    pub(crate) scripted: Scripted,
    pub(crate) name: &'static str,
    pub(crate) lacks: Vec<(Capability, &'static str)>,
    pub(crate) patience: u32,
    pub(crate) wrap: Box<Wrap>,
}

impl Subject for Behind {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let more =
            |(capability, _): &(Capability, &str)| !self.lacks.iter().any(|(own, _)| own == capability);
        self.lacks.iter().copied().chain(self.scripted.lacks().into_iter().filter(more)).collect()
    }

    fn facts(&self) -> Facts {
        Facts { patience: self.patience, ..self.scripted.facts() }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        (self.wrap)(self.scripted.provider(name, observer), name)
    }

    fn settings_shown(&self) -> String {
        self.scripted.settings_shown()
    }

    fn credentials(&self) -> Vec<String> {
        self.scripted.credentials()
    }

    fn reference(&self, secret: &str) -> SecretRef {
        self.scripted.reference(secret)
    }

    fn missing(&self, secret: &str) -> SecretRef {
        self.scripted.missing(secret)
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        self.scripted.put(secret, content)
    }

    fn remove(&self, secret: &str) {
        self.scripted.remove(secret);
    }

    fn deny(&self, reference: &SecretRef) {
        self.scripted.deny(reference);
    }

    fn play(&self, fault: Fault, at: &SecretRef) -> Box<dyn Playing + '_> {
        self.scripted.play(fault, at)
    }

    fn requests(&self) -> u64 {
        self.scripted.requests()
    }

    fn leased(&self) -> SecretRef {
        self.scripted.leased()
    }

    fn living(&self) -> Vec<String> {
        self.scripted.living()
    }

    fn end(&self, lease: &str) {
        self.scripted.end(lease);
    }
}
