use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::{Command, House, Server};
use crate::config::model::Uid;
use crate::events::Events;
use crate::status::{Board, GenerationState, ProviderState, SecretState};
use crate::telemetry::Telemetry;

/// A house with real sockets and an engine that says yes.
struct Running {
    board: Board,
    clock: Clock,
    client: Client,
    cancel: CancellationToken,
    serving: JoinSet<()>,
    place: Arc<TempDir>,
}

fn start() -> Running {
    let place = Arc::new(tempfile::tempdir().unwrap());
    let (sender, commands) = mpsc::channel(4);
    let (board, clock) = (Board::default(), Clock::tokio());
    let events = Events::for_tests();
    let (cancel, mut serving) = (CancellationToken::new(), JoinSet::new());
    let house = House {
        board: board.clone(),
        clock: clock.clone(),
        events: events.clone(),
        commands: sender,
        drills: None,
    };
    let config =
        model::Admin { listen: Some(place.path().join("admin.sock")), uids: vec![Uid::Own], drills: false };
    let telemetry =
        Telemetry::bind(([127, 0, 0, 1], 0).into(), board.clone(), clock.clone(), events).unwrap();
    let endpoints = Endpoints {
        telemetry: Some(telemetry.address()),
        ..Endpoints::of(&config, &model::Telemetry { listen: None }, Some(place.path()))
    };
    serving.spawn(Server::admin(&config, house.clone()).unwrap().serve(cancel.clone()));
    serving.spawn(Server::acknowledgements(place.path(), house).unwrap().serve(cancel.clone()));
    serving.spawn(telemetry.serve(cancel.clone()));
    serving.spawn(obey(commands));
    let client = Client::new(endpoints, clock.clone());
    Running { board, clock, client, cancel, serving, place }
}

async fn obey(mut commands: mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Refresh { secrets, reply } => {
                let words = secrets.into_iter().map(|name| (name, "in place".to_owned())).collect();
                reply.send(Ok(words)).unwrap();
            }
            Command::Ack { generation, reply, .. } => {
                let acknowledged =
                    generation.map(|generation| Acknowledged { generation, missing: Vec::new() });
                reply.send(acknowledged.ok_or("nothing to acknowledge".to_owned())).unwrap();
            }
            Command::Handover { successor: Successor::Expected, reply } => {
                reply.send(Ok("left".to_owned())).unwrap()
            }
            Command::Handover { successor: Successor::Nobody, reply } => {
                reply.send(Err("a signal came already".to_owned())).unwrap();
            }
            Command::Stale { secret, reply } => reply.send(Ok(format!("looking at {secret}"))).unwrap(),
        }
    }
}

impl Running {
    async fn end(&mut self) {
        self.cancel.cancel();
        self.serving.abort_all();
        while self.serving.join_next().await.is_some() {}
    }
}

#[tokio::test]
async fn questions_reach_the_engine_and_its_answers_come_back() {
    let running = start();
    let done = running.client.refresh(&["db".to_owned()]).await.unwrap();
    assert_eq!(done, [("db".to_owned(), "in place".to_owned())].into());
    assert_eq!(running.client.ack(Some(7), Some("web")).await.unwrap().generation, 7);
    assert_eq!(running.client.stale("db").await.unwrap(), "looking at db");
    assert_eq!(running.client.hand_over(Successor::Expected).await.unwrap(), "left");
    let refused = running.client.hand_over(Successor::Nobody).await.unwrap_err();
    assert_eq!(refused, ClientError::Refused { why: "a signal came already".to_owned() });
    let refused = running.client.ack(None, None).await.unwrap_err();
    assert_eq!(refused, ClientError::Refused { why: "nothing to acknowledge".to_owned() });
}

#[tokio::test]
async fn what_an_application_says_goes_to_the_admin_socket_where_it_has_none_of_its_own() {
    let mut running = start();
    let mut client = running.client.clone();
    client.endpoints.ack = Some(running.place.path().join("live").join(ACK_SOCKET));
    assert_eq!(client.ack(Some(7), Some("web")).await.unwrap().generation, 7);
    assert_eq!(client.stale("db").await.unwrap(), "looking at db");
    // The socket that was named is the only one.
    let path = running.place.path().join("none.sock");
    let named = Client::new(Endpoints::at(path.clone()), running.clock.clone());
    let target = format!("unix:{}", path.display());
    assert_eq!(named.stale("db").await, Err(ClientError::NotRunning { target }));
    running.end().await;
    let why = client.stale("db").await.unwrap_err().to_string();
    for words in
        ["live/..ack.sock, nor on unix:/", "admin.sock (with `files: {}`", "same configuration file?"]
    {
        assert!(why.contains(words), "{words}: {why}");
    }
}

