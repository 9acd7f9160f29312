//! The command line as its users see it.

use clap::CommandFactory as _;
use leasehold_core::Kind;

use super::arguments::Arguments;
use super::*;
use crate::client::ClientError;

/// The help of a command, as on a terminal of 100 columns.
fn help(name: Option<&str>) -> String {
    let mut command = Arguments::command().term_width(100);
    command.build();
    match name {
        None => command.render_long_help().to_string(),
        Some(name) => command.find_subcommand_mut(name).unwrap().render_long_help().to_string(),
    }
}

#[test]
fn the_help_of_every_command() {
    let names: Vec<String> =
        Arguments::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut text = help(None);
    for name in &names {
        text.push_str(&format!("\n=== {name}\n{}", help(Some(name))));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn mistakes_on_the_command_line_are_said_and_end_with_2() {
    let mut text = String::new();
    for words in [
        &["leasehold"][..],
        &["leasehold", "rnu"],
        &["leasehold", "run", "-c"],
        &["leasehold", "run", "leasehold.yaml"],
        &["leasehold", "probe"],
        &["leasehold", "probe", "raedy"],
        &["leasehold", "probe", "ready", "--wait", "30"],
        &["leasehold", "ack", "newest"],
        &["leasehold", "stale"],
        &["leasehold", "completions", "cmd"],
        &["leasehold", "status", "--jsn"],
        &["leasehold", "dev", "--chaos", "abc"],
    ] {
        let error = Arguments::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words:?}");
        text.push_str(&format!("$ {}\n{error}\n", words.join(" ")));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_command_without_its_dashes_is_told_of_them() {
    let said = |words: &[&str]| {
        let words = ["leasehold"].iter().chain(words);
        tip(&Arguments::try_parse_from(words).unwrap_err(), "exec")
    };
    let expected = "the command to run stands after `--`: leasehold exec … -- sh …";
    assert_eq!(said(&["exec", "--secret", "db=vault:x", "sh", "-c", "env"]).as_deref(), Some(expected));
    assert!(said(&["exec", "leasehold.yaml"]).unwrap().contains("-c FILE"));
    assert_eq!(said(&["exec", "--secrt", "db=vault:x"]), None);
    assert_eq!(said(&["exec"]), None);
}

#[test]
fn help_and_version_are_no_mistakes() {
    for words in [&["leasehold", "--help"][..], &["leasehold", "--version"], &["leasehold", "run", "--help"]]
    {
        let error = Arguments::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), 0, "{words:?}");
        assert!(!error.use_stderr(), "{words:?}");
    }
}

#[test]
fn files_may_be_given_several_times() {
    let arguments = Arguments::try_parse_from(["leasehold", "run", "-c", "a", "--config", "b"]).unwrap();
    let Command::Run { files, .. } = arguments.command else { panic!("it is run") };
    assert_eq!(files.config, [PathBuf::from("a"), PathBuf::from("b")]);
}

#[test]
fn every_kind_of_failure_has_its_exit_code() {
    let codes = [
        (Kind::Denied, 77),
        (Kind::Absent, 66),
        (Kind::Invalid, 78),
        (Kind::SessionEnded, 75),
        (Kind::LeaseGone, 75),
        (Kind::Throttled, 75),
        (Kind::Unavailable, 75),
        (Kind::Malformed, 75),
        (Kind::Internal, 70),
    ];
    for (kind, code) in codes {
        assert_eq!(Exit::from(kind).code(), code, "{kind:?}");
    }
    let why = String::new;
    let errors = [
        (ClientError::Off { key: "admin.listen" }, 78),
        (ClientError::NotRunning { target: why() }, 75),
        (ClientError::NotReady { why: why() }, 75),
        (ClientError::NotDone { why: why() }, 75),
        (ClientError::NoAnswer { target: why(), why: why() }, 75),
        (ClientError::Forbidden { target: why(), why: why() }, 77),
        (ClientError::Refused { why: why() }, 78),
    ];
    for (error, code) in errors {
        assert_eq!(Exit::from(&error).code(), code, "{error:?}");
    }
}

#[test]
fn completions_know_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let words = ["leasehold", "completions", shell];
        assert!(Arguments::try_parse_from(words).is_ok(), "{shell}");
    }
}
