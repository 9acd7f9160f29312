//! What a configuration may do other than it seems to, though nothing is wrong with it. No reason to refuse it.

use std::time::Duration;

use leasehold_core::Environment;

use crate::config::Config;
use crate::config::model::{ExecChange, Hook, HookKind, Provider};
use crate::{hook, notify_app};

/// What `check` notes: about what, and what it is.
pub(super) fn notes(config: &Config, environment: &Environment) -> Vec<(String, String)> {
    let asked = notify_app::left_to_post(config).into_iter().map(|(key, note)| (key.to_owned(), note));
    let mut notes: Vec<(String, String)> = asked.collect();
    let hooks = notify_app::hooks(&config.on_change)
        .chain(config.verify.iter().map(|verify| ("verify".to_owned(), &verify.hook)));
    notes.extend(hooks.filter_map(|(key, of_it)| Some((key, missing(of_it, environment)?))));
    notes.extend(together(config));
    notes
}

/// The programs that bring secrets and that this machine lacks. Not for who runs them anyway.
pub(super) fn programs(config: &Config) -> Vec<(String, String)> {
    let missing = |(name, provider): (&String, &Provider)| {
        let (command, environment) = provider.settings.program()?;
        let why = hook::missing(command, hook::path(environment))?;
        let program = command.first().map_or("", String::as_str);
        let note = format!("command {program}: on this machine it would fail: {why}");
        Some((format!("providers.{name}"), note))
    };
    config.providers.iter().filter_map(missing).collect()
}

/// A command that this machine lacks. The one that it is for may have it.
fn missing(of_it: &Hook, environment: &Environment) -> Option<String> {
    let HookKind::Command { command, .. } = &of_it.kind else { return None };
    let why = hook::missing(command, hook::path(environment))?;
    Some(format!("{}: on this machine it would fail: {why}", hook::label(&of_it.kind)))
}

