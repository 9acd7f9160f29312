//! Against a program that is played: what it is told, and what becomes of its answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{
    Bound, Effect, Environment, Error, Failed, Fetched, Kind, Lease, NoObserver, Observer, Operation,
    Problem, Program, Provider, ProviderSettings, Ran, SecretBytes, SecretRef, Session, Shape, Spawn, Status,
    Surroundings, Target, Term, Wanted, async_trait,
};
use serde_json::{Value, json};

use crate::{Raw, Settings};

/// Plays the program: keeps what it was told, answers what it was given.
#[derive(Default)]
struct Played {
    told: Mutex<Vec<(Value, Program)>>,
    answers: Mutex<VecDeque<Result<Said, Failed>>>,
}

/// How it ended, what it wrote, what it complained.
type Said = (Status, String, String);

#[async_trait]
impl Spawn for Played {
    async fn run(&self, program: Program) -> Result<Ran, Failed> {
        let request = serde_json::from_slice(program.input.expose()).unwrap();
        self.told.lock().unwrap().push((request, program));
        let (status, output, errors) = self.answers.lock().unwrap().pop_front().expect("an answer")?;
        Ok(Ran { status, output: SecretBytes::from_text(output), errors: SecretBytes::from_text(errors) })
    }
}

struct Stage {
    played: Arc<Played>,
    provider: Box<dyn Provider>,
}

impl Stage {
    fn new(raw: Value) -> Self {
        Self::observed(raw, Arc::new(NoObserver))
    }

    fn observed(raw: Value, observer: Arc<dyn Observer>) -> Self {
        let settings = parse(raw).unwrap();
        let played = Arc::new(Played::default());
        let surroundings = Surroundings { observer, spawn: played.clone(), identity: None };
        Self { played, provider: settings.build("legacy", surroundings).unwrap() }
    }

    fn answers(&self, answer: Value) -> &Self {
        self.says(Status::Exited(0), &answer.to_string(), "")
    }

    fn says(&self, status: Status, output: &str, errors: &str) -> &Self {
        let answer = Ok((status, output.to_owned(), errors.to_owned()));
        self.played.answers.lock().unwrap().push_back(answer);
        self
    }

    fn fails(&self, failed: Failed) -> &Self {
        self.played.answers.lock().unwrap().push_back(Err(failed));
        self
    }

    async fn fetch(&self, reference: &SecretRef, known_version: Option<&str>) -> Result<Fetched, Error> {
        let wanted = [Wanted { reference, known_version }];
        self.provider.fetch(&Session::ambient(), &wanted).await?.pop().unwrap()
    }

    /// Brings this one secret.
    async fn brings(&self, secret: Value) -> Result<Fetched, Error> {
        self.answers(json!({ "version": 1, "secrets": [secret] })).fetch(&db(), Some("6")).await
    }

    fn told(&self) -> Value {
        self.played.told.lock().unwrap().last().unwrap().0.clone()
    }

    fn given(&self) -> BTreeMap<String, String> {
        let told = self.played.told.lock().unwrap();
        let environment = &told.last().unwrap().1.environment;
        environment
            .iter()
            .map(|(name, value)| (name.clone(), value.expose_text().unwrap().to_owned()))
            .collect()
    }
}

fn parse(raw: Value) -> Result<Settings, Vec<Problem>> {
    let variables = [
        ("PATH", "/opt/bin:/bin"),
        ("HOME", "/home/us"),
        ("STORE_TOKEN", "canary-token"),
        ("OTHER", "ours alone"),
        ("HTTPS_PROXY", "http://user:canary-proxy@proxy:3128"),
        ("NO_PROXY", "10.0.0.0/8"),
    ];
    let environment = Environment::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let raw: Raw = serde_json::from_value(raw).unwrap();
    Settings::parse("legacy", raw, &environment)
}

fn db() -> SecretRef {
    SecretRef { name: "db".to_owned(), path: "web/db".to_owned(), ..SecretRef::default() }
}

fn lease(id: &str) -> Lease {
    Lease { id: id.to_owned(), bound: Bound::Session, namespace: None }
}

