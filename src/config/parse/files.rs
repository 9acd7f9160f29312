//! `files` and `env`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::Context;
use super::keystore;
use super::template;
use crate::config::model::{Content, Decode, File, Files, Format, Provider, Variable};
use crate::config::raw;
use crate::config::report::{KeyPath, did_you_mean, listed, nearest, quoted};

/// A name in a directory; the kernel's limit.
const LONGEST_NAME: usize = 255;
/// A template is smaller.
const LARGEST_TEMPLATE: u64 = 1024 * 1024;

pub(super) fn files(
    raw: Option<BTreeMap<String, raw::File>>,
    secrets: &[String],
    providers: &Providers<'_>,
    cx: &mut Context<'_>,
) -> Files {
    let Some(raw) = raw else { return Files::EveryField };
    let names: Vec<String> = raw.keys().cloned().collect();
    let mut files = BTreeMap::new();
    for (name, raw) in raw {
        let path = KeyPath::of(&["files", &name]);
        let wrong = wrong_name(&name);
        if let Some(message) = wrong {
            cx.problem(&path, message);
        } else if let Some(inside) = names.iter().find(|other| is_inside(other, &name)) {
            cx.problem(
                &path,
                format!("{} makes a directory of this name; a name is a file or a directory", quoted(inside)),
            );
        }
        let place = cx.tree.place_of(&path).line();
        let store = keystore::Raw::new(raw.password, raw.alias, raw.entries);
        let mode = cx.mode(raw.mode, &path.key("mode"));
        let owner = cx.user(raw.owner, &path.key("owner"));
        let group = cx.group(raw.group, &path.key("group"));
        let (mut template, mut place, mut key) = (raw.template, place, "template");
        if let Some(file) = raw.template_file {
            let at = path.key("template_file");
            if template.is_some() {
                cx.problem(
                    &at,
                    "`template` and `template_file` are the same thing in two places; use one of them",
                );
            } else {
                let file = beside(&file, &at, cx);
                template = Some(template_of(&file, &at, cx));
                key = "template_file";
                place = file.display().to_string();
                cx.template_files.insert(file);
            }
        }
        if let Some(provider) = raw.session {
            let alone = template.is_none() && raw.secret.is_none();
            if !alone || raw.field.is_some() || raw.format.is_some() {
                cx.problem(&path, "a `session` stands alone; `template`, `secret`, `field` and `format` are for files without one");
            }
            if raw.decode.is_some() {
                cx.problem(&path.key("decode"), "`decode` goes with `field`; a session is written as it is");
            }
            store.refuse(&path, cx);
            session(&provider, &path.key("session"), providers, cx);
            if wrong.is_none() {
                files
                    .insert(name, File { content: Content::Session { provider }, mode, owner, group, place });
            }
            continue;
        }
        let content = Raw {
            template: template.map(|text| (text, key)),
            secret: raw.secret,
            field: raw.field,
            decode: raw.decode,
            format: raw.format,
            keystore: store,
        };
        let content = self::content(content, &path, secrets, cx);
        if let (Some(content), None) = (content, wrong) {
            files.insert(name, File { content, mode, owner, group, place });
        }
    }
    Files::Named(files)
}

/// The providers that there are: all their names, and those that are valid.
pub(super) struct Providers<'a> {
    pub(super) names: &'a [String],
    pub(super) valid: &'a BTreeMap<String, Provider>,
}

/// Says why the session of a provider cannot be a file, if it cannot.
fn session(provider: &str, path: &KeyPath, providers: &Providers<'_>, cx: &mut Context<'_>) {
    if !providers.names.iter().any(|name| name == provider) {
        let names = providers.names.iter().map(String::as_str);
        let help = nearest(provider, names.clone()).map(did_you_mean);
        let message =
            format!("no provider of this name; defined under `providers`: {}", listed(names, "and"));
        cx.problem_with(path, message, help);
    } else if let Some(known) = providers.valid.get(provider)
        && !known.settings.has_session()
    {
        let kind = known.settings.kind();
        let message = format!(
            "the provider {} (type {kind}) has no session of its own that could be a file: its store is asked \
             without a log-in of ours",
            quoted(provider)
        );
        cx.problem(path, message);
    }
}

/// The path as it was meant: a relative one begins in the directory of the configuration file.
fn beside(file: &str, at: &KeyPath, cx: &Context<'_>) -> PathBuf {
    let configuration = PathBuf::from(&*cx.tree.place_of(at).file);
    configuration.parent().unwrap_or(Path::new("")).join(file)
}

/// What the file holds. Nothing, where it is reported why.
fn template_of(file: &Path, at: &KeyPath, cx: &mut Context<'_>) -> String {
    let why = match fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => "this is a directory; name a file in it".to_owned(),
        Ok(metadata) if metadata.len() > LARGEST_TEMPLATE => {
            "this file is larger than 1 MiB, which no template is".to_owned()
        }
        Ok(_) => match fs::read(file) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return text,
                Err(_) => "this file holds no UTF-8 text".to_owned(),
            },
            Err(error) => unreadable(&error),
        },
        Err(error) => unreadable(&error),
    };
    cx.problem(at, why);
    String::new()
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file (a relative path begins in the directory of this configuration)".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            let uid = rustix::process::getuid().as_raw();
            format!(
                "this file may not be read by us (uid {uid}); let us read it, or its directory be searched"
            )
        }
        kind => format!("this file cannot be read: {kind}"),
    }
}

