use std::sync::Arc;

use leasehold_core::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::status::{LastError, SecretState};

const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    address: SocketAddr,
    board: Board,
    clock: Clock,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// A real port, on a clock that can jump.
fn start() -> Running {
    let (board, clock) = (Board::default(), Clock::tokio());
    let events = Events::recording(board.clone(), clock.clone());
    let telemetry =
        Telemetry::bind(([127, 0, 0, 1], 0).into(), board.clone(), clock.clone(), events).unwrap();
    let (address, cancel) = (telemetry.address(), CancellationToken::new());
    let task = tokio::spawn(telemetry.serve(cancel.clone()));
    Running { address, board, clock, cancel, task }
}

impl Running {
    /// Sends bytes, returns all that comes back.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        all(&mut stream).await
    }

    async fn ask(&self, line: &str) -> String {
        self.raw(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await
    }
}

async fn all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    // A reset after the answer is an end like any other.
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("the server closes the connection");
    String::from_utf8(text).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn readiness_is_latched_by_the_first_generation_and_lost_only_by_an_expiry() {
    let running = start();
    let error = LastError {
        kind: Kind::Unavailable,
        text: "store is away".into(),
        at: running.clock.now(),
        count: 1,
    };
    let end = running.clock.now() + Duration::from_secs(600);
    running.board.write(|board| {
        let state = SecretState { required: true, error: Some(error.clone()), ..SecretState::default() };
        board.secrets.insert("db".to_owned(), state);
        board.secrets.insert("extra".to_owned(), SecretState::default());
    });
    let answer = running.ask("GET /readyz").await;
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(answer.contains("waiting for db (unavailable)") && !answer.contains("extra"), "{answer}");
    assert!(!answer.contains("store is away"), "no error text on an open port: {answer}");

    running.board.write(|board| {
        board.ready = true;
        let db = board.secrets.get_mut("db").unwrap();
        (db.held, db.expires) = (true, Some(end));
    });
    let answer = running.ask("GET /readyz").await;
    assert_eq!(status(&answer), "200", "an outage with valid files is ready: {answer}");

    running.clock.jump(Duration::from_secs(601));
    let answer = running.ask("GET /readyz").await;
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(answer.contains("expired: db"), "{answer}");
    assert_eq!(status(&running.ask("GET /livez").await), "200", "expiry is no reason for a restart");

    running.board.write(|board| {
        let db = board.secrets.get_mut("db").unwrap();
        db.expires = Some(running.clock.now() + Duration::from_secs(60));
    });
    assert_eq!(status(&running.ask("GET /readyz").await), "200");
}

#[tokio::test]
async fn an_expired_secret_that_is_not_required_leaves_us_ready() {
    let running = start();
    running.board.write(|board| {
        board.ready = true;
        let state = SecretState { held: true, expired: true, ..SecretState::default() };
        board.secrets.insert("extra".to_owned(), state);
    });
    assert_eq!(status(&running.ask("GET /readyz").await), "200");
}

#[tokio::test]
async fn there_are_three_paths_and_two_methods() {
    let running = start();
    for (line, expected) in [
        ("GET /livez", "200"),
        ("GET /metrics", "200"),
        ("GET /metrics?x=1", "200"),
        ("HEAD /livez", "200"),
        ("GET /", "404"),
        ("GET /metrics/", "404"),
        ("GET /v1/status", "404"),
        ("POST /v1/refresh", "404"),
        ("POST /livez", "405"),
        ("DELETE /metrics", "405"),
    ] {
        let answer = running.ask(line).await;
        assert_eq!(status(&answer), expected, "{line}: {answer}");
    }
    let head = running.ask("HEAD /livez").await;
    assert!(head.ends_with("\r\n\r\n") && head.contains("content-length: 5"), "{head}");
    let refused = running.ask("POST /livez").await;
    assert!(refused.contains("allow: GET, HEAD"), "{refused}");
}

#[tokio::test]
async fn metrics_carry_the_content_type_of_the_format_that_was_asked_for() {
    let running = start();
    let plain = running.ask("GET /metrics").await;
    assert!(plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{plain}");
    assert!(plain.contains("\nleasehold_build_info{version=") && !plain.contains("# EOF"), "{plain}");
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n";
    let open = running.raw(request).await;
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let running = start();
    let head = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(64 * 1024));
    let answer = running.raw(head.as_bytes()).await;
    assert!(["431", "none"].contains(&status(&answer)), "{answer}");
    let many = "X-Many: 1\r\n".repeat(100);
    let answer = running.raw(format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(["431", "none"].contains(&status(&answer)), "{answer}");
    let answer = running.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody").await;
    assert_eq!(status(&answer), "413", "{answer}");
    assert_eq!(status(&running.ask("GET /livez").await), "200");
}

#[tokio::test]
async fn slow_callers_are_closed_in_time_and_do_not_keep_others_out_for_longer() {
    let running = start();
    let mut slow = Vec::new();
    for _ in 0..BOUNDS.connections {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await.unwrap();
        slow.push(stream);
    }
    let running = Arc::new(running);
    let waiting = tokio::spawn({
        let running = running.clone();
        async move { running.ask("GET /livez").await }
    });
    // All of them are held open, and none is closed before its time. Then time passes at once.
    let early = tokio::time::timeout(Duration::from_millis(200), all(&mut slow[0])).await;
    assert!(early.is_err(), "closed too early");
    assert!(!waiting.is_finished(), "the bound on connections does not hold");
    running.clock.jump(BOUNDS.receive);
    for stream in &mut slow {
        assert_eq!(all(stream).await, "");
    }
    let answer = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(status(&answer), "200", "{answer}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_warning() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (board, clock) = (Board::default(), Clock::tokio());
    let events = Events::recording(board.clone(), clock.clone());
    let address = taken.local_addr().unwrap();
    assert!(Telemetry::bind(address, board, clock, events.clone()).is_none());
    let recorded = events.recorded();
    assert!(
        recorded.len() == 1
            && recorded[0].starts_with(&format!("warn warning: cannot listen on {address} (address in use)")),
        "{recorded:?}"
    );
}

#[tokio::test]
async fn cancelling_closes_the_port_and_what_is_open() {
    let running = start();
    let mut open = TcpStream::connect(running.address).await.unwrap();
    open.write_all(b"GET /").await.unwrap();
    assert_eq!(status(&running.ask("GET /livez").await), "200", "it runs");
    running.cancel.cancel();
    tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap();
    assert_eq!(all(&mut open).await, "");
    assert!(TcpStream::connect(running.address).await.is_err());
}
