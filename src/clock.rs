//! The only reader of clocks.
//!
//! A [`Moment`] counts as the store's TTLs do: suspension included. `CLOCK_MONOTONIC`, and with it
//! every timer of tokio, stops while a laptop sleeps; a lease does not. So the real clock reads
//! `CLOCK_BOOTTIME` and sleeps on a timerfd of the same clock, which fires at once on waking.
//! For tests the same [`Clock`] stands on tokio's (pausable) time, plus jumps; for development it
//! runs faster than the machine's ([`Clock::hurried`]).

use std::future::Future;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// A point in time: for the real clock the time since boot, suspension included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// From the time since the clock's zero.
    pub const fn from_zero(since: Duration) -> Self {
        Self(since)
    }

    /// The time since the clock's zero.
    pub const fn since_zero(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; nothing where it is not after it.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This much before, not before the clock's zero.
    #[must_use]
    pub fn before(self, by: Duration) -> Moment {
        Moment(self.0.saturating_sub(by))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(by))
    }
}

/// A clock; clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Form);

#[derive(Clone, Debug)]
enum Form {
    Boot(Pace),
    Tokio(Arc<Stand>),
}

/// How a clock runs beside the machine's.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Where they show the same.
    zero: Duration,
    /// How much faster it runs from there on.
    rate: u32,
}

impl Pace {
    const MACHINE: Self = Self { zero: Duration::ZERO, rate: 1 };

    fn moment(self, real: Duration) -> Moment {
        Moment(self.zero + real.saturating_sub(self.zero).saturating_mul(self.rate))
    }

    /// What the machine's clock shows then, not less.
    fn real(self, moment: Moment) -> Moment {
        Moment(self.zero + self.length(moment.0.saturating_sub(self.zero)))
    }

    /// How long it takes on the machine's clock.
    fn length(self, length: Duration) -> Duration {
        Duration::from_nanos_u128(length.as_nanos().div_ceil(u128::from(self.rate)))
    }
}

/// What the clock and the wall showed together.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    now: Moment,
    /// When the wall showed `wall`.
    at: Moment,
    wall: SystemTime,
    pace: Pace,
}

impl Reading {
    /// When it was read.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// What the wall shows at a moment near that.
    pub fn wall(&self, moment: Moment) -> SystemTime {
        if moment >= self.at {
            self.wall + self.pace.length(moment.since(self.at))
        } else {
            let before = self.pace.length(self.at.since(moment));
            self.wall.checked_sub(before).unwrap_or(SystemTime::UNIX_EPOCH)
        }
    }
}

/// What a clock on tokio's time adds to it.
#[derive(Debug)]
struct Stand {
    zero: tokio::time::Instant,
    wall: SystemTime,
    jumped: watch::Sender<Duration>,
}

impl Clock {
    /// The machine's clock.
    pub fn boot() -> Self {
        Self(Form::Boot(Pace::MACHINE))
    }

    /// The machine's clock from now on at this rate, of 1 at least: an hour of leases in a minute.
    pub fn hurried(rate: u32) -> Self {
        let zero = Self::boot().now().since_zero();
        Self(Form::Boot(Pace { zero, rate: rate.max(1) }))
    }

    /// For what people and programs take their time for: the same clock, not hurried.
    #[must_use]
    pub fn unhurried(&self) -> Self {
        match &self.0 {
            Form::Boot(_) => Self::boot(),
            Form::Tokio(_) => self.clone(),
        }
    }

    /// A clock on tokio's time: paused where the test pauses it.
    #[allow(clippy::disallowed_methods, reason = "this is the reader of clocks")]
    pub fn tokio() -> Self {
        let (jumped, _) = watch::channel(Duration::from_secs(1_000));
        Self(Form::Tokio(Arc::new(Stand {
            zero: tokio::time::Instant::now(),
            wall: SystemTime::now(),
            jumped,
        })))
    }

    /// As if the machine had been suspended for `by`. Only a clock on tokio's time can.
    pub fn jump(&self, by: Duration) {
        if let Form::Tokio(stand) = &self.0 {
            stand.jumped.send_modify(|jumped| *jumped += by);
        }
    }