fn text(fetched: &Fetched, name: &str) -> String {
    let fields = fetched.fields.as_ref().unwrap();
    fields.get(name).unwrap().bytes.expose_text().unwrap().to_owned()
}

#[tokio::test]
async fn the_program_is_told_what_the_configuration_says() {
    let stage = Stage::new(json!({
        "command": ["store", "--team", "web"], "directory": "/srv", "time_limit": "5s", "output_limit": "2KiB",
        "tls": { "ca_file": "/ca.pem", "server_name": "store" },
    }));
    let reference = SecretRef {
        data: Some(serde_json::from_value(json!({ "ttl": "1h" })).unwrap()),
        version: Some("3".to_owned()),
        stage: Some("next".to_owned()),
        namespace: Some("team".to_owned()),
        key: Some("inner".to_owned()),
        ..db()
    };
    let secret = json!({ "fields": { "inner": { "a": 1, "b": "x" }, "outer": "y" }, "version": "3" });
    let fetched = stage
        .answers(json!({ "version": 1, "secrets": [secret] }))
        .fetch(&reference, Some("2"))
        .await
        .unwrap();
    assert_eq!(
        stage.told(),
        json!({
            "version": 1, "operation": "fetch", "provider": "legacy", "time_limit": 5.0,
            "connection": { "ca_file": "/ca.pem", "server_name": "store" },
            "secrets": [{
                "name": "db", "path": "web/db", "data": { "ttl": "1h" }, "version": "3", "stage": "next",
                "namespace": "team", "known_version": "2",
            }],
        })
    );
    let told = stage.played.told.lock().unwrap();
    let program = &told.last().unwrap().1;
    assert_eq!(program.command, ["store", "--team", "web"]);
    assert_eq!((program.time_limit, program.output_limit), (Duration::from_secs(5), 2_048));
    assert_eq!(program.directory.as_deref(), Some("/srv".as_ref()));
    // `key` is picked here, so that no program has to.
    assert_eq!((text(&fetched, "a"), text(&fetched, "b")), ("1".to_owned(), "x".to_owned()));
    assert_eq!(fetched.fields.unwrap().len(), 2);
}

