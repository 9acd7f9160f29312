//! A directory, or a document that another tool drops, as a provider.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use harness::leasehold::Running;
use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::{Leasehold, Signal};

use super::*;

const END: Duration = Duration::from_secs(30);

struct Place {
    folder: Folder,
}

impl Place {
    fn new() -> Self {
        let folder = harness::tmpfs();
        fs::create_dir(folder.join("state")).unwrap();
        fs::create_dir(folder.join("drop")).unwrap();
        Self { folder }
    }

    fn drop(&self, name: &str) -> PathBuf {
        self.folder.join("drop").join(name)
    }

    /// As a tool does that knows its readers.
    fn put(&self, name: &str, content: &str) {
        let new = self.folder.join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.drop(name)).unwrap();
    }

    /// `path` is below `drop`. Nothing is polled within the time of a test.
    fn config(&self, path: &str, secrets: &str, files: &str) -> PathBuf {
        let text = format!(
            r#"
providers: {{ drop: {{ type: file, path: FOLDER/drop/{path} }} }}
secrets: {secrets}
{files}
output: {{ directory: FOLDER/live }}
lifecycle: {{ state_directory: FOLDER/state, revoke_delay: 0s, startup_deadline: 3s }}
admin: {{ listen: "unix:FOLDER/admin.sock" }}
telemetry: {{ listen: off }}
log: {{ level: debug }}
"#
        );
        let file = self.folder.join("leasehold.yaml");
        fs::write(&file, text.replace("FOLDER", &self.folder.display().to_string())).unwrap();
        file
    }

    #[track_caller]
    fn await_file(&self, file: &str, content: &str, running: &Running) {
        eventually(&format!("{file} is {content}"), SOON, || {
            match fs::read_to_string(self.folder.join("live").join(file)) {
                Ok(now) if now == content => Ok(()),
                now => Err(format!("{now:?}, log:\n{}", running.stderr())),
            }
        });
    }
}

fn run(config: &Path) -> Running {
    Leasehold::command(["run".as_ref(), "-c".as_ref(), config.as_os_str()]).start()
}

#[track_caller]
fn ended(mut running: Running) -> String {
    running.signal(Signal::TERM);
    let exit = running.wait(END);
    assert_eq!(exit, Exit::Code(0), "{}", running.stderr());
    running.stderr()
}

