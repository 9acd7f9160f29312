//! Every command as a stranger uses it: against a running instance on the real servers, against none, and
//! `check` with and without the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::leasehold::{Finished, Running};
use harness::process::Exit;
use harness::{Leasehold, Proxy, vault};
use serde_json::Value;

use super::endings::{GOOD, Site};
use super::*;

const END: Duration = Duration::from_secs(30);

/// As [`GOOD`], with sockets.
fn served() -> String {
    GOOD.replace("admin: { listen: off }", "admin: { listen: 'unix:FOLDER/admin.sock' }")
}

impl Site {
    fn ask<const N: usize>(&self, words: [&str; N]) -> Finished {
        self.asking(words).finish(END)
    }

    fn asking<const N: usize>(&self, words: [&str; N]) -> Leasehold {
        let file = self.folder.join("leasehold.yaml");
        Leasehold::command(words.map(AsRef::as_ref).into_iter().chain(["-c".as_ref(), file.as_os_str()]))
    }

    fn run(&self, config: &str) -> Running {
        fs::write(self.folder.join("leasehold.yaml"), self.config(config)).unwrap();
        Leasehold::command(["run".as_ref(), "-c".as_ref(), self.folder.join("leasehold.yaml").as_os_str()])
            .start()
    }

    /// What a command said, and its exit code, without what differs from run to run.
    fn said(&self, command: &str, finished: &Finished) -> String {
        let Exit::Code(code) = finished.exit else { panic!("{finished:?}") };
        let mut text = format!("$ {command}   → {code}\n");
        for line in finished.stdout.lines() {
            text += &format!("{line}\n");
        }
        for line in finished.stderr.lines() {
            text += &format!("! {line}\n");
        }
        self.shown(&text)
    }
}

