mod bounds;
mod sockets;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use leasehold_core::Kind;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::*;
use crate::config::model::Uid;
use crate::status::{GenerationState, LastError, ProviderState, SecretState};

const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    path: PathBuf,
    house: House,
    commands: mpsc::Receiver<Command>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    _place: Arc<TempDir>,
}

fn house() -> (House, mpsc::Receiver<Command>) {
    let (sender, commands) = mpsc::channel(4);
    let (board, clock) = (Board::default(), Clock::tokio());
    let events = Events::recording(board.clone(), clock.clone());
    (House { board, clock, events, commands: sender, drills: None }, commands)
}

fn place() -> Arc<TempDir> {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
    Arc::new(place)
}

fn run(server: Server, house: House, commands: mpsc::Receiver<Command>, place: Arc<TempDir>) -> Running {
    let path = server.socket.path().to_owned();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(server.serve(cancel.clone()));
    Running { path, house, commands, cancel, task, _place: place }
}

fn admin(uids: &[Uid]) -> Running {
    let ((house, commands), place) = (house(), place());
    let listen = Some(place.path().join("state/admin.sock"));
    let config = model::Admin { listen, uids: uids.to_vec(), drills: false };
    let server = Server::admin(&config, house.clone()).unwrap();
    run(server, house, commands, place)
}

fn ack() -> Running {
    let ((house, commands), place) = (house(), place());
    let server = Server::acknowledgements(place.path(), house.clone()).unwrap();
    run(server, house, commands, place)
}

impl Running {
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        // A server that has refused already may have closed it.
        let _ = stream.write_all(bytes).await;
        all(&mut stream).await
    }

    async fn ask(&self, line: &str, body: &str) -> (String, serde_json::Value) {
        let length = body.len();
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = self.raw(request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or("none").to_owned();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
    }

    /// Asks, and answers the command that comes of it.
    async fn ask_engine(
        &mut self,
        line: &str,
        body: &str,
        engine: impl FnOnce(Command),
    ) -> (String, serde_json::Value) {
        let mut commands = std::mem::replace(&mut self.commands, mpsc::channel(1).1);
        let engine = async {
            engine(commands.recv().await.unwrap());
            commands
        };
        let (answer, commands) = tokio::join!(self.ask(line, body), engine);
        self.commands = commands;
        answer
    }

    fn mode(&self) -> u32 {
        fs::metadata(&self.path).unwrap().mode() & 0o7777
    }
}

async fn all(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("it is closed");
    String::from_utf8(text).unwrap()
}

fn with_db(house: &House) {
    house.board.write(|board| {
        let state = SecretState { provider: "vault".to_owned(), required: true, ..SecretState::default() };
        board.secrets.insert("db".to_owned(), state);
    });
}

