//! A start that cannot succeed: its exit code, the one line that says why, and that nothing is lost by it.
//! What is in place stays, byte by byte, and the failed start leaves neither token nor lease at the server.

mod timing;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::vault::{AppRole, AppRoleMount, DatabaseMount, KvMount, Mark};
use harness::{HttpServer, Leasehold, vault};
use serde_json::json;

use super::*;

/// Longer than any start here takes.
const END: Duration = Duration::from_secs(60);

pub(super) const GOOD: &str = r#"
providers:
  vault:
    type: vault
    address: ADDRESS
    auth: { method: approle, mount: APPROLE, role_id: ROLE_ID, secret_id_file: FOLDER/secret-id }
secrets:
  db: { provider: vault, path: DATABASE/creds/web }
  app: { provider: vault, path: KV/app }
files:
  db.env: { template: "{{ db.username }}:{{ db.password }}" }
  app.env: { template: "TOKEN={{ app.token }}" }
output: { directory: FOLDER/live }
lifecycle: { state_directory: FOLDER/state, startup_deadline: 10s }
admin: { listen: off }
telemetry: { listen: off }
"#;

/// A database, a KV engine and a log-in of a test's own, and a set of files in place.
pub(super) struct Site {
    pub(super) folder: Folder,
    pub(super) database: DatabaseMount<'static>,
    pub(super) kv: KvMount<'static>,
    pub(super) approle: AppRoleMount<'static>,
    pub(super) role: AppRole,
    pub(super) mark: Mark,
    pub(super) user: Option<u32>,
}

impl Site {
    pub(super) fn new(name: &str) -> Self {
        let database = vault().database_mount(&format!("{name}-db"));
        let kv = vault().kv_mount(&format!("{name}-kv"), 2);
        kv.put("app", json!({ "token": "canary-of-kv" }));
        let mut policy = vault().policy(name).read(&database.role("web", "1m", "5m"));
        for key in ["app", "absent", "deleted"] {
            policy = policy.read(&kv.data(key));
        }
        policy = policy.read(&format!("{}/creds/nobody", database.path())).read("nowhere/*");
        let approle = vault().approle_mount(&format!("{name}-apps"));
        let options = json!({ "token_policies": [policy.create()], "token_ttl": "1m" });
        let role = approle.role("web", options);
        let folder = harness::tmpfs();
        fs::write(folder.join("secret-id"), &role.secret_id).unwrap();
        fs::create_dir(folder.join("state")).unwrap();
        let mut site = Self { folder, database, kv, approle, role, mark: Mark::default(), user: None };
        let started = site.start("init", &site.config(GOOD));
        assert_eq!(started.exit, Exit::Code(0), "{}", started.stderr);
        site.mark = vault().audit().mark();
        site
    }

    /// Word by word: `KV` may also stand within the name of a folder, which is drawn at random.
    pub(super) fn config(&self, text: &str) -> String {
        let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let here = |piece: &str| {
            let word = piece.trim_end_matches(|letter: char| !in_word(letter));
            let meant = match word {
                "ADDRESS" => vault().url(),
                "APPROLE" => self.approle.path().to_owned(),
                "ROLE_ID" => self.role.role_id.clone(),
                "DATABASE" => self.database.path().to_owned(),
                "KV" => self.kv.path().to_owned(),
                "FOLDER" => self.folder.display().to_string(),
                _ => return piece.to_owned(),
            };
            meant + &piece[word.len()..]
        };
        text.split_inclusive(|letter: char| !in_word(letter)).map(here).collect()
    }

    pub(super) fn start(&self, command: &str, config: &str) -> harness::leasehold::Finished {
        let file = self.folder.join("leasehold.yaml");
        fs::write(&file, config).unwrap();
        fs::write(self.termination(), "of an earlier end").unwrap();
        let leasehold = Leasehold::command([command.as_ref(), "-c".as_ref(), file.as_os_str()])
            .env("TERMINATION_MESSAGE_PATH", self.termination());
        let Some(uid) = self.user else { return leasehold.finish(END) };
        std::os::unix::fs::chown(self.termination(), Some(uid), None).unwrap();
        leasehold.user(uid, uid).finish(END)
    }

