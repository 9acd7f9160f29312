//! `path("FILE")`: where a file of this configuration is, for programs that take the path of a
//! secret and not its value (`POSTGRES_PASSWORD_FILE`).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, State};

use super::template::refuse;
use crate::config::model::{Files, Output};

/// The name of the function.
pub(crate) const FUNCTION: &str = "path";

/// Which files there are, and where.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    directory: PathBuf,
    /// `None`: a file for every field of every secret.
    names: Option<Arc<BTreeSet<String>>>,
}

impl Paths {
    /// Of these files.
    pub fn new(files: &Files, output: &Output) -> Self {
        let names = match files {
            Files::EveryField => None,
            Files::Named(files) => Some(Arc::new(files.keys().cloned().collect())),
        };
        Self { directory: output.directory.clone(), names }
    }

    /// Whether there can be a file of this name; the error says what there is.
    fn find(&self, name: &str) -> Result<PathBuf, String> {
        if self.names.as_ref().is_none_or(|names| names.contains(name)) {
            return Ok(self.directory.join(name));
        }
        Err(no_file(self.names.iter().flat_map(|names| names.iter().map(String::as_str))))
    }

    pub(super) fn add(self, environment: &mut Environment<'_>) {
        environment.add_function(
            FUNCTION,
            move |state: &State<'_, '_>, name: &str| -> Result<String, Error> {
                let path = self.find(name).map_err(refuse)?;
                if self.names.is_none() {
                    of_a_field(state, name)?;
                }
                path.into_os_string()
                    .into_string()
                    .map_err(|_| refuse("the path of the output directory is no text"))
            },
        );
    }
}

/// What is said of a file that is not there. Its name may be a value.
fn no_file<'a>(there: impl Iterator<Item = &'a str>) -> String {
    let there: Vec<&str> = there.collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    format!("`path` is given a name that is no file under `files`: there are {there}")
}

/// Without `files` there is one for each field, at SECRET/FIELD.
fn of_a_field(state: &State<'_, '_>, name: &str) -> Result<(), Error> {
    let Some((secret, field)) = name.split_once('/') else {
        return Err(refuse(
            "`path` is given no name of a file: without `files` there is one for each field, at SECRET/FIELD",
        ));
    };
    // An unknown one is in the trace, and said in its words.
    match state.lookup(secret) {
        Some(value) if value.is_none() => {
            Err(refuse(format!("secret {secret:?} is left out: it has no files")))
        }
        Some(value) if !value.get_attr(field)?.is_undefined() => Ok(()),
        _ => Err(ErrorKind::UndefinedError.into()),
    }
}
