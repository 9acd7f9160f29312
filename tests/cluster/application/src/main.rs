//! What stands for a user's application in the pods of the cluster tests: it logs in to PostgreSQL ten times a
//! second with the credential that leasehold wrote, each time with a new connection, and says on standard
//! output what it noticed.
//!
//! It is told by environment variables: `DATABASE_URL` (its credential, as the exec wrapper gives it), else
//! `FILES` (leasehold's directory), `POSTGRES` (an address; without it
//! the files are read and nobody is asked), `DRAIN` (seconds that it goes on after SIGTERM), `CREDENTIALS`
//! (it ends by itself once it has used that many, as a Job does), `LISTEN` (an address on which it answers
//! requests, with what `GREETING` says).
//!
//! With arguments it is what such an image also holds: `install DIRECTORY` copies it there, `reload URL` asks
//! another one to reload, `ask URL` asks fifty times a second until it is told to end.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "an application of a test, not leasehold"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use leasehold_harness::postgres;

mod web;

const PAUSE: Duration = Duration::from_millis(100);

/// Prints a line with the time since 1970 on our own clock before it: whoever collects it reads it some time
/// later, and what came first is asked about.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
        println!("{}.{:06} {}", now.as_secs(), now.subsec_micros(), format_args!($($text)*));
    }};
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(),
        ["install", directory] => install(Path::new(directory)),
        ["reload", url] => web::reload(url),
        ["ask", url] => web::ask(url),
        _ => {
            say!("expected no arguments, `install DIRECTORY`, `reload URL` or `ask URL`");
            ExitCode::from(2)
        }
    }
}

fn install(directory: &Path) -> ExitCode {
    let copied = std::fs::copy("/proc/self/exe", directory.join("application"));
    copied.expect("the directory is a volume of ours");
    ExitCode::SUCCESS
}

fn serve() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    let files = PathBuf::from(variable("FILES").unwrap_or_else(|| "/run/secrets/leasehold/live".into()));
    let postgres = variable("POSTGRES").map(|address| address.parse().expect("POSTGRES is an address"));
    let number = |name: &str| variable(name).map(|text| text.parse().expect("a number"));
    let drain = Duration::from_secs(number("DRAIN").unwrap_or(0));
    let enough = number("CREDENTIALS");

    let (ending, hangups) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let asked = signal_hook::flag::register(signal_hook::consts::SIGTERM, ending.clone());
    asked.expect("SIGTERM may be handled");
    count(signal_hook::consts::SIGHUP, hangups.clone());

    let mut seen = Seen::default();
    let given = variable("DATABASE_URL");
    let read = || match &given {
        Some(address) => credential(address),
        None => read(&files),
    };
    let present = match (&given, read()) {
        (Some(_), _) => "with its environment and no",
        (None, Some(_)) => "with",
        (None, None) => "without",
    };
    say!("started {present} files, as uid {}", rustix::process::getuid().as_raw());
    let listening = variable("LISTEN").map(|address| web::listen(&address, variable("GREETING")));
    let mut ended_at = None;
    loop {
        let signals = hangups.swap(0, Ordering::Relaxed);
        (0..signals).for_each(|_| say!("signal HUP"));
        if let Some((username, password)) = read() {
            seen.credential(&username);
            if let Some(address) = postgres {
                seen.login(postgres::login_at(address, &username, &password));
            }
        }
        if ending.load(Ordering::Relaxed) && ended_at.is_none() {
            say!("asked to end");
            ended_at = Some(Instant::now());
        }
        let done = enough.is_some_and(|enough| seen.credentials as u64 >= enough);
        if done || ended_at.is_some_and(|at| at.elapsed() >= drain) {
            listening.iter().for_each(web::Listening::finish);
            say!("ended: {} log-ins, {} failed, {} credentials", seen.logins, seen.failed, seen.credentials);
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(PAUSE);
    }
}

/// What there is to tell.
#[derive(Default)]
struct Seen {
    username: String,
    credentials: usize,
    logins: usize,
    failed: usize,
}

impl Seen {
    fn credential(&mut self, username: &str) {
        if self.username != username {
            self.credentials += 1;
            say!("credential {} is {username}", self.credentials);
            username.clone_into(&mut self.username);
        }
    }

    fn login(&mut self, outcome: Result<(), String>) {
        self.logins += 1;
        if let Err(why) = outcome {
            self.failed += 1;
            say!("failed log-in as {}: {why}", self.username);
        }
    }
}

/// User name and password, of the address that an application of ours connects to: one line, one file.
fn read(files: &Path) -> Option<(String, String)> {
    let env = std::fs::read_to_string(files.join("db.env")).ok()?;
    env.lines().find_map(|line| credential(line.strip_prefix("DATABASE_URL=")?))
}

fn credential(address: &str) -> Option<(String, String)> {
    let address = address.strip_prefix("postgres://")?;
    let (username, password) = address.split_once('@')?.0.split_once(':')?;
    Some((username.to_owned(), percent_decoded(password)?))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut decoded = parts.next()?.as_bytes().to_vec();
    for part in parts {
        decoded.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(decoded).ok()
}

fn count(signal: i32, counter: Arc<AtomicUsize>) {
    let mut signals = signal_hook::iterator::Signals::new([signal]).expect("it may be handled");
    std::thread::spawn(move || {
        for _ in signals.forever() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
}
