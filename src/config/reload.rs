//! What a changed configuration changes in a running process.
//!
//! Secrets, files, lifecycle, limits and log take effect. Providers, `on_change`, `verify`, `exec`,
//! directories and sockets do not: whoever can edit the file must not be able to send our
//! credentials elsewhere, and what is opened stays open. Those wait for a restart.
//!
//! Of `env` the templates take effect, as those of files do: they say how a secret is written. Its
//! names are those of the start, since a name can be a command: `LD_PRELOAD` says which code runs.

use std::collections::BTreeMap;

use super::model::{Config, ExecChange, File, Files, Variable};
use super::report::listed;

/// What differs between two configurations, as keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// What takes effect now: `secrets.db`, `lifecycle.overlap`.
    pub changes: Vec<String>,
    /// What waits for a restart.
    pub needs_restart: Vec<String>,
}

/// Compares them key by key.
pub fn reload_diff(old: &Config, new: &Config) -> Diff {
    let mut diff = Diff::default();
    let Diff { changes, needs_restart } = &mut diff;
    maps("providers", &old.providers, &new.providers, PartialEq::eq, needs_restart);
    maps("secrets", &old.secrets, &new.secrets, PartialEq::eq, changes);
    match (&old.files, &new.files) {
        (Files::Named(old), Files::Named(new)) => maps("files", old, new, same_file, changes),
        (old, new) if old == new => {}
        _ => changes.push("files".to_owned()),
    }
    let reloaded = env(old, new);
    maps("env", &old.env, &reloaded, PartialEq::eq, changes);
    maps("env", &reloaded, &new.env, PartialEq::eq, needs_restart);
    macro_rules! keys {
        ($list:ident, $section:ident, $($key:ident),*) => {
            $(if old.$section.$key != new.$section.$key {
                $list.push(concat!(stringify!($section), ".", stringify!($key)).to_owned());
            })*
        };
    }
    keys!(needs_restart, exec, on_change, signal, drain, grace, splay, on_crash);
    keys!(needs_restart, output, directory, mode, owner, group, require_tmpfs);
    if old.on_change != new.on_change {
        needs_restart.push("on_change".to_owned());
    }
    if old.verify != new.verify {
        needs_restart.push("verify".to_owned());
    }
    keys!(changes, lifecycle, startup_deadline, overlap, acknowledge, revoke_on_shutdown, revoke_delay);
    keys!(changes, lifecycle, revoke_timeout, application, heal_splay, reload);
    keys!(needs_restart, lifecycle, state_directory);
    keys!(changes, limits, mints_per_minute);
    keys!(needs_restart, admin, listen, uids, drills);
    keys!(needs_restart, telemetry, listen);
    keys!(changes, log, level, format);
    diff
}

/// The configuration to run with after a reload: `new` where a reload may change it, else `old`.
///
/// # Errors
/// One line for each secret of a provider that the running process does not have, and for each session
/// that would be written anew: the reload as a whole is refused then.
pub fn reloaded(old: &Config, new: &Config) -> Result<Config, Vec<String>> {
    let mut refused: Vec<String> = new
        .secrets
        .iter()
        .filter(|(_, secret)| !old.providers.contains_key(&secret.provider))
        .map(|(name, secret)| {
            format!(
                "secrets.{name}: the provider \"{}\" was not there at the start (there were: {}); a new provider \
                 needs a restart",
                secret.provider,
                listed(old.providers.keys().map(String::as_str), "and")
            )
        })
        .collect();
    let written = old.files.sessions();
    refused.extend(new.files.sessions().difference(&written).map(|provider| {
        format!(
            "files: the session of the provider \"{provider}\" was not written at the start; to hand our own \
             credential to the application needs a restart"
        )
    }));
    if !refused.is_empty() {
        return Err(refused);
    }
    let mut lifecycle = new.lifecycle.clone();
    lifecycle.state_directory = old.lifecycle.state_directory.clone();
    Ok(Config {
        sources: old.sources.clone(),
        flags: old.flags.clone(),
        reading: old.reading.clone(),
        providers: old.providers.clone(),
        secrets: new.secrets.clone(),
        files: new.files.clone(),
        template_files: new.template_files.clone(),
        env: env(old, new),
        exec: old.exec.clone(),
        output: old.output.clone(),
        on_change: old.on_change.clone(),
        verify: old.verify.clone(),
        lifecycle,
        limits: new.limits.clone(),
        admin: old.admin.clone(),
        telemetry: old.telemetry.clone(),
        log: new.log,
    })
}

/// The variables of the command after a reload: those that it has, by the templates of now.
fn env(old: &Config, new: &Config) -> BTreeMap<String, Variable> {
    if let Some(ExecChange::Signal | ExecChange::None) = old.exec.on_change {
        // The command is never started again, so nothing could give it another environment.
        return old.env.clone();
    }
    let mut env = old.env.clone();
    env.retain(|name, variable| {
        if says_what_runs(name) {
            return true;
        }
        let wanted = new.env.get(name);
        wanted.inspect(|wanted| variable.clone_from(wanted)).is_some()
    });
    env
}

/// Whether a variable of this name tells a shell, the loader or a runtime which code to run.
fn says_what_runs(name: &str) -> bool {
    const NAMES: [&str; 5] = ["PATH", "ENV", "BASH_ENV", "CLASSPATH", "GCONV_PATH"];
    const BEGINNINGS: [&str; 10] =
        ["LD_", "PYTHON", "PERL", "RUBY", "NODE_", "JAVA_", "JDK_", "_JAVA_", "DOTNET_", "CORECLR_"];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

fn maps<T>(
    section: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    same: impl Fn(&T, &T) -> bool,
    into: &mut Vec<String>,
) {
    for (name, value) in old {
        match new.get(name) {
            None => into.push(format!("{section}.{name} (removed)")),
            Some(other) if !same(value, other) => into.push(format!("{section}.{name}")),
            Some(_) => {}
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        into.push(format!("{section}.{name} (new)"));
    }
}

/// A file that only moved to another line is the same.
fn same_file(old: &File, new: &File) -> bool {
    let File { content, mode, owner, group, place: _ } = old;
    (content, mode, owner, group) == (&new.content, &new.mode, &new.owner, &new.group)
}