    /// Now.
    #[allow(clippy::disallowed_methods, reason = "this is the reader of clocks")]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Form::Boot(pace) => {
                let now = rustix::time::clock_gettime(ClockId::Boottime);
                pace.moment(Duration::new(now.tv_sec as u64, now.tv_nsec as u32))
            }
            Form::Tokio(stand) => Moment(stand.zero.elapsed() + *stand.jumped.borrow()),
        }
    }

    /// The reading of `CLOCK_MONOTONIC`, in which a service manager counts. Nothing is decided by it.
    #[allow(clippy::disallowed_methods, reason = "this is the reader of clocks")]
    pub fn monotonic(&self) -> Duration {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    /// The wall clock's reading for a moment near now. For people and Prometheus; nothing is
    /// decided by it.
    pub fn wall(&self, moment: Moment) -> SystemTime {
        self.reading().wall(moment)
    }

    /// Both clocks at once. What is told of one moment is told by one of these: two would differ by
    /// what lies between them.
    #[allow(clippy::disallowed_methods, reason = "this is the reader of clocks")]
    pub fn reading(&self) -> Reading {
        match &self.0 {
            Form::Boot(pace) => {
                let now = self.now();
                Reading { now, at: now, wall: SystemTime::now(), pace: *pace }
            }
            Form::Tokio(stand) => Reading {
                now: self.now(),
                at: Moment(Duration::from_secs(1_000)),
                wall: stand.wall,
                pace: Pace::MACHINE,
            },
        }
    }

    /// Returns when `until` has come, also when it came while the machine slept.
    pub async fn sleep_until(&self, until: Moment) {
        match &self.0 {
            Form::Boot(pace) => boot_sleep_until(pace.real(until)).await,
            Form::Tokio(stand) => stand.sleep_until(self, until).await,
        }
    }

    /// Returns when `at` has come, and never where it is `None`.
    pub async fn reaches(&self, at: Option<Moment>) {
        match at {
            Some(at) => self.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Returns after `length`.
    pub async fn sleep(&self, length: Duration) {
        self.sleep_until(self.now() + length).await;
    }

    /// The future's output, or `None` when `length` has passed before it. The future is dropped
    /// then: never give it a mint.
    pub async fn within<F: Future>(&self, length: Duration, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.sleep(length) => None,
        }
    }
}

impl Stand {
    #[allow(clippy::disallowed_methods, reason = "this is the reader of clocks")]
    async fn sleep_until(&self, clock: &Clock, until: Moment) {
        let mut jumped = self.jumped.subscribe();
        loop {
            let now = clock.now();
            if now >= until {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(until.since(now)) => {}
                _ = jumped.changed() => {}
            }
        }
    }
}

/// Sleeps on a timerfd of `CLOCK_BOOTTIME`. Where none is to be had (descriptors are used up), on
/// tokio's timer in short steps, so that a suspension is noticed late but noticed.
async fn boot_sleep_until(until: Moment) {
    let clock = Clock::boot();
    if clock.now() >= until {
        tokio::task::yield_now().await;
        return;
    }
    match timer(until) {
        Ok(timer) => loop {
            match timer.readable().await {
                Ok(mut guard) => {
                    if clock.now() >= until {
                        return;
                    }
                    guard.clear_ready();
                }
                Err(_) => return coarse_sleep_until(&clock, until).await,
            }
        },
        Err(_) => coarse_sleep_until(&clock, until).await,
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the reader of clocks")]
async fn coarse_sleep_until(clock: &Clock, until: Moment) {
    const STEP: Duration = Duration::from_secs(1);
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(STEP)).await;
    }
}

fn timer(until: Moment) -> std::io::Result<AsyncFd<OwnedFd>> {
    let fd = rustix::time::timerfd_create(
        TimerfdClockId::Boottime,
        TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
    )?;
    let at = until.since_zero();
    let value = Timespec {
        tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
        // Never zero altogether: that would disarm it.
        tv_nsec: i64::from(at.subsec_nanos().max(1)),
    };
    let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::time::timerfd_settime(
        &fd,
        TimerfdTimerFlags::ABSTIME,
        &Itimerspec { it_interval: interval, it_value: value },
    )?;
    crate::process::watched(fd)
}

/// A lock for what tests and tasks share; a poisoned one still holds plain data.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_real_clock_sleeps_on_the_boot_clock_and_wakes_in_time() {
        let clock = Clock::boot();
        let before = clock.now();
        clock.sleep(Duration::from_millis(30)).await;
        let slept = clock.now().since(before);
        assert!(slept >= Duration::from_millis(30), "{slept:?}");
        let raw = rustix::time::clock_gettime(ClockId::Boottime);
        let gap =
            Duration::new(raw.tv_sec as u64, raw.tv_nsec as u32).saturating_sub(clock.now().since_zero());
        assert!(gap < Duration::from_secs(5), "the clock is CLOCK_BOOTTIME, {gap:?} apart");
    }

    #[tokio::test]
    async fn the_real_clock_returns_at_once_for_a_moment_that_has_passed() {
        let clock = Clock::boot();
        clock.sleep_until(clock.now().before(Duration::from_secs(1))).await;
    }

    #[tokio::test]
    async fn a_hurried_clock_shows_a_minute_for_a_second_and_wakes_in_time() {
        let (machine, hurried) = (Clock::boot(), Clock::hurried(60));
        let (began, started) = (machine.now(), hurried.now());
        assert!(started.since(began) < Duration::from_secs(60), "they begin together");
        let until = started + Duration::from_secs(12);
        hurried.sleep_until(until).await;
        let (took, woke) = (machine.now().since(began), hurried.now());
        assert!(woke >= until, "a sleep never ends early");
        assert!(took >= Duration::from_millis(190), "{took:?}");
        assert!(took < Duration::from_secs(10), "12 s are 200 ms: {took:?}");
        let (wall, soon) = (hurried.wall(woke), hurried.wall(woke + Duration::from_secs(3_600)));
        let ahead = soon.duration_since(wall).unwrap();
        assert!(ahead > Duration::from_secs(55) && ahead < Duration::from_secs(65), "{ahead:?}");
        assert!(hurried.unhurried().now().since(machine.now()) < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn the_timer_stands_on_the_boot_clock() {
        let timer = timer(Clock::boot().now() + Duration::from_secs(3_600)).unwrap();
        let path = format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(timer.get_ref()));
        let info = std::fs::read_to_string(path).unwrap();
        // 7 is CLOCK_BOOTTIME.
        assert!(info.contains("clockid: 7"), "{info}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_ends_a_sleep_at_once() {
        let clock = Clock::tokio();
        let start = clock.now();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(3_600)).await;
                clock.now()
            }
        });
        tokio::task::yield_now().await;
        clock.jump(Duration::from_secs(7_200));
        let woke = sleeper.await.unwrap();
        assert_eq!(woke.since(start), Duration::from_secs(7_200));
    }
}