#[tokio::test]
async fn its_environment_is_clean_but_for_what_is_named() {
    let given = |raw: Value| async move {
        let stage = Stage::new(raw);
        stage.brings(json!({ "unchanged": true })).await.unwrap();
        stage.given()
    };
    let ours = |more: &[(&str, &str)]| -> BTreeMap<String, String> {
        let always = [("PATH", "/opt/bin:/bin"), ("HOME", "/home/us")];
        always.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let proxies = [("HTTPS_PROXY", "http://user:canary-proxy@proxy:3128"), ("NO_PROXY", "10.0.0.0/8")];
    assert_eq!(given(json!({ "command": ["store"] })).await, ours(&proxies));
    let raw = json!({
        "command": ["store"], "proxy": "none", "pass": ["STORE_TOKEN", "NOT_SET"],
        "environment": { "HOME": "/elsewhere", "A": "b" }, "tls": { "ca_file": "/ca.pem" },
    });
    let named =
        [("STORE_TOKEN", "canary-token"), ("HOME", "/elsewhere"), ("A", "b"), ("SSL_CERT_FILE", "/ca.pem")];
    assert_eq!(given(raw).await, ours(&named));
    let url = "http://other:1";
    let all = [("HTTPS_PROXY", url), ("https_proxy", url), ("HTTP_PROXY", url), ("http_proxy", url)];
    assert_eq!(given(json!({ "command": ["store"], "proxy": url })).await, ours(&all));
}

#[tokio::test]
async fn fields_are_texts_json_and_bytes() {
    let stage = Stage::new(json!({ "command": ["store"] }));
    let fetched = stage
        .brings(json!({
            "fields": { "user": "ü", "port": 5432, "empty": "" }, "binary": { "key": "AAH/" }, "version": "7",
            "changes_in": 60.5,
        }))
        .await
        .unwrap();
    let fields = fetched.fields.clone().unwrap();
    let shape = |name: &str| fields.get(name).map(|field| (field.bytes.expose().to_vec(), field.shape));
    assert_eq!(shape("user"), Some(("ü".into(), Shape::Text)));
    assert_eq!(shape("port"), Some((b"5432".to_vec(), Shape::Json)));
    assert_eq!(shape("empty"), Some((Vec::new(), Shape::Text)));
    assert_eq!(shape("key"), Some((vec![0, 1, 255], Shape::Binary)));
    assert_eq!(
        (fetched.version.as_deref(), fetched.changes_in),
        (Some("7"), Some(Duration::from_millis(60_500)))
    );
    assert_eq!((fetched.lease, fetched.term), (None, None));
    let unchanged = stage.brings(json!({ "unchanged": true })).await.unwrap();
    assert_eq!((unchanged.fields.is_none(), unchanged.version.as_deref()), (true, Some("6")));
    let dies = stage.brings(json!({ "fields": { "a": "b" }, "ttl": 30 })).await.unwrap();
    assert_eq!(dies.term, Some(Term { ttl: Duration::from_secs(30), renewable: false }));
}

#[tokio::test]
async fn several_secrets_travel_together_and_one_failure_is_its_own() {
    let stage = Stage::new(json!({ "command": ["store"], "batch": 2 }));
    let (one, two) = (db(), SecretRef { name: "api".to_owned(), path: "web/api".to_owned(), ..db() });
    assert_eq!(stage.provider.describe(&one).batch, 2);
    assert_eq!(stage.provider.describe(&one).effect, Effect::Reads);
    stage.answers(json!({ "version": 1, "secrets": [
        { "error": { "kind": "absent" } }, { "fields": { "key": "k" } },
    ]}));
    let wanted = [&one, &two].map(|reference| Wanted { reference, known_version: None });
    let results = stage.provider.fetch(&Session::ambient(), &wanted).await.unwrap();
    let error = results[0].as_ref().unwrap_err();
    assert_eq!((error.kind, error.reference.as_str()), (Kind::Absent, "secret \"db\" (web/db)"));
    assert_eq!(text(results[1].as_ref().unwrap(), "key"), "k");
    stage.answers(json!({ "version": 1, "secrets": [{ "fields": { "key": "k" } }] }));
    let error = stage.provider.fetch(&Session::ambient(), &wanted).await.unwrap_err();
    assert_eq!(error.kind, Kind::Malformed, "{error}");
}

#[tokio::test]
async fn a_lease_is_given_renewed_looked_up_and_ended() {
    let stage = Stage::new(json!({ "command": ["store"], "leases": true }));
    assert_eq!(stage.provider.describe(&db()).effect, Effect::Mints);
    let given = json!({ "id": "l-1", "ttl": 60, "renewable": true });
    let fetched = stage.brings(json!({ "fields": { "a": "b" }, "lease": given })).await.unwrap();
    assert_eq!(fetched.lease, Some(lease("l-1")));
    assert_eq!(fetched.term, Some(Term { ttl: Duration::from_secs(60), renewable: true }));

    let (session, lease, reference) = (Session::ambient(), lease("l-1"), db());
    let what = Target::Lease { lease: &lease, reference: &reference };
    stage.answers(json!({ "version": 1, "lease": { "ttl": 30 } }));
    let term = stage.provider.renew(&session, what, Duration::from_secs(60)).await.unwrap();
    assert_eq!(term, Some(Term { ttl: Duration::from_secs(30), renewable: false }));
    let held = json!({ "id": "l-1", "secret": "db", "path": "web/db", "increment": 60.0 });
    assert_eq!((&stage.told()["operation"], &stage.told()["lease"]), (&json!("renew"), &held));

    stage.answers(json!({ "version": 1, "lease": {} }));
    assert_eq!(stage.provider.lookup(&session, what).await.unwrap(), None);
    stage.answers(json!({ "version": 1 }));
    stage.provider.revoke(&session, what).await.unwrap();
    // Gone already is ended; for who asks, it is gone.
    let gone = json!({ "version": 1, "error": { "kind": "absent" } });
    stage.answers(gone.clone()).answers(gone.clone()).answers(gone);
    stage.provider.revoke(&session, what).await.unwrap();
    assert_eq!(stage.provider.lookup(&session, what).await.unwrap_err().kind, Kind::LeaseGone);
    let error = stage.provider.renew(&session, what, Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.kind, Kind::LeaseGone);
}

#[tokio::test]
async fn no_strange_answer_costs_a_lease() {
    let stage = Stage::new(json!({ "command": ["store"], "leases": true }));
    let (session, lease, reference) = (Session::ambient(), lease("l-1"), db());
    let what = Target::Lease { lease: &lease, reference: &reference };
    stage
        .fails(Failed::NotFound)
        .answers(json!({ "version": 2 }))
        .answers(json!({ "version": 1, "error": { "kind": "invalid" } }))
        .answers(json!({ "version": 1 }))
        .says(Status::Exited(1), "", "");
    for _ in 0..5 {
        let error = stage.provider.lookup(&session, what).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Unavailable | Kind::Malformed), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_sent_that_the_program_does_not_understand() {
    let stage = Stage::new(json!({ "command": ["store"], "leases": true, "operations": [] }));
    let given = json!({ "id": "l-1", "ttl": 60, "renewable": true });
    let fetched = stage.brings(json!({ "fields": { "a": "b" }, "lease": given })).await.unwrap();
    // It can be neither renewed nor revoked: it is something that dies.
    assert_eq!(fetched.lease, None);
    assert_eq!(fetched.term, Some(Term { ttl: Duration::from_secs(60), renewable: false }));
    let (session, lease, reference) = (Session::ambient(), lease("l-1"), db());
    let what = Target::Lease { lease: &lease, reference: &reference };
    let error = stage.provider.revoke(&session, what).await.unwrap_err();
    assert_eq!((error.kind, error.operation), (Kind::Denied, Operation::Revoke));
    assert_eq!(stage.provider.check(&session, &reference).await.unwrap(), []);
    assert_eq!(stage.played.told.lock().unwrap().len(), 1, "the fetch alone");

    let stage = Stage::new(json!({ "command": ["store"], "operations": ["check"] }));
    stage.answers(json!({ "version": 1, "missing": [
        { "path": "web/db", "capabilities": ["read"], "purpose": "to read it", "remedy": "grant it\nnow" },
    ]}));
    let missing = stage.provider.check(&session, &reference).await.unwrap();
    assert_eq!(stage.told()["operation"], "check");
    assert_eq!((missing[0].required, missing[0].remedy.as_str()), (true, "grant it\nnow"));
}

#[tokio::test]
async fn each_failure_has_its_kind_and_says_what_to_do() {
    let stage = Stage::new(json!({ "command": ["store"] }));
    let error = |kind: &str, passing: Option<bool>| {
        let mut error = json!({ "kind": kind, "message": "canary-message" });
        if let Some(passing) = passing {
            error["passing"] = json!(passing);
        }
        json!({ "version": 1, "error": error }).to_string()
    };
    let ok = Status::Exited(0);
    let cases = [
        (ok, error("denied", None), Kind::Denied, "answers denied"),
        (ok, error("denied", Some(true)), Kind::Unavailable, "it may pass"),
        (ok, error("absent", None), Kind::Absent, "check path"),
        (ok, error("absent", Some(true)), Kind::Unavailable, "it may pass"),
        (ok, error("invalid", None), Kind::Invalid, "check path"),
        (ok, error("throttled", None), Kind::Throttled, "throttled"),
        (ok, error("unavailable", None), Kind::Unavailable, "unavailable"),
        (ok, error("unavailable", Some(false)), Kind::Invalid, "it will not pass"),
        // What it answers counts, however it ends.
        (Status::Exited(3), error("absent", None), Kind::Absent, "check path"),
        (Status::Exited(3), String::new(), Kind::Unavailable, "ended with code 3 and without an answer"),
        (Status::Signalled(11), " \n".to_owned(), Kind::Unavailable, "ended by signal 11"),
        (ok, String::new(), Kind::Malformed, "run it by hand"),
        (ok, "canary{".to_owned(), Kind::Malformed, "no JSON object"),
        (ok, json!({ "secrets": [] }).to_string(), Kind::Malformed, "no version"),
        (ok, json!({ "version": 2, "new": "canary" }).to_string(), Kind::Invalid, "version 2"),
        (ok, json!({ "version": 1, "sercets": "canary" }).to_string(), Kind::Malformed, "a key of it"),
        (ok, json!({ "version": 1 }).to_string(), Kind::Malformed, "one entry in secrets"),
        (
            ok,
            json!({ "version": 1, "error": { "kind": "canary" } }).to_string(),
            Kind::Malformed,
            "a key of it",
        ),
    ];
    for (status, output, kind, words) in cases {
        stage.says(status, &output, "canary-complaint");
        let error = stage.fetch(&db(), None).await.unwrap_err();
        let said = error.to_string();
        assert_eq!(error.kind, kind, "{output}: {said}");
        assert!(said.starts_with("fetch at provider \"legacy\", secret \"db\" (web/db): "), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("canary") && !said.contains('\n'), "{said}");
    }
    let secrets = [
        (json!({}), "neither fields"),
        (json!({ "fields": { "a": "b" }, "ttl": 0 }), "seconds above zero"),
        (json!({ "fields": { "a": "b" }, "ttl": -1 }), "seconds above zero"),
        (json!({ "binary": { "a": "canary!" } }), "no base64"),
        (json!({ "fields": { "a": "b" }, "version": "canary\n" }), "a version is one line"),
    ];
    for (secret, words) in secrets {
        let error = stage.brings(secret.clone()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{secret}: {error}");
        assert!(error.detail.contains(words) && !error.detail.contains("canary"), "{error}");
    }
    stage.answers(json!({ "version": 1, "secrets": [{ "unchanged": true }] }));
    assert_eq!(stage.fetch(&db(), None).await.unwrap_err().kind, Kind::Malformed, "unchanged since when?");
    let lease = json!({ "fields": { "a": "b" }, "lease": { "id": "l-1" } });
    let error = stage.brings(lease).await.unwrap_err();
    assert!(error.kind == Kind::Invalid && error.detail.contains("set leases to true"), "{error}");
    stage.answers(json!({ "version": 1, "error": { "kind": "throttled", "retry_after": 2.5 } }));
    let error = stage.fetch(&db(), None).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_millis(2_500)));
    for (failed, kind, words) in [
        (Failed::NotFound, Kind::Invalid, "give its whole path"),
        (Failed::NoInterpreter, Kind::Invalid, "no shell"),
        (Failed::NoDirectory, Kind::Invalid, "change directory"),
        (Failed::NotExecutable, Kind::Invalid, "right to execute"),
        (Failed::NotStarted("there is no memory left"), Kind::Unavailable, "no memory"),
        (Failed::TimedOut(Duration::from_secs(30)), Kind::Unavailable, "time_limit"),
        (Failed::TooMuchOutput(9), Kind::Malformed, "output_limit"),
    ] {
        stage.fails(failed);
        let error = stage.fetch(&db(), None).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.detail.contains("\"store\"") && error.detail.contains(words), "{error}");
    }
}

