//! The examples of the pages on files and templates: each configuration is run on made-up stores that hold
//! what the page says, and what it writes is what the page shows.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use harness::leasehold::Finished;
use harness::tmpfs::Folder;
use rustix::process::geteuid;
use serde_json::{Value, json};

use super::page::{Example, Page, Shown};
use super::*;

/// What the pages call the output directory.
const LIVE: &str = "/run/secrets/leasehold/live";

/// The place of one example.
struct Desk {
    folder: Folder,
}

impl Desk {
    /// With the page's secrets, but for those that the example defines itself.
    fn new(page: &Page, configuration: &str) -> Self {
        let desk = Self { folder: harness::tmpfs() };
        let mut base: Value = serde_saphyr::from_str(&page.base).unwrap();
        desk.write("values.yaml", &page.values);
        let own: Value = serde_saphyr::from_str(configuration).unwrap();
        for name in own["secrets"].as_object().into_iter().flat_map(|secrets| secrets.keys()) {
            base["secrets"].as_object_mut().unwrap().remove(name);
        }
        for provider in base["providers"].as_object_mut().unwrap().values_mut() {
            *provider = json!({ "type": "mock", "values": desk.path("values.yaml") });
        }
        // Merged with the example's own: JSON is YAML.
        base["output"] = json!({ "directory": desk.live() });
        base["lifecycle"] = json!({ "state_directory": "off" });
        base["admin"] = json!({ "listen": "off" });
        base["telemetry"] = json!({ "listen": "off" });
        desk.write("base.yaml", &base.to_string());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn live(&self) -> PathBuf {
        self.path("live")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What the page's words are here.
    fn here(&self, text: &str) -> String {
        text.replace(LIVE, &self.live().display().to_string())
    }

    fn leasehold(&self, command: &str, more: &[&str]) -> Finished {
        let words = [&[command, "-c", "base.yaml", "-c", "leasehold.yaml"], more].concat();
        Leasehold::command(words).current_dir(&*self.folder).finish(Duration::from_secs(30))
    }

    /// Modes and names of what is in place, but for the manifest.
    fn listing(&self) -> String {
        let mut listing = String::new();
        let mut folders = vec![PathBuf::new()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.live().join("..data").join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let name = folder.join(entry.file_name());
                if entry.path().is_dir() {
                    folders.push(name);
                } else if entry.file_name() != "..manifest.json" {
                    files.push((name, entry.metadata().unwrap().permissions().mode()));
                }
            }
        }
        files.sort();
        for (name, mode) in files {
            writeln!(listing, "{} {}", letters(mode), name.display()).unwrap();
        }
        listing
    }
}

/// `-r--r-----`.
fn letters(mode: u32) -> String {
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    let bits = bits.map(|(bit, letter)| if mode >> bit & 1 == 1 { letter } else { '-' });
    std::iter::once('-').chain(bits).collect()
}

/// Runs an example, and compares.
#[track_caller]
fn show(page: &Page, example: &Example) {
    let desk = Desk::new(page, &example.configuration);
    for (name, text) in &example.beside {
        desk.write(name, text);
    }
    desk.write("leasehold.yaml", &example.configuration);
    let which = &example.configuration;
    // Only root may give files away.
    let gives_away = which.contains("owner:") || which.contains("group:");
    let fails = example.shown.iter().any(|shown| matches!(shown, Shown::Error { .. }));
    if gives_away && !geteuid().is_root() {
        let end = desk.leasehold("check", &[]);
        assert_eq!(end.exit, Exit::Code(0), "{which}\n{}", end.stderr);
        return println!("only checked, without root:\n{which}");
    }
    if !fails {
        let end = desk.leasehold("init", &[]);
        assert_eq!(end.exit, Exit::Code(0), "{which}\n{}", end.stderr);
    }
    for shown in &example.shown {
        match shown {
            Shown::File { name, text } => {
                let written = fs::read_to_string(desk.live().join(name))
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                // A block ends with a line break, whatever is in it.
                let written = format!("{}\n", written.strip_suffix('\n').unwrap_or(&written));
                assert_eq!(written, desk.here(text), "{which}");
            }
            Shown::Files(text) => assert_eq!(&desk.listing(), text, "{which}"),
            Shown::Variables(text) => {
                let end = desk.leasehold("exec", &["--", "env"]);
                for line in desk.here(text).lines() {
                    assert!(
                        end.stdout.lines().any(|got| got == line),
                        "{line}\n{}{}",
                        end.stdout,
                        end.stderr
                    );
                }
            }
            Shown::Error { command, text } => {
                let end = desk.leasehold(command, &[]);
                assert_ne!(end.exit, Exit::Code(0), "{which}\n{}", end.stderr);
                let said = format!("{}{}", end.stdout, end.stderr);
                assert!(said.contains(&desk.here(text)), "{which}\nwants\n{text}\ngot\n{said}");
            }
            Shown::Program { language, text, prints } => {
                let program = if language == "python" { "python3" } else { "sh" };
                let output = Command::new(program).args(["-c", &desk.here(text)]).output().unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{text}\n{errors}");
                if let Some(prints) = prints {
                    assert_eq!(
                        String::from_utf8_lossy(&output.stdout),
                        desk.here(prints),
                        "{text}\n{errors}"
                    );
                }
            }
        }
    }
}

#[track_caller]
fn every_example_of(name: &str, least: usize) {
    let page = Page::read(name);
    assert!(page.examples.len() >= least, "{name} shows {} examples", page.examples.len());
    for example in &page.examples {
        show(&page, example);
    }
}

#[test]
fn every_example_on_templates_gives_what_is_shown() {
    every_example_of("docs/templates.md", 9);
}

#[test]
fn every_example_on_files_gives_what_is_shown() {
    every_example_of("docs/files.md", 8);
}

#[test]
fn every_row_of_the_table_of_helpers_gives_what_it_says() {
    let page = Page::read("docs/templates.md");
    assert!(page.rows.len() >= 20, "{} rows", page.rows.len());
    let desk = Desk::new(&page, "{}");
    let rows = page.rows.iter().enumerate();
    let files: serde_json::Map<String, Value> = rows
        .clone()
        .map(|(at, (template, _))| (format!("{at:02}"), json!({ "template": template })))
        .collect();
    desk.write("leasehold.yaml", &json!({ "files": files }).to_string());
    let end = desk.leasehold("init", &[]);
    assert_eq!(end.exit, Exit::Code(0), "{}", end.stderr);
    for (at, (template, gives)) in rows {
        let written = fs::read_to_string(desk.live().join(format!("{at:02}"))).unwrap();
        assert_eq!(written, desk.here(gives), "{template}");
    }
}
