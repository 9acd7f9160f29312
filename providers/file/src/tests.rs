//! Against real directories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_core::{
    Environment, Error, Fetched, Kind, NoObserver, Provider, ProviderSettings, SecretRef, Session, Shape,
    Surroundings, Wanted,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Raw, Settings};

struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("secrets")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("secrets").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn provider(&self, name: &str) -> Box<dyn Provider> {
        provider(&self.path(name), None)
    }

    async fn fetch(&self, path: &str) -> Result<Fetched, Error> {
        fetch(&*self.provider(""), &secret(path)).await
    }
}

fn provider(path: &Path, format: Option<&str>) -> Box<dyn Provider> {
    let raw: Raw = serde_json::from_value(json!({ "path": path, "format": format })).unwrap();
    let settings = Settings::parse("drop", raw, &Environment::default()).unwrap();
    settings.build("drop", Surroundings::observed(Arc::new(NoObserver))).unwrap()
}

fn secret(path: &str) -> SecretRef {
    SecretRef { name: "db".to_owned(), path: path.to_owned(), ..SecretRef::default() }
}

fn keyed(path: &str, key: &str) -> SecretRef {
    SecretRef { key: Some(key.to_owned()), ..secret(path) }
}

async fn fetch(provider: &dyn Provider, reference: &SecretRef) -> Result<Fetched, Error> {
    let wanted = [Wanted { reference, known_version: None }];
    provider.fetch(&Session::ambient(), &wanted).await?.pop().unwrap()
}

/// The fields as JSON, texts as texts and the rest by its shape.
fn shown(fetched: &Fetched) -> Value {
    let fields = fetched.fields.as_ref().unwrap();
    let one = |(name, field): (&str, &leasehold_core::Field)| {
        let value = match field.shape {
            Shape::Text => json!(field.bytes.expose_text().unwrap()),
            Shape::Json => serde_json::from_slice(field.bytes.expose()).unwrap(),
            Shape::Binary => json!(field.bytes.expose()),
        };
        (name.to_owned(), value)
    };
    Value::Object(fields.iter().map(one).collect())
}