#[test]
fn what_is_dropped_into_a_directory_is_published_at_once() {
    let place = Place::new();
    fs::create_dir(place.drop("db")).unwrap();
    fs::write(place.drop("db/username"), "canary-user").unwrap();
    fs::write(place.drop("db/password"), "canary-one").unwrap();
    fs::write(place.drop("api.json"), r#"{ "key": "canary-key" }"#).unwrap();
    let secrets = "{ db: { provider: drop, path: db }, api: { provider: drop, path: api.json } }";
    let running = run(&place.config("", secrets, ""));
    place.await_file("db/password", "canary-one", &running);
    place.await_file("api/key", "canary-key", &running);
    // In place and by rename, far from the next poll.
    fs::write(place.drop("db/password"), "canary-two").unwrap();
    place.await_file("db/password", "canary-two", &running);
    place.put("api.json", r#"{ "key": "canary-next" }"#);
    place.await_file("api/key", "canary-next", &running);
    // Half of it is no secret, and the last good one stays.
    fs::write(place.drop("api.json"), r#"{ "key": "canary-ha"#).unwrap();
    eventually("it is said", SOON, || running.stderr().contains("is no whole JSON"));
    place.await_file("api/key", "canary-next", &running);
    place.put("api.json", r#"{ "key": "canary-whole" }"#);
    place.await_file("api/key", "canary-whole", &running);
    fs::remove_file(place.drop("api.json")).unwrap();
    eventually("its lack is said", SOON, || running.stderr().contains("there is no "));
    place.await_file("api/key", "canary-whole", &running);
    let log = ended(running);
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn a_secret_volume_moves_as_one_set() {
    let place = Place::new();
    let volume = place.folder.join("drop");
    let lay_out = |set: &str, text: &str| {
        fs::create_dir(volume.join(set)).unwrap();
        for name in ["username", "password"] {
            fs::write(volume.join(set).join(name), format!("{name}-{text}")).unwrap();
            let _ = symlink(Path::new("..data").join(name), volume.join(name));
        }
        symlink(set, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    lay_out("..2026_1", "one");
    let secrets = "{ user: { provider: drop, path: username }, pass: { provider: drop, path: password } }";
    let files = "files: { pair: { template: '{{ user.value }} {{ pass.value }}' } }";
    let running = run(&place.config("", secrets, files));
    place.await_file("pair", "username-one password-one", &running);
    lay_out("..2026_2", "two");
    fs::remove_dir_all(volume.join("..2026_1")).unwrap();
    place.await_file("pair", "username-two password-two", &running);
    ended(running);
}

#[test]
fn a_decrypted_document_is_followed() {
    let place = Place::new();
    let text = |password: &str| format!("db:\n  username: web\n  password: {password}\napi: canary-api\n");
    place.put("secrets.yaml", &text("canary-one"));
    let secrets = "{ db: { provider: drop, path: db }, api: { provider: drop, path: api } }";
    let running = run(&place.config("secrets.yaml", secrets, ""));
    place.await_file("db/password", "canary-one", &running);
    place.await_file("api/value", "canary-api", &running);
    place.put("secrets.yaml", &text("canary-two"));
    place.await_file("db/password", "canary-two", &running);
    let log = ended(running);
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn what_is_wrong_at_the_start_names_the_remedy_and_has_its_exit_code() {
    let place = Place::new();
    place.put("encrypted.yaml", "a: ENC[x]\nsops:\n  mac: ENC[y]\n");
    place.put("half.json", "{ \"a\": \"canary");
    symlink("/etc/hostname", place.drop("outside")).unwrap();
    let init = |place: &Place, path: &str, secret: &str| {
        let config = place.config(path, &format!("{{ s: {{ provider: drop, path: {secret} }} }}"), "");
        Leasehold::command(["init".as_ref(), "-c".as_ref(), config.as_os_str()])
    };
    for (path, secret, code, words) in [
        ("", "none", 66, "check path"),
        ("", "outside", 78, "leads out of the provider's path"),
        ("encrypted.yaml", ".", 78, "sops --decrypt"),
        ("half.json", ".", 75, "rename it"),
        ("later", "x", 75, "is the volume mounted"),
        ("", "../state", 78, "leads out"),
    ] {
        let finished = init(&place, path, secret).finish(END);
        assert_eq!(finished.exit, Exit::Code(code), "{path} {secret}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
        assert!(!finished.stderr.contains("canary"), "{}", finished.stderr);
    }
    if harness::tmpfs::root("another uid") {
        let (place, uid, gid) = (Place::new(), 10_001, 10_001);
        place.put("mine", "canary");
        fs::set_permissions(place.drop("mine"), PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&*place.folder, Some(uid), Some(gid)).unwrap();
        std::os::unix::fs::chown(place.folder.join("state"), Some(uid), Some(gid)).unwrap();
        let finished = init(&place, "", "mine").user(uid, gid).finish(END);
        assert_eq!(finished.exit, Exit::Code(77), "{}", finished.stderr);
        assert!(finished.stderr.contains("may not be read by uid 10001"), "{}", finished.stderr);
    }
}

#[test]
fn a_file_has_no_connection_to_protect() {
    let place = Place::new();
    let config = place.folder.join("leasehold.yaml");
    let text = "providers: { drop: { type: file, path: /x, tls: {}, proxy: none } }\n\
                secrets: { s: { provider: drop, path: x } }\n";
    fs::write(&config, text).unwrap();
    let checked = Leasehold::command(["check".as_ref(), "-c".as_ref(), config.as_os_str()]).finish(END);
    assert_eq!(checked.exit, Exit::Code(78), "{}", checked.stderr);
    for key in ["tls", "proxy"] {
        assert!(checked.stderr.contains(&format!("providers.drop.{key}")), "{}", checked.stderr);
    }
}
