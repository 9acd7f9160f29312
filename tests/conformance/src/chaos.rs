//! A provider behind bad weather: delays, outages, throttling, and connections that end before or after
//! the deed, drawn on a seed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::{
    Error, Fetched, Kind, Login, MissingRight, Operation, Provider, SecretBytes, SecretRef, Session, Target,
    Term, Traits, Wanted, async_trait,
};

/// How often what happens, each in a hundred calls.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// The call takes up to 20 ms longer.
    pub delayed: u8,
    /// The connection ends before the store has heard of it.
    pub refused: u8,
    /// The store does it, and its answer is lost.
    pub lost: u8,
    /// The store wants to be left alone for a second.
    pub throttled: u8,
    /// An outage begins, which takes the next calls with it.
    pub outage: u8,
}

impl Default for Odds {
    /// Weather in which about every third call fails.
    fn default() -> Self {
        Self { delayed: 20, refused: 10, lost: 10, throttled: 5, outage: 2 }
    }
}

/// A provider that this happens to. What happens depends on the seed and on the order of the calls.
pub struct Chaos {
    inner: Box<dyn Provider>,
    name: String,
    odds: Odds,
    weather: Arc<Mutex<Weather>>,
}

/// What became of the calls, also where the provider itself was given away.
#[derive(Clone, Debug)]
pub struct Record(Arc<Mutex<Weather>>);

/// One call, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// Whether the provider behind was asked.
    pub passed: bool,
    /// What was answered in its place.
    pub instead: Option<Kind>,
}

#[derive(Debug)]
struct Weather {
    dice: fastrand::Rng,
    /// How many calls the outage still takes.
    outage: u8,
    calls: Vec<Call>,
}

/// What happens to one call.
#[derive(Debug)]
struct Fate {
    delay: Duration,
    happening: Happening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    None,
    Refused,
    Lost,
    Throttled,
}

impl Chaos {
    /// This provider, which the configuration calls `name`, under the default weather.
    pub fn over(inner: Box<dyn Provider>, name: &str, seed: u64) -> Self {
        Self::with(inner, name, seed, Odds::default())
    }

    /// The same under other weather.
    pub fn with(inner: Box<dyn Provider>, name: &str, seed: u64, odds: Odds) -> Self {
        let weather = Weather { dice: fastrand::Rng::with_seed(seed), outage: 0, calls: Vec::new() };
        Self { inner, name: name.to_owned(), odds, weather: Arc::new(Mutex::new(weather)) }
    }

    /// What becomes of its calls.
    pub fn record(&self) -> Record {
        Record(Arc::clone(&self.weather))
    }

    /// Draws what happens to the next call, and writes it down.
    fn fate(&self, operation: Operation) -> Fate {
        let mut weather = locked(&self.weather);
        let odds = self.odds;
        let delay = match weather.dice.u8(0..100) < odds.delayed {
            true => Duration::from_millis(weather.dice.u64(1..=20)),
            false => Duration::ZERO,
        };
        let drawn = weather.dice.u8(0..100);
        let mut bound = 0;
        let mut within = |odds: u8| {
            bound += odds;
            drawn < bound
        };
        let happening = if weather.outage > 0 {
            weather.outage -= 1;
            Happening::Refused
        } else if within(odds.refused) {
            Happening::Refused
        } else if within(odds.lost) {
            Happening::Lost
        } else if within(odds.throttled) {
            Happening::Throttled
        } else if within(odds.outage) {
            weather.outage = weather.dice.u8(1..=4);
            Happening::Refused
        } else {
            Happening::None
        };
        weather.calls.push(Call {
            operation,
            passed: matches!(happening, Happening::None | Happening::Lost),
            instead: happening.kind(),
        });
        Fate { delay, happening }
    }

    async fn through<T>(
        &self,
        operation: Operation,
        on: Option<&SecretRef>,
        deed: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Fate { delay, happening } = self.fate(operation);
        tokio::time::sleep(delay).await;
        let error = |kind: Kind, detail: &str| {
            let on = on.map(|on| format!("secret \"{}\" ({})", on.name, on.path)).unwrap_or_default();
            Err(Error::new(kind, operation, &self.name, detail).on(on))
        };
        match happening {
            Happening::None => deed.await,
            Happening::Refused => {
                error(Kind::Unavailable, "the connection ended before it was sent: it was played")
            }
            Happening::Lost => {
                drop(deed.await);
                error(Kind::Unavailable, "the connection ended before the answer came: it was played")
            }
            Happening::Throttled => error(Kind::Throttled, "too many requests: it was played")
                .map_err(|error: Error| error.retry_after(Some(Duration::from_secs(1)))),
        }
    }
}

impl Record {
    /// The calls so far, in their order.
    pub fn calls(&self) -> Vec<Call> {
        locked(&self.0).calls.clone()
    }
}

fn locked(weather: &Mutex<Weather>) -> MutexGuard<'_, Weather> {
    weather.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Happening {
    fn kind(self) -> Option<Kind> {
        match self {
            Self::None => None,
            Self::Refused | Self::Lost => Some(Kind::Unavailable),
            Self::Throttled => Some(Kind::Throttled),
        }
    }
}

fn secret_of<'a>(what: &Target<'a>) -> Option<&'a SecretRef> {
    match what {
        Target::Session => None,
        Target::Lease { reference, .. } => Some(reference),
    }
}

#[async_trait]
impl Provider for Chaos {
    fn describe(&self, reference: &SecretRef) -> Traits {
        self.inner.describe(reference)
    }

    fn watched(&self) -> Vec<PathBuf> {
        self.inner.watched()
    }

    fn patience(&self) -> Duration {
        self.inner.patience()
    }

    async fn login(&self, kept: Option<&SecretBytes>) -> Result<Login, Error> {
        self.through(Operation::Login, None, self.inner.login(kept)).await
    }

    async fn learn(&self, session: &Session, references: &[&SecretRef]) -> Result<(), Error> {
        self.through(Operation::Check, None, self.inner.learn(session, references)).await
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let only = match wanted {
            [one] => Some(one.reference),
            _ => None,
        };
        self.through(Operation::Fetch, only, self.inner.fetch(session, wanted)).await
    }

    async fn lookup(&self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        self.through(Operation::Lookup, secret_of(&what), self.inner.lookup(session, what)).await
    }

    async fn renew(
        &self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error> {
        self.through(Operation::Renew, secret_of(&what), self.inner.renew(session, what, increment)).await
    }

    async fn revoke(&self, session: &Session, what: Target<'_>) -> Result<(), Error> {
        self.through(Operation::Revoke, secret_of(&what), self.inner.revoke(session, what)).await
    }

    fn can_check(&self) -> bool {
        self.inner.can_check()
    }

    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        self.through(Operation::Check, Some(reference), self.inner.check(session, reference)).await
    }
}
