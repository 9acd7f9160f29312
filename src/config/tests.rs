//! Tests of the whole way from files to a configuration or a report.

mod bad;
mod canary;
#[cfg(feature = "mock")]
mod development;
mod endpoints;
mod flags;
mod good;
#[cfg(feature = "mock")]
mod keystore;
mod schema;

use std::path::PathBuf;

use leasehold_core::Environment;

use super::{Config, Flags, Reading, Report, load, parse};

/// Files of a test, in a directory of their own.
struct Files {
    directory: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = files
            .iter()
            .map(|(name, text)| {
                let path = directory.path().join(name);
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        std::fs::write(directory.path().join("passwd"), "root:x:0:0::/:/bin/sh\nweb:x:1234:99::/:/bin/sh\n")
            .unwrap();
        std::fs::write(directory.path().join("group"), "root:x:0:\napp:x:4321:web\n").unwrap();
        Self { directory, paths }
    }

    /// A report without the directory of this test.
    fn shown(&self, text: &str) -> String {
        let directory = self.directory.path().display().to_string();
        text.replace(&format!("{directory}/"), "").replace(&directory, "DIRECTORY")
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Config, Report> {
        self.load_with(&Flags::default(), variables)
    }

    fn load_with(&self, flags: &Flags, variables: &[(&str, &str)]) -> Result<Config, Report> {
        self.load_all(&Reading::Production, flags, variables)
    }

    fn load_for(&self, reading: &Reading, variables: &[(&str, &str)]) -> Result<Config, Report> {
        self.load_all(reading, &Flags::default(), variables)
    }

    fn load_all(
        &self,
        reading: &Reading,
        flags: &Flags,
        variables: &[(&str, &str)],
    ) -> Result<Config, Report> {
        let accounts = parse::Accounts {
            users: self.directory.path().join("passwd"),
            groups: self.directory.path().join("group"),
        };
        load(reading, &self.paths, flags, &environment(variables), accounts)
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The configuration of one file.
fn good(text: &str) -> Config {
    Files::of(&[("leasehold.yaml", text)]).load(&[]).unwrap_or_else(|report| panic!("{report}"))
}
