//! A store as the cases need it: something that a provider is built for, and that can be played on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Observer, Provider, SecretRef};

/// One store with one provider over it. Methods may block: what they speak to is outside the
/// runtime of the case. Each method that a [`Capability`] stands for is called only where the
/// subject does not lack that capability; the default of such a method fails the case.
///
/// A new subject is made for each case.
pub trait Subject: Send + Sync {
    /// What a reader of the table knows it by: `vault, kv version 2`.
    fn name(&self) -> String;

    /// What the provider, its store, or whoever plays that store cannot do, each with the reason
    /// that a reader is told. Everything else is claimed, and tried.
    fn lacks(&self) -> Vec<(Capability, &'static str)>;

    /// The numbers that cases go by.
    fn facts(&self) -> Facts;

    /// A provider of this name in the configuration, over this store. Each call makes another one.
    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider>;

    /// What `Debug` and `identity()` make of the provider's settings, as one text.
    fn settings_shown(&self) -> String;

    /// What it logs in with and must not say anywhere: tokens, passwords, keys.
    fn credentials(&self) -> Vec<String>;

    /// How the configuration would name a kept secret of this short name (`[a-z0-9-]`), whether or
    /// not it exists. [`SecretRef::name`] is that short name.
    fn reference(&self, secret: &str) -> SecretRef;

    /// The same of a secret that does not exist.
    fn missing(&self, secret: &str) -> SecretRef {
        self.reference(secret)
    }

    /// Keeps this content under that short name, and says its version where versions can be seen.
    fn put(&self, secret: &str, content: &Content) -> Option<String>;

    /// Removes it, as an operator of the store would.
    fn remove(&self, secret: &str);

    /// From now on the store refuses us this secret: [`Capability::Denial`].
    fn deny(&self, reference: &SecretRef) {
        unplayed(Capability::Denial, &reference.name)
    }

    /// A provider with a credential that the store does not accept, and that credential:
    /// [`Capability::Strangers`].
    fn stranger(&self, name: &str) -> (Box<dyn Provider>, String) {
        unplayed(Capability::Strangers, name)
    }

    /// Requests about this secret meet the fault until what is returned is dropped:
    /// [`Fault::capability`]. A store that cannot tell secrets apart lets all requests meet it but
    /// those of a log-in.
    fn play(&self, fault: Fault, at: &SecretRef) -> Box<dyn Playing + '_> {
        unplayed(fault.capability(), &at.name)
    }

    /// How many requests about secrets arrived at the store so far, counted there:
    /// [`Capability::Counting`].
    fn requests(&self) -> u64 {
        unplayed(Capability::Counting, "requests")
    }

    /// Something that is minted under a lease: [`Capability::Leases`].
    fn leased(&self) -> SecretRef {
        unplayed(Capability::Leases, "leased")
    }

    /// The ids of the leases that live at the store, of what [`Subject::leased`] names:
    /// [`Capability::Leases`].
    fn living(&self) -> Vec<String> {
        unplayed(Capability::Leases, "living")
    }

    /// Ends a lease behind the provider's back: [`Capability::Leases`].
    fn end(&self, lease: &str) {
        unplayed(Capability::Leases, lease)
    }

    /// Gives a kept secret's newest version this stage, and says how a reference names it:
    /// [`Capability::Stages`]. The version before keeps the stage that is read by default.
    fn stage(&self, secret: &str, content: &Content) -> String {
        let _ = content;
        unplayed(Capability::Stages, secret)
    }
}

fn unplayed(capability: Capability, on: &str) -> ! {
    panic!("the subject claims {capability:?} and does not play it (on {on})")
}

