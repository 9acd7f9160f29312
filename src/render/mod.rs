//! From the fields of secrets to the bytes of files.
//!
//! Strict: a field that is not there is an error that names the file, the line and what there is.
//! No error holds a value: the template engine's own texts can quote one, so ours are built from
//! the kind of the failure, the line and names. Files are rendered into buffers that are wiped;
//! copies that the template engine makes on the way are wiped by the binary's allocator.
//!
//! It reads no file and no clock, and writes nothing.

mod buffer;
mod format;
mod helpers;
#[cfg(feature = "keystore")]
mod keystore;
mod paths;
mod pem;
mod template;
mod values;
mod variables;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use leasehold_core::{Fields, SecretBytes};

use crate::config::model::{Content, Decode, File, Files, Output, SESSION_FIELD, session_value};
use crate::volume::{Rendered, problem_of_component};
pub(crate) use helpers::FILTERS;
pub use paths::Paths;
use template::Templates;
pub(crate) use template::{environment, knows_filter, knows_test};
pub use variables::Variables;
pub(crate) use words::{Kind as WordKind, words};

/// The secrets that files are rendered from, by name. `None`: one that is not required and left
/// out.
pub type Secrets = BTreeMap<String, Option<Arc<Fields>>>;

/// The files of a configuration, ready to be rendered.
#[derive(Debug)]
pub struct Renderer {
    files: Files,
    templates: Templates,
    uses: BTreeMap<String, BTreeSet<String>>,
}

/// Why a file cannot be rendered. Without any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    /// The file.
    pub file: String,
    /// `FILE:LINE` of its definition; empty where it has none.
    pub place: String,
    /// The line of its template, from 1.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub text: String,
}

impl Renderer {
    /// Compiles the templates; every one that is no template is in the error.
    pub fn new(files: &Files, paths: &Paths) -> Result<Self, Vec<RenderError>> {
        let mut templates = Templates::new(paths);
        let mut uses = BTreeMap::new();
        let mut errors = Vec::new();
        if let Files::Named(named) = files {
            for (name, file) in named {
                match &file.content {
                    Content::Template(source) => match templates.add(name, source) {
                        Ok(secrets) => {
                            uses.insert(name.clone(), secrets);
                        }
                        Err(fault) => errors.push(fault.of_file(name, &file.place)),
                    },
                    Content::Field { secret, .. } | Content::Format { secret, .. } => {
                        uses.insert(name.clone(), BTreeSet::from([secret.clone()]));
                    }
                    #[cfg(feature = "keystore")]
                    Content::Keystore(keystore) => match templates.add(name, &keystore.password) {
                        Ok(mut secrets) => {
                            secrets.insert(keystore.secret.clone());
                            uses.insert(name.clone(), secrets);
                        }
                        Err(fault) => errors.push(fault.of_file(name, &file.place)),
                    },
                    Content::Session { provider } => {
                        uses.insert(name.clone(), BTreeSet::from([session_value(provider)]));
                    }
                }
            }
        }
        if errors.is_empty() { Ok(Self { files: files.clone(), templates, uses }) } else { Err(errors) }
    }

    /// Which secrets each file uses. A template uses every name that it may look up, those of the
    /// engine's functions among them (`range`): a secret may have such a name. Empty for
    /// [`Files::EveryField`], whose files are known only once they are rendered.
    pub fn uses(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.uses
    }

    /// Which secrets one file uses, also for [`Files::EveryField`].
    pub fn uses_of(&self, file: &str) -> BTreeSet<String> {
        match (&self.files, file.split_once('/')) {
            (Files::EveryField, Some((secret, _))) => BTreeSet::from([secret.to_owned()]),
            _ => self.uses.get(file).cloned().unwrap_or_default(),
        }
    }

    /// Renders every file. One that is a field or all fields of a secret that is left out is left
    /// out too; templates see such a secret as `none`, and are left out where they cannot do
    /// without it.
    pub fn render(
        &self,
        secrets: &Secrets,
        output: &Output,
    ) -> Result<BTreeMap<String, Rendered>, RenderError> {
        self.render_without(&BTreeSet::new(), secrets, output)
    }

    /// The same without any file that uses one of these secrets.
    pub fn render_without(
        &self,
        gone: &BTreeSet<String>,
        secrets: &Secrets,
        output: &Output,
    ) -> Result<BTreeMap<String, Rendered>, RenderError> {
        let mut rendered = BTreeMap::new();
        match &self.files {
            Files::EveryField => {
                for (secret, fields) in secrets {
                    for (name, bytes) in fields.iter().flat_map(|fields| every_field(secret, fields)) {
                        rendered.insert(name, plain(bytes?, output));
                    }
                }
            }
            Files::Named(named) => {
                for (name, file) in named {
                    let uses = self.uses.get(name);
                    if uses.is_some_and(|uses| !uses.is_disjoint(gone)) {
                        continue;
                    }
                    let does_without = uses
                        .is_some_and(|uses| uses.iter().any(|used| matches!(secrets.get(used), Some(None))));
                    let bytes = match self.render_file(name, file, secrets) {
                        Ok(bytes) => bytes,
                        Err(_) if does_without => None,
                        Err(fault) => return Err(fault.of_file(name, &file.place)),
                    };
                    if let Some(bytes) = bytes {
                        let mode = file.mode.unwrap_or(output.mode);
                        let file = Rendered { bytes, mode, owner: file.owner, group: file.group };
                        rendered.insert(name.clone(), file);
                    }
                }
            }
        }
        Ok(rendered)
    }

