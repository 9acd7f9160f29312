//! What is played on the stores, said when it begins.

use std::convert::Infallible;
use std::time::Duration;

use super::Teller;
use crate::clock::Clock;
use crate::config::Config;

/// Says each happening of the stores' scripts when it comes. Never returns.
pub async fn announce(config: &Config, clock: &Clock, teller: &Teller) -> Infallible {
    let start = clock.now();
    let mut coming: Vec<Coming> = config
        .providers
        .iter()
        .flat_map(|(name, provider)| {
            provider.settings.forecast().into_iter().map(move |forecast| Coming {
                at: forecast.at,
                every: forecast.every,
                text: format!("weather: \"{name}\" {}", forecast.text),
            })
        })
        .collect();
    while let Some(index) = next(&coming) {
        clock.sleep_until(start + coming[index].at).await;
        teller.say(&coming[index].text);
        match coming[index].every {
            Some(every) => coming[index].at += every,
            None => drop(coming.swap_remove(index)),
        }
    }
    std::future::pending().await
}

/// One happening that is still to come.
struct Coming {
    at: Duration,
    every: Option<Duration>,
    text: String,
}

fn next(coming: &[Coming]) -> Option<usize> {
    (0..coming.len()).min_by_key(|index| (coming[*index].at, &coming[*index].text))
}