#[tokio::test]
async fn its_words_are_shown_where_that_is_allowed_and_no_value_is_in_them() {
    let raw = json!({ "command": ["store"], "messages": "shown", "pass": ["STORE_TOKEN"], "batch": 2 });
    let stage = Stage::new(raw);
    let error = |message: &str| json!({ "kind": "denied", "message": message });
    stage.answers(json!({ "version": 1, "error": error("role web is locked\ncanary") }));
    let said = stage.fetch(&db(), None).await.unwrap_err().detail;
    assert!(said.ends_with("; it says: role web is locked"), "{said}");
    stage.says(Status::Exited(1), "", "\n  no route to store  \nmore");
    let said = stage.fetch(&db(), None).await.unwrap_err().detail;
    assert!(said.ends_with("; it says: no route to store"), "{said}");
    // Of its environment, of what was asked with, and of another secret in the same answer.
    let reference =
        SecretRef { data: Some(serde_json::from_value(json!({ "p": ["asked-with"] })).unwrap()), ..db() };
    for (message, value) in [
        ("bad token canary-token", "canary-token"),
        ("bad asked-with", "asked-with"),
        ("not like in-the-answer", "in-the-answer"),
    ] {
        let other = json!({ "fields": { "x": { "y": "in-the-answer" } } });
        stage.answers(json!({ "version": 1, "secrets": [{ "error": error(message) }, other] }));
        let wanted = [&reference, &reference].map(|reference| Wanted { reference, known_version: None });
        let results = stage.provider.fetch(&Session::ambient(), &wanted).await.unwrap();
        let said = &results[0].as_ref().unwrap_err().detail;
        assert!(said.contains("a value is in them") && !said.contains(value), "{said}");
    }
}

