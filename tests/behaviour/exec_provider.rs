//! Any program as a provider: the examples as they are, and programs that misbehave.

use std::fs;
use std::path::Path;

use harness::leasehold::{Finished, Running};
use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::{Leasehold, Signal};
use serde_json::Value;

use super::*;

const END: Duration = Duration::from_secs(30);

/// A folder with a configuration of one provider and its secrets.
struct Place {
    folder: Folder,
}

impl Place {
    fn new() -> Self {
        let folder = harness::tmpfs();
        fs::create_dir(folder.join("state")).unwrap();
        Self { folder }
    }

    /// With `FOLDER` and `EXAMPLES` in the provider's keys standing for where they are.
    fn config(&self, provider: &str, secrets: &str, lifecycle: &str) -> std::path::PathBuf {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/exec-provider");
        let text = format!(
            r#"
providers: {{ store: {{ type: exec, {provider} }} }}
secrets: {secrets}
output: {{ directory: FOLDER/live }}
lifecycle: {{ state_directory: FOLDER/state, revoke_delay: 0s, {lifecycle} }}
admin: {{ listen: "unix:FOLDER/admin.sock" }}
telemetry: {{ listen: off }}
log: {{ level: debug }}
"#
        );
        let text = text
            .replace("FOLDER", &self.folder.display().to_string())
            .replace("EXAMPLES", &examples.display().to_string());
        let file = self.folder.join("leasehold.yaml");
        fs::write(&file, text).unwrap();
        file
    }

    /// A program of one shell script, which finds FOLDER where it is.
    fn script(&self, script: &str) -> String {
        let file = self.folder.join("program.sh");
        fs::write(&file, script.replace("FOLDER", &self.folder.display().to_string())).unwrap();
        format!("command: [sh, {}]", file.display())
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join("live").join(file)).ok()
    }

    fn init(&self, config: &Path) -> Finished {
        Leasehold::command(["init".as_ref(), "-c".as_ref(), config.as_os_str()]).finish(END)
    }

    #[track_caller]
    fn await_file(&self, file: &str, content: &str, running: &Running) {
        eventually(&format!("{file} is {content}"), SOON, || match self.read(file) {
            Some(now) if now == content => Ok(()),
            now => Err(format!("{now:?}, log:\n{}", running.stderr())),
        });
    }
}

fn run(config: &Path) -> Running {
    Leasehold::command(["run".as_ref(), "-c".as_ref(), config.as_os_str()])
        .env("OURS_ALONE", "canary-ours")
        .env("STORE_TOKEN", "canary-token")
        .start()
}

#[track_caller]
fn ended(mut running: Running) -> String {
    running.signal(Signal::TERM);
    let exit = running.wait(END);
    let log = running.stderr();
    assert_eq!(exit, Exit::Code(0), "{log}");
    log
}

#[test]
fn the_examples_are_as_short_as_they_say_and_stand_in_the_documentation_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/exec-provider.md")).unwrap();
    for (name, longest) in [("store.sh", 20), ("store.py", 30)] {
        let text = fs::read_to_string(root.join("examples/exec-provider").join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= longest, "{name} has {lines} lines");
        assert!(page.contains(&format!("\n{text}```\n")), "docs/exec-provider.md shows another {name}");
    }
}

#[test]
fn the_configuration_beside_the_examples_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/exec-provider");
    let checked = Leasehold::command(["check", "-c", "leasehold.yaml"])
        .current_dir(&folder)
        .env("PWD", &folder)
        .finish(END);
    assert_eq!(checked.exit, Exit::Code(0), "{}", checked.stderr);
}

#[test]
fn a_store_of_thirty_lines_of_python_gives_leases_and_its_credentials_rotate() {
    let place = Place::new();
    let provider = "command: [python3, EXAMPLES/store.py], leases: true, \
                    environment: { STORE: FOLDER/users.json, TTL: '5', MAX_TTL: '10' }";
    let config = place.config(provider, "{ db: { provider: store, path: web } }", "");
    let running = run(&config);
    let users = || -> Value {
        // While it is written it is empty.
        eventually("the store can be read", SOON, || {
            fs::read_to_string(place.folder.join("users.json"))
                .ok()
                .and_then(|text| serde_json::from_str(&text).ok())
        })
    };
    // Both of one generation: through one handle.
    let credential = || -> Option<(String, String)> {
        let set = fs::canonicalize(place.folder.join("live/..data")).ok()?.join("db");
        Some((fs::read_to_string(set.join("username")).ok()?, fs::read_to_string(set.join("password")).ok()?))
    };
    let mut seen: Vec<(String, String)> = Vec::new();
    for round in 0..3 {
        let next = eventually(&format!("credential {round}"), END, || {
            credential().filter(|now| seen.last() != Some(now)).ok_or_else(|| running.stderr())
        });
        assert_eq!(users()[&next.0]["password"], next.1.as_str(), "it is good at the store when it is seen");
        seen.push(next);
    }
    eventually("the first was taken back or has ended", END, || users().get(&seen[0].0).is_none());
    let log = ended(running);
    assert_eq!(users(), serde_json::json!({}), "nothing outlives us: {log}");
    assert!(log.contains("renewed"), "{log}");
    for (_, password) in &seen {
        assert!(!log.contains(password), "{log}");
    }
}

