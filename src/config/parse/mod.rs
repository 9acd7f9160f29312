//! Raw types → valid types. Every question that a value raises by itself or together with another
//! is asked here; what is wrong goes into the report, and the rest is looked at all the same.

mod actions;
mod files;
mod hooks;
mod keystore;
mod scalars;
mod secrets;
mod sections;
mod template;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use leasehold_core::Environment;
use serde_json::{Map, Value};

use super::flags::Flags;
use super::model::{Config, OnExpiry, Provider};
use super::raw::Raw;
use super::reading::Reading;
use super::report::{KeyPath, Problem};
use super::tree::Node;
use crate::registry;

pub(super) use scalars::{Accounts, listen_address, unix_socket};

/// The default of `output.directory`.
pub(super) const DIRECTORY: &str = "/run/secrets/leasehold/live";
/// The default of `admin.listen`, without its `unix:`.
pub(super) const ADMIN: &str = "/run/leasehold/admin.sock";
/// The default of `telemetry.listen`.
pub(super) const TELEMETRY: &str = "127.0.0.1:9441";

/// What every part needs: where things stand, and where problems go.
struct Context<'a> {
    tree: &'a Node,
    environment: &'a Environment,
    accounts: Accounts,
    /// `lifecycle.on_expiry`, the default of every secret.
    on_expiry: OnExpiry,
    /// The names under `secrets`.
    secrets: Vec<String>,
    /// The names under `files`, where there is such a section.
    files: Option<Vec<String>>,
    /// The files that templates were read from.
    template_files: BTreeSet<PathBuf>,
    known: Known<'a>,
    problems: Vec<Problem>,
}

/// What was wrong before: what follows from it is not said again.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) problems: &'a [Problem],
    /// Keys that are misspelt, not missing.
    pub(super) meant: &'a [KeyPath],
}

impl Known<'_> {
    /// True where something at this key, or below it, has been reported.
    fn covers(&self, path: &KeyPath) -> bool {
        let below = |known: &KeyPath| known.segments().starts_with(path.segments());
        self.problems.iter().any(|problem| below(&problem.key)) || self.meant.iter().any(below)
    }
}

impl Context<'_> {
    fn problem(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.problem_with(path, message, None);
    }

    fn problem_with(&mut self, path: &KeyPath, message: impl Into<String>, help: Option<String>) {
        if self.known.covers(path) {
            return;
        }
        let mut problem = Problem::new(Some(self.tree.place_of(path)), path.clone(), message);
        problem.help = help;
        self.problems.push(problem);
    }
}

/// The configuration, where nothing is wrong with it. `known` is what was found so far.
pub(super) fn parse(
    raw: Raw,
    tree: &Node,
    sources: Vec<PathBuf>,
    environment: &Environment,
    accounts: Accounts,
    known: Known<'_>,
) -> Result<Config, Vec<Problem>> {
    let on_expiry = sections::on_expiry(raw.lifecycle.as_ref().and_then(|raw| raw.on_expiry), OnExpiry::Keep);
    let mut context = Context {
        tree,
        environment,
        accounts,
        on_expiry,
        secrets: names(tree, "secrets"),
        files: raw.files.as_ref().map(|_| names(tree, "files")),
        template_files: BTreeSet::new(),
        known,
        problems: Vec::new(),
    };
    let cx = &mut context;
    let providers_given = raw.providers.unwrap_or_default();
    let names = names(tree, "providers");
    if names.is_empty() {
        cx.problem(&KeyPath::of(&["providers"]), "at least one provider is needed");
    }
    let providers = providers(providers_given, cx);
    let lifecycle = sections::lifecycle(raw.lifecycle.unwrap_or_default(), cx);
    let secret_names = self::names(tree, "secrets");
    let secrets = secrets::secrets(raw.secrets.unwrap_or_default(), &names, &providers, &lifecycle, cx);
    let known = files::Providers { names: &names, valid: &providers };
    let files = files::files(raw.files, &secret_names, &known, cx);
    let env = files::env(raw.env.unwrap_or_default(), &secret_names, cx);
    let exec = sections::exec(raw.exec.unwrap_or_default(), cx);
    let output = sections::output(raw.output.unwrap_or_default(), cx);
    let on_change = actions::actions(raw.on_change.unwrap_or_default(), &files, &secret_names, cx);
    let verify = raw.verify.and_then(|raw| verify::verify(raw, &files, cx));
    let limits = sections::limits(raw.limits.unwrap_or_default());
    let admin = sections::admin(raw.admin.unwrap_or_default(), cx);
    let telemetry = sections::telemetry(raw.telemetry.unwrap_or_default(), cx);
    let log = sections::log(raw.log.unwrap_or_default());
    sections::apart(&output, &lifecycle, &admin, cx);
    if !context.problems.is_empty() {
        return Err(context.problems);
    }
    Ok(Config {
        sources,
        flags: Flags::default(),
        reading: Reading::Production,
        providers,
        secrets: secrets.into_iter().collect(),
        files,
        template_files: context.template_files,
        env,
        exec,
        output,
        on_change,
        verify,
        lifecycle,
        limits,
        admin,
        telemetry,
        log,
    })
}

/// The names in a section, those of what is wrong included.
fn names(tree: &Node, section: &str) -> Vec<String> {
    let entries = tree.at(section).map_or(&[][..], Node::entries);
    entries.iter().map(|entry| entry.key.clone()).collect()
}

fn providers(raw: BTreeMap<String, Map<String, Value>>, cx: &mut Context<'_>) -> BTreeMap<String, Provider> {
    let mut providers = BTreeMap::new();
    for (name, mut settings) in raw {
        let path = KeyPath::of(&["providers", &name]);
        if !is_provider_name(&name) {
            cx.problem(
                &path,
                "a provider's name is made of letters, digits, `_` and `-`, and begins with a letter",
            );
        }
        let Some(Value::String(kind)) = settings.remove("type") else { continue };
        let incomplete = cx.known.covers(&path);
        match registry::parse(&kind, &name, settings, cx.environment) {
            Ok(settings) => {
                providers.insert(name, Provider { settings });
            }
            // What was taken out is missing now; the provider may stumble over that alone.
            Err(problems) if incomplete && problems.iter().any(|problem| problem.key.is_empty()) => {}
            Err(problems) => {
                for problem in problems {
                    cx.problem(&path.along(&problem.key), problem.message);
                }
            }
        }
    }
    providers
}

/// It appears in metrics, file names and messages.
fn is_provider_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
