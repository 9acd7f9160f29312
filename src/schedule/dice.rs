//! Chance, which whoever asks for a time brings along.

use std::time::Duration;

/// Chance, seeded where a test wants it.
#[derive(Clone, Debug)]
pub struct Dice(Chance);

#[derive(Clone, Debug)]
enum Chance {
    Random(fastrand::Rng),
    /// Always at this place of a range, from 0 to 1.
    Fixed(f64),
}

impl Dice {
    /// Chance that differs from process to process.
    pub fn new() -> Self {
        Self(Chance::Random(fastrand::Rng::new()))
    }

    /// The same chance each time.
    pub fn seeded(seed: u64) -> Self {
        Self(Chance::Random(fastrand::Rng::with_seed(seed)))
    }

    /// No chance: always the same place of every range, 0 its low end and 1 its high one.
    pub fn fixed(place: f64) -> Self {
        Self(Chance::Fixed(place.clamp(0.0, 1.0)))
    }

    /// A length between the two, both possible.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        if high <= low {
            return low;
        }
        let place = match &mut self.0 {
            Chance::Random(rng) => rng.f64(),
            Chance::Fixed(place) => *place,
        };
        low + (high - low).mul_f64(place)
    }

    /// 16 hex digits.
    pub fn key(&mut self) -> String {
        match &mut self.0 {
            Chance::Random(rng) => format!("{:016x}", rng.u64(..)),
            Chance::Fixed(_) => format!("{:016x}", 0),
        }
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}
