//! `dev`: the file of production on a laptop, with nothing around it.

mod command;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::leasehold::{Running, binary};
use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::{Leasehold, Signal};

use super::*;
use crate::terminal::Terminal;

/// A configuration that sets most keys, many of them to their defaults.
const MOST_KEYS: &str = include_str!("dev/most_keys.yaml");

/// What a laptop lacks: every variable, file, account and directory that this names.
const PRODUCTION: &str = r#"
providers:
  vault:
    type: vault
    address: "${VAULT_ADDR}"
    tls: { ca_file: /etc/leasehold/ca.pem }
    auth: { method: kubernetes, role: "${VAULT_ROLE}" }
  aws: { type: aws-secrets-manager, region: "${AWS_REGION}" }
secrets:
  db:   { provider: vault, path: database/creds/web, overlap: 20m }
  cert: { provider: vault, path: pki/issue/web, data: { common_name: web.svc, alt_names: "a.svc,b.svc", ttl: 24h } }
  api:  { provider: aws, path: prod/api-key, refresh: 1m }
files:
  db.env:
    template: |
      DATABASE_URL=postgres://{{ db.username }}:{{ db.password | urlencode }}@pg:5432/app
  tls/tls.crt: { secret: cert, field: certificate }
  tls/tls.key: { secret: cert, field: private_key, mode: "0400" }
  tls/ca.crt:  { template: "{% for ca in cert.ca_chain %}{{ ca }}\n{% endfor %}" }
  api.json:    { secret: api, format: json }
  api.env:     { template: "KEY={{ api['api-key'] }} PORT={{ api.server.port }}", owner: nobody-here }
output: { directory: /run/secrets/leasehold/live, group: nobody-here }
on_change:
  - { signal: HUP, process: nginx, files: [db.env] }
"#;

/// Within this the first files are there, on a machine that does much else; alone it takes some milliseconds.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A laptop: a directory of the session in memory, and one with files.
struct Laptop {
    session: Folder,
    files: Folder,
}

impl Laptop {
    fn with(configuration: &str) -> Self {
        let laptop = Self { session: harness::tmpfs(), files: harness::tmpfs() };
        fs::write(laptop.files.join("leasehold.yaml"), configuration).unwrap();
        laptop
    }

    fn command(&self, more: &[&str]) -> Leasehold {
        let file = self.files.join("leasehold.yaml");
        let given = ["dev", "-c", file.to_str().unwrap()];
        Leasehold::command(given.iter().chain(more)).env("XDG_RUNTIME_DIR", self.session.as_os_str())
    }

    /// As a person types it.
    fn line(&self) -> String {
        let (session, file) = (self.session.display(), self.files.join("leasehold.yaml"));
        format!("XDG_RUNTIME_DIR={session} {} dev -c {}", binary().display(), file.display())
    }

    /// Started, with its first files in place, and where they are.
    fn start(&self, more: &[&str]) -> (Running, PathBuf) {
        let running = self.command(more).start();
        eventually("the first files", SOON, || said(&running, "first files after "));
        let directory = said(&running, "LEASEHOLD_DIR=").unwrap();
        let directory = directory.split_once('=').unwrap().1.into();
        (running, directory)
    }

    fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(&*self.session).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Ctrl-C, and nothing is left.
    fn end(&self, mut running: Running) {
        running.signal(Signal::INT);
        assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
        assert_eq!(self.left(), Vec::<PathBuf>::new());
    }
}

/// The first line that holds this, or all of them.
fn said(running: &Running, what: &str) -> Result<String, String> {
    let all = running.stderr();
    all.lines().find(|line| line.contains(what)).map(str::to_owned).ok_or(all)
}

/// The time in `first files after 12 ms: …`.
#[track_caller]
fn printed(line: &str) -> Duration {
    let words = line.split_once("first files after ").and_then(|(_, rest)| rest.split_once(" ms: "));
    let milliseconds = words.and_then(|(number, _)| number.parse().ok());
    Duration::from_millis(milliseconds.unwrap_or_else(|| panic!("{line}")))
}

fn openssl(arguments: &[&str], directory: &Path) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn public_page(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap()
}

#[test]
fn the_quick_start_has_files_at_once_and_a_rotation_within_seconds_and_leaves_nothing() {
    let laptop = Laptop::with(&public_page("examples/quickstart/leasehold.yaml"));
    let (running, directory) = laptop.start(&[]);
    let line = said(&running, "first files after ").unwrap();
    assert!(printed(&line) <= AT_ONCE, "{line}");
    let before = fs::read(directory.join("db.env")).unwrap();
    eventually("a rotation of db", SOON * 2, || said(&running, "db rotated: generation "));
    assert_ne!(fs::read(directory.join("db.env")).unwrap(), before);
    let log = running.stderr();
    assert!(log.lines().all(|line| line.starts_with("leasehold")), "{log}");
    let password = String::from_utf8(before).unwrap();
    let password = password.split_once("v-mock-").unwrap().1.split([':', '@']).nth(1).unwrap().to_owned();
    assert!(!log.contains(&password), "{log}");
    laptop.end(running);
}