#[tokio::test]
async fn a_file_is_fields_or_one_value() {
    let stage = Stage::new();
    stage
        .write("plain", "as it is\n")
        .write("binary", [0xff, 0])
        .write("empty", "")
        .write("object", r#" { "user": "a", "port": 1 }"#)
        .write("list.json", "[1]")
        .write("app.yaml", "user: a\nnested:\n  key: b\n")
        .write("app.env", "# of the application\nUSER=a\nexport PASSWORD=\"b\\\"c d\"\nRAW='$x'\n\n");
    for (path, fields) in [
        ("plain", json!({ "value": "as it is\n" })),
        ("binary", json!({ "value": [255, 0] })),
        ("empty", json!({ "value": "" })),
        ("object", json!({ "user": "a", "port": 1 })),
        ("list.json", json!({ "value": [1] })),
        ("app.yaml", json!({ "user": "a", "nested": { "key": "b" } })),
        ("app.env", json!({ "USER": "a", "PASSWORD": "b\"c d", "RAW": "$x" })),
    ] {
        assert_eq!(shown(&stage.fetch(path).await.unwrap()), fields, "{path}");
    }
    let provider = stage.provider("");
    for (reference, fields) in [
        (keyed("app.yaml", "nested.key"), json!({ "value": "b" })),
        (keyed("app.yaml", "nested"), json!({ "key": "b" })),
        (keyed("object", "port"), json!({ "value": 1 })),
        (keyed("plain", "value"), json!({ "value": "as it is\n" })),
    ] {
        assert_eq!(shown(&fetch(&*provider, &reference).await.unwrap()), fields);
    }
    for reference in
        [keyed("app.yaml", "none"), keyed("plain", "none"), secret("none"), secret("plain/deeper")]
    {
        let error = fetch(&*provider, &reference).await.unwrap_err();
        assert_eq!(error.kind, Kind::Absent, "{error}");
    }
}

#[tokio::test]
async fn a_directory_is_a_secret_whose_files_are_its_fields() {
    let stage = Stage::new();
    stage
        .write("db/username", "web")
        .write("db/.hidden", "h")
        .write("db/ca.der", [0xff])
        .write("db/deeper/x", "not a field")
        .write("db/config.json", r#"{ "port": 1 }"#);
    let fetched = stage.fetch("db").await.unwrap();
    assert_eq!(
        shown(&fetched),
        json!({ "username": "web", ".hidden": "h", "ca.der": [255], "config.json": "{ \"port\": 1 }" })
    );
    let provider = stage.provider("");
    assert_eq!(shown(&fetch(&*provider, &keyed("db", "username")).await.unwrap()), json!({ "value": "web" }));
    assert_eq!(shown(&fetch(&*provider, &keyed("db", "config.json")).await.unwrap()), json!({ "port": 1 }));
    assert_eq!(fetch(&*provider, &keyed("db", "none")).await.unwrap_err().kind, Kind::Absent);
    assert_eq!(shown(&stage.fetch("db/deeper").await.unwrap()), json!({ "x": "not a field" }));
    // All of the provider's directory is one secret.
    let all = stage.provider("db");
    assert_eq!(fetch(&*all, &secret(".")).await.unwrap().fields.unwrap().len(), 4);
}

/// Lays out a set as a kubelet does, and moves the link to it.
fn lay_out(volume: &Path, set: &str, files: &[(&str, &str)]) {
    fs::create_dir_all(volume.join(set)).unwrap();
    for (name, content) in files {
        fs::write(volume.join(set).join(name), content).unwrap();
        let link = volume.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(set, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[tokio::test]
async fn a_secret_volume_is_read_as_one_set() {
    let stage = Stage::new();
    let volume = stage.path("volume");
    lay_out(&volume, "..one", &[("user", "a1"), ("password", "b1")]);
    let before = stage.fetch("volume").await.unwrap();
    assert_eq!(shown(&before), json!({ "user": "a1", "password": "b1" }));
    lay_out(&volume, "..two", &[("user", "a2"), ("password", "b2")]);
    let after = stage.fetch("volume").await.unwrap();
    assert_eq!(shown(&after), json!({ "user": "a2", "password": "b2" }));
    assert_ne!(before.version, after.version);
    // As the provider's own directory: its files are secrets, and several are of one set.
    let provider = stage.provider("volume");
    let (user, password) = (secret("user"), secret("password"));
    let wanted = [&user, &password].map(|reference| Wanted { reference, known_version: None });
    let both = provider.fetch(&Session::ambient(), &wanted).await.unwrap();
    let both: Vec<Value> = both.iter().map(|one| shown(one.as_ref().unwrap())).collect();
    assert_eq!(both, [json!({ "value": "a2" }), json!({ "value": "b2" })]);
    assert_eq!(
        shown(&fetch(&*provider, &secret(".")).await.unwrap()),
        json!({ "user": "a2", "password": "b2" })
    );
}

#[tokio::test]
async fn no_set_is_ever_seen_in_halves_while_it_is_replaced_all_the_time() {
    let stage = Stage::new();
    let volume = stage.path("volume");
    lay_out(&volume, "..0", &[("user", "0"), ("password", "0")]);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (volume, done) = (volume.clone(), done.clone());
        move || {
            for number in 1.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    return number;
                }
                let text = number.to_string();
                lay_out(&volume, &format!("..{number}"), &[("user", &text), ("password", &text)]);
                if number > 2 {
                    fs::remove_dir_all(volume.join(format!("..{}", number - 2))).unwrap();
                }
            }
            0
        }
    });
    let provider = stage.provider("volume");
    let (mut seen, mut reads) = (std::collections::BTreeSet::new(), 0);
    while seen.len() < 50 {
        reads += 1;
        assert!(reads < 200_000, "it does not move");
        let read = match fetch(&*provider, &secret(".")).await {
            Ok(fetched) => shown(&fetched),
            // Replaced faster than it can be read is no set, and no half of one.
            Err(error) => {
                assert_eq!(error.kind, Kind::Malformed, "{error}");
                continue;
            }
        };
        assert!(read["user"].is_string() && read["user"] == read["password"], "one set: {read}");
        seen.insert(read["user"].to_string());
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    // What would be laid out next: fifty were seen.
    let next = writer.join().unwrap();
    assert!(next >= 50, "{next}");
}

#[tokio::test]
async fn nothing_outside_is_read_wherever_links_and_paths_lead() {
    let stage = Stage::new();
    fs::write(stage.folder.path().join("outside"), "canary").unwrap();
    stage.write("inside", "in").write("db/real", "in");
    symlink("../outside", stage.path("relative")).unwrap();
    symlink(stage.folder.path().join("outside"), stage.path("absolute")).unwrap();
    symlink("..", stage.path("up")).unwrap();
    symlink("inside", stage.path("good")).unwrap();
    symlink("../../outside", stage.path("db/bad")).unwrap();
    symlink("/proc/self/environ", stage.path("magic")).unwrap();
    for path in [
        "relative",
        "absolute",
        "up",
        "up/outside",
        "db",
        "magic",
        "../outside",
        "db/../../outside",
        "/etc/passwd",
    ] {
        let error = stage.fetch(path).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{path}: {error}");
    }
    assert_eq!(shown(&stage.fetch("good").await.unwrap()), json!({ "value": "in" }));
    // The provider's own path is the operator's: it may be a link.
    symlink("secrets", stage.folder.path().join("link")).unwrap();
    let linked = provider(&stage.folder.path().join("link"), None);
    assert_eq!(shown(&fetch(&*linked, &secret("inside")).await.unwrap()), json!({ "value": "in" }));
}

#[tokio::test]
async fn a_document_is_picked_from_by_dots() {
    let stage = Stage::new();
    let text = "db:\n  user: a\n  ports: [1, 2]\napi: b\n";
    stage.write("all.yaml", text).write("all", text);
    stage.write("all.json", r#"{ "db": { "user": "a", "ports": [1, 2] }, "api": "b" }"#);
    stage.write(".env", "API=b\n");
    for provider in
        [stage.provider("all.yaml"), stage.provider("all.json"), provider(&stage.path("all"), Some("yaml"))]
    {
        for (reference, fields) in [
            (secret("db"), json!({ "user": "a", "ports": [1, 2] })),
            (secret("db.user"), json!({ "value": "a" })),
            (secret("api"), json!({ "value": "b" })),
            (secret("."), json!({ "db": { "user": "a", "ports": [1, 2] }, "api": "b" })),
            (keyed("db", "user"), json!({ "value": "a" })),
        ] {
            assert_eq!(shown(&fetch(&*provider, &reference).await.unwrap()), fields);
        }
        for reference in [secret("none"), keyed("db", "none")] {
            assert_eq!(fetch(&*provider, &reference).await.unwrap_err().kind, Kind::Absent);
        }
    }
    assert_eq!(
        shown(&fetch(&*stage.provider(".env"), &secret("API")).await.unwrap()),
        json!({ "value": "b" })
    );
}

#[tokio::test]
async fn what_is_wrong_has_its_kind_and_says_what_to_do() {
    let stage = Stage::new();
    stage
        .write("half.json", r#"{ "user": "canary"#)
        .write("half", r#"{ "user": "canary"#)
        .write("bad.yaml", "a: [canary\n")
        .write("bad.env", "canary\n")
        .write("unnamed", "a: b\n")
        .write("sops.yaml", "user: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[x]\n")
        .write("sops.env", "USER=ENC[x]\nsops_mac=ENC[y]\n")
        .write("large", vec![b'x'; (4 << 20) + 1]);
    rustix::fs::mkfifoat(rustix::fs::CWD, stage.path("pipe"), rustix::fs::Mode::RUSR).unwrap();
    let document = |name: &str| (stage.provider(name), secret("."));
    let file = |name: &str| (stage.provider(""), secret(name));
    for ((provider, reference), kind, words) in [
        (file("half.json"), Kind::Malformed, "is no whole JSON"),
        (file("half"), Kind::Malformed, "is no whole JSON"),
        (file("bad.yaml"), Kind::Malformed, "is no whole YAML"),
        (file("bad.env"), Kind::Malformed, "NAME=value"),
        (document("half.json"), Kind::Malformed, "rename it"),
        (document("unnamed"), Kind::Invalid, "set format"),
        (document("sops.yaml"), Kind::Invalid, "sops --decrypt"),
        (file("sops.env"), Kind::Invalid, "sops --decrypt"),
        (file("large"), Kind::Invalid, "more than 4 MiB"),
        (document("large"), Kind::Invalid, "set format"),
        (file("pipe"), Kind::Invalid, "neither a file nor a directory"),
        (document("not-there"), Kind::Unavailable, "is the volume mounted"),
        (file("not-there"), Kind::Absent, "check path"),
    ] {
        let error = fetch(&*provider, &reference).await.unwrap_err();
        let said = error.to_string();
        assert_eq!(error.kind, kind, "{said}");
        assert!(said.contains(words) && said.contains("\"drop\""), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[tokio::test]
async fn the_version_changes_with_the_file_and_holds_nothing_of_it() {
    let stage = Stage::new();
    stage.write("key", "one");
    let version = |fetched: Fetched| fetched.version.unwrap();
    let first = version(stage.fetch("key").await.unwrap());
    assert_eq!(version(stage.fetch("key").await.unwrap()), first);
    fs::write(stage.path("new"), "one").unwrap();
    fs::rename(stage.path("new"), stage.path("key")).unwrap();
    assert_ne!(version(stage.fetch("key").await.unwrap()), first, "of the file, not of what is in it");
    let allowed = |c: char| c.is_ascii_hexdigit() || ".-".contains(c);
    assert!(first.chars().all(allowed), "{first}");
}

#[test]
fn references_that_make_no_sense_are_found_before_anything_is_read() {
    let raw: Raw = serde_json::from_value(json!({ "path": "/secrets" })).unwrap();
    let settings = Settings::parse("drop", raw, &Environment::default()).unwrap();
    assert_eq!(settings.identity(), "file /secrets");
    let reference = SecretRef {
        data: Some(serde_json::Map::new()),
        version: Some("1".to_owned()),
        stage: Some("x".to_owned()),
        namespace: Some("y".to_owned()),
        revoke: true,
        ..secret("db/../x")
    };
    let keys: Vec<String> =
        settings.check_reference(&reference).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["path", "data", "version", "stage", "namespace", "revoke"]);
    assert_eq!(settings.check_reference(&secret("/absolute"))[0].key, "path");
    assert_eq!(settings.check_reference(&keyed("db/a.b", "c")), []);
    let empty = Raw::default();
    assert_eq!(Settings::parse("drop", empty, &Environment::default()).unwrap_err()[0].key, "path");
    let unknown = json!({ "path": "/secrets", "tls": {} });
    assert!(serde_json::from_value::<Raw>(unknown).is_err(), "there is no connection to protect");
}
