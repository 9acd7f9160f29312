//! A `refresh` that somebody asked for: each secret's keeper is told, and what came of it is said, secret by
//! secret.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot::{self, Receiver, Sender};

use super::House;
use crate::admin::GOES_ON;
use crate::clock::Clock;
use crate::keeper::{Order, Refreshed};

/// How long a refresh is waited for. Shorter than whoever asked waits, so that what is known is told.
const PATIENCE: Duration = Duration::from_secs(50);

impl House {
    pub(super) async fn refresh(
        &mut self,
        names: Vec<String>,
        reply: Sender<Result<BTreeMap<String, String>, String>>,
    ) {
        let unknown: Vec<&String> = names.iter().filter(|name| !self.kept_by.contains_key(*name)).collect();
        if !unknown.is_empty() {
            let _ = reply.send(Err(format!("there is no secret {unknown:?}")));
            return;
        }
        let mut waiting = Vec::new();
        for name in names {
            let (answer, word) = oneshot::channel();
            if let Some(keeper) = self.keeper_of(&name) {
                // A keeper that has ended drops the answer's other end, which says so.
                let _ = keeper.send(Order::Refresh { secret: name.clone(), reply: answer }).await;
                waiting.push((name, word));
            }
        }
        let clock = self.clock.clone();
        self.serving.spawn(async move {
            let _ = reply.send(Ok(words(waiting, &clock).await));
        });
    }
}

/// What came of it within [`PATIENCE`], by secret. Words that start with `failed` or `not done` say that there
/// is no successor.
async fn words(waiting: Vec<(String, Receiver<Refreshed>)>, clock: &Clock) -> BTreeMap<String, String> {
    let until = clock.now() + PATIENCE;
    let mut words = BTreeMap::new();
    for (name, word) in waiting {
        // What is there already is told, also where the time is up.
        let word = match clock.within(until.since(clock.now()), word).await {
            Some(Ok(Refreshed::Published(generation))) => format!("in place with generation {generation}"),
            Some(Ok(Refreshed::Unchanged)) => "the store has nothing new".to_owned(),
            Some(Ok(Refreshed::Failed(why))) => format!("failed: {why}"),
            Some(Err(_)) => "not done: the process is ending".to_owned(),
            None => format!("not done yet: {GOES_ON}"),
        };
        words.insert(name, word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_one_is_told_where_another_takes_too_long() {
        let clock = Clock::tokio();
        let channel = |name: &str| {
            let (sender, receiver) = oneshot::channel();
            (sender, (name.to_owned(), receiver))
        };
        let ((_slow, slow), (done, quick), (gone, ended)) = (channel("a"), channel("b"), channel("c"));
        done.send(Refreshed::Published(7)).unwrap();
        drop(gone);
        let start = clock.now();
        let said = words(vec![slow, quick, ended], &clock).await;
        assert_eq!(clock.now().since(start).as_secs(), PATIENCE.as_secs());
        assert_eq!(
            said.into_iter().collect::<Vec<_>>(),
            [
                ("a".to_owned(), format!("not done yet: {GOES_ON}")),
                ("b".to_owned(), "in place with generation 7".to_owned()),
                ("c".to_owned(), "not done: the process is ending".to_owned()),
            ]
        );
    }
}