#[test]
fn the_example_of_the_readme_works_with_nothing_that_it_names() {
    let page = public_page("README.md");
    let example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let laptop = Laptop::with(example);
    let (running, directory) = laptop.start(&[]);
    assert!(
        fs::read_to_string(directory.join("db.env"))
            .unwrap()
            .starts_with("DATABASE_URL=postgres://v-mock-web-")
    );
    laptop.end(running);
}

#[test]
fn what_templates_name_is_made_up_and_certificates_are_real() {
    let laptop = Laptop::with(PRODUCTION);
    let (running, directory) = laptop.start(&[]);
    let env = fs::read_to_string(directory.join("api.env")).unwrap();
    assert!(env.starts_with("KEY=") && env.ends_with(" PORT=5432"), "{env}");
    let api: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("api.json")).unwrap()).unwrap();
    assert_eq!(api["server"]["port"], 5432);

    // One set: a rotation in the midst of this changes none of it.
    let set = directory.join(fs::read_link(directory.join("..data")).unwrap());
    let set = set.as_path();
    openssl(&["verify", "-verify_hostname", "b.svc", "-CAfile", "tls/ca.crt", "tls/tls.crt"], set);
    let of_certificate = openssl(&["x509", "-in", "tls/tls.crt", "-noout", "-pubkey"], set);
    assert_eq!(of_certificate, openssl(&["pkey", "-in", "tls/tls.key", "-pubout"], set));
    assert!(said(&running, "owners and groups are left out").is_ok());
    laptop.end(running);
}

#[test]
fn values_of_a_file_are_used_and_a_change_of_it_arrives() {
    let laptop = Laptop::with(PRODUCTION);
    let values = laptop.files.join("values.yaml");
    let write = |key: &str| fs::write(&values, format!("api: {{ api-key: {key} }}\n")).unwrap();
    write("first");
    let (running, directory) = laptop.start(&["--values", values.to_str().unwrap()]);
    let shown = || fs::read_to_string(directory.join("api.env")).unwrap();
    assert_eq!(shown(), "KEY=first PORT=5432", "what the file does not name is made up");
    write("second");
    eventually("the changed value", SOON, || shown() == "KEY=second PORT=5432");
    eventually("a word of it", SOON, || said(&running, "api rotated: generation 2"));
    laptop.end(running);
}

#[test]
fn the_values_of_the_documentation_are_values() {
    let laptop = Laptop::with(PRODUCTION);
    let page = public_page("docs/dev.md");
    let example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let values = laptop.files.join("values.yaml");
    fs::write(&values, example).unwrap();
    let (running, directory) = laptop.start(&["--values", values.to_str().unwrap()]);
    let shown = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    assert_eq!(shown("api.env"), "KEY=from-the-file PORT=8080");
    assert_eq!(shown("db.env"), "DATABASE_URL=postgres://app:local@pg:5432/app\n");
    laptop.end(running);
}

#[test]
fn what_a_values_file_says_for_nothing_is_said_and_one_that_is_not_there_ends_it() {
    let configuration = PRODUCTION.replace("  api.json:    { secret: api, format: json }\n", "");
    assert_ne!(configuration, PRODUCTION);
    let laptop = Laptop::with(&configuration);
    let values = laptop.files.join("values.yaml");
    let given = "api: { api-kee: a, server: { port: 1 } }\ndbx: { username: b }\n\
                 database/creds/web: { username: c, password: d, spare: e }\n";
    fs::write(&values, given).unwrap();
    let (running, _) = laptop.start(&["--values", values.to_str().unwrap()]);
    let log = running.stderr();
    let warned: Vec<&str> = log.lines().filter(|line| line.contains("warning: ")).collect();
    let [field, secret] = warned[..] else { panic!("{log}") };
    let file = values.display();
    assert_eq!(
        field,
        format!("leasehold: warning: {file}: nothing uses \"api-kee\" of \"api\"; made up instead: api-key")
    );
    let there = "no secret has the name or the path \"dbx\": there are api, cert, db";
    assert_eq!(secret, format!("leasehold: warning: {file}: {there}"));
    laptop.end(running);

    let missing = laptop.files.join("nope.yaml");
    let ended = laptop.command(&["--values", missing.to_str().unwrap()]).finish(SOON);
    assert_eq!(ended.exit, Exit::Code(78), "{ended:?}");
    let said =
        format!("leasehold: the values file {} cannot be read: there is no such file\n", missing.display());
    assert!(ended.stderr.ends_with(&said), "{ended:?}");
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
}

#[test]
fn an_action_is_named_and_not_run() {
    let laptop = Laptop::with(&PRODUCTION.replace("files: [db.env]", "files: [api.env]"));
    let values = laptop.files.join("values.yaml");
    fs::write(&values, "api: { api-key: a }").unwrap();
    let (running, _) = laptop.start(&["--values", values.to_str().unwrap()]);
    fs::write(&values, "api: { api-key: b }").unwrap();
    eventually("the name of the action", SOON, || {
        said(&running, "not run here (--actions runs it): signal HUP to nginx")
    });
    laptop.end(running);
}

