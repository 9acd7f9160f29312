//! Answers that are kept back until a test lets them go.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What is kept back, by the beginning of its path.
#[derive(Default)]
pub(crate) struct Holds {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    active: Vec<Active>,
}

struct Active {
    id: u64,
    beginning: String,
    kept_back: u64,
}

/// While this lives, the answers that it is about do not go. They were made before: what is asked is done.
#[must_use = "the answers go when it is dropped"]
pub struct Held {
    holds: Arc<Holds>,
    id: u64,
}

impl Holds {
    pub(crate) fn hold(self: &Arc<Self>, beginning: &str) -> Held {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.active.push(Active { id, beginning: beginning.to_owned(), kept_back: 0 });
        Held { holds: Arc::clone(self), id }
    }

    /// Returns once the answer to a request of this path may go. The thread is its connection's own.
    pub(crate) fn pass(&self, path: &str) {
        let mut state = self.state();
        let Some(active) = state.active.iter_mut().find(|active| path.starts_with(&active.beginning)) else {
            return;
        };
        active.kept_back += 1;
        let id = active.id;
        while state.active.iter().any(|active| active.id == id) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How many answers it has kept back so far.
    pub fn kept_back(&self) -> u64 {
        let state = self.holds.state();
        state.active.iter().find(|active| active.id == self.id).map_or(0, |active| active.kept_back)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holds.state().active.retain(|active| active.id != self.id);
        self.holds.changed.notify_all();
    }
}
