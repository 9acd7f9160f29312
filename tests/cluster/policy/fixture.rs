//! A case as a file says it: an object, what is done with it, and what is to come of it.
//!
//! ```yaml
//! # What it is about.
//! # base: native        a pod of base/, over which what follows is a patch
//! # step: ephemeral     create (the default) | patch | ephemeral, of the object that the file began with
//! # with: VALUE         once for each value that WITH stands for; each is a case
//! # expect: refuse: FRAGMENT of the message, or admit
//! ```
//! A file may hold several, parted by `---`; they are played in their order.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::node::{Said, Space, kubectl, kubectl_with};

/// One case.
pub(super) struct Case {
    /// The file, and the value where it has several.
    pub(super) place: String,
    step: Step,
    pub(super) expected: Expected,
    /// The object, as JSON.
    pub(super) body: String,
}

#[derive(Clone, Copy)]
enum Step {
    Create,
    Patch,
    Ephemeral,
}

#[derive(Debug)]
pub(super) enum Expected {
    Admitted,
    /// With this in the message.
    Refused(String),
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/policy")
}

/// The cases of a folder, or of the one file `FOLDER/NAME`: those of a file together, in the order of names.
#[track_caller]
pub(super) fn cases(what: &str) -> Vec<Vec<Case>> {
    let place = root().join(what);
    let mut files = match std::fs::read_dir(&place) {
        Ok(entries) => entries.map(|entry| entry.expect("it can be listed").path()).collect(),
        Err(_) => vec![place.with_extension("yaml")],
    };
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let place = file.strip_prefix(root()).expect("it lies there").with_extension("").display().to_string();
    // One object a file, but where WITH makes several of it.
    let name = place.replace('/', "-");
    text.split("\n---\n").flat_map(|document| read_document(document, &place, &name)).collect()
}

fn read_document<'a>(document: &'a str, place: &str, name: &str) -> Vec<Case> {
    let header: Vec<&'a str> = document.lines().take_while(|line| line.starts_with('#')).collect();
    let body: String = document.lines().skip(header.len()).map(|line| format!("{line}\n")).collect();
    let all = |key: &str| -> Vec<&'a str> {
        let after = |line: &'a str| line.strip_prefix("# ")?.strip_prefix(key)?.strip_prefix(':');
        header.iter().filter_map(|line| after(line)).map(str::trim).collect()
    };
    let one = |key: &str| all(key).first().copied();
    let step = match one("step") {
        None => Step::Create,
        Some("patch") => Step::Patch,
        Some("ephemeral") => Step::Ephemeral,
        Some(other) => panic!("{place}: there is no step {other}"),
    };
    let expect = one("expect").unwrap_or_else(|| panic!("{place}: what is expected?"));

    let single = |value: Option<&str>, index: Option<usize>| {
        let with = |text: &str| value.map_or_else(|| text.to_owned(), |value| text.replace("WITH", value));
        let name = index.map_or_else(|| name.to_owned(), |index| format!("{name}-{index}"));
        let expected = match with(expect).split_once(": ") {
            Some(("refuse", why)) => Expected::Refused(why.to_owned()),
            None if expect == "admit" => Expected::Admitted,
            _ => panic!("{place}: admit, or refuse: FRAGMENT; not {expect}"),
        };
        let place = value.map_or_else(|| place.to_owned(), |value| format!("{place} with {value:?}"));
        Case { place, step, expected, body: object(&with(&body), one("base"), step, &name).to_string() }
    };
    match &all("with")[..] {
        [] => vec![single(None, None)],
        values => values.iter().enumerate().map(|(index, value)| single(Some(value), Some(index))).collect(),
    }
}

/// The object that the API server gets, under a name that no other case has.
fn object(body: &str, base: Option<&str>, step: Step, name: &str) -> Value {
    let mut object = match (step, base) {
        (Step::Create, None) => yaml(body),
        (Step::Create, Some(base)) => {
            let base = root().join("base").join(base).with_extension("yaml");
            let patch = if body.trim().is_empty() { "{}" } else { body };
            let said = kubectl(&[
                "patch",
                "--local",
                "--type=strategic",
                "-o",
                "json",
                "-f",
                base.to_str().expect("UTF-8"),
                "-p",
                patch,
            ]);
            serde_json::from_str(&said.done()).expect("kubectl prints JSON")
        }
        (Step::Patch | Step::Ephemeral, _) => yaml(body),
    };
    object["metadata"]["name"] = json!(name);
    object
}

/// What a YAML text says.
#[track_caller]
pub(super) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Case {
    /// Does at the server what the case says.
    #[track_caller]
    pub(super) fn play(&self, space: &Space) -> Said {
        let object: Value = serde_json::from_str(&self.body).expect("made as JSON");
        let name = object["metadata"]["name"].as_str().expect("made with a name");
        match self.step {
            Step::Create => space.create(&self.body),
            Step::Patch => {
                let kind = object["kind"].as_str().unwrap_or("Pod");
                space.kubectl(&["patch", kind, name, "--type=strategic", "-p", &self.body])
            }
            Step::Ephemeral => {
                let place = format!("/api/v1/namespaces/{}/pods/{name}/ephemeralcontainers", space.name);
                let mut pod = object.clone();
                pod["apiVersion"] = json!("v1");
                kubectl_with(&["replace", "--raw", &place, "-f", "-"], &pod.to_string())
            }
        }
    }
}
