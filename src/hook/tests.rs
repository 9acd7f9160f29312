use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{Failed, Fields, Program, Ran, SecretBytes, Status};

use super::*;
use crate::publisher::{Candidate, Check as _, Verdict};

/// Answers every program with what it was told, and keeps what it was asked.
struct Stage(std::sync::Mutex<Vec<Program>>, fn() -> Result<Ran, Failed>);

#[async_trait]
impl Spawn for Stage {
    async fn run(&self, program: Program) -> Result<Ran, Failed> {
        self.0.lock().unwrap().push(program);
        self.1()
    }
}

fn ran(code: i32, output: &[u8], errors: &[u8]) -> Result<Ran, Failed> {
    let bytes = |text: &[u8]| SecretBytes::new(text.to_vec());
    Ok(Ran { status: Status::Exited(code), output: bytes(output), errors: bytes(errors) })
}

fn command(environment: &[(&str, &str)]) -> Hook {
    let secret = |value: &str| Arc::new(SecretBytes::from_text(value.to_owned()));
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), secret(value))).collect();
    let kind = HookKind::Command { command: vec!["/bin/reload".into(), "now".into()], environment };
    Hook { kind, timeout: Duration::from_secs(7) }
}

fn surroundings(stage: &Arc<Stage>, known: Known) -> Surroundings {
    let environment = Environment::new([("PATH".to_owned(), "/opt/bin".to_owned())]);
    Surroundings::new(Arc::clone(stage) as Arc<dyn Spawn>, Clock::boot(), known, &environment)
}

#[tokio::test]
async fn a_command_gets_a_clean_environment_and_its_limits() {
    let stage = Arc::new(Stage(Default::default(), || ran(0, b"", b"")));
    let variables = BTreeMap::from([("LEASEHOLD_GENERATION".to_owned(), "7".to_owned())]);
    let hook = command(&[("MODE", "soft"), ("LANG", "C")]);
    let done = run(&hook, &surroundings(&stage, Known::default()), &variables).await.unwrap();
    assert_eq!(done, Done::default());
    let asked = stage.0.lock().unwrap();
    let environment: Vec<(&str, &str)> = asked[0]
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_text().unwrap()))
        .collect();
    let expected = [("LANG", "C"), ("LEASEHOLD_GENERATION", "7"), ("MODE", "soft"), ("PATH", "/opt/bin")];
    assert_eq!(environment, expected);
    assert_eq!(asked[0].time_limit, Duration::from_secs(7));
    assert_eq!(asked[0].command, ["/bin/reload", "now"]);
}

#[tokio::test]
async fn exit_codes_and_what_was_said_come_back_and_75_can_be_told_apart() {
    let stage = Arc::new(Stage(Default::default(), || ran(75, b"one\n\ntwo\x1b[0m\n", b"three\n")));
    let failure =
        run(&command(&[]), &surroundings(&stage, Known::default()), &BTreeMap::new()).await.unwrap_err();
    assert!(failure.is_undecided());
    assert_eq!(failure.said(), ["one", "two [0m", "three"]);
    assert_eq!(failure.to_string(), "it ended with exit code 75");
    let stage = Arc::new(Stage(Default::default(), || Err(Failed::NotFound)));
    let failure =
        run(&command(&[]), &surroundings(&stage, Known::default()), &BTreeMap::new()).await.unwrap_err();
    assert!(!failure.is_undecided());
    assert!(failure.to_string().contains("own container"), "{failure}");
}

#[tokio::test]
async fn every_value_that_is_held_is_redacted_in_what_a_command_printed() {
    let known = Known::default();
    let mut fields = Fields::new();
    fields.insert_text("password", "p/ss'w\"rd é".to_owned());
    fields.insert_text("key", "-----BEGIN KEY-----\nQUJDREVGR0g=\nshort\n-----END KEY-----\n".to_owned());
    fields.insert_json("json", serde_json::json!({ "deep": ["n3sted-value", 815_4711], "off": true }));
    let fields = Arc::new(fields);
    let token = Arc::new(SecretBytes::from_text("hvs.token-of-session".to_owned()));
    known.fields(&fields);
    known.credential(&token);
    let text = "plain p/ss'w\"rd é; url p%2Fss%27w%22rd%20%C3%A9 or p/ss%27w%22rd%20%C3%A9\n\
                json p/ss'w\\\"rd é; shell p/ss'\\''w\"rd é; base64 cC9zcyd3InJkIMOp\n\
                \x20   QUJDREVGR0g=\nshort is said\nn3sted-value and 8154711, true\n\
                hvs.token-of-session, extra-variable\n";
    let extra = SecretBytes::from_text("extra-variable".to_owned());
    let shown = known.redacted(text.as_bytes(), &[&extra]);
    let expected = "plain [redacted]; url [redacted] or [redacted]\n\
                    json [redacted]; shell [redacted]; base64 [redacted]\n\
                    \x20   [redacted]\nshort is said\n[redacted] and [redacted], true\n\
                    [redacted], [redacted]\n";
    assert_eq!(shown.as_str(), expected);
    drop(fields);
    let shown = known.redacted(b"n3sted-value, hvs.token-of-session", &[]);
    assert_eq!(shown.as_str(), "n3sted-value, [redacted]", "nobody holds the fields any more");
}

