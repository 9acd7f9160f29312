//! The application as a service, and its clients: HTTP/1.1 as far as a probe, a reload and a load of one need it,
//! a new connection for each request.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::say;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(20);

/// What listens.
pub(crate) struct Listening {
    open: Arc<AtomicUsize>,
}

impl Listening {
    /// Waits until what was asked is answered.
    pub(crate) fn finish(&self) {
        let started = Instant::now();
        while self.open.load(Ordering::Acquire) > 0 && started.elapsed() < PATIENCE {
            std::thread::sleep(BETWEEN);
        }
    }
}

/// Answers every request with the greeting, and says when one asks for a reload.
pub(crate) fn listen(address: &str, greeting: Option<String>) -> Listening {
    let listener = TcpListener::bind(address).expect("LISTEN is an address of ours");
    let listening = Listening { open: Arc::default() };
    let open = listening.open.clone();
    let greeting = Arc::new(greeting.unwrap_or_default());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            open.fetch_add(1, Ordering::AcqRel);
            let (greeting, open) = (greeting.clone(), open.clone());
            std::thread::spawn(move || {
                // Who asked may have gone.
                let _ = answer(connection, &greeting);
                open.fetch_sub(1, Ordering::AcqRel);
            });
        }
    });
    listening
}

fn answer(mut connection: TcpStream, greeting: &str) -> Result<(), Error> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::from("begin");
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
    }
    if first.starts_with("POST /-/reload ") {
        say!("reload asked for");
    }
    let length = greeting.len();
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{greeting}")
}

/// Asks the application at that address to reload: what an operator's script would do.
pub(crate) fn reload(url: &str) -> ExitCode {
    match request("POST", url) {
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            say!("no reload: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Asks again and again until SIGTERM, and says each new answer and, from the first answer on, each failure.
pub(crate) fn ask(url: &str) -> ExitCode {
    let ending = Arc::new(AtomicBool::new(false));
    let asked = signal_hook::flag::register(signal_hook::consts::SIGTERM, ending.clone());
    asked.expect("SIGTERM may be handled");
    let (mut answered, mut failed, mut known) = (0_usize, 0_usize, BTreeSet::new());
    while !ending.load(Ordering::Relaxed) {
        match request("GET", url) {
            Ok(greeting) => {
                answered += 1;
                if !known.contains(&greeting) {
                    say!("answered {greeting}");
                    known.insert(greeting);
                }
            }
            Err(_) if answered == 0 => {}
            Err(why) => {
                failed += 1;
                say!("failed request: {why}");
            }
        }
        std::thread::sleep(BETWEEN);
    }
    say!("ended: {answered} answered, {failed} failed");
    ExitCode::SUCCESS
}

/// The body of the answer to one request, for `http://ADDRESS/PATH`.
fn request(method: &str, url: &str) -> Result<String, Error> {
    let rest = url.strip_prefix("http://").ok_or_else(|| Error::other("not a http:// URL"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = host.parse().map_err(Error::other)?;
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(Error::other(format!("answered {answer:?}"))),
    }
}
