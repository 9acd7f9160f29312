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

#[tokio::test]
async fn slow_and_numerous_callers_keep_nobody_out_for_long() {
    let mut running = ack();
    let mut slow = Vec::new();
    for start in ["POST", "POST /v1/ack HTTP/1.1\r\nContent-Length: 4\r\n\r\n{"].iter().cycle().take(16) {
        let mut stream = UnixStream::connect(&running.path).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let clock = running.house.clock.clone();
    let early = tokio::time::timeout(Duration::from_millis(200), all(&mut slow[1])).await;
    assert!(early.is_err(), "closed too early");
    let closing = async {
        clock.jump(ACK_BOUNDS.receive);
        for stream in &mut slow {
            assert_eq!(all(stream).await, "");
        }
    };
    let asking = running.ask_engine("POST /v1/ack", "", |command| {
        let Command::Ack { reply, .. } = command else { panic!("{command:?}") };
        reply.send(Ok(Acknowledged { generation: 1, missing: Vec::new() })).unwrap();
    });
    let ((status, _), ()) = tokio::join!(asking, closing);
    assert_eq!(status, "200");
}

/// What a process of another uid gets: the kernel takes the uid from the thread that connects.
fn as_uid(uid: u32, path: PathBuf) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let asked = std::thread::spawn(move || {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(uid))?;
        let mut stream = std::os::unix::net::UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    asked.join().unwrap()
}

async fn as_uid_async(uid: u32, path: &Path) -> std::io::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || as_uid(uid, path)).await.unwrap()
}

#[tokio::test]
async fn the_admin_socket_answers_only_the_uids_that_are_listed() {
    let us = rustix::process::geteuid().as_raw();
    // Whoever we are, we are not this one.
    let running = admin(&[Uid::Number(us + 70_000)]);
    let (status, answer) = running.ask("GET /v1/status", "").await;
    assert_eq!(status, "403");
    assert_eq!(answer["error"], format!("uid {us} may not use this socket: admin.uids does not list it"));
    for line in ["POST /v1/refresh", "POST /v1/ack", "POST /v1/stale"] {
        assert_eq!(running.ask(line, "").await.0, "403", "{line}");
    }

    if us != 0 {
        eprintln!("skipped: only root can be another uid");
        return;
    }
    let running = admin(&[Uid::Own, Uid::Number(70_001)]);
    assert_eq!(running.mode(), 0o666, "the mode lets the listed uid through to the question who it is");
    let listed = as_uid_async(70_001, &running.path).await.unwrap();
    assert!(listed.starts_with("HTTP/1.1 200"), "{listed}");
    let other = as_uid_async(70_002, &running.path).await.unwrap();
    assert!(other.starts_with("HTTP/1.1 403") && !other.contains("secrets"), "{other}");

    let running = admin(&[Uid::Own]);
    let kept_out = as_uid_async(70_001, &running.path).await.unwrap_err();
    assert_eq!(kept_out.kind(), std::io::ErrorKind::PermissionDenied);
    // Even where somebody opens the file to all, the uid is asked.
    fs::set_permissions(running.path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&running.path, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = as_uid_async(70_001, &running.path).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
}