#[test]
fn values_that_overlap_leave_nothing_of_either() {
    let known = Known::default();
    let mut fields = Fields::new();
    fields.insert_text("a", "abcdefgh".to_owned());
    fields.insert_text("b", "efghijkl".to_owned());
    let fields = Arc::new(fields);
    known.fields(&fields);
    assert_eq!(known.redacted(b"<abcdefghijkl>", &[]).as_str(), "<[redacted]>");
}

#[tokio::test]
async fn a_value_that_was_cut_off_is_not_shown_in_part() {
    fn long() -> Result<Ran, Failed> {
        let value = b"0123456789".repeat(20);
        let mut errors = b"first line\n".to_vec();
        while errors.len() < 16 * 1024 {
            errors.extend_from_slice(&value);
        }
        errors.truncate(16 * 1024);
        let mut output = value.repeat(100);
        output.extend_from_slice(b"\nlast line\n");
        ran(1, &output, &errors)
    }
    let stage = Arc::new(Stage(Default::default(), long));
    let failure =
        run(&command(&[]), &surroundings(&stage, Known::default()), &BTreeMap::new()).await.unwrap_err();
    assert_eq!(failure.said(), ["last line", "first line"]);
}

#[test]
fn a_program_that_is_not_there_or_not_executable_is_seen_before_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("reload"), "#!/bin/sh\n").unwrap();
    let path = folder.path().display().to_string();
    let environment = Environment::new([("PATH".to_owned(), format!("/nowhere:{path}"))]);
    let mut surroundings = Surroundings::bare(Clock::boot());
    surroundings.path = environment.value("PATH").unwrap().to_owned();
    let look = |name: &str| missing(&[name.to_owned()], &surroundings.path);
    assert_eq!(look("reloadd"), Some(Failure::NotRun(Failed::NotFound)));
    assert_eq!(look("reload"), Some(Failure::NotRun(Failed::NotExecutable)));
    assert_eq!(look(&format!("{path}/absent")), Some(Failure::NotRun(Failed::NotFound)));
    assert_eq!(look(&path), Some(Failure::NotRun(Failed::NotExecutable)), "a directory is no program");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("reload"), mode).unwrap();
    assert_eq!(look("reload"), None);
}

fn candidate(directory: &str) -> Candidate {
    Candidate { directory: Some(directory.into()), generation: 8, changed: vec!["db.env".into()] }
}

async fn verdict(answer: fn() -> Result<Ran, Failed>) -> Verdict {
    let stage = Arc::new(Stage(Default::default(), answer));
    let known = Known::default();
    let mut fields = Fields::new();
    fields.insert_text("password", "s3cret-value".to_owned());
    let fields = Arc::new(fields);
    known.fields(&fields);
    let check = HookCheck::new(command(&[]), surroundings(&stage, known));
    let verdict = check.check(&candidate("/run/x/..8")).await;
    let asked = stage.0.lock().unwrap();
    let of = |name: &str| asked[0].environment[name].expose_text().unwrap().to_owned();
    assert_eq!((of("LEASEHOLD_CANDIDATE"), of("LEASEHOLD_GENERATION")), ("/run/x/..8".into(), "8".into()));
    verdict
}

#[tokio::test]
async fn a_check_refuses_by_its_exit_code_and_could_not_tell_where_it_did_not_get_to_an_answer() {
    assert_eq!(verdict(|| ran(0, b"", b"")).await, Verdict::Good);
    let refused = verdict(|| ran(1, b"", b"login failed for s3cret-value\n")).await;
    let words = "command /bin/reload: it ended with exit code 1 (it said: login failed for [redacted])";
    assert_eq!(refused, Verdict::Refused(words.to_owned()));
    let undecided: [fn() -> Result<Ran, Failed>; 3] = [
        || ran(75, b"", b"not known yet\n"),
        || Err(Failed::NotFound),
        || Err(Failed::TimedOut(Duration::from_secs(7))),
    ];
    for answer in undecided {
        let verdict = verdict(answer).await;
        assert!(matches!(&verdict, Verdict::Unknown(words) if !words.is_empty()), "{verdict:?}");
    }
}

#[test]
fn a_program_of_the_check_that_is_missing_is_said_before_it_is_needed() {
    let check = HookCheck::new(command(&[]), Surroundings::bare(Clock::boot()));
    let obstacle = check.obstacle().unwrap();
    assert!(obstacle.starts_with("verify, command /bin/reload: as things are it will fail"), "{obstacle}");
}
