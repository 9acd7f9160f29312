//! The same files on a laptop: a mock in place of each provider, and directories and sockets below
//! a scratch directory.
//!
//! What only a store, a pod or an operator needs is taken out of the tree before the environment is
//! put in, so that it need not be there; what is left is held against the schema as ever.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::model::{Action, Choice, Config, Content, Files, Overlap, RequireTmpfs, StateDirectory, Uid};
use super::reading::{Before, Reading};
use super::tree::{Entry, Kind, Node, Scalar, Style};
use super::wanted;
use crate::registry::Shape;
use crate::{hook, keys, registry};

/// How somebody develops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Development {
    /// Where files, state and sockets go.
    pub root: PathBuf,
    /// How the stores are.
    pub stores: registry::Development,
    /// Whether `on_change` and `verify` are run.
    pub actions: Actions,
    /// What was read and is not done here: `on_change`, where it is not run.
    pub left_out: Vec<Action>,
    /// What else is not as in production, for people.
    pub notes: Vec<String>,
}

/// Whether actions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// As in production.
    Run,
    /// They are only named.
    Name,
}

impl Development {
    /// Takes out of the tree what is not read.
    pub(super) fn prepare(tree: &mut Node) -> Before {
        let mut before = Before::default();
        for (name, provider) in section(tree, "providers") {
            let Some(kind) = provider.at("type").and_then(Node::text).map(str::to_owned) else { continue };
            if registry::is_known(&kind) && kind != registry::MOCK {
                provider.kind = Kind::Map(vec![mock(provider)]);
                before.kinds.insert(name.to_owned(), kind);
            }
        }
        let mut owned = take(tree, "output", &["owner", "group"]);
        for (_, file) in section(tree, "files") {
            owned |= remove(file, &["owner", "group"]);
        }
        if owned {
            before.notes.push("owners and groups are left out: all files are yours".to_owned());
        }
        take(tree, "output", &["directory", "require_tmpfs"]);
        take(tree, "lifecycle", &["state_directory", "application"]);
        take(tree, "admin", &["listen", "uids"]);
        take(tree, "telemetry", &["listen"]);
        before
    }

    /// Puts what was parsed where it belongs.
    pub(super) fn settle(&self, mut config: Config, before: Before) -> Config {
        let root = &self.root;
        config.output.directory = root.join("live");
        config.output.group = Some(rustix::process::getegid().as_raw());
        config.output.require_tmpfs = RequireTmpfs::No;
        config.lifecycle.state_directory =
            StateDirectory { path: root.join("state"), choice: Choice::Configured };
        config.lifecycle.revoke_delay = Duration::ZERO;
        // There are no replicas that it would keep from restarting together.
        config.exec.splay = Some(Duration::ZERO);
        config.admin.listen = Some(root.join("admin.sock"));
        config.admin.uids = vec![Uid::Own];
        config.telemetry.listen = None;
        if self.stores.speed.is_none() {
            // They were meant for TTLs, and for stores, that are not those of the mock.
            config.lifecycle.overlap = Overlap::Auto;
            for secret in config.secrets.values_mut() {
                (secret.overlap, secret.settle) = (Overlap::Auto, Duration::ZERO);
            }
        }
        for secret in config.secrets.values_mut() {
            // Part of a secret is a secret of its own here: nobody knows the rest of it.
            if let Some(key) = secret.reference.key.take() {
                secret.reference.path = format!("{}#{key}", secret.reference.path);
            }
        }
        let shapes = wanted::fields(&config);
        let for_nothing = for_nothing(&config, &self.stores, &shapes);
        stand_in(&mut config, &self.stores, &before, shapes);
        for secret in config.secrets.values_mut() {
            (secret.reference.version, secret.reference.stage) = (None, None);
        }
        let mut development = self.clone();
        development.notes = before.notes;
        development.notes.extend(for_nothing);
        if development.actions == Actions::Name {
            development.left_out = std::mem::take(&mut config.on_change);
            if let Some(verify) = config.verify.take() {
                let label = hook::label(&verify.hook.kind);
                development.notes.push(format!("verify ({label}) is not run here: --actions runs it"));
            }
        }
        config.reading = Reading::Development(Box::new(development));
        config
    }
}