/// Restarts that are not spread by as much as each of them takes.
fn together(config: &Config) -> Option<(String, String)> {
    let (exec, splay) = (&config.exec, config.exec.splay?);
    let restarts = match exec.on_change {
        Some(ExecChange::Restart) => true,
        Some(ExecChange::Signal | ExecChange::None) => false,
        None => !config.env.is_empty(),
    };
    if !restarts || splay >= exec.drain || exec.drain == Duration::ZERO {
        return None;
    }
    let note = format!(
        "{splay:?} is shorter than exec.drain ({:?}): replicas that one change restarts are all away at one time; ten \
         times as long as one is away is a beginning",
        exec.drain
    );
    Some(("exec.splay".to_owned(), note))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The notes on a configuration with these sections, a line each.
    fn noted(sections: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leasehold.yaml");
        let text = format!(
            "providers: {{ store: {{ type: vault, address: https://vault:8200, auth: {{ method: kubernetes, role: web }} }} }}\n\
             secrets: {{ db: {{ provider: store, path: database/creds/web }} }}\n{sections}"
        );
        std::fs::write(&path, text).unwrap();
        let environment = Environment::new([("PATH".to_owned(), "/nowhere:/bin".to_owned())]);
        let config = Config::load(&[path], &environment).unwrap_or_else(|report| panic!("{report}"));
        notes(&config, &environment).into_iter().map(|(key, note)| format!("{key}: {note}")).collect()
    }

    #[track_caller]
    fn one(sections: &str, begin: &str, end: &str) {
        let notes = noted(sections);
        assert!(
            matches!(notes.as_slice(), [only] if only.starts_with(begin) && only.contains(end)),
            "{notes:#?}"
        );
    }

    #[test]
    fn a_name_that_no_action_answers_for_is_told_what_is_expected_of_it() {
        let notes = noted(
            "on_change:\n  - { name: web, command: [/bin/true] }\n  - { name: pooler, signal: HUP, process: pooler }\n\
             lifecycle: { acknowledge: { from: [web, pooler, worker] } }\n",
        );
        // A signal that was sent is no answer.
        assert_eq!(notes.len(), 2, "{notes:#?}");
        assert!(notes[0].starts_with("lifecycle.acknowledge: from names \"pooler\""), "{notes:#?}");
        assert!(notes[1].contains("leasehold ack --name worker"), "{notes:#?}");
    }

    #[test]
    fn where_nothing_is_published_nobody_is_waited_for_and_no_action_runs_and_that_is_noted() {
        let nobody = "nothing waits for it";
        for asked in ["required", "{ from: [web] }"] {
            let sections = format!("files: {{}}\nlifecycle: {{ acknowledge: {asked} }}\n");
            one(&sections, "lifecycle.acknowledge: `files` is empty", nobody);
        }
        one("files: {}\non_change: [{ command: [/bin/true] }]\n", "on_change: `files` is empty", "never run");
        assert_eq!(noted("files: {}\n"), [""; 0]);
        assert_eq!(noted("lifecycle: { acknowledge: required }\n"), [""; 0], "everybody may post");
    }

    #[test]
    fn a_command_that_this_machine_lacks_is_noted_and_no_mistake() {
        let here = "on this machine it would fail: ";
        one(
            "on_change:\n  - { command: [/bin/true] }\n  - { command: [/bin/nosuch, -x] }\n",
            &format!("on_change[1]: command /bin/nosuch: {here}there is no such program"),
            "in leasehold's own container",
        );
        one("on_change: [{ command: [/etc/passwd] }]\n", "on_change[0]: command /etc/passwd", "no program");
        one("on_change: [{ command: [no-such-reload] }]\n", "on_change[0]: command no-such-reload", here);
        one("verify: { command: [/bin/nosuch] }\n", "verify: command /bin/nosuch", here);
        let fine = "on_change:\n  - { command: [true] }\n  - { http: { url: 'http://127.0.0.1:1/' } }\n  \
                    - { signal: HUP, process: nonesuch }\nverify: { command: [/bin/true] }\n";
        assert_eq!(noted(fine), [""; 0]);
    }

    #[cfg(feature = "exec")]
    #[test]
    fn a_program_that_brings_secrets_and_is_not_on_this_machine_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leasehold.yaml");
        let noted = |provider: &str| {
            let text = format!(
                "providers: {{ store: {{ type: exec, {provider} }} }}\nsecrets: {{ app: {{ provider: store, path: app }} }}\n"
            );
            std::fs::write(&path, text).unwrap();
            let environment = Environment::new([("PATH".to_owned(), "/nowhere".to_owned())]);
            let paths = [path.clone()];
            programs(&Config::load(&paths, &environment).unwrap_or_else(|report| panic!("{report}")))
        };
        for (provider, begin) in [
            (
                "command: [/bin/nosuch]",
                "command /bin/nosuch: on this machine it would fail: there is no such",
            ),
            ("command: [sh]", "command sh: on this machine"),
            (
                "command: [/etc/passwd]",
                "command /etc/passwd: on this machine it would fail: it may not be run",
            ),
        ] {
            let notes = noted(provider);
            assert!(
                matches!(notes.as_slice(), [(key, note)] if key == "providers.store" && note.starts_with(begin)),
                "{notes:#?}"
            );
        }
        for fine in [
            "command: [/bin/sh]",
            "command: [sh], environment: { PATH: /bin }",
            "command: [bin/x], directory: /srv",
        ] {
            assert_eq!(noted(fine), [], "{fine}");
        }
    }

    #[test]
    fn restarts_that_are_spread_by_less_than_a_drain_are_noted() {
        let env = "env: { DB_USER: '{{ db.username }}' }\n";
        one(&format!("{env}exec: {{ drain: 5s, splay: 2s }}\n"), "exec.splay: 2s", "exec.drain (5s)");
        for fine in
            ["drain: 5s", "drain: 5s, splay: 50s", "splay: 2s", "drain: 5s, splay: 2s, on_change: none"]
        {
            assert_eq!(noted(&format!("{env}exec: {{ {fine} }}\n")), [""; 0], "{fine}");
        }
    }
}