#[tokio::test]
async fn a_probe_waits_for_readiness_and_gives_up_in_time() {
    let running = start();
    assert_eq!(running.client.probe(Probe::Live, None).await, Ok(()));
    let why = running.client.probe(Probe::Ready, Some(Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(&why, ClientError::NotReady { why } if why.starts_with("not ready: ")), "{why:?}");
    let board = running.board.clone();
    let (asked, ()) =
        tokio::join!(running.client.probe(Probe::Ready, Some(Duration::from_secs(30))), async {
            // The first try is over: it has yielded to us.
            tokio::task::yield_now().await;
            board.write(|board| board.ready = true);
        });
    assert_eq!(asked, Ok(()));
}

#[tokio::test]
async fn a_probe_asks_the_port_where_the_socket_cannot_be_asked() {
    let mut running = start();
    let mut client = running.client.clone();
    client.endpoints.admin = Some(running.place.path().join("none.sock"));
    assert_eq!(client.probe(Probe::Live, None).await, Ok(()));
    let why = client.probe(Probe::Ready, None).await.unwrap_err();
    assert!(matches!(&why, ClientError::NotReady { why } if why.starts_with("not ready: ")), "{why:?}");
    client.endpoints.admin = None;
    assert_eq!(client.probe(Probe::Live, None).await, Ok(()));
    client.endpoints.telemetry = None;
    assert_eq!(
        client.probe(Probe::Live, None).await,
        Err(ClientError::Off { key: "admin.listen` or `telemetry.listen" })
    );
    running.end().await;
    let why = running.client.probe(Probe::Live, None).await.unwrap_err();
    let ClientError::NotRunning { target } = &why else { panic!("{why:?}") };
    assert!(target.contains("admin.sock, nor on 127.0.0.1:"), "{target}");
}

#[tokio::test]
async fn what_goes_wrong_is_one_line_that_says_what_to_do() {
    let mut running = start();
    running.end().await;
    let place = running.place.path();
    let clean = |error: ClientError| error.to_string().replace(place.to_str().unwrap(), "/DIR");
    let mut said = vec![clean(running.client.status().await.unwrap_err())];
    // A killed process leaves its file.
    drop(std::os::unix::net::UnixListener::bind(place.join("admin.sock")).unwrap());
    said.push(clean(running.client.status().await.unwrap_err()));

    let off = Client::new(Endpoints::default(), running.clock.clone());
    said.push(clean(off.status().await.unwrap_err()));
    said.push(clean(off.ack(None, None).await.unwrap_err()));

    // One that hangs up, one that is silent, one that talks nonsense.
    let path = place.join("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let endpoints = Endpoints { admin: Some(path), ..Endpoints::default() };
    let client = Client::new(endpoints, running.clock.clone());
    let (asked, _) = tokio::join!(client.status(), async { drop(listener.accept().await.unwrap()) });
    said.push(clean(asked.unwrap_err()));
    let (asked, _silent) = tokio::join!(client.status(), async {
        let silent = listener.accept().await.unwrap();
        running.clock.jump(SHORT);
        silent
    });
    said.push(clean(asked.unwrap_err()));
    let (asked, ()) = tokio::join!(client.status(), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    });
    said.push(clean(asked.unwrap_err()));
    for status in ["503 Service Unavailable", "504 Gateway Timeout"] {
        let (asked, ()) = tokio::join!(client.refresh(&[]), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 16\r\n\r\n{{\"error\": \"why\"}}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        said.push(clean(asked.unwrap_err()));
    }
    let forbidden =
        ClientError::Forbidden { target: "unix:/DIR/admin.sock".to_owned(), why: "uid 7 may not".to_owned() };
    said.push(clean(forbidden));
    assert!(said.iter().all(|line| !line.contains('\n')));
    insta::assert_snapshot!("errors", said.join("\n"));
}

#[test]
fn words_about_a_rotation_say_whether_it_is_done() {
    for (words, done) in [
        ("in place with generation 7", true),
        ("the store has nothing new", true),
        ("failed: fetch at provider \"vault\": no", false),
        ("not done yet: it goes on", false),
        ("not done: the process is ending", false),
    ] {
        assert_eq!(is_done(words), done, "{words}");
    }
}

#[tokio::test]
async fn another_user_is_told_which_uid_to_be_or_to_list() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be another uid");
        return;
    }
    let running = start();
    fs::set_permissions(running.place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let client = running.client.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let asking = std::thread::spawn(move || {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(70_001)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(client.status())
        });
        asking.join().unwrap()
    });
    let why = asked.await.unwrap().unwrap_err();
    assert!(matches!(why, ClientError::Forbidden { .. }), "{why:?}");
    let why = why.to_string();
    assert!(why.ends_with("permission denied for uid 70001; run this as root or as the uid of leasehold, or list uid 70001 in admin.uids"), "{why}");
}

#[tokio::test]
async fn what_listens_on_all_addresses_is_asked_here() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(here(address), ([127, 0, 0, 1], address.port()).into());
    assert_eq!(here("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
    assert_eq!(here("10.0.0.1:1".parse().unwrap()), "10.0.0.1:1".parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_table_shows_what_is_held_and_until_when() {
    let clock = Clock::tokio();
    let start = clock.now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let board = Board::default();
    let error = crate::status::LastError {
        kind: leasehold_core::Kind::Unavailable,
        text: "renew at provider \"vault\", secret \"db\": connection refused".to_owned(),
        at: start,
        count: 3,
    };
    board.write(|board| {
        board.ready = true;
        board.acknowledged = Some(3);
        board.refused = Some("no space left".to_owned());
        board.verify = Some(crate::status::CheckState {
            outcome: "refused",
            said: "command /bin/try: it ended with exit code 1".to_owned(),
            tries: 3,
            since: start,
            next: None,
            until: None,
        });
        board.needs_restart = vec!["providers.vault.address".to_owned()];
        let files = vec!["db.env".to_owned(), "tls.crt".to_owned()];
        let actions = [("signal HUP to nginx".to_owned(), "done".to_owned())].into();
        board.generation = Some(GenerationState { number: 4, published: start, files, actions });
        let run = crate::status::RunningState {
            generation: 4,
            since: later(4),
            attempt: 1,
            attempts: 4,
            next: None,
            error: None,
        };
        let late = Some("it was not done within 10s and was given up".to_owned());
        let again = crate::status::RunningState { attempt: 2, error: late, ..run.clone() };
        let before = crate::status::RunningState { generation: 3, next: Some(later(27)), ..again.clone() };
        let quiet = crate::status::RunningState { next: Some(later(26)), ..run.clone() };
        let once = crate::status::RunningState { attempts: 1, ..run.clone() };
        let all =
            [("slow", run), ("hanging", again), ("waiting", before), ("debounced", quiet), ("once", once)];
        board.running = all.map(|(label, run)| (label.to_owned(), run)).into();
        let vault = ProviderState {
            session: Some("XcNsn1SLHv2Jd4".to_owned()),
            session_ends: Some(later(3_600)),
            old_sessions: vec!["oldAccessor".to_owned()],
            error: None,
            polls_per_hour: 15.0,
        };
        board.providers.insert("vault".to_owned(), vault);
        board.providers.insert("aws".to_owned(), ProviderState::default());
        board.drill =
            Some(crate::status::DrillState { what: "outage of provider aws".to_owned(), ends: later(124) });
        let held =
            SecretState { provider: "vault".to_owned(), required: true, held: true, ..Default::default() };
        let db = SecretState {
            lease: Some("database/creds/web/4fTnXbK2".to_owned()),
            issued: Some(start),
            expires: Some(later(60)),
            granted: Some(Duration::from_secs(60)),
            retiring: vec!["database/creds/web/old".to_owned()],
            next: Some((later(40), "renew".to_owned())),
            error: Some(error),
            ..held.clone()
        };
        board.secrets.insert("db".to_owned(), db);
        let kv =
            SecretState { version: Some("12\u{1b}[31m".to_owned()), issued: Some(start), ..held.clone() };
        board.secrets.insert("settings".to_owned(), kv);
        let waiting = SecretState {
            awaiting_ack: Some(later(12)),
            lease: Some("rabbitmq/creds/a_rather_long_role/QyuCuR8Nn1ck1ZVTYJ9mgAiF".to_owned()),
            issued: Some(start),
            expires: Some(later(90_000)),
            granted: Some(Duration::from_secs(90_000)),
            next: Some((later(20), "revoke the old lease".to_owned())),
            ..held.clone()
        };
        board.secrets.insert("a_queue_of_the_billing_team".to_owned(), waiting);
        let gone = SecretState { expires: Some(later(5)), granted: Some(Duration::from_secs(5)), ..held };
        board.secrets.insert("gone".to_owned(), gone);
        board
            .secrets
            .insert("extra".to_owned(), SecretState { provider: "aws".to_owned(), ..Default::default() });
    });
    clock.jump(Duration::from_secs(24));
    let report = Report::of(&board.snapshot(), &clock);
    insta::assert_snapshot!("table", shown(&report, &View::PLAIN));
    let view = |columns| View { columns: Some(columns), glyphs: Glyphs::Unicode, colours: Colours::Off };
    insta::assert_snapshot!("table_80", shown(&report, &view(80)));
    insta::assert_snapshot!("table_200", shown(&report, &view(200)));
    for columns in 36..260 {
        for line in shown(&report, &view(columns)).lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
    // Nothing is said in black or white, on neither a light nor a dark background to be missed.
    let painted = shown(&report, &View { colours: Colours::On, ..view(80) });
    let codes: std::collections::BTreeSet<&str> = painted
        .split("\x1b[")
        .skip(1)
        .filter_map(|rest| rest.split_once('m'))
        .map(|(code, _)| code)
        .collect();
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["0", "1", "1;31", "2", "32", "33"]);

    let mut json = Vec::new();
    write_json(&report, &mut json).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&json).unwrap(), report);

    let empty = Report::of(&Board::default().snapshot(), &clock);
    assert_eq!(
        shown(&empty, &View::PLAIN),
        "not ready: no whole generation is published yet\n\nno secrets\n"
    );
}

fn shown(report: &Report, view: &View) -> String {
    let mut text = Vec::new();
    write_table(report, view, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}