/// What the values file says for nothing. What is wrong with it as a whole says who started us.
fn for_nothing(
    config: &Config,
    stores: &registry::Development,
    shapes: &BTreeMap<String, Shape>,
) -> Vec<String> {
    let Some(file) = &stores.values else { return Vec::new() };
    let nothing = Shape::default();
    let whole = |name: &String| match &config.files {
        Files::EveryField => true,
        Files::Named(files) => files.values().any(|file| match &file.content {
            Content::Template(_) | Content::Field { .. } | Content::Session { .. } => false,
            Content::Format { secret, .. } => secret == name,
            #[cfg(feature = "keystore")]
            Content::Keystore(keystore) => keystore.secret == *name,
        }),
    };
    let used = config.secrets.iter().map(|(name, secret)| registry::Used {
        name,
        path: &secret.reference.path,
        shape: shapes.get(name).unwrap_or(&nothing),
        whole: whole(name),
    });
    let said = stores.for_nothing(&used.collect::<Vec<_>>()).unwrap_or_default();
    said.into_iter().map(|text| format!("warning: {}: {text}", file.display())).collect()
}

/// A mock in place of each provider, which has what the files ask for.
fn stand_in(
    config: &mut Config,
    stores: &registry::Development,
    before: &Before,
    mut shapes: BTreeMap<String, Shape>,
) {
    // What is made here no store makes up.
    for (name, shape) in &mut shapes {
        if config.secrets.get(name).is_some_and(|secret| secret.reference.generate_key.is_some()) {
            [keys::PRIVATE_KEY, keys::PRIVATE_KEY_TYPE].into_iter().for_each(|field| shape.remove(field));
        }
    }
    for (name, provider) in &mut config.providers {
        let secrets = config.secrets.iter().filter(|(_, secret)| secret.provider == *name);
        let wanted = secrets.map(|(name, secret)| registry::Wanted {
            reference: &secret.reference,
            shape: shapes.get(name).cloned().unwrap_or_default(),
        });
        let kind = before.kinds.get(name).map(String::as_str);
        provider.settings = provider.settings.standing_in(name, kind, stores, wanted.collect());
    }
}

/// The entries of a section.
fn section<'a>(tree: &'a mut Node, name: &str) -> impl Iterator<Item = (&'a str, &'a mut Node)> {
    let entries = match &mut tree.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == name),
        _ => None,
    };
    let inside = match entries.map(|entry| &mut entry.value.kind) {
        Some(Kind::Map(entries)) => entries.as_mut_slice(),
        _ => &mut [],
    };
    inside.iter_mut().map(|entry| (entry.key.as_str(), &mut entry.value))
}

/// Takes keys out of a section. True: one was there.
fn take(tree: &mut Node, name: &str, keys: &[&str]) -> bool {
    let Kind::Map(entries) = &mut tree.kind else { return false };
    entries.iter_mut().find(|entry| entry.key == name).is_some_and(|entry| remove(&mut entry.value, keys))
}

fn remove(node: &mut Node, keys: &[&str]) -> bool {
    let Kind::Map(entries) = &mut node.kind else { return false };
    let before = entries.len();
    entries.retain(|entry| !keys.contains(&entry.key.as_str()));
    entries.len() < before
}

/// `type: mock`
fn mock(provider: &Node) -> Entry {
    let scalar = Scalar { text: registry::MOCK.to_owned(), style: Style::Quoted };
    let value = Node { place: provider.place.clone(), kind: Kind::Scalar(scalar) };
    Entry { key: "type".to_owned(), place: provider.place.clone(), value }
}
