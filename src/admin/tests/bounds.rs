//! What a caller of the admin socket may cost, and who is no caller of it.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream as StdStream;

use super::*;
use crate::http_server::STRANGERS;

/// Starts of requests that do not come to their end.
const UNFINISHED: [&str; 2] = ["GET", "POST /v1/refresh HTTP/1.1\r\nContent-Length: 4\r\n\r\n{"];

#[tokio::test]
async fn a_request_to_the_admin_socket_is_bounded_in_size_and_in_its_time() {
    let running = admin(&[Uid::Own]);
    // The body is taken, and means nothing there.
    assert_eq!(running.ask("POST /v1/live", &" ".repeat(64 * 1024)).await.0, "405");
    let (status, answer) = running.ask("POST /v1/refresh", &" ".repeat(64 * 1024 + 1)).await;
    assert_eq!((status.as_str(), &answer["error"]), ("413", &"the body is larger than 65536 bytes".into()));

    let mut slow = Vec::new();
    for start in UNFINISHED.iter().cycle().take(16) {
        let mut stream = UnixStream::connect(&running.path).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // All sixteen places are taken until the time for a request is over.
    let waiting = running.ask("GET /v1/live", "");
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "answered too early");
    running.house.clock.jump(Duration::from_secs(5));
    for stream in &mut slow {
        assert_eq!(all(stream).await, "");
    }
    assert_eq!(waiting.await.0, "200");
}

#[tokio::test]
async fn whoever_does_not_read_the_admin_sockets_answer_is_hung_up_on() {
    assert!(ADMIN_BOUNDS.answer > control::PATIENCE && ACK_BOUNDS.answer > ack::PATIENCE);
    let running = admin(&[Uid::Own]);
    running.house.board.write(|board| {
        for number in 0..5_000 {
            board.secrets.insert(format!("secret_{number}"), SecretState::default());
        }
    });
    let mut stream = UnixStream::connect(&running.path).await.unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut start = [0; 1024];
    let length = stream.read(&mut start).await.unwrap();
    let head = String::from_utf8_lossy(&start[..length]).to_ascii_lowercase();
    let size = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let size: usize = size.unwrap_or_else(|| panic!("{head}")).parse().unwrap();
    // The server may have to be heard first before its time for the answer begins.
    for _ in 0..10 {
        running.house.clock.jump(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(length + all(&mut stream).await.len() < size, "it waited for us");
}

#[tokio::test(start_paused = true)]
async fn a_uid_that_is_not_listed_takes_no_listed_ones_place() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another uid");
        return;
    }
    let running = admin(&[Uid::Number(70_001)]);
    let mut strangers: Vec<StdStream> = (0..40).map(|_| StdStream::connect(&running.path).unwrap()).collect();
    // Time stands still meanwhile: no place becomes free.
    let listed = as_uid_async(70_001, &running.path).await.unwrap();
    assert!(listed.starts_with("HTTP/1.1 200"), "{listed}");
    let further = strangers.split_off(STRANGERS);
    for stranger in &mut strangers {
        stranger.set_nonblocking(true).unwrap();
        assert_eq!(stranger.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it may still ask");
    }
    for mut stranger in further {
        stranger.set_nonblocking(true).unwrap();
        assert_eq!(stranger.read(&mut [0]).unwrap(), 0, "hung up on");
    }
}
