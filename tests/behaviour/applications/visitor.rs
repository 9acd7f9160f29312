//! A client that makes one handshake after the other while certificates rotate.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{TlsClient, tls};
use leasehold_harness as harness;

pub(super) const PACE: Duration = Duration::from_millis(10);

/// What a client went through that makes a new handshake every 10 ms, or as soon as the last is done where the
/// server takes longer.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) handshakes: usize,
    pub(super) failures: Vec<String>,
    /// The serial numbers that were in place, in their order.
    pub(super) placed: Vec<String>,
    /// The serial numbers that were served, by their first time.
    pub(super) served: Vec<String>,
    /// How many handshakes in a row were served what was in place.
    pub(super) settled: usize,
    /// From the start of each handshake to that of the next.
    gaps: Vec<Duration>,
}

impl Life {
    /// The median of the time from one handshake to the next: what the machine stood still for is not in it.
    pub(super) fn pace(&self) -> Duration {
        let mut gaps = self.gaps.clone();
        gaps.sort_unstable();
        gaps[gaps.len() / 2]
    }

    /// Notes what is in place; its number among all that were.
    fn look(&mut self, certificate: &Path) -> usize {
        let pem = fs::read_to_string(certificate).unwrap();
        let serial = tls::serial(&pem).unwrap_or_else(|| panic!("no certificate: {pem}"));
        if self.placed.last() != Some(&serial) {
            assert!(!self.placed.contains(&serial), "it came back: {serial}");
            self.placed.push(serial);
        }
        self.placed.len() - 1
    }
}

/// Ends a visit when it goes, also where the test fails: a scope waits for its threads.
pub(super) struct Ending<'a>(pub(super) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes them until it is told to stop. `certificate` is what is in place at `server`, as PEM.
pub(super) fn visit(
    client: &TlsClient,
    server: SocketAddr,
    certificate: &Path,
    life: &Mutex<Life>,
    stop: &AtomicBool,
) {
    let mut last = None;
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let gap = last.replace(start).map(|last| start.duration_since(last));
        let before = life.lock().unwrap().look(certificate);
        let outcome = client.handshake(server);
        let mut life = life.lock().unwrap();
        let now = life.look(certificate);
        life.handshakes += 1;
        life.gaps.extend(gap);
        match outcome {
            Err(why) => life.failures.push(why),
            Ok(serial) => {
                // The one that was in place before and the one that is now; none older.
                let live = life.placed[before.saturating_sub(1)..=now].contains(&serial);
                if !live {
                    let why = format!("{serial} was served, and in place were {:?}", life.placed);
                    life.failures.push(why);
                }
                let current = life.placed.last() == Some(&serial);
                life.settled = if current { life.settled + 1 } else { 0 };
                // Workers of before and after answer side by side for a moment.
                if !life.served.contains(&serial) {
                    life.served.push(serial);
                }
            }
        }
        drop(life);
        std::thread::sleep(PACE.saturating_sub(start.elapsed()));
    }
}