    /// Another uid may look into it; what is in it keeps its owners.
    pub(super) fn folder_is_for_all(&self) {
        fs::set_permissions(&self.folder, PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(self.folder.join("secret-id"), PermissionsExt::from_mode(0o644)).unwrap();
    }

    pub(super) fn termination(&self) -> std::path::PathBuf {
        self.folder.join("termination-log")
    }

    /// Starts with a configuration in which something is replaced, under a state directory of its own, so that
    /// nothing is adopted. Returns `EXIT REASON`, after looking that nothing was lost and nothing is left.
    #[track_caller]
    pub(super) fn refused(&self, command: &str, from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        let config = GOOD.replace(from, to).replace("FOLDER/state,", "FOLDER/another,");
        self.refuses(command, &self.config(&config))
    }

    #[track_caller]
    pub(super) fn refuses(&self, command: &str, config: &str) -> String {
        let live = self.folder.join("live");
        let another = self.folder.join("another");
        if !another.exists() {
            fs::create_dir(another).unwrap();
        }
        let (files, leases) = (contents(&live), self.database.leases());
        let finished = self.start(command, config);
        let Exit::Code(code) = finished.exit else { panic!("{:?}: {}", finished.exit, finished.stderr) };
        let reason = fs::read_to_string(self.termination()).unwrap();
        assert_eq!(reason.lines().count(), 1, "{reason:?}; {}", finished.stderr);
        let last = finished.stderr.trim_end();
        if code != 78 {
            assert!(last.ends_with(reason.trim_end()), "the log ends with the reason {reason:?}: {last}");
        }
        let said = last.lines().filter(|line| line.ends_with(reason.trim_end())).count();
        assert!(said <= 1, "said once: {last}");
        for canary in ["canary-of-kv", &self.role.secret_id] {
            assert!(!finished.stderr.contains(canary), "{}", finished.stderr);
        }
        assert_eq!(contents(&live), files, "the old generation stays");
        for accessor in self.logins() {
            eventually("the token of the failed start is gone", SOON, || !vault().token_lives(&accessor));
        }
        // One that was there may end meanwhile.
        eventually("the failed start leaves no lease", SOON, || {
            self.database.leases().iter().all(|lease| leases.contains(lease))
        });
        self.shown(&format!("{code} {}", reason.trim_end()))
    }

    /// The accessors of all tokens that were logged in for since the first start.
    pub(super) fn logins(&self) -> Vec<String> {
        let path = format!("auth/{}/login", self.approle.path());
        let logins = vault().audit().matching(self.mark, "update", &path);
        let accessor = |login: &harness::vault::Entry| {
            login.line["response"]["auth"]["accessor"].as_str().map(str::to_owned)
        };
        logins.iter().filter_map(accessor).collect()
    }

    /// Without what differs from run to run.
    pub(super) fn shown(&self, text: &str) -> String {
        let text = text
            .replace(&self.folder.display().to_string(), "FOLDER")
            .replace(&vault().address().to_string(), "VAULT")
            .replace(self.approle.path(), "APPROLE")
            .replace(self.database.path(), "DATABASE")
            .replace(self.kv.path(), "KV");
        without_columns(&text)
    }
}

/// `leasehold.yaml:6:110` without its column, which depends on the length of what the line was filled with.
fn without_columns(text: &str) -> String {
    const FILE: &str = "leasehold.yaml:";
    let mut parts = text.split(FILE);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str(FILE);
        let line = part.find(':').filter(|at| part[..*at].bytes().all(|byte| byte.is_ascii_digit()));
        let column = line.map(|at| (at, part[at + 1..].bytes().take_while(u8::is_ascii_digit).count()));
        match column {
            Some((at, digits)) if digits > 0 => {
                shown.push_str(&part[..at]);
                shown.push_str(&part[at + 1 + digits..]);
            }
            _ => shown.push_str(part),
        }
    }
    shown
}

/// Every file of the set in place, read as an application reads it, and the set's number.
fn contents(live: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(live.join("..data")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        found.insert(name.clone(), fs::read(live.join("..data").join(name)).unwrap());
    }
    let generation = fs::read_link(live.join("..data")).unwrap();
    found.insert("..data".to_owned(), generation.into_os_string().into_encoded_bytes());
    assert!(found.len() >= 4, "{found:?}");
    found
}

