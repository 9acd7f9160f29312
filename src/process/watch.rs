use std::os::fd::OwnedFd;
use std::time::Duration;

use super::{FindError, Process, watched};
use crate::clock::Clock;

/// How often it is looked for while it has not appeared. A job's process may be over in a moment, and one
/// that was never seen is waited for for ever, so at first the look is a close one: in a pod there are a
/// handful of processes to look at.
const CLOSE: Duration = Duration::from_millis(20);
/// How long that is: a kubelet starts the containers of a pod one after the other.
const AT_FIRST: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(1);

/// Returns when a process of this name has run and none is left: one that is there now, or the
/// first to come. Whoever takes over while the first ends (a daemon's child) is waited for too.
pub async fn watch_exit(name: &str, clock: &Clock) {
    let mut process = appearance(name, clock).await;
    loop {
        end(process.into_descriptor(), clock).await;
        process = loop {
            match Process::by_name(name) {
                Ok(next) => break next,
                Err(FindError::NoSuch { .. }) => return,
                // We cannot look (no descriptor is left): that is not its end.
                Err(_) => clock.sleep(LATE).await,
            }
        };
    }
}

/// Returns when the process has ended, or a moment later where that cannot be waited for: the
/// caller looks whether it is there.
async fn end(process: OwnedFd, clock: &Clock) {
    let ended = match watched(process) {
        Ok(process) => process.readable().await.map(drop),
        Err(error) => Err(error),
    };
    if ended.is_err() {
        clock.sleep(LATE).await;
    }
}

async fn appearance(name: &str, clock: &Clock) -> Process {
    let start = clock.now();
    loop {
        if let Ok(process) = Process::by_name(name) {
            return process;
        }
        let at_first = clock.now().since(start) < AT_FIRST;
        clock.sleep(if at_first { CLOSE } else { LATE }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::find::tests::{Application, unique_name};

    async fn within_ten_seconds<T>(what: &str, future: impl Future<Output = T>) -> T {
        Clock::boot().within(Duration::from_secs(10), future).await.unwrap_or_else(|| panic!("{what}"))
    }

    #[tokio::test]
    async fn its_end_is_seen_when_it_ends_and_not_before() {
        let name = unique_name("ends");
        let application = Application::start(&name);
        let clock = Clock::boot();
        let mut watch = std::pin::pin!(watch_exit(&name, &clock));
        assert!(clock.within(Duration::from_millis(300), &mut watch).await.is_none(), "it lives");
        drop(application);
        within_ten_seconds("its end is seen", watch).await;
    }

    #[tokio::test]
    async fn one_that_has_not_started_is_waited_for() {
        let name = unique_name("late");
        let clock = Clock::boot();
        let mut watch = std::pin::pin!(watch_exit(&name, &clock));
        assert!(clock.within(Duration::from_millis(100), &mut watch).await.is_none(), "nothing has run yet");
        let application = Application::start(&name);
        assert!(clock.within(Duration::from_millis(1500), &mut watch).await.is_none(), "it lives");
        drop(application);
        within_ten_seconds("its end is seen", watch).await;
    }

    #[tokio::test]
    async fn one_that_is_over_in_a_moment_is_seen() {
        let name = unique_name("short");
        let clock = Clock::boot();
        let mut watch = std::pin::pin!(watch_exit(&name, &clock));
        // Between two looks that grow further apart it would have come and gone.
        assert!(clock.within(Duration::from_secs(2), &mut watch).await.is_none(), "nothing has run yet");
        let application = Application::start(&name);
        clock.within(Duration::from_millis(200), &mut watch).await;
        drop(application);
        within_ten_seconds("its end is seen", watch).await;
    }

    #[tokio::test]
    async fn a_successor_of_the_same_name_is_waited_for_too() {
        let name = unique_name("successor");
        let first = Application::start(&name);
        let clock = Clock::boot();
        let mut watch = std::pin::pin!(watch_exit(&name, &clock));
        assert!(clock.within(Duration::from_millis(100), &mut watch).await.is_none());
        let second = Application::start(&name);
        drop(first);
        assert!(clock.within(Duration::from_millis(300), &mut watch).await.is_none(), "the second lives");
        drop(second);
        within_ten_seconds("its end is seen", watch).await;
    }
}
