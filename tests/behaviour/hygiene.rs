//! No value leaves by a side door, and nobody looks in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use harness::http::Response;
use harness::leasehold::Running;
use harness::process::Exit;
use harness::tmpfs::root;
use harness::{Proxy, Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::lifecycle::given::{Place, SOON, ask, provider, role_under};

/// All that came out of it, by where.
#[derive(Default)]
struct Outputs(Vec<(String, String)>);

impl Outputs {
    fn add(&mut self, from: &str, text: String) {
        assert!(!text.is_empty(), "{from} said nothing, so it proves nothing");
        self.0.push((from.to_owned(), text));
    }

    /// None of the values in any form, by what it is.
    fn hold_none_of(&self, canaries: &BTreeMap<String, String>) {
        let mut found = Vec::new();
        for (what, canary) in canaries {
            assert!(canary.len() >= 12, "{what} is too short to be told from chance");
            let forms = [
                canary.clone(),
                STANDARD.encode(canary),
                STANDARD_NO_PAD.encode(canary),
                URL_SAFE.encode(canary),
                canary.bytes().map(|byte| format!("{byte:02x}")).collect(),
                // As `Debug` prints bytes.
                canary.bytes().take(8).map(|byte| byte.to_string()).collect::<Vec<_>>().join(", "),
                // A part of it is as bad.
                canary[..12].to_owned(),
                canary[canary.len() - 12..].to_owned(),
            ];
            for (from, text) in &self.0 {
                if let Some(form) = forms.iter().find(|form| text.contains(*form)) {
                    let line = text.lines().find(|line| line.contains(form)).unwrap_or_default();
                    found.push(format!("{what} in {from}: {line}"));
                }
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[track_caller]
fn says(running: &Running, what: &str) {
    eventually(&format!("the log says {what:?}"), Duration::from_secs(30), || {
        let log = running.stderr();
        if log.contains(what) { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_canary_is_seen_in_no_output_of_a_whole_life_at_trace_level() {
    let (database, kv) = (vault().database_mount("canary"), vault().kv_mount("canary", 2));
    let (creds, broken) = (database.role("web", "4s", "8s"), database.role("broken", "1m", "1h"));
    let mut canaries = BTreeMap::new();
    let mut canary = |name: &str| {
        let value = format!("Q7{}zebra-canary-{name}-{}", name.len(), std::process::id());
        canaries.insert(name.to_owned(), value.clone());
        value
    };
    let (value, later, body) = (canary("kv"), canary("later"), canary("body"));
    kv.put("app", json!({ "value": value, "number": "12" }));
    let paths = [creds.clone(), broken.clone(), kv.data("app"), kv.metadata("app")];
    let policy = paths.iter().fold(vault().policy("canary"), |policy, path| policy.read(path)).create();
    let role = role_under("canary", &policy, json!({}));
    let proxy = Proxy::to(vault().address());
    let place = Place::new();
    let live = place.live().display().to_string();
    let leaky =
        format!("cat {live}/db.env {live}/kv {live}/kv.json; cat {live}/db.env >&2; echo it is said; exit 1");
    let configuration = |format: &str, template: &str| {
        let mut it = json!({
            "providers": { "vault": provider(&proxy.url(), &role) },
            "secrets": {
                "db": { "provider": "vault", "path": creds, "overlap": "500ms" },
                "kv": { "provider": "vault", "path": format!("{}/app", kv.path()), "refresh": "1s" },
                "odd": { "provider": "vault", "path": broken, "required": false },
            },
            "files": {
                "db.env": { "template": "{{ db.username }} {{ db.password | urlencode }}" },
                "kv": { "template": template },
                "kv.json": { "secret": "kv", "format": "json" },
                "odd": { "secret": "odd", "field": "username" },
            },
            // Programs that say all that they see: one that succeeds, and one that fails.
            "verify": { "command": ["/bin/sh", "-c", "cat \"$LEASEHOLD_CANDIDATE\"/db.env \"$LEASEHOLD_CANDIDATE\"/kv"] },
            "on_change": [{ "name": "leaky", "command": ["/bin/sh", "-c", leaky], "retries": 0 }],
            "lifecycle": { "acknowledge": "none" },
            "limits": { "mints_per_minute": 60 },
            "log": { "level": "trace", "format": format },
        });
        it["providers"]["vault"]["auth"]["secret_id"] = json!("${SECRET_ID}");
        it
    };
    let mark = vault().audit().mark();
    let mut outputs = Outputs::default();
    for (round, format) in ["text", "json"].into_iter().enumerate() {
        kv.put("app", json!({ "value": value, "number": "12" }));
        place.configure(configuration(format, "{{ kv.value }} {{ kv.number }}"));
        // A body that is no JSON, one of another shape, and errors that quote a value.
        let odd = [
            Response::json(200, &format!("{{\"data\": {{\"username\": \"{body}\"")),
            Response::json(200, &format!("{{\"lease_id\": [\"{body}\"], \"data\": \"{body}\"}}")),
            Response::json(500, &format!("{{\"errors\": [\"{body}\"]}}")).header("X-Odd", &body),
            Response::json(400, &format!("{{\"errors\": [\"{body}\"]}}")),
            Response::json(503, &body).header("Retry-After", &body),
        ];
        let first = proxy.answer("creds/broken", odd[0].clone());
        let message = place.file("termination", "");
        let command = place.command(&["run"]).env("SECRET_ID", &role.secret_id);
        let mut running = command.env("TERMINATION_MESSAGE_PATH", &message).start();
        place.await_file("db.env", &mut running);
        eventually("ready", SOON, || place.ready() == 200);
        assert!(place.read("kv").unwrap().starts_with(&value), "the application gets it");
        drop(first);
        for answer in &odd[1..] {
            let rule = proxy.answer("creds/broken", answer.clone());
            let refreshed = place.finish(&["refresh", "odd"]);
            outputs.add("refresh", refreshed.stdout + &refreshed.stderr);
            assert!(rule.hits() > 0, "the odd answer was seen");
        }
        // A field that the template wants is gone, and the new value cannot be rendered.
        kv.put("app", json!({ "value": later }));
        says(&running, "could not publish");
        outputs.add("status, refused", place.finish(&["status"]).stdout);
        says(&running, "it is said");
        kv.put("app", json!({ "value": later, "number": "12" }));
        eventually("the later value is there", SOON, || {
            if place.read("kv").unwrap().starts_with(&later) { Ok(()) } else { Err(running.stderr()) }
        });
        // Templates that are wrong, and one that does something silly with a value.
        for template in [
            "{{ kv.value",
            "{{ kv.value | nonsense }}",
            "{{ kv.value * 2.5 }}",
            "{{ kv.value.deep }}",
            "{{ kv[kv.value] }}",
        ] {
            let said = |running: &Running| {
                let log = running.stderr();
                log.matches("is refused").count() + log.matches("could not publish").count()
            };
            let before = said(&running);
            place.configure(configuration(format, template));
            running.signal(Signal::HUP);
            eventually("the template is refused", SOON, || said(&running) > before);
        }
        place.configure(configuration(format, "{{ kv.value }} {{ kv.number }}"));
        running.signal(Signal::HUP);
        // An outage, and a path that is denied.
        let outage = proxy.refuse();
        proxy.cut();
        says(&running, "connection refused");
        drop(outage);
        vault().write(
            &format!("sys/policies/acl/{policy}"),
            json!({ "policy": "path \"sys/nothing\" { capabilities = [\"read\"] }" }),
        );
        let denied = place.finish(&["refresh", "db"]);
        outputs.add("refresh, denied", denied.stdout + &denied.stderr);
        let text: Vec<_> =
            paths.iter().map(|path| format!("path {path:?} {{ capabilities = [\"read\"] }}\n")).collect();
        vault().write(&format!("sys/policies/acl/{policy}"), json!({ "policy": text.concat() }));
        place.finish(&["refresh"]);

        // Everything that can be asked.
        outputs.add("status", place.finish(&["status"]).stdout);
        outputs.add("status --json", place.finish(&["status", "--json"]).stdout);
        outputs.add("stale", {
            let said = place.finish(&["stale", "db"]);
            said.stdout + &said.stderr
        });
        outputs.add("ack", {
            let said = place.finish(&["ack"]);
            said.stdout + &said.stderr
        });
        let online = place.command(&["check", "--online"]).env("SECRET_ID", &role.secret_id).finish(SOON);
        outputs.add("check --online", online.stdout + &online.stderr);
        for path in ["/v1/status", "/v1/ready", "/v1/nothing"] {
            outputs.add(path, ask(&place.admin(), "GET", path, ""));
        }
        outputs.add(
            "..ack.sock",
            ask(&place.live().join("..ack.sock"), "POST", "/v1/stale", "{\"secret\": \"kv\"}"),
        );
        outputs.add("/metrics", place.metrics());
        outputs.add("/readyz", String::from_utf8(place.get("/readyz").unwrap().body).unwrap());
        outputs.add("the manifest", place.read("..data/..manifest.json").unwrap());
        running.signal(Signal::TERM);
        assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
        assert!(running.stderr().contains("request to provider"), "it is at trace level");
        outputs.add(&format!("the log as {format}"), running.stderr());
        if round == 0 {
            // The hand-over holds values, and nothing else may read it.
            fs::remove_dir_all(place.folder.join("state")).unwrap();
            fs::create_dir(place.folder.join("state")).unwrap();
        }
    }

    // An end on an error, with a termination message: a secret id that is a canary, and denied.
    let wrong = canary("wrong-secret-id");
    let place = Place::new();
    place.configure(configuration("json", "{{ kv.value }}"));
    let message = place.file("termination", "");
    let denied = place.command(&["run"]).env("SECRET_ID", &wrong).env("TERMINATION_MESSAGE_PATH", &message);
    let denied = denied.finish(SOON);
    assert_eq!(denied.exit, Exit::Code(77), "{}", denied.stderr);
    outputs.add("the log of a denied one", denied.stdout + &denied.stderr);
    outputs.add("the termination message", fs::read_to_string(message).unwrap());

    // Passwords, tokens and the secret id, as the server knows them.
    canaries.insert("secret id".into(), role.secret_id.clone());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for (number, entry) in vault().audit().since(mark).into_iter().enumerate() {
        let response = &entry.line["response"];
        if entry.path.starts_with(&creds)
            && let Some(password) = text(&response["data"]["password"])
        {
            canaries.insert(format!("password {number}"), password);
        }
        if entry.path.starts_with(&format!("auth/{}/", role.mount))
            && let Some(token) = text(&response["auth"]["client_token"])
        {
            canaries.insert(format!("token {number}"), token);
        }
    }
    println!(
        "{} canaries in {} outputs of {} bytes",
        canaries.len(),
        outputs.0.len(),
        outputs.0.iter().map(|(_, text)| text.len()).sum::<usize>()
    );
    assert!(canaries.len() >= 10, "{:?}", canaries.keys());
    outputs.hold_none_of(&canaries);
}

#[test]
fn the_process_shows_neither_its_environment_nor_its_files_nor_a_core() {
    if !root("acting as another uid") {
        return;
    }
    const APPLICATION: u32 = 65_532;
    let kv = vault().kv_mount("environ", 1);
    kv.put("app", json!({ "value": "v" }));
    let policy = vault().policy("environ").read(&kv.data("app")).create();
    let token = vault().token(json!({ "policies": [policy], "ttl": "60s" }));
    let token = token["client_token"].as_str().unwrap();
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": { "type": "vault", "namespace": "${PLAIN:-}" } },
        "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()) } },
    }));
    // As an application's own uid, all of it its own.
    let owned = Command::new("chown")
        .arg("-R")
        .arg(format!("{APPLICATION}:{APPLICATION}"))
        .arg(&*place.folder)
        .status();
    assert!(owned.unwrap().success());
    let command = place.command(&["run"]).user(APPLICATION, APPLICATION).env("VAULT_ADDR", vault().url());
    let mut running = command.env("VAULT_TOKEN", token).env("SHOWN", "as-it-is").start();
    place.await_file("kv/value", &mut running);
    let proc = |file: &str| format!("/proc/{}/{file}", running.pid().as_raw_nonzero());

    // Root sees the block, and the value in it is gone.
    let environ = String::from_utf8_lossy(&fs::read(proc("environ")).unwrap()).into_owned();
    assert!(environ.contains("SHOWN=as-it-is"), "{environ:?}");
    assert!(!environ.contains(token), "{environ:?}");
    let limits = fs::read_to_string(proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // The files of a process that is not dumpable belong to root.
    assert_eq!(fs::metadata(proc("environ")).unwrap().uid(), 0);

    // Its own uid may look at other processes of its own, and not at this one.
    let looks = |path: String| {
        let mut command = Command::new("setpriv");
        let uid = APPLICATION.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "head", "-c1", &path]);
        command.output().unwrap()
    };
    let mut other = Command::new("setpriv");
    let uid = APPLICATION.to_string();
    other.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "sleep", "600"]);
    let other = harness::process::Group::spawn(&mut other);
    let others = |file: &str| format!("/proc/{}/{file}", other.pid().as_raw_nonzero());
    eventually("a common process can be looked at", SOON, || looks(others("environ")).status.success());
    for file in ["environ", "mem", "maps", "root/etc/passwd", "cwd/Cargo.toml", "fd/0"] {
        let looked = looks(proc(file));
        let said = String::from_utf8_lossy(&looked.stderr).into_owned();
        assert!(!looked.status.success() && said.contains("Permission denied"), "{file}: {said}");
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
}