#[tokio::test]
async fn the_admin_socket_is_ours_alone_and_goes_with_us() {
    let running = admin(&[Uid::Own]);
    assert_eq!(running.mode(), 0o660);
    let directory = running.path.parent().unwrap();
    assert_eq!(fs::metadata(directory).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(running.ask("GET /v1/live", "").await.0, "200");
    running.cancel.cancel();
    tokio::time::timeout(PATIENCE, running.task).await.unwrap().unwrap();
    assert!(!running.path.exists());
}

#[tokio::test]
async fn readiness_is_the_one_of_the_telemetry_port() {
    let running = admin(&[Uid::Own]);
    with_db(&running.house);
    let (status, body) = running.ask("GET /v1/ready", "").await;
    assert_eq!((status.as_str(), &body["ready"]), ("503", &false.into()));
    assert!(body["message"].as_str().unwrap().contains("waiting for db"), "{body}");
    running.house.board.write(|board| board.ready = true);
    let (status, body) = running.ask("GET /v1/ready", "").await;
    assert_eq!((status.as_str(), &body["ready"]), ("200", &true.into()));
}

#[tokio::test]
async fn status_is_the_documented_report() {
    let running = admin(&[Uid::Own]);
    let clock = &running.house.clock;
    let start = clock.now();
    let error = LastError {
        kind: Kind::Unavailable,
        text: "renew at provider \"vault\": no".into(),
        at: start,
        count: 2,
    };
    running.house.board.write(|board| {
        board.ready = true;
        board.acknowledged = Some(3);
        let files = vec!["db.env".to_owned()];
        let actions = [("signal HUP to nginx".to_owned(), "ok".to_owned())].into();
        board.generation = Some(GenerationState { number: 4, published: start, files, actions });
        let run = crate::status::RunningState {
            generation: 4,
            since: start,
            attempt: 2,
            attempts: 4,
            next: Some(start + Duration::from_secs(12)),
            error: Some("it ended with exit code 1".to_owned()),
        };
        board.running.insert("command /bin/reload".to_owned(), run);
        board.providers.insert(
            "vault".to_owned(),
            ProviderState {
                session: Some("accessor".to_owned()),
                session_ends: Some(start + Duration::from_secs(3_600)),
                old_sessions: vec!["older".to_owned()],
                error: None,
                polls_per_hour: 0.0,
            },
        );
        let db = SecretState {
            provider: "vault".to_owned(),
            required: true,
            held: true,
            version: None,
            lease: Some("database/creds/web/abc".to_owned()),
            issued: Some(start),
            expires: Some(start + Duration::from_secs(60)),
            granted: Some(Duration::from_secs(60)),
            expired: false,
            retiring: vec!["database/creds/web/old".to_owned()],
            last_success: Some(start),
            next: Some((start + Duration::from_secs(40), "renew".to_owned())),
            error: Some(error),
            awaiting_ack: None,
            mints_ceiling: 6,
        };
        board.secrets.insert("db".to_owned(), db);
        let extra = SecretState { provider: "vault".to_owned(), ..SecretState::default() };
        board.secrets.insert("extra".to_owned(), extra);
    });
    clock.jump(Duration::from_secs(10));
    let (status, mut body) = running.ask("GET /v1/status", "").await;
    assert_eq!(status, "200");
    body["version"] = "[version]".into();
    let near = |value: &serde_json::Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 5.0;
    let db = &body["secrets"]["db"];
    assert!(near(&db["remaining_seconds"], 50.0) && near(&db["age_seconds"], 10.0), "{db}");
    assert!(near(&db["next"]["in_seconds"], 30.0), "{db}");
    hide_times(&mut body);
    insta::assert_snapshot!("status", serde_json::to_string_pretty(&body).unwrap());
    running.house.clock.jump(Duration::from_secs(60));
    let (_, body) = running.ask("GET /v1/status", "").await;
    assert_eq!((&body["secrets"]["db"]["state"], &body["ready"]), (&"expired".into(), &false.into()));
}

/// Replaces what differs from run to run by its form.
fn hide_times(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => map.values_mut().for_each(hide_times),
        serde_json::Value::Array(list) => list.iter_mut().for_each(hide_times),
        serde_json::Value::String(text) if text.ends_with('Z') && text.len() == 20 => {
            *text = "[time]".to_owned()
        }
        serde_json::Value::Number(number) if number.is_f64() => *value = "[seconds]".into(),
        _ => {}
    }
}