/// The keys that say where a file's bytes come from.
struct Raw {
    /// With the key that it came by.
    template: Option<(String, &'static str)>,
    secret: Option<String>,
    field: Option<String>,
    decode: Option<raw::Decode>,
    format: Option<raw::Format>,
    keystore: keystore::Raw,
}

fn content(raw: Raw, path: &KeyPath, secrets: &[String], cx: &mut Context<'_>) -> Option<Content> {
    if let Some(secret) = &raw.secret {
        known_secret(secret, &path.key("secret"), secrets, cx);
    }
    if let Some((text, key)) = &raw.template {
        template::check(text, &path.key(key), secrets, cx);
    }
    if raw.decode.is_some() && raw.field.is_none() {
        cx.problem(&path.key("decode"), "`decode` goes with `field`; in a template write `| b64decode`");
    }
    let decode = raw.decode.map(|raw::Decode::Base64| Decode::Base64);
    let kind = raw.format.and_then(keystore::kind);
    if kind.is_none() {
        raw.keystore.refuse(path, cx);
    }
    match (raw.template, raw.secret, raw.field, raw.format) {
        (None, Some(secret), None, Some(_)) if let Some(kind) = kind => {
            keystore::content(kind, secret, raw.keystore, path, secrets, cx)
        }
        (Some((text, _)), None, None, None) => Some(Content::Template(text)),
        (None, Some(secret), Some(field), None) => {
            if field.is_empty() {
                cx.problem(&path.key("field"), "empty; expected the name of a field");
            }
            Some(Content::Field { secret, field, decode })
        }
        (None, Some(secret), None, Some(format)) => {
            let format = match format {
                raw::Format::Json => Format::Json,
                raw::Format::Yaml => Format::Yaml,
                raw::Format::Toml => Format::Toml,
                raw::Format::Env => Format::Env,
                raw::Format::Properties => Format::Properties,
                raw::Format::Pkcs12 | raw::Format::Jks => return None,
            };
            Some(Content::Format { secret, format })
        }
        (None, Some(_), None, None) => {
            cx.problem(path, "`secret` alone does not say what of it; add `field` or `format`");
            None
        }
        (None, Some(_), Some(_), Some(_)) => {
            cx.problem(path, "`field` is one value and `format` is all of them; use one of the two");
            None
        }
        (None, None, _, _) => {
            cx.problem(
                path,
                "a file needs a `template` or a `template_file`, a `secret` with a `field` or a `format`, or a `session`",
            );
            None
        }
        (Some(_), ..) => {
            cx.problem(
                path,
                "a `template` stands alone; `secret`, `field` and `format` are for files without one",
            );
            None
        }
    }
}

pub(super) fn known_secret(name: &str, path: &KeyPath, secrets: &[String], cx: &mut Context<'_>) {
    // Without any secret that has been said.
    if secrets.is_empty() || secrets.iter().any(|known| known == name) {
        return;
    }
    let names = secrets.iter().map(String::as_str);
    let help = nearest(name, names.clone()).map(did_you_mean);
    let message = format!("no secret of this name; defined under `secrets`: {}", listed(names, "and"));
    cx.problem_with(path, message, help);
}

/// What is wrong with a file's name, if anything.
fn wrong_name(name: &str) -> Option<&'static str> {
    let mut parts = name.split('/');
    Some(match name {
        "" => "a file needs a name",
        _ if name.starts_with('/') => {
            "a file's name is relative to output.directory; it does not begin with `/`"
        }
        _ if name.ends_with('/') => "this names a directory; name a file in it",
        _ if name.contains('\0') => "a file's name holds no NUL",
        _ if name.chars().any(char::is_control) => "a file's name holds no control characters",
        _ if parts.clone().any(str::is_empty) => "a file's name holds no empty part (`//`)",
        _ if parts.clone().any(|part| part == "..") => {
            "this leaves output.directory; a file's name holds no `..`"
        }
        _ if parts.clone().any(|part| part == ".") => "a file's name holds no `.` part",
        _ if name.starts_with("..") => {
            "names that begin with `..` belong to the layout of the directory (`..data`)"
        }
        _ if parts.any(|part| part.len() > LONGEST_NAME) => {
            "longer than 255 bytes, which no file's name can be"
        }
        _ if name.len() > 1024 => "longer than 1024 bytes",
        _ => return None,
    })
}

fn is_inside(name: &str, directory: &str) -> bool {
    name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

pub(super) fn env(
    raw: BTreeMap<String, String>,
    secrets: &[String],
    cx: &mut Context<'_>,
) -> BTreeMap<String, Variable> {
    let mut variables = BTreeMap::new();
    for (name, template) in raw {
        let path = KeyPath::of(&["env", &name]);
        let valid = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            cx.problem(
                &path,
                "the name of an environment variable is made of letters, digits and `_`, and begins with no digit",
            );
        }
        template::check(&template, &path, secrets, cx);
        let place = cx.tree.place_of(&path).line();
        variables.insert(name, Variable { template, place });
    }
    variables
}