#[test]
fn a_store_of_twenty_lines_of_shell_is_polled_and_a_lost_secret_keeps_its_file() {
    let place = Place::new();
    let provider = "command: [sh, EXAMPLES/store.sh], environment: { STORE: FOLDER/store }";
    let config = place.config(provider, "{ api: { provider: store, path: web/api, refresh: 1s } }", "");
    let kept = place.folder.join("store/web/api");
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    let put = |text: &str| {
        let new = kept.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &kept).unwrap();
    };
    put(r#"{ "key": "canary-first", "port": 1 }"#);
    let running = run(&config);
    place.await_file("api/key", "canary-first", &running);
    put(r#"{ "key": "canary-second", "port": 1 }"#);
    place.await_file("api/key", "canary-second", &running);
    fs::remove_file(&kept).unwrap();
    eventually("the lack is said", SOON, || running.stderr().contains("answers absent"));
    put("half {");
    eventually("nonsense is said", SOON, || {
        let log = running.stderr();
        let said = log.contains("ended with code") || log.contains("makes no sense");
        if said { Ok(()) } else { Err(log) }
    });
    assert_eq!(place.read("api/key").as_deref(), Some("canary-second"), "the last good one stays");
    put(r#"{ "key": "canary-third" }"#);
    place.await_file("api/key", "canary-third", &running);
    let log = ended(running);
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn several_secrets_travel_in_one_request_and_the_program_gets_nothing_of_our_environment() {
    let place = Place::new();
    let script = r#"
        cat >> FOLDER/requests; echo >> FOLDER/requests; env | cut -d= -f1 | sort | tr '\n' ' ' > FOLDER/new
        mv FOLDER/new FOLDER/environment
        echo "complaint with canary-complaint" >&2
        echo '{"version":1,"secrets":[{"fields":{"v":"1"}},{"binary":{"v":"AP8="}}]}'
    "#;
    let provider = format!("{}, batch: 10, pass: [STORE_TOKEN]", place.script(script));
    let secrets =
        "{ a: { provider: store, path: x, refresh: 1s }, b: { provider: store, path: y, refresh: 1s } }";
    let running = run(&place.config(&provider, secrets, ""));
    place.await_file("a/v", "1", &running);
    assert_eq!(fs::read(place.folder.join("live/b/v")).unwrap(), [0, 255]);
    eventually("they are polled", SOON, || {
        fs::read_to_string(place.folder.join("requests")).unwrap().lines().count() >= 3
    });
    let log = ended(running);
    let requests = fs::read_to_string(place.folder.join("requests")).unwrap();
    for request in requests.lines() {
        let request: Value = serde_json::from_str(request).unwrap();
        assert_eq!(request["secrets"].as_array().unwrap().len(), 2, "{request}");
    }
    let environment = fs::read_to_string(place.folder.join("environment")).unwrap();
    let names: Vec<&str> = environment
        .split_whitespace()
        .filter(|name| !["LANG", "PWD", "SHLVL", "_", "OLDPWD"].contains(name))
        .collect();
    assert_eq!(names, ["HOME", "PATH", "STORE_TOKEN"]);
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn what_goes_wrong_at_the_start_names_the_remedy_and_has_its_exit_code() {
    let answers = |error: &str| format!("echo '{{\"version\":1,\"error\":{error}}}'");
    let cases = [
        (answers(r#"{"kind":"absent","message":"canary"}"#), 66, "check path"),
        (answers(r#"{"kind":"denied","message":"canary"}"#), 77, "does the store let it do this?"),
        (answers(r#"{"kind":"invalid"}"#), 78, "check path, data"),
        (answers(r#"{"kind":"denied","passing":true}"#), 75, "it may pass"),
        (answers(r#"{"kind":"throttled","retry_after":0.5}"#), 75, "throttled"),
        ("echo '{\"version\":7}'".to_owned(), 78, "version 7"),
        ("echo canary".to_owned(), 75, "run it by hand"),
        ("echo canary >&2; exit 9".to_owned(), 75, "ended with code 9 and without an answer"),
        ("kill -9 $$".to_owned(), 75, "ended by signal 9"),
        ("exec sleep 60".to_owned(), 75, "did not end within 500ms"),
        ("exec yes canary".to_owned(), 75, "output_limit"),
        ("exit 0".to_owned(), 75, "there is none on its standard output"),
    ];
    for (script, code, words) in cases {
        let place = Place::new();
        // Nobody is too slow but who is meant to be.
        let limit = if script.contains("sleep") { "500ms" } else { "10s" };
        let provider = format!("{}, time_limit: {limit}, output_limit: 4KiB", place.script(&script));
        let config = place.config(&provider, "{ api: { provider: store, path: x } }", "startup_deadline: 4s");
        let finished = place.init(&config);
        assert_eq!(finished.exit, Exit::Code(code), "{script}: {}", finished.stderr);
        let last = finished.stderr.lines().last().unwrap();
        assert!(last.contains(words) && last.contains("api"), "{script}: {}", finished.stderr);
        assert!(!finished.stderr.contains("canary"), "{}", finished.stderr);
    }
    for (command, words) in [
        ("[/no/such/program]", "there is no such program: give its whole path"),
        ("[FOLDER/leasehold.yaml]", "give our uid the right to execute it"),
    ] {
        let place = Place::new();
        let config =
            place.config(&format!("command: {command}"), "{ api: { provider: store, path: x } }", "");
        let finished = place.init(&config);
        assert_eq!(finished.exit, Exit::Code(78), "{command}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
    }
}

#[test]
fn check_online_runs_the_program() {
    let place = Place::new();
    let provider = place.script("echo '{\"version\":1,\"secrets\":[{\"fields\":{\"key\":\"canary\"}}]}'");
    let config = place.config(&provider, "{ api: { provider: store, path: x } }", "");
    let words = ["check".as_ref(), "--online".as_ref(), "-c".as_ref(), config.as_os_str()];
    let finished = Leasehold::command(words).finish(END);
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    assert!(finished.stdout.contains("fields key") && !finished.stdout.contains("canary"), "{finished:?}");
}

#[test]
fn check_online_does_not_call_allowed_what_the_program_cannot_tell() {
    let place = Place::new();
    // It answers `check` where it is asked; a fetch would be a mint, and is not tried.
    let script = place.script("echo >> FOLDER/asked; echo '{\"version\":1,\"missing\":[]}'");
    let check = |operations: &str| {
        let provider = format!("{script}, leases: true, operations: [{operations}]");
        let config = place.config(&provider, "{ db: { provider: store, path: web } }", "");
        let words = ["check".as_ref(), "--online".as_ref(), "-c".as_ref(), config.as_os_str()];
        let finished = Leasehold::command(words).finish(END);
        assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
        finished.stdout
    };
    let said = check("revoke");
    assert!(said.contains("note     secret db: web: cannot tell"), "{said}");
    assert!(!said.contains("allowed") && said.contains("does not answer `check`"), "{said}");
    assert!(!place.folder.join("asked").exists());
    let said = check("check");
    assert!(said.contains("web: allowed (not fetched: that would mint)"), "{said}");
}

#[test]
fn a_program_does_not_outlive_us_and_a_hanging_one_holds_nothing_up() {
    let place = Place::new();
    let script = r#"
        request=$(cat); case $request in *'"path":"slow"'*) echo $$ > FOLDER/pid; exec sleep 300 ;; esac
        echo '{"version":1,"secrets":[{"fields":{"v":"1"}}]}'
    "#;
    let secrets = "{ a: { provider: store, path: x, refresh: 1s }, b: { provider: store, path: slow, required: false } }";
    let provider = format!("{}, time_limit: 10m", place.script(script));
    let mut running = run(&place.config(&provider, secrets, ""));
    let pid = eventually("the slow one runs", SOON, || {
        fs::read_to_string(place.folder.join("pid")).ok().filter(|pid| pid.ends_with('\n'))
    });
    running.kill9();
    eventually("it ends with us", SOON, || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    });
}

/// Runs leasehold as PID 1 of a namespace of its own, where orphans become its children.
#[test]
fn as_pid_1_it_waits_for_every_orphan() {
    if !harness::tmpfs::root("a PID namespace") {
        return;
    }
    let place = Place::new();
    // Each request leaves behind what becomes ours, and ends soon after.
    let script = r#"
        count=$(cat FOLDER/orphans 2>/dev/null | wc -l)
        setsid sh -c 'echo >> FOLDER/orphans; exec sleep 0.2' >/dev/null 2>&1 </dev/null &
        until [ $(cat FOLDER/orphans 2>/dev/null | wc -l) -gt $count ]; do sleep 0.01; done
        echo '{"version":1,"secrets":[{"fields":{"v":"1"}}]}'
    "#;
    let secrets = "{ a: { provider: store, path: x, refresh: 1s } }";
    let config = place.config(&place.script(script), secrets, "");
    let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut running =
        Leasehold::command(["run".as_ref(), "-c".as_ref(), config.as_os_str()]).under(words).start();
    place.await_file("a/v", "1", &running);
    let unshare = running.pid().as_raw_nonzero();
    let children =
        |pid: &str| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let init = children(&unshare.to_string()).trim().to_owned();
    let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    assert!(status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{status}");
    eventually("some orphans came", END, || {
        fs::read_to_string(place.folder.join("orphans")).is_ok_and(|text| text.lines().count() >= 4)
    });
    eventually("no zombie stays", SOON, || {
        let zombies: Vec<String> = children(&init)
            .split_whitespace()
            .filter(|pid| {
                fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
            })
            .map(str::to_owned)
            .collect();
        if zombies.is_empty() { Ok(()) } else { Err(format!("{zombies:?}")) }
    });
    running.signal(Signal::KILL);
    running.wait(END);
}