    fn render_file(&self, name: &str, file: &File, secrets: &Secrets) -> Result<Option<SecretBytes>, Fault> {
        let fields_of = |secret: &String| match secrets.get(secret) {
            Some(fields) => Ok(fields.as_deref()),
            None => Err(Fault::new(format!("there is no secret {secret:?}"))),
        };
        match &file.content {
            Content::Template(_) => self.templates.render(name, secrets).map(Some),
            Content::Field { secret, field, decode } => {
                fields_of(secret)?.map(|fields| one_field(fields, secret, field, *decode)).transpose()
            }
            Content::Format { secret, format } => fields_of(secret)?
                .map(|fields| format::write(*format, secret, fields).map_err(Fault::new))
                .transpose(),
            #[cfg(feature = "keystore")]
            Content::Keystore(keystore) => fields_of(&keystore.secret)?
                .map(|fields| {
                    let password = self.templates.render(name, secrets)?;
                    keystore::write(keystore, fields, &password).map_err(Fault::new)
                })
                .transpose(),
            Content::Session { provider } => {
                let session = fields_of(&session_value(provider))?;
                let credential = session.and_then(|fields| fields.get(SESSION_FIELD));
                Ok(credential.map(|field| SecretBytes::new(field.bytes.expose().to_vec())))
            }
        }
    }
}

/// One field, as it is or decoded.
fn one_field(
    fields: &Fields,
    secret: &str,
    field: &str,
    decode: Option<Decode>,
) -> Result<SecretBytes, Fault> {
    let Some(found) = fields.get(field) else {
        return Err(Fault::no_field(secret, field, fields.names()));
    };
    let bytes = found.bytes.expose();
    match decode {
        None => Ok(SecretBytes::new(bytes.to_vec())),
        Some(Decode::Base64) => helpers::from_base64(bytes).map(SecretBytes::new).ok_or_else(|| {
            Fault::new(format!("field {field:?} of secret {secret:?} is no base64: leave `decode` out"))
        }),
    }
}

fn plain(bytes: SecretBytes, output: &Output) -> Rendered {
    Rendered { bytes, mode: output.mode, owner: None, group: None }
}

/// One file per field: `SECRET/FIELD`.
fn every_field(
    secret: &str,
    fields: &Fields,
) -> impl Iterator<Item = (String, Result<SecretBytes, RenderError>)> {
    fields.iter().map(move |(name, field)| {
        let path = format!("{secret}/{name}");
        let bytes = match problem_of_component(name) {
            None => Ok(SecretBytes::new(field.bytes.expose().to_vec())),
            Some(problem) => Err(Fault::new(format!(
                "the field {name:?} of secret {secret:?} cannot be a file name: {problem}; say under \
                 `files` which file it belongs in"
            ))
            .of_file(&path, "")),
        };
        (path, bytes)
    })
}

/// What is wrong, before it is known with which file.
#[derive(Debug)]
struct Fault {
    line: Option<usize>,
    text: String,
}

impl Fault {
    fn new(text: impl Into<String>) -> Self {
        Self { line: None, text: text.into() }
    }

    fn no_field<'a>(secret: &str, field: &str, there: impl Iterator<Item = &'a str>) -> Self {
        Self::new(no_field(&format!("secret {secret:?}"), field, there))
    }

    fn of_file(self, file: &str, place: &str) -> RenderError {
        RenderError { file: file.to_owned(), place: place.to_owned(), line: self.line, text: self.text }
    }
}

/// "secret "db" has no field "user": it has password, username".
fn no_field<'a>(of: &str, field: &str, there: impl Iterator<Item = &'a str>) -> String {
    let there: Vec<&str> = there.collect();
    if there.is_empty() {
        format!("{of} has no field {field:?}: it has none at all")
    } else {
        format!("{of} has no field {field:?}: it has {}", there.join(", "))
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot render {:?}", self.file)?;
        if !self.place.is_empty() {
            write!(f, " ({})", self.place)?;
        }
        if let Some(line) = self.line {
            write!(f, ", line {line} of its template")?;
        }
        write!(f, ": {}", self.text)
    }
}

impl std::error::Error for RenderError {}

#[cfg(test)]
mod tests;
