//! `explain`: what a configuration means, without asking anybody.

use leasehold_core::Environment;

use super::arguments::Assumed;
use super::{Exit, Sources, answer, fail, load};
use crate::client::{Screen, write_lines};
use crate::explain::{Assumptions, explain, policy};

pub(super) fn run(given: Sources, assumed: Assumed, environment: &Environment) -> Exit {
    let config = match load(given, environment) {
        Ok(config) => config,
        Err((exit, _)) => return exit,
    };
    if let Some(provider) = &assumed.policy {
        return match policy(&config, provider) {
            Ok(text) => answer(&text),
            Err(why) => fail(Exit::Usage, &why),
        };
    }
    let view = Screen::of(environment).view();
    let assumptions = Assumptions { ttl: assumed.ttl, max_ttl: assumed.max_ttl };
    match explain(&config, &assumptions, view) {
        Ok(lines) => {
            let mut text = Vec::new();
            let written = write_lines(lines, &view, &mut text);
            debug_assert!(written.is_ok(), "memory takes everything");
            answer(&String::from_utf8_lossy(&text))
        }
        Err(why) => fail(Exit::Usage, &why),
    }
}