#[test]
fn a_wrong_configuration_ends_with_78_before_anything_is_asked() {
    let site = Site::new("wrong");
    let refusals = [
        site.refused("run", "provider: vault, path: KV/app", "provider: vualt, path: KV/app"),
        site.refused("init", "startup_deadline: 10s", "startup_deadline: 10"),
        site.refused("run", "output:", "outptu:"),
        site.refused("run", "{{ db.username }}", "{{ database.username }}"),
        site.refused("run", "FOLDER/live", "live"),
        site.refused("run", "secret_id_file: FOLDER/secret-id", "secret_id: '${NOT_SET}'"),
        site.refused("run", "{{ app.token }}", "{{ app.token | base32 }}"),
    ];
    assert_eq!(site.logins(), [] as [String; 0], "the store was not asked");
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn a_store_that_denies_ends_the_start_with_77_at_once() {
    let site = Site::new("denied");
    fs::write(site.folder.join("wrong"), "00000000-0000-0000-0000-000000000000").unwrap();
    let refusals = [
        site.refused("run", "FOLDER/secret-id", "FOLDER/wrong"),
        site.refused("run", "KV/app", "KV/forbidden"),
        site.refused("init", "DATABASE/creds/web", "DATABASE/creds/forbidden"),
        site.refused("run", "mount: APPROLE", "mount: APPROLE-of-nobody"),
    ];
    let tries = vault().audit().matching(site.mark, "update", &format!("auth/{}/login", site.approle.path()));
    let refused = tries.iter().filter(|entry| entry.refused()).count();
    assert_eq!(refused, 1, "a log-in that is refused is not insisted on");
    assert_eq!(site.logins().len(), 2, "the two that were let in");
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn in_the_json_format_the_reason_is_a_line_of_the_log_too() {
    let site = Site::new("json");
    let config = GOOD.replace("KV/app", "KV/forbidden").replace("FOLDER/state", "FOLDER/another");
    let finished = site.start("run", &site.config(&format!("{config}log: {{ format: json }}\n")));
    assert_eq!(finished.exit, Exit::Code(77), "{}", finished.stderr);
    let lines: Vec<serde_json::Value> =
        finished.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let last = lines.last().unwrap();
    let reason = fs::read_to_string(site.termination()).unwrap();
    assert_eq!(last["message"], reason.trim_end());
    assert_eq!((&last["exit_code"], &last["kind"]), (&json!(77), &json!("denied")));
}

#[test]
fn a_required_secret_that_does_not_exist_ends_the_start_with_66() {
    let site = Site::new("absent");
    site.kv.put("deleted", json!({ "key": "of a deleted version" }));
    vault().delete(&site.kv.data("deleted"));
    let refusals = [
        site.refused("run", "KV/app", "KV/absent"),
        site.refused("init", "KV/app", "KV/deleted"),
        site.refused("run", "KV/app }", "KV/app, version: 7 }"),
        site.refused("run", "KV/app", "nowhere/app"),
        site.refused("run", "KV/app }", "KV/app, key: tokne }"),
        // A database answers 400 for a role that it does not have.
        site.refused("run", "DATABASE/creds/web", "DATABASE/creds/nobody"),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn a_field_that_a_template_wants_and_the_secret_lacks_ends_the_start_with_78() {
    let site = Site::new("field");
    let refusals = [
        site.refused("run", "TOKEN={{ app.token }}", "# first\\nTOKEN={{ app.tokne }}"),
        site.refused("init", "{ template: \"TOKEN={{ app.token }}\" }", "{ secret: app, field: tokne }"),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn a_failed_start_takes_back_nothing_that_it_took_over() {
    let mut site = Site::new("adopted");
    let (files, leases) = (contents(&site.folder.join("live")), site.database.leases());
    site.mark = Mark::default();
    let logins = site.logins();
    assert_eq!((leases.len(), logins.len()), (1, 1));
    let sticky = site.folder.join("sticky");
    fs::create_dir(&sticky).unwrap();
    fs::set_permissions(&sticky, PermissionsExt::from_mode(0o3777)).unwrap();
    for (code, from, to) in [
        (78, "{{ app.token }}", "{{ app.tokne }}"),
        (66, "KV/app", "KV/absent"),
        (77, "KV/app", "KV/forbidden"),
        (73, "FOLDER/live", "FOLDER/sticky"),
    ] {
        let finished = site.start("run", &site.config(&GOOD.replace(from, to)));
        assert_eq!(finished.exit, Exit::Code(code), "{}", finished.stderr);
        assert_eq!(contents(&site.folder.join("live")), files);
    }
    let finished = site.start("init", &site.config(GOOD));
    assert_eq!(finished.exit, Exit::Code(0), "{}", finished.stderr);
    assert_eq!(contents(&site.folder.join("live")), files, "the same credential, and no new generation");
    assert_eq!((site.database.leases(), site.logins()), (leases, logins), "one and the same");
}

#[test]
fn a_store_that_is_not_reached_ends_the_start_with_75_at_the_deadline() {
    let site = Site::new("unreached");
    let unused = harness::ports::free();
    let authority = harness::Authority::new("stranger");
    let tls = authority.issue("localhost");
    let server = vault::Vault::own(vault::VaultConfig::default().tls(vault::Tls {
        certificate: tls.certificate,
        key: tls.key,
        client_ca: None,
    }));
    let page = HttpServer::start(|_| {
        let body = b"<html>welcome</html>".to_vec();
        harness::server::Reply::Whole(harness::http::Response { status: 404, headers: vec![], body })
    });
    let tls = server.tls_address();
    let mut refusals = Vec::new();
    for (what, address, trusted) in [
        ("nothing listens", format!("http://{unused}"), false),
        ("no such name", "https://vault.does-not-exist.invalid:8200".to_owned(), false),
        ("an authority that nobody knows", format!("https://localhost:{}", tls.port()), false),
        ("another name than the certificate's", format!("https://localhost:{}", tls.port()), true),
        ("plain http to a port that speaks TLS", format!("http://{tls}"), false),
        ("TLS to a port that speaks plain http", format!("https://{}", vault().address()), false),
        ("a web page", page.url(), false),
    ] {
        let ca = if trusted { authority.ca_file() } else { "/dev/null".into() };
        let tls = if trusted {
            format!("\n    tls: {{ ca_file: '{}', server_name: other.test }}", ca.display())
        } else {
            String::new()
        };
        // A question to the resolver that is lost is asked again after five seconds.
        let deadline = if what == "no such name" { "10s" } else { "5s" };
        let config = site.config(
            &GOOD
                .replace("address: ADDRESS", &format!("address: '{address}'{tls}"))
                .replace("FOLDER/state,", "FOLDER/another,")
                .replace("startup_deadline: 10s", &format!("startup_deadline: {deadline}")),
        );
        let refusal = site.refuses("run", &config);
        refusals.push(format!("{what}: {}", refusal.replace(&address, "ADDRESS")));
    }
    let shown = refusals.join("\n").replace(&authority.ca_file().display().to_string(), "CA_FILE");
    insta::assert_snapshot!(shown);
}

#[test]
fn an_output_or_a_state_that_cannot_be_used_ends_the_start_with_73_before_anything_is_asked() {
    let site = Site::new("output");
    let disk = Folder::on_disk();
    let sticky = site.folder.join("sticky");
    fs::create_dir(&sticky).unwrap();
    fs::set_permissions(&sticky, PermissionsExt::from_mode(0o3777)).unwrap();
    fs::write(site.folder.join("file"), "").unwrap();
    fs::create_dir(disk.join("state")).unwrap();
    let on_disk = |name: &str| disk.join(name).display().to_string();
    let refusals = [
        site.refused("run", "FOLDER/live", &on_disk("live")),
        site.refused("init", "FOLDER/live", "FOLDER/sticky"),
        site.refused("run", "FOLDER/live", "FOLDER/missing/live"),
        site.refused("run", "FOLDER/live", "FOLDER/file"),
        site.refused("run", "FOLDER/live", "FOLDER/file/live"),
        site.refused(
            "run",
            "state_directory: FOLDER/state",
            &format!("state_directory: {}", on_disk("state")),
        ),
    ];
    assert_eq!(site.logins(), [] as [String; 0], "the store was not asked");
    insta::assert_snapshot!(refusals.join("\n").replace(&disk.display().to_string(), "DISK"));
}

#[test]
fn another_uid_that_may_not_write_or_give_away_is_refused_with_73() {
    if !harness::tmpfs::root("running as another uid") {
        return;
    }
    const UID: u32 = 65_532;
    let mut site = Site::new("uid");
    site.folder_is_for_all();
    let own = site.folder.join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(UID), Some(UID)).unwrap();
    site.user = Some(UID);
    let ours = "output: { directory: FOLDER/own/live";
    let state = ("state_directory: FOLDER/state", "state_directory: FOLDER/own/state");
    let with = |output: &str| {
        let config = GOOD.replace("output: { directory: FOLDER/live", output).replace(state.0, state.1);
        site.config(&config)
    };
    let refusals = [
        // Its volume belongs to root.
        site.refuses("run", &with("output: { directory: FOLDER/theirs")),
        // What is in place belongs to root.
        site.refuses("run", &with("output: { directory: FOLDER/live")),
        site.refuses("run", &with(&format!("{ours}, group: 0"))),
        site.refuses("run", &with(&format!("{ours}, owner: 0"))),
        // The state that another uid left.
        site.refuses("run", &with(ours).replace("/own/state", "/state")),
    ];
    assert_eq!(site.logins(), [] as [String; 0], "the store was not asked");
    insta::assert_snapshot!(refusals.join("\n"));
}
