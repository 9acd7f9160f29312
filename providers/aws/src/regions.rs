//! Regions to read from: the first, and those that its secrets are replicated to.
//!
//! While a region does not answer, the next is asked in the same fetch. What is remembered of that saves time
//! and decides nothing: the region that answered is asked first, and the one before it again after a number
//! of fetches, or where the others cannot serve.

use std::sync::{Mutex, PoisonError};

/// How many fetches pass a region by that did not answer.
const SPARED: u32 = 10;

/// A region, and the store's address in it where that is not AWS's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

/// Which region to ask.
pub(crate) struct Regions {
    provider: String,
    names: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The region that answered when those before it did not; 0: all is well.
    serving: usize,
    /// Fetches until the first is asked first again.
    spared: u32,
}

impl Regions {
    pub(crate) fn new(provider: &str, places: &[Place]) -> Self {
        let names = places.iter().map(|place| place.region.clone().unwrap_or_default()).collect();
        Self { provider: provider.to_owned(), names, state: Mutex::default() }
    }

    /// The order of this fetch: every region once.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let from = match (state.serving, state.spared) {
            (0, _) => 0,
            (_, 0) => {
                state.spared = SPARED;
                0
            }
            (serving, _) => {
                state.spared -= 1;
                serving
            }
        };
        let count = self.names.len();
        (0..count).map(move |nth| (from + nth) % count)
    }

    /// This region served what those before it could not. Said once.
    pub(crate) fn stands_in(&self, region: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.serving != region {
            tracing::warn!(
                target: "leasehold::aws",
                provider = self.provider,
                region = self.names[0],
                serving = self.names[region],
                "the region does not answer: what is replicated is read from another one meanwhile"
            );
            *state = State { serving: region, spared: SPARED };
        }
    }

    /// The first region answered.
    pub(crate) fn is_back(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.serving > 0 {
            tracing::info!(
                target: "leasehold::aws",
                provider = self.provider,
                region = self.names[0],
                "the region answers again"
            );
        }
        *state = State::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions() -> Regions {
        let place = |region: &str| Place { region: Some(region.to_owned()), endpoint: None };
        Regions::new("aws", &[place("eu-west-1"), place("eu-central-1"), place("us-east-1")])
    }

    fn order(regions: &Regions) -> Vec<usize> {
        regions.order().collect()
    }

    #[test]
    fn the_one_that_serves_is_asked_first_and_the_first_again_after_a_while() {
        let regions = regions();
        assert_eq!(order(&regions), [0, 1, 2]);
        regions.stands_in(2);
        for _ in 0..SPARED {
            assert_eq!(order(&regions), [2, 0, 1]);
            regions.stands_in(2);
        }
        assert_eq!(order(&regions), [0, 1, 2]);
        regions.stands_in(2);
        assert_eq!(order(&regions), [2, 0, 1]);
        regions.is_back();
        assert_eq!(order(&regions), [0, 1, 2]);
    }
}
