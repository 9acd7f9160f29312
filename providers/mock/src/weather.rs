//! Bad weather on a seed, and the forecast of what is to come.

use std::time::Duration;

use fastrand::Rng;
use leasehold_core::{Kind, Operation};

use crate::config::Settings;
use crate::fault::{Fault, Touched};
use crate::made_up;
use crate::script::{Happening, Line};

/// How many happenings there are before they come again.
const TURNS: usize = 100;

/// Something that will be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// When, from the store's beginning.
    pub at: Duration,
    /// How long after that again, and again.
    pub every: Option<Duration>,
    /// What, in words.
    pub text: String,
}

impl Settings {
    /// What the script will play on the store. Changes of values are no weather.
    pub fn forecast(&self) -> Vec<Forecast> {
        let lines = self.script.iter();
        lines
            .filter_map(|line| {
                Some(Forecast {
                    at: line.at(),
                    every: line.every(),
                    text: words(&line.happening, line.lasts())?,
                })
            })
            .collect()
    }
}

/// The weather at the provider `name`. The same seed and name give the same; the first of it comes
/// after some seconds, so that there is a first set of secrets. `rate`: how fast time runs; what
/// one sees of it comes at the same pace.
pub(crate) fn lines(seed: u64, name: &str, rate: u32) -> Vec<Line> {
    let mut dice = made_up::dice(seed, "weather", name, 0);
    let seconds = |dice: &mut Rng, from: u64, to: u64| Duration::from_secs(dice.u64(from..=to)) * rate;
    let mut at = seconds(&mut dice, 5, 9);
    let mut happenings = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let lasts = seconds(&mut dice, 3, 9);
        let (happening, lasts) = happening(&mut dice, rate, lasts);
        happenings.push((at, happening, lasts));
        at += lasts.unwrap_or_default() + seconds(&mut dice, 8, 20);
    }
    let line = |(from, happening, lasts)| Line::new(from, Some(at), lasts, happening);
    happenings.into_iter().map(line).collect()
}

fn happening(dice: &mut Rng, rate: u32, lasts: Duration) -> (Happening, Option<Duration>) {
    let fault = |kind| Fault::new(kind);
    match dice.u8(0..12) {
        0..=3 => (Happening::Fault(fault(Kind::Unavailable)), Some(lasts)),
        4..=5 => {
            let wait = Duration::from_secs(dice.u64(1..=3)) * rate;
            (Happening::Fault(fault(Kind::Throttled).retry_after(wait)), Some(lasts))
        }
        6..=7 => {
            let operation = [Operation::Login, Operation::Fetch, Operation::Renew][dice.usize(0..3)];
            (Happening::Fault(fault(Kind::Denied).on(operation)), Some(lasts))
        }
        8 => {
            let delay = Duration::from_secs(dice.u64(1..=2)) * rate;
            (Happening::Delay(Touched::default(), delay), Some(lasts))
        }
        9..=10 => (Happening::Revoke("*".to_owned()), None),
        _ => (Happening::ExpireSession, None),
    }
}

fn words(happening: &Happening, lasts: Option<Duration>) -> Option<String> {
    let lasts = lasts.map_or_else(String::new, |lasts| format!(" for {}", human(lasts)));
    let narrowed = |touched: &Touched| {
        let operation = touched.operation.map_or_else(String::new, |op| format!(" ({})", op.as_str()));
        let path = touched.path.as_ref().map_or_else(String::new, |path| format!(" at {path}"));
        format!("{operation}{path}")
    };
    Some(match happening {
        Happening::Fault(fault) => {
            let what = match fault.kind {
                Kind::Unavailable => "away",
                Kind::Throttled => "throttles us",
                Kind::Denied => "denies us",
                _ => "fails",
            };
            format!("{what}{}{lasts}", narrowed(&fault.touched))
        }
        Happening::Delay(touched, delay) => {
            format!("answers {} late{}{lasts}", human(*delay), narrowed(touched))
        }
        Happening::Revoke(pattern) if pattern == "*" => "loses every lease".to_owned(),
        Happening::Revoke(pattern) => format!("loses every lease at {pattern}"),
        Happening::ExpireSession => "ends every session, and its leases".to_owned(),
        Happening::Rotate(_) => return None,
    })
}

fn human(length: Duration) -> String {
    humantime::format_duration(length).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::development::Development;

    fn forecast(seed: u64, name: &str, speed: Option<u32>) -> Vec<Forecast> {
        let development = Development { chaos: Some(seed), speed, values: None };
        Settings::standing_in(name, &development).forecast()
    }

    #[test]
    fn the_same_seed_brings_the_same_weather_and_another_one_another() {
        assert_eq!(forecast(7, "vault", None), forecast(7, "vault", None));
        assert_ne!(forecast(7, "vault", None), forecast(8, "vault", None));
        assert_ne!(forecast(7, "vault", None), forecast(7, "aws", None));
    }

    #[test]
    fn it_leaves_time_for_a_first_set_and_shows_every_kind() {
        let all = forecast(1, "vault", None);
        assert!(all.iter().all(|one| one.at >= Duration::from_secs(5)));
        for kind in ["away", "throttles us", "denies us", "late", "loses every lease", "ends every session"] {
            assert!(all.iter().any(|one| one.text.contains(kind)), "{kind}");
        }
    }

    #[test]
    fn where_time_runs_faster_the_weather_keeps_its_pace() {
        let (slow, fast) = (forecast(1, "vault", None), forecast(1, "vault", Some(60)));
        assert!(slow.iter().zip(&fast).all(|(slow, fast)| slow.at * 60 == fast.at));
    }
}