/// What not every store has, or not every stand-in can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// What is read carries a version that changes with the value.
    Versions,
    /// A version can be asked for.
    Pinning,
    /// Where the known version is still the latest, no fields are brought.
    Unchanged,
    /// One fetch takes several secrets.
    Batch,
    /// Versions have stages, which can be asked for by name.
    Stages,
    /// A path may lead nowhere.
    OddPaths,
    /// A secret can be removed.
    Removal,
    /// One value of a secret can be picked.
    Keys,
    /// Access to one secret can be refused.
    Denial,
    /// A log-in with a wrong credential can be tried.
    Strangers,
    /// A log-in brings a session that the store knows: it can be asked about, and each has one of
    /// its own. (Not the token of a cloud, which serves until it ends.)
    Sessions,
    /// Secrets are minted under leases.
    Leases,
    /// Leases can be renewed.
    Renewal,
    /// Leases can be looked up.
    Lookup,
    /// Leases can be revoked.
    Revocation,
    /// What the provider stands on says no value through `tracing` either. (Our log shows our own
    /// targets alone, so where a vendor's SDK talks, nobody hears it.)
    QuietLibraries,
    /// Requests can be counted where they arrive.
    Counting,
    /// The store can be made to answer "too many requests".
    Throttling,
    /// The store's answer can say when to come back.
    RetryAfter,
    /// Answers can be kept back.
    Slow,
    /// Answers about one secret can be kept back while those about others go.
    OneSlow,
    /// Answers can break off in their middle.
    HalfSent,
    /// Connections can end in place of an answer.
    Reset,
    /// Something else can answer at the store's address, as a page for people.
    WrongContentType,
    /// Answers can be made that are no sense.
    Nonsense,
    /// The store can be made to fail (5xx).
    ServerError,
    /// Values may be any bytes.
    Binary,
    /// A value may be empty.
    Empty,
    /// Values may hold any character.
    Unicode,
    /// Several fields make one secret.
    Fields,
    /// Names of fields may hold any character.
    UnicodeNames,
}

/// The numbers of a store.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// How many kept secrets one fetch takes.
    pub batch: usize,
    /// How many requests the store sees for one full batch whose secrets are not known yet.
    pub requests_per_batch: u64,
    /// The largest value that the store keeps, in bytes.
    pub largest: usize,
    /// How often a case may repeat what failed and may pass: 0 but for a store that fails at random.
    pub patience: u32,
}

/// What is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// One text; read as the field `value`.
    Text(String),
    /// Any bytes; read as the field `value`.
    Bytes(Vec<u8>),
    /// Texts by name, read as fields of these names. A store of plain values keeps a JSON object.
    Fields(Vec<(String, String)>),
}

impl Content {
    /// Named texts.
    pub fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::Fields(fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The same as names and bytes.
    pub fn named(&self) -> Vec<(&str, &[u8])> {
        match self {
            Self::Text(text) => vec![("value", text.as_bytes())],
            Self::Bytes(bytes) => vec![("value", bytes)],
            Self::Fields(fields) => {
                fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
            }
        }
    }

    /// As a JSON object, for a store that keeps fields. `None`: bytes.
    pub fn object(&self) -> Option<serde_json::Value> {
        let text = |value: &str| serde_json::Value::from(value);
        match self {
            Self::Text(value) => Some(serde_json::json!({ "value": value })),
            Self::Bytes(_) => None,
            Self::Fields(fields) => {
                Some(fields.iter().map(|(name, value)| (name.clone(), text(value))).collect())
            }
        }
    }

    /// As the bytes of a store that keeps plain values: fields become a JSON object.
    pub fn plain(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Fields(_) => {
                self.object().map(|object| object.to_string().into_bytes()).unwrap_or_default()
            }
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.named().iter().map(|(name, value)| (name, value.len()))).finish()
    }
}

/// What happens to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests; come back after this time, where that can be said.
    Throttle(Duration),
    /// The store does what is asked and keeps its answer back, until the fault ends: then it goes.
    Withhold,
    /// The store does what is asked, and its answer breaks off in the middle.
    HalfSent,
    /// The connection ends in place of an answer.
    Reset,
    /// Success, and a page for people.
    WrongContentType,
    /// Success, of the right type, and no sense.
    Nonsense,
    /// The store fails.
    ServerError,
}

impl Fault {
    /// What a subject lacks that cannot play it.
    pub fn capability(self) -> Capability {
        match self {
            Self::Throttle(_) => Capability::Throttling,
            Self::Withhold => Capability::Slow,
            Self::HalfSent => Capability::HalfSent,
            Self::Reset => Capability::Reset,
            Self::WrongContentType => Capability::WrongContentType,
            Self::Nonsense => Capability::Nonsense,
            Self::ServerError => Capability::ServerError,
        }
    }
}

/// A fault that holds until this is dropped.
pub trait Playing: Send {
    /// How many requests met it so far; of [`Fault::Withhold`]: how many answers were kept back.
    fn met(&self) -> u64;
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must.
    Passed,
    /// The subject lacks what it needs.
    CouldNot(&'static str),
    /// What was expected, and found missing.
    Failed(String),
}

/// Why a case could not be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cannot(pub &'static str);
