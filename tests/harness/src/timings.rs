//! Where the time of a test run goes.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Instant;

/// Measures until it is dropped, then appends `seconds name` to the file that `LEASEHOLD_TIMINGS` names.
#[must_use = "it measures until it is dropped"]
#[derive(Debug)]
pub struct Timed {
    name: String,
    start: Instant,
}

/// Starts to measure a step, such as the start of a server. (Whole tests are timed by the test runner.)
pub fn timed(name: impl Into<String>) -> Timed {
    Timed { name: name.into(), start: Instant::now() }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let Some(file) = std::env::var_os("LEASEHOLD_TIMINGS") else { return };
        let line = format!("{:.3} {}\n", self.start.elapsed().as_secs_f64(), self.name);
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            panic!("writing to LEASEHOLD_TIMINGS={}: {error}", file.display());
        }
    }
}