#[tokio::test]
async fn a_refresh_reaches_the_engine_and_its_words_come_back() {
    let mut running = admin(&[Uid::Own]);
    with_db(&running.house);
    for (body, names) in [("", vec![]), ("{}", vec![]), (r#"{"secrets": ["db"]}"#, vec!["db"])] {
        let (status, answer) = running
            .ask_engine("POST /v1/refresh", body, |command| {
                let Command::Refresh { secrets, reply } = command else { panic!("{command:?}") };
                assert_eq!(secrets, names);
                reply.send(Ok([("db".to_owned(), "in place".to_owned())].into())).unwrap();
            })
            .await;
        assert_eq!(
            (status.as_str(), answer),
            ("200", serde_json::json!({ "secrets": { "db": "in place" } }))
        );
    }
    let (status, answer) = running.ask("POST /v1/refresh", r#"{"secrets": ["dd"]}"#).await;
    assert_eq!(status, "404");
    assert_eq!(answer["error"], r#"there is no secret "dd"; there are: db"#);
}

#[tokio::test]
async fn a_refresh_that_takes_too_long_or_meets_the_end_says_so() {
    let mut running = admin(&[Uid::Own]);
    let clock = running.house.clock.clone();
    let (status, answer) = running
        .ask_engine("POST /v1/refresh", "", |command| {
            clock.jump(Duration::from_secs(55));
            // Kept: the engine is still at it.
            std::mem::forget(command);
        })
        .await;
    assert_eq!(status, "504", "{answer}");
    let (status, answer) = running.ask_engine("POST /v1/refresh", "", drop).await;
    assert_eq!((status.as_str(), &answer["error"]), ("503", &"leasehold is ending".into()));
}

#[tokio::test]
async fn an_acknowledgement_carries_generation_and_name_or_neither() {
    let mut running = ack();
    for (body, expected) in [
        ("", (None, None)),
        (r#"{"generation": 7}"#, (Some(7), None)),
        (r#"{"generation": 7, "name": "web"}"#, (Some(7), Some("web"))),
    ] {
        let (status, answer) = running
            .ask_engine("POST /v1/ack", body, |command| {
                let Command::Ack { generation, name, reply } = command else { panic!("{command:?}") };
                assert_eq!((generation, name.as_deref()), expected);
                reply.send(Ok(Acknowledged { generation: 7, missing: Vec::new() })).unwrap();
            })
            .await;
        assert_eq!((status.as_str(), answer), ("200", serde_json::json!({ "generation": 7 })));
    }
    let (status, answer) = running
        .ask_engine("POST /v1/ack", r#"{"generation": 9}"#, |command| {
            let Command::Ack { reply, .. } = command else { panic!("{command:?}") };
            reply.send(Err("generation 9 is not announced".to_owned())).unwrap();
        })
        .await;
    assert_eq!((status.as_str(), &answer["error"]), ("409", &"generation 9 is not announced".into()));
}

#[tokio::test]
async fn a_stale_report_names_a_secret_that_exists() {
    let mut running = ack();
    with_db(&running.house);
    let (status, answer) = running
        .ask_engine("POST /v1/stale", r#"{"secret": "db"}"#, |command| {
            let Command::Stale { secret, reply } = command else { panic!("{command:?}") };
            assert_eq!(secret, "db");
            reply.send(Ok("looking".to_owned())).unwrap();
        })
        .await;
    assert_eq!((status.as_str(), answer), ("200", serde_json::json!({ "message": "looking" })));
    assert_eq!(running.ask("POST /v1/stale", r#"{"secret": "x"}"#).await.0, "404");
    assert_eq!(running.ask("POST /v1/stale", "").await.0, "404");
}

#[tokio::test]
async fn the_acknowledgement_socket_takes_nothing_else_from_anyone() {
    let running = ack();
    assert_eq!(running.mode(), 0o666);
    assert!(running.path.ends_with("..ack.sock"));
    for line in
        ["GET /v1/status", "POST /v1/refresh", "GET /v1/ready", "GET /", "GET /metrics", "POST /v1/ack/"]
    {
        assert_eq!(running.ask(line, "").await.0, "404", "{line}");
    }
    assert_eq!(running.ask("GET /v1/ack", "").await.0, "405");
    for body in
        ["7", "{", "[]", r#"{"generation": -1}"#, r#"{"generation": "x"}"#, r#"{"other": 1}"#, "\u{0}"]
    {
        let (status, answer) = running.ask("POST /v1/ack", body).await;
        assert_eq!(status, "400", "{body}: {answer}");
    }
    let name = format!(r#"{{"name": "{}"}}"#, "a".repeat(256));
    assert_eq!(running.ask("POST /v1/ack", &name).await.0, "400");
    let (status, answer) = running.ask("POST /v1/ack", &" ".repeat(ACK_BOUNDS.body + 1)).await;
    assert_eq!((status.as_str(), &answer["error"]), ("413", &"the body is larger than 4096 bytes".into()));
}

#[tokio::test]
async fn who_asks_the_wrong_socket_is_told_which_one_it_is_and_which_one_is_wanted() {
    let (_, answer) = admin(&[Uid::Own]).ask("GET /v1/secrets", "").await;
    let said = answer["error"].as_str().unwrap();
    assert!(said.starts_with("this is the admin socket") && said.contains("POST /v1/ack"), "{said}");
    let (_, answer) = ack().ask("GET /v1/status", "").await;
    let said = answer["error"].as_str().unwrap();
    assert!(
        said.starts_with("this is the application's socket") && said.contains("`admin.listen`"),
        "{said}"
    );
}

#[test]
fn the_schema_that_is_published_is_the_one_of_what_status_says() {
    let schema = schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Report>();
    let mut schema = schema.to_value();
    schema["title"] = "leasehold status --json".into();
    let schema = serde_json::to_string_pretty(&sorted(schema)).unwrap() + "\n";
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.schema.json");
    let kept = std::fs::read_to_string(kept).unwrap_or_default();
    assert!(kept == schema, "docs/status.schema.json has to be:\n{schema}");
}

/// With its keys in the order of the alphabet, however `serde_json` was built.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        serde_json::Value::Object(object) => {
            let by_key: BTreeMap<String, serde_json::Value> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            by_key.into_iter().collect()
        }
        other => other,
    }
}
