//! TTLs that no store was asked for: given on the command line, said by the settings, or assumed.

use std::time::Duration;

use leasehold_core::Terms;

use crate::config::Config;
use crate::events::words::human;

/// What a lease is taken to be granted for, where nobody says.
const TTL: Duration = Duration::from_secs(3_600);
/// How long renewals are taken to stretch it.
const MAX_TTL: Duration = Duration::from_secs(24 * 3_600);

/// What the command line says of TTLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assumptions {
    /// `--ttl`.
    pub ttl: Vec<TermFlag>,
    /// `--max-ttl`.
    pub max_ttl: Vec<TermFlag>,
}

/// `1h`, for all secrets, or `NAME=1h`, for a secret or for the session of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermFlag {
    name: Option<String>,
    length: Duration,
}

/// How long something is taken to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assumed {
    pub(super) ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) renewable: bool,
    /// Where that comes from, after the two lengths.
    pub(super) source: String,
}

impl TermFlag {
    /// Reads `1h` or `NAME=1h`.
    ///
    /// # Errors
    /// It has another form; what is expected, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, length) = match text.split_once('=') {
            Some((name, length)) => (Some(name.trim().to_owned()), length.trim()),
            None => (None, text.trim()),
        };
        let length = humantime::parse_duration(length)
            .ok()
            .filter(|length| *length >= Duration::from_secs(1) && *length <= LONGEST)
            .ok_or("expected a duration of 1s to 10 years with its unit, such as 1h, or NAME=1h")?;
        Ok(Self { name, length })
    }
}

/// Longer than any store grants.
const LONGEST: Duration = Duration::from_secs(3_660 * 24 * 3_600);

impl Assumptions {
    /// Whether they fit the configuration.
    pub(super) fn check(&self, config: &Config) -> Result<(), String> {
        for (flag, given) in [("--ttl", &self.ttl), ("--max-ttl", &self.max_ttl)] {
            for name in given.iter().filter_map(|given| given.name.as_ref()) {
                if config.secrets.contains_key(name) || config.providers.contains_key(name) {
                    continue;
                }
                let secrets: Vec<&str> = config.secrets.keys().map(String::as_str).collect();
                let providers: Vec<&str> = config.providers.keys().map(String::as_str).collect();
                return Err(format!(
                    "{flag} names neither a secret nor a provider of the configuration: its secrets are {}, its \
                     providers {}",
                    secrets.join(", "),
                    providers.join(", "),
                ));
            }
        }
        for name in config.secrets.keys().chain(config.providers.keys()) {
            let (ttl, max) = (find(&self.ttl, name), find(&self.max_ttl, name));
            if let (Some(ttl), Some(max)) = (ttl, max)
                && max < ttl
            {
                return Err(format!(
                    "{name}: a max TTL of {} is shorter than a TTL of {}",
                    human(max),
                    human(ttl)
                ));
            }
        }
        Ok(())
    }

    /// Of a secret. `said` is what its provider's settings say.
    pub(super) fn of_secret(&self, name: &str, said: Option<&Terms>) -> Assumed {
        let renewable = said.is_none_or(|terms| terms.renewable);
        let (given, given_max) = (find(&self.ttl, name), find(&self.max_ttl, name));
        let settings = said.filter(|_| given.is_none());
        let ttl = given.or(said.map(|terms| terms.ttl)).unwrap_or(TTL);
        // What may not be longer than the TTL that is given would shorten it.
        let ttl = given_max.filter(|_| given.is_none()).map_or(ttl, |max| ttl.min(max));
        let said_max = settings.and_then(|terms| terms.max_ttl);
        let max_ttl = given_max.or(said_max).unwrap_or_else(|| MAX_TTL.max(ttl));
        let example =
            |flag: &str, length: Duration| format!("{flag} {name}={}", human(length).replace(' ', ""));
        let source = match (given, settings, given_max.or(said_max)) {
            (Some(_), _, Some(_)) => "as you gave them".to_owned(),
            (Some(_), _, None) if renewable => format!(
                "the TTL as you gave it, the max TTL assumed (give yours: {})",
                example("--max-ttl", max_ttl)
            ),
            (Some(_), _, None) => "as you gave it".to_owned(),
            (None, Some(terms), _) if !renewable || said_max.is_some() => format!("as {}", terms.source),
            (None, Some(terms), _) => format!(
                "the TTL as {}, the max TTL assumed (give yours: {})",
                terms.source,
                example("--max-ttl", max_ttl)
            ),
            (None, None, Some(_)) => {
                format!("the max TTL as you gave it, the TTL assumed (give yours: {})", example("--ttl", ttl))
            }
            (None, None, None) => format!(
                "ASSUMED, since only the store knows; with yours: {} {}",
                example("--ttl", ttl),
                example("--max-ttl", max_ttl)
            ),
        };
        Assumed { ttl, max_ttl, renewable, source }
    }

    /// Of a provider's session, where somebody gave one.
    pub(super) fn of_session(&self, provider: &str) -> Option<Assumed> {
        let named = |given: &[TermFlag]| {
            given.iter().rev().find(|given| given.name.as_deref() == Some(provider)).map(|given| given.length)
        };
        let (ttl, max) = (named(&self.ttl), named(&self.max_ttl));
        if ttl.is_none() && max.is_none() {
            return None;
        }
        let ttl = ttl.unwrap_or_else(|| max.map_or(TTL, |max| max.min(TTL)));
        let max_ttl = max.unwrap_or_else(|| MAX_TTL.max(ttl));
        Some(Assumed { ttl, max_ttl, renewable: true, source: String::new() })
    }

    /// Whether somebody gave a TTL for this secret itself.
    pub(super) fn names(&self, secret: &str) -> bool {
        self.ttl.iter().chain(&self.max_ttl).any(|given| given.name.as_deref() == Some(secret))
    }
}

/// The last that is given for a name, else the last that is given for all.
fn find(given: &[TermFlag], name: &str) -> Option<Duration> {
    let by = |wanted: Option<&str>| {
        given.iter().rev().find(|given| given.name.as_deref() == wanted).map(|given| given.length)
    };
    by(Some(name)).or_else(|| by(None))
}
