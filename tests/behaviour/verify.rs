//! `verify`: a candidate is tried at the real servers before it is published.

mod refused;
mod requests;

use std::fs;
use std::path::{Path, PathBuf};

use harness::leasehold::Running;
use harness::process::Exit;
use harness::{Leasehold, Signal, eventually, postgres, program, vault};
use leasehold_harness as harness;
use serde_json::Value;

use super::bench::Bench;
use crate::SOON;
use crate::stage::{Rights, Stage, leasehold, ready};
use serde_json::json;

/// Writes the configuration of a stage with these keys of `lifecycle` and this `verify`, in which FOLDER
/// stands for the folder of the stage.
fn configured(stage: &Stage, lifecycle: &str, verify: &str) -> PathBuf {
    let config = stage.config(&format!("revoke_delay: 0s, {lifecycle}"));
    let verify = verify.replace("FOLDER", &stage.folder.display().to_string());
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}verify: {verify}\n")).unwrap();
    config
}

/// A `verify` that runs a script of the shell.
fn script(lines: &str) -> String {
    format!(r#"{{ command: ["sh", "-c", {}], timeout: 10s }}"#, Value::from(lines))
}

fn status(config: &Path) -> Value {
    let words = ["status", "--json", "-c"].map(AsRef::as_ref).into_iter();
    let end = Leasehold::command(words.chain([config.as_os_str()])).finish(SOON * 2);
    serde_json::from_str(&end.stdout).unwrap_or_else(|_| panic!("{}", end.stderr))
}

/// The generations that were tried, in order.
fn tries(stage: &Stage) -> Vec<u64> {
    let text = fs::read_to_string(stage.folder.join("tries")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn in_place(stage: &Stage) -> [String; 3] {
    ["db.env", "username", "password"].map(|name| fs::read_to_string(stage.live().join(name)).unwrap())
}

#[track_caller]
fn says(running: &Running, words: &[&str]) -> String {
    eventually(&words.join(" … "), SOON * 2, || {
        let log = running.stderr();
        let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned).ok_or(log)
    })
}

#[track_caller]
fn end(mut running: Running) {
    running.signal(Signal::INT);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
}

/// Where `psql` and `pg_isready` are, and then what is on PATH anyway.
fn path_with_psql() -> String {
    let psql = program("psql");
    format!("{}:{}", psql.parent().unwrap().display(), std::env::var("PATH").unwrap())
}

#[test]
fn a_command_finds_the_whole_candidate_and_logs_in_with_it_before_it_is_in_place() {
    let stage = Stage::new("tried", "2m", "10m", Rights::RevokeLeases);
    let address = postgres().address();
    let try_it = format!(
        "set -e; cd $LEASEHOLD_CANDIDATE; cp -rL . FOLDER/seen.$LEASEHOLD_GENERATION; \
         export PGUSER=$(cat username) PGPASSWORD=$(cat password); \
         test \"$(cat db.env)\" = \"$PGUSER $PGPASSWORD\"; \
         test ! -e FOLDER/live/username || test \"$(cat FOLDER/live/username)\" != $PGUSER; \
         psql -h {} -p {} -d postgres -XAtqc 'select current_user' >> FOLDER/users; \
         echo $LEASEHOLD_CHANGED > FOLDER/changed",
        address.ip(),
        address.port()
    );
    let config = configured(&stage, "overlap: 1s", &script(&try_it));
    let running = leasehold("run", &config).env("PATH", path_with_psql()).start();
    ready(&running, &config);
    let words = ["refresh", "db", "-c"].map(AsRef::as_ref).into_iter();
    let refreshed = Leasehold::command(words.chain([config.as_os_str()])).finish(SOON * 2);
    assert_eq!(refreshed.exit, Exit::Code(0), "{}\n{}", refreshed.stderr, running.stderr());
    let second = in_place(&stage);
    let users = fs::read_to_string(stage.folder.join("users")).unwrap();
    assert_eq!(users.lines().count(), 2, "{users}");
    assert_eq!(users.lines().last(), Some(second[1].as_str()));
    for name in ["db.env", "username", "password"] {
        let tried = fs::read(stage.folder.join("seen.2").join(name)).unwrap();
        assert_eq!(tried, fs::read(stage.live().join(name)).unwrap(), "{name}");
    }
    assert_eq!(fs::read_to_string(stage.folder.join("changed")).unwrap(), "db.env password username\n");
    assert_eq!(stage.metric(r#"leasehold_verify_total{outcome="good"}"#), Some(2.0));
    end(running);
    stage.nothing_is_left();
}

#[test]
fn a_check_that_cannot_tell_yet_is_asked_again_and_costs_one_mint() {
    let stage = Stage::new("unknown", "2m", "10m", Rights::RevokeLeases);
    let lines = "echo $LEASEHOLD_GENERATION >> FOLDER/tries; test $(wc -l < FOLDER/tries) -ge 3 || \
                 { echo not known yet: $(cat $LEASEHOLD_CANDIDATE/password); exit 75; }";
    let config = configured(&stage, "overlap: 1s", &script(lines));
    let running = leasehold("run", &config).start();
    ready(&running, &config);
    assert_eq!(tries(&stage), [1, 1, 1]);
    assert_eq!(stage.mints(), 1);
    assert_eq!(stage.metric(r#"leasehold_verify_total{outcome="unknown"}"#), Some(2.0));
    let [_, user, password] = in_place(&stage);
    assert_eq!(postgres().login(&user, &password), Ok(()));
    says(&running, &["not known yet: [redacted]"]);
    assert!(!running.stderr().contains(&password), "{}", running.stderr());
    end(running);
    stage.nothing_is_left();
}

#[test]
fn another_check_waits_for_a_restart_and_that_is_said() {
    let stage = Stage::new("rechecked", "2m", "10m", Rights::RevokeLeases);
    let config = configured(&stage, "overlap: 1s", &script("echo $LEASEHOLD_GENERATION >> FOLDER/tries"));
    let mut running = leasehold("run", &config).start();
    ready(&running, &config);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("tries", "elsewhere")).unwrap();
    running.signal(Signal::HUP);
    eventually("status says so", SOON, || {
        let status = status(&config);
        let waiting = status["needs_restart"].as_array().is_some_and(|keys| keys.contains(&"verify".into()));
        if waiting { Ok(()) } else { Err(format!("{status}\n{}", running.stderr())) }
    });
    says(&running, &["verify", "restart"]);
    let words = ["refresh", "db", "-c"].map(AsRef::as_ref).into_iter();
    Leasehold::command(words.chain([config.as_os_str()])).finish(SOON * 2);
    assert_eq!(tries(&stage), [1, 2], "the check of the start");
    assert!(!stage.folder.join("elsewhere").exists());
    end(running);
}

#[test]
fn a_check_that_is_wrong_or_cannot_run_is_said_early() {
    let stage = Stage::new("wrongly", "2m", "10m", Rights::RevokeLeases);
    for (verify, words) in [
        (r#"{ command: [/bin/true], http: { url: "http://127.0.0.1/" } }"#, "use one of them"),
        ("{ command: [/bin/true], retries: 3 }", "unknown key"),
    ] {
        let config = configured(&stage, "overlap: 1s", verify);
        let end = leasehold("check", &config).finish(SOON);
        assert_eq!(end.exit, Exit::Code(78), "{}", end.stderr);
        assert!(end.stderr.contains(words) && end.stderr.contains("verify"), "{}", end.stderr);
    }
    let config = configured(&stage, "overlap: 1s, startup_deadline: 2s", "{ command: [/no/such/check] }");
    let checked = leasehold("check", &config).finish(SOON);
    assert_eq!(checked.exit, Exit::Code(0), "it may be for another machine: {checked:?}");
    let note =
        "note: verify: command /no/such/check: on this machine it would fail: there is no such program";
    assert!(checked.stdout.contains(note), "{}", checked.stdout);
    let mut running = leasehold("run", &config).start();
    let warned = says(&running, &["verify, command /no/such/check: as things are it will fail"]);
    assert!(warned.contains("own container"), "{warned}");
    assert_eq!(running.wait(SOON), Exit::Code(75), "{}", running.stderr());
    assert!(!stage.live().join("..data").exists(), "nothing was published");
    stage.nothing_is_left();
}

#[test]
#[cfg(feature = "mock")]
fn dev_names_the_check_and_runs_it_only_where_it_is_told_to() {
    let (folder, session) = (harness::tmpfs(), harness::tmpfs());
    let config = folder.join("leasehold.yaml");
    let check = script(&format!("echo $LEASEHOLD_GENERATION >> {}/tries", folder.display()));
    let text = "providers:\n  vault: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }\n\
                secrets:\n  db: { provider: vault, path: database/creds/web, settle: 1h }\n";
    fs::write(&config, format!("{text}verify: {check}\n")).unwrap();
    let dev = |more: &[&str]| {
        let given = ["dev", "-c", config.to_str().unwrap()];
        let words = given.iter().chain(more).chain(&["--", "true"]);
        let end = Leasehold::command(words).env("XDG_RUNTIME_DIR", session.as_os_str()).finish(SOON * 2);
        assert_eq!(end.exit, Exit::Code(0), "{}", end.stderr);
        end.stderr
    };
    let said = dev(&[]);
    assert!(said.contains("verify (command sh) is not run here: --actions runs it"), "{said}");
    assert!(!folder.join("tries").exists(), "{said}");
    let said = dev(&["--actions"]);
    assert!(!said.contains("not run here"), "{said}");
    assert_eq!(fs::read_to_string(folder.join("tries")).unwrap(), "1\n", "{said}");
}

/// The blocks of the page in a language.
fn page(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify.md");
    let text = fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// An example of the page at the shared servers, with these places replaced.
fn example<'a>(name: &str, mark: &str, places: &[(&str, &str)]) -> (Bench<'a>, String) {
    let creds = vault().database_mount(name).role("web", "2m", "10m");
    let policy = vault().policy(name).read(&creds).revoke_leases();
    let bench = Bench::new(vault(), policy, json!({ "token_ttl": "10m" }));
    let block = page("yaml").into_iter().find(|block| block.contains(mark)).expect("the page has it");
    let mut sections = block[block.find("secrets:").unwrap()..].to_owned();
    for (from, to) in places.iter().chain(&[("database/creds/web", creds.as_str())]) {
        assert!(sections.contains(from), "the page no longer says {from:?}:\n{sections}");
        sections = sections.replace(from, to);
    }
    let config = bench.config(&vault().url(), "revoke_delay: 0s", &sections);
    (bench, config)
}

#[test]
fn the_command_of_the_page_tries_a_candidate_at_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let folder = harness::tmpfs();
    let program = folder.join("try-database");
    let [script] = &page("sh")[..] else { panic!("the page has one script") };
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let address = postgres().address();
    let (host, port) = (format!("PGHOST: {}", address.ip()), format!("PGPORT: \"{}\"", address.port()));
    let program = program.display().to_string();
    let places = [
        ("/bin/try-database", program.as_str()),
        ("PGHOST: pg", &host),
        ("PGPORT: \"5432\"", &port),
        ("PGDATABASE: app", "PGDATABASE: postgres"),
    ];
    let (bench, config) = example("page", "command:", &places);
    bench.configure(&config);
    let mut running = bench.command("run").env("PATH", path_with_psql()).start();
    bench.ready(&mut running);
    assert_eq!(bench.metric(r#"leasehold_verify_total{outcome="good"}"#), Some(1.0));
    let (user, password) = (bench.read("username").unwrap(), bench.read("password").unwrap());
    assert_eq!(postgres().login(&user, &password), Ok(()));
    end(running);

    // The same script where the server is away, and where it says no.
    let candidate = bench.folder.join("candidate");
    fs::create_dir(&candidate).unwrap();
    let script = |port: u16| {
        fs::write(candidate.join("username"), &user).unwrap();
        fs::write(candidate.join("password"), "wrong").unwrap();
        let mut shell = std::process::Command::new("sh");
        shell.arg(&program).env("LEASEHOLD_CANDIDATE", &candidate).env("PATH", path_with_psql());
        shell.env("PGHOST", address.ip().to_string()).env("PGPORT", port.to_string());
        shell.env("PGDATABASE", "postgres").output().unwrap().status.code()
    };
    assert_eq!(script(address.port()), Some(1));
    assert_eq!(script(harness::ports::free().port()), Some(75));
}