#[tokio::test]
async fn each_request_is_counted_once() {
    #[derive(Default)]
    struct Counted(Mutex<Vec<(Operation, Option<Kind>)>>);
    impl Observer for Counted {
        fn request(&self, operation: Operation, outcome: Option<Kind>, _: Duration) {
            self.0.lock().unwrap().push((operation, outcome));
        }
    }
    let counted = Arc::new(Counted::default());
    let stage = Stage::observed(json!({ "command": ["store"] }), counted.clone());
    stage.brings(json!({ "fields": { "a": "b" } })).await.unwrap();
    stage.brings(json!({ "error": { "kind": "absent" } })).await.unwrap_err();
    stage.fails(Failed::NotFound).fetch(&db(), None).await.unwrap_err();
    let fetch = Operation::Fetch;
    let counted = counted.0.lock().unwrap().clone();
    assert_eq!(counted, [(fetch, None), (fetch, Some(Kind::Absent)), (fetch, Some(Kind::Invalid))]);
}

#[test]
fn every_mistake_of_the_configuration_is_said_and_no_value_is_repeated() {
    let problems = parse(json!({
        "command": [" "], "directory": "", "time_limit": "canary", "output_limit": "canary", "batch": 0,
        "operations": ["revoke"], "proxy": "ftp://canary", "tls": { "client_key": "/key" },
        "environment": { "A=B": "canary", "C": "canary\u{0}" }, "pass": ["1canary"],
    }))
    .unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "command",
            "directory",
            "time_limit",
            "output_limit",
            "batch",
            "operations",
            "tls.client_certificate",
            "proxy",
            "pass[0]",
            "environment",
            "environment.C",
        ]
    );
    assert!(problems.iter().all(|problem| !problem.message.contains("canary")), "{problems:?}");
    let batch = parse(json!({ "command": ["x"], "leases": true, "batch": 2 })).unwrap_err();
    assert_eq!(batch[0].key, "batch");
    for (written, limit) in [("1KiB", 1_024), ("64MiB", 64 << 20), ("512 KiB", 512 << 10)] {
        let settings = parse(json!({ "command": ["x"], "output_limit": written })).unwrap();
        assert_eq!(settings.output_limit, limit);
    }
}

#[test]
fn neither_debug_nor_identity_shows_a_value() {
    let settings = parse(json!({
        "command": ["store", "--team", "web"], "pass": ["STORE_TOKEN"], "environment": { "A": "canary-a" },
        "proxy": "http://user:canary-password@proxy:1",
    }))
    .unwrap();
    let shown = format!("{settings:?} {}", settings.identity());
    assert!(shown.contains("STORE_TOKEN") && shown.contains("--team"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn the_schema_in_the_documentation_is_that_of_the_protocol() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/exec-provider.schema.json");
    let whole = crate::schema();
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let kept: Value = serde_json::from_str(&kept).unwrap_or_default();
    assert!(kept == whole, "docs/exec-provider.schema.json has to be:\n{whole:#}");
}