#[test]
fn with_actions_they_are_run_as_in_production() {
    let ran = harness::tmpfs();
    let file = ran.join("told");
    let action = format!(
        r#"{{ command: [sh, -c, "echo $LEASEHOLD_CHANGED > {0}.part && mv {0}.part {0}"], files: [api.env] }}"#,
        file.display()
    );
    let production = PRODUCTION.replace("{ signal: HUP, process: nginx, files: [db.env] }", &action);
    assert_ne!(production, PRODUCTION);
    let laptop = Laptop::with(&production);
    let values = laptop.files.join("values.yaml");
    fs::write(&values, "api: { api-key: a }").unwrap();
    let (running, _) = laptop.start(&["--actions", "--values", values.to_str().unwrap()]);
    assert!(!file.exists(), "nobody is told of the first set");
    fs::write(&values, "api: { api-key: b }").unwrap();
    let told = eventually("the action is run", SOON, || fs::read_to_string(&file));
    assert!(told.lines().any(|line| line.contains("api.env")), "{told}");
    assert!(!running.stderr().contains("not run here"), "{}", running.stderr());
    laptop.end(running);
}

#[test]
fn a_file_that_sets_most_keys_works_and_each_kind_of_action_is_named() {
    let laptop = Laptop::with(MOST_KEYS);
    let values = laptop.files.join("values.yaml");
    fs::write(&values, "api: { key: a }").unwrap();
    let (running, directory) = laptop.start(&["--values", values.to_str().unwrap()]);
    for name in ["db.env", "tls/tls.crt", "tls/tls.key", "api.json"] {
        assert!(!fs::read(directory.join(name)).unwrap().is_empty(), "{name}");
    }
    fs::write(&values, "api: { key: b }").unwrap();
    let line = eventually("the names of the actions", SOON, || said(&running, "not run here"));
    let named = "(--actions runs it): signal HUP to nginx; command /bin/reload; http POST to 127.0.0.1:8080";
    assert!(line.ends_with(named), "{line}");
    laptop.end(running);
}

#[test]
fn at_a_terminal_each_thing_is_a_line_and_ctrl_c_ends_it() {
    let laptop = Laptop::with(&public_page("examples/quickstart/leasehold.yaml"));
    let terminal = Terminal::sized(&laptop.files, (80, 24));
    terminal.prompts("outer$");
    terminal.keys(&[&laptop.line(), "Enter"]);
    terminal.shows_line("leasehold: first files after ", ": app.json, db.env");
    // With or without the other secret.
    terminal.shows_line("leasehold ", "db.env)");
    terminal.keys(&["C-c"]);
    // A last rotation may be said between both.
    terminal.shows_line("", "outer$");
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=0");
}

#[test]
fn what_a_killed_one_left_is_removed_by_the_next() {
    let laptop = Laptop::with(PRODUCTION);
    let (mut killed, directory) = laptop.start(&[]);
    killed.kill9();
    assert!(directory.exists());
    let (living, _) = laptop.start(&[]);
    assert!(!directory.exists());
    assert!(said(&living, "removed a directory that a killed one left").is_ok());
    let (another, _) = laptop.start(&[]);
    assert_eq!(laptop.left().len(), 2, "one that lives is left alone");
    drop(another);
    drop(living);
}

#[test]
fn no_root_is_needed() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: every other test here shows it, run without root");
        return;
    }
    let laptop = Laptop::with(PRODUCTION);
    let file = laptop.files.join("leasehold.yaml");
    for folder in [&laptop.session, &laptop.files] {
        std::os::unix::fs::chown(&**folder, Some(12_345), Some(12_345)).unwrap();
    }
    let running = Leasehold::command(["dev".as_ref(), "-c".as_ref(), file.as_os_str()])
        .env("XDG_RUNTIME_DIR", laptop.session.as_os_str())
        .user(12_345, 12_345)
        .start();
    eventually("the first files", SOON, || said(&running, "first files after "));
    laptop.end(running);
}

mod timing {
    use super::*;

    #[test]
    fn an_hour_of_leases_passes_in_seconds() {
        let laptop = Laptop::with(PRODUCTION);
        // A lease of an hour and at most two: some 7 s at this rate.
        let (running, _) = laptop.start(&["--speed", "1000x"]);
        let line = eventually("a rotation", SOON, || said(&running, "db rotated: generation "));
        assert!(line.contains("(+") && line.contains('h'), "{line}");
        laptop.end(running);
    }

    #[test]
    fn the_same_seed_brings_the_same_weather_and_the_files_stay() {
        let weather = |running: &Running| -> Vec<String> {
            let log = running.stderr();
            let said = log.lines().filter_map(|line| Some(line.split_once("weather: ")?.1.to_owned()));
            said.collect()
        };
        let laptop = Laptop::with(PRODUCTION);
        let (first, directory) = laptop.start(&["--chaos", "7"]);
        let (second, _) = laptop.start(&["--chaos", "7"]);
        for running in [&first, &second] {
            eventually("bad weather", Duration::from_secs(30), || weather(running).len() >= 2);
        }
        assert_eq!(weather(&first)[..2], weather(&second)[..2]);
        assert!(directory.join("db.env").exists());
    }
}