/// Digits, bars and ids that differ from run to run.
fn masked(text: &str) -> String {
    let word = |word: &str| {
        let id = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_id = id.len() == 24 && id.chars().all(|c| c.is_ascii_alphanumeric());
        let is_lease = word.contains("/creds/web/");
        match () {
            () if is_id => word.replace(id, "ID"),
            () if is_lease => "LEASE".to_owned(),
            () if word.starts_with("[#") || word.starts_with("[-") => "[BAR]".to_owned(),
            () if is_length(word) => "LENGTH".to_owned(),
            () => word.to_owned(),
        }
    };
    let line = |line: &str| {
        if let Some((_, error)) = line.strip_prefix("  ! ").and_then(|line| line.split_once(": ")) {
            return format!("! WHEN: {error}");
        }
        let mut words: Vec<String> = line.split(' ').filter(|w| !w.is_empty()).map(word).collect();
        words.dedup_by(|next, before| next == "LENGTH" && before == "LENGTH");
        words.join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `40s`, `0.2s`, `5m`; a comma may follow.
fn is_length(word: &str) -> bool {
    let word = word.trim_end_matches([',', ')']);
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    unit.len() < word.len() && ["s", "m", "h", "d"].contains(&unit)
}

#[test]
fn a_running_instance_is_asked() {
    let site = Site::new("asked");
    let running = site.run(&served());
    let mut said = Vec::new();
    let mut say = |command: &str, finished: Finished| said.push(masked(&site.said(command, &finished)));

    say("probe ready --wait 20s", site.ask(["probe", "ready", "--wait", "20s"]));
    say("probe live", site.ask(["probe", "live"]));
    say("status", site.ask(["status"]));
    let json: Value = serde_json::from_str(&site.ask(["status", "--json"]).stdout).unwrap();
    assert_eq!((&json["ready"], &json["secrets"]["db"]["state"]), (&json!(true), &json!("held")));
    let before = json["secrets"]["db"]["lease"].clone();
    assert_eq!(site.database.leases(), [before.as_str().unwrap()]);

    say("refresh db", site.ask(["refresh", "db"]));
    let after = serde_json::from_str::<Value>(&site.ask(["status", "--json"]).stdout).unwrap();
    assert_ne!(after["secrets"]["db"]["lease"], before, "a new credential");
    assert_eq!(after["secrets"]["db"]["retiring"], json!([before]), "the old one lives on for the overlap");
    say("refresh app", site.ask(["refresh", "app"]));
    say("refresh nonsense", site.ask(["refresh", "nonsense"]));
    say("ack", site.ask(["ack"]));
    say("ack 999", site.ask(["ack", "999"]));
    say("stale db", site.ask(["stale", "db"]));
    say("stale nonsense", site.ask(["stale", "nonsense"]));
    say("status", site.ask(["status"]));
    insta::assert_snapshot!(said.join("\n"));
    let log = running.stderr();
    assert!(!log.contains("secret=") && !log.contains('\x1b'), "sentences alone, without colour: {log}");
}

#[test]
fn probes_wait_for_a_store_that_comes_and_status_says_what_is_missing_meanwhile() {
    let site = Site::new("probed");
    let proxy = Proxy::to(vault().address());
    let away = proxy.refuse();
    let config = served()
        .replace("ADDRESS", &proxy.url())
        .replace("FOLDER/state", "FOLDER/another")
        .replace("startup_deadline: 10s", "startup_deadline: 5m");
    let mut said = Vec::new();
    let mut say = |command: &str, finished: Finished| {
        said.push(masked(&site.said(command, &finished).replace(&proxy.url(), "ADDRESS")));
    };
    let running = site.run(&config);
    eventually("it listens", SOON, || site.folder.join("admin.sock").exists());
    eventually("it has tried", SOON, || site.ask(["status", "--json"]).stdout.contains("connection refused"));
    say("probe live", site.ask(["probe", "live"]));
    say("probe ready", site.ask(["probe", "ready"]));
    say("probe ready --wait 1s", site.ask(["probe", "ready", "--wait", "1s"]));
    say("status", site.ask(["status"]));
    say("refresh", site.ask(["refresh", "db"]));
    say("ack", site.ask(["ack"]));
    say("stale db", site.ask(["stale", "db"]));
    let mut waiting = site.asking(["probe", "ready", "--wait", "60s"]).start();
    drop(away);
    eventually("it is ready", 2 * END, || waiting.exit().ok_or_else(|| running.stderr()));
    assert_eq!(waiting.exit(), Some(Exit::Code(0)), "{}", waiting.stderr());
    // Which of the two secrets tries it for both is open.
    let said = said.join("\n").replace("failed: not tried yet, after: ", "failed: ");
    insta::assert_snapshot!(said);
}

#[test]
fn where_nothing_runs_every_command_says_so_and_ends_with_75() {
    let site = Site::new("alone");
    fs::write(site.folder.join("leasehold.yaml"), site.config(&served())).unwrap();
    let mut said = Vec::new();
    let mut say = |command: &str, finished: Finished| said.push(site.said(command, &finished));
    say("status", site.ask(["status"]));
    say("refresh", site.ask(["refresh"]));
    say("probe live", site.ask(["probe", "live"]));
    say("probe ready --wait 300ms", site.ask(["probe", "ready", "--wait", "300ms"]));
    say("ack", site.ask(["ack"]));
    say("stale db", site.ask(["stale", "db"]));
    // A socket that a killed process left is not somebody who listens.
    let mut running = site.run(&served());
    eventually("it is ready", SOON, || site.ask(["probe", "ready"]).exit == Exit::Code(0));
    running.kill9();
    say("status, after a kill", site.ask(["status"]));
    // With a port to ask as well, and with none at all.
    let port = harness::ports::free();
    let with_port =
        served().replace("telemetry: { listen: off }", &format!("telemetry: {{ listen: '{port}' }}"));
    fs::write(site.folder.join("leasehold.yaml"), site.config(&with_port)).unwrap();
    say("probe live, with a port", site.ask(["probe", "live"]));
    fs::write(site.folder.join("leasehold.yaml"), site.config(GOOD)).unwrap();
    say("status, switched off", site.ask(["status"]));
    say("probe live, switched off", site.ask(["probe", "live"]));
    insta::assert_snapshot!(said.join("\n").replace(&port.to_string(), "PORT"));
}

#[test]
fn another_uid_is_turned_away_with_77_and_what_to_do() {
    if !harness::tmpfs::root("asking as another uid") {
        return;
    }
    let site = Site::new("strangers");
    site.folder_is_for_all();
    let _running = site.run(&served());
    assert_eq!(site.ask(["probe", "ready", "--wait", "20s"]).exit, Exit::Code(0));
    let file = site.folder.join("leasehold.yaml");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let mut said = Vec::new();
    for words in [&["status"] as &[_], &["refresh"], &["probe", "ready"], &["stale", "db"], &["ack"]] {
        let words = words.iter().map(AsRef::as_ref).chain(["-c".as_ref(), file.as_os_str()]);
        let finished = Leasehold::command(words.collect::<Vec<_>>()).user(65_533, 65_533).finish(END);
        said.push(site.said("as another uid", &finished));
    }
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn without_a_configuration_it_says_where_it_looked() {
    let folder = harness::tmpfs();
    let mut said = Vec::new();
    for words in [
        &["run"] as &[_],
        &["check"],
        &["status"],
        &["run", "-c", "missing.yaml"],
        &["run", "leasehold.yaml"],
    ] {
        let finished = Leasehold::command(words).current_dir(&folder).finish(END);
        let Exit::Code(code) = finished.exit else { panic!("{finished:?}") };
        said.push(format!("$ {}   → {code}\n{}{}", words.join(" "), finished.stdout, finished.stderr));
    }
    // The environment names one; a name given on the command line comes first.
    fs::write(folder.join("empty.yaml"), "").unwrap();
    let by_name =
        Leasehold::command(["check"]).env("LEASEHOLD_CONFIG", folder.join("empty.yaml")).finish(END);
    assert!(by_name.stderr.contains("empty.yaml"), "{by_name:?}");
    insta::assert_snapshot!(said.join("\n").replace(&folder.display().to_string(), "FOLDER"));
}

#[test]
fn check_says_what_is_there_or_everything_that_is_wrong() {
    let site = Site::new("checked");
    let mut said = Vec::new();
    let file = |name: &str, text: &str| {
        let path = site.folder.join(name);
        fs::write(&path, site.config(text)).unwrap();
        path
    };
    let good = file("good.yaml", GOOD);
    let (platform, team) = GOOD.split_once("secrets:").unwrap();
    let (platform, team) = (file("platform.yaml", platform), file("team.yaml", &format!("secrets:{team}")));
    let both = file("both.yaml", "telemetry: { listen: '127.0.0.1:9441' }\n");
    let wrong = file(
        "wrong.yaml",
        &GOOD
            .replace("path: KV/app", "pth: KV/app")
            .replace("10s", "10 parsecs")
            .replace("admin:", "admins:"),
    );
    let broken = file("broken.yaml", "providers: { vault: [ }\n");
    let mut check = |files: &[&Path]| {
        let words =
            ["check".as_ref()].into_iter().chain(files.iter().flat_map(|f| ["-c".as_ref(), f.as_os_str()]));
        said.push(site.said("check", &Leasehold::command(words.collect::<Vec<_>>()).finish(END)));
    };
    check(&[&good]);
    check(&[&platform, &team]);
    check(&[&platform, &team, &both]);
    check(&[&wrong]);
    check(&[&broken]);
    assert_eq!(site.logins(), [] as [String; 0], "the store was not asked");
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn schema_and_completions_are_what_their_readers_take() {
    let schema = Leasehold::command(["schema"]).finish(END);
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    assert_eq!(schema["type"], "object");
    assert!(schema["properties"]["secrets"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        let script = Leasehold::command(["completions", shell]).finish(END).stdout;
        assert!(script.contains("refresh") && script.contains("wait"), "{shell}: {script}");
    }
    let folder = harness::tmpfs();
    let script = Leasehold::command(["completions", "bash"]).finish(END).stdout;
    fs::write(folder.join("complete"), script).unwrap();
    let test = "source ./complete; COMP_WORDS=(leasehold pro); COMP_CWORD=1; _leasehold leasehold pro leasehold; \
                echo \"${COMPREPLY[*]}\"";
    let out = std::process::Command::new("bash").args(["-c", test]).current_dir(&folder).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "probe");
}

#[test]
fn check_online_asks_mints_nothing_and_gives_its_token_back() {
    let site = Site::new("online");
    let mark = vault().audit().mark();
    let creds = format!("{}/creds/", site.database.path());
    let leases = site.database.leases();
    let mut said = Vec::new();
    let mut check = |what: &str, words: &[&str], config: &str| {
        let file = site.folder.join("leasehold.yaml");
        fs::write(&file, site.config(config)).unwrap();
        let all = ["check", "--online"].iter().chain(words).map(AsRef::as_ref);
        let finished =
            Leasehold::command(all.chain(["-c".as_ref(), file.as_os_str()]).collect::<Vec<_>>()).finish(END);
        said.push(masked(&site.said(what, &finished)));
        for accessor in site.logins() {
            eventually("its token is revoked", SOON, || !vault().token_lives(&accessor));
        }
        eventually("no lease is left", SOON, || site.database.leases() == leases);
        assert!(!site.folder.join("another/handover").exists());
    };
    check("good", &[], GOOD);
    let lacking =
        GOOD.replace("KV/app", "KV/forbidden").replace("DATABASE/creds/web", "DATABASE/creds/forbidden");
    check("a policy is missing", &[], &lacking);
    check("absent", &[], &GOOD.replace("KV/app", "KV/absent"));
    check("a field that is not there", &[], &GOOD.replace("app.token", "app.tokne"));
    check("a wrong secret id", &[], &GOOD.replace("FOLDER/secret-id", "FOLDER/leasehold.yaml"));
    assert_eq!(vault().audit().matching(mark, "read", &creds).len(), 0, "nothing is minted");

    let wrapping = site.approle.wrapped_secret_id("web", "5m");
    fs::write(site.folder.join("wrapped"), &wrapping).unwrap();
    let wrapped =
        GOOD.replace("secret_id_file: FOLDER/secret-id", "secret_id_file: FOLDER/wrapped, wrapped: true");
    let before = site.logins().len();
    assert_eq!(before, 4, "one log-in for each check that was let in");
    check("a wrapped secret id", &[], &wrapped);
    assert_eq!(site.logins().len(), before, "it does not log in");
    let unwrapped = vault().client(&wrapping).write("sys/wrapping/unwrap", &json!({})).unwrap();
    assert!(unwrapped["data"]["secret_id"].is_string(), "the wrapping token was not used up");

    check("minted and given back", &["--mint"], GOOD);
    assert_eq!(vault().audit().matching(mark, "read", &creds).len(), 1);
    // A token that cannot live as long as what hangs on it.
    let role = format!("auth/{}/role/web", site.approle.path());
    vault().write(&role, json!({ "token_ttl": "20s", "token_max_ttl": "30s" }));
    check("a short token", &["--mint"], GOOD);
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn check_online_logs_in_as_the_holder_of_a_token_in_a_file() {
    let site = Site::new("pipeline");
    let signer = harness::TokenSigner::new();
    let mount = vault().auth_mount("jwt", "pipeline-jwt");
    vault().write(
        &format!("auth/{mount}/config"),
        json!({ "jwt_validation_pubkeys": [signer.public_key()], "bound_issuer": "pipelines" }),
    );
    vault().write(
        &format!("auth/{mount}/role/web"),
        json!({ "role_type": "jwt", "bound_audiences": "vault", "user_claim": "sub", "bound_subject": "deploy" }),
    );
    let claims = json!({ "iss": "pipelines", "aud": "vault", "sub": "deploy", "iat": 1_700_000_000, "exp": 4_000_000_000_u64 });
    let jwt = site.folder.join("pipeline.jwt");
    fs::write(&jwt, signer.sign(&claims)).unwrap();
    let old = "auth: { method: approle, mount: APPROLE, role_id: ROLE_ID, secret_id_file: FOLDER/secret-id }";
    // The file that the pod reads is not there.
    let auth = format!("auth: {{ method: jwt, mount: {mount}, role: web, token_file: FOLDER/missing }}");
    let config = site.config(
        &GOOD
            .replace(old, &auth)
            .replace("  db: { provider: vault, path: DATABASE/creds/web }\n", "")
            .replace("  db.env: { template: \"{{ db.username }}:{{ db.password }}\" }\n", ""),
    );
    fs::write(site.folder.join("leasehold.yaml"), config).unwrap();
    let with = site.asking(["check", "--online", "--jwt", jwt.to_str().unwrap()]).finish(END);
    let without = site.ask(["check", "--online"]);
    let said = [site.said("check --online --jwt FILE", &with), site.said("check --online", &without)];
    insta::assert_snapshot!(masked(&said.join("\n").replace(&mount, "JWT")));
}
