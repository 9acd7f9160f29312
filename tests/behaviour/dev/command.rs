//! `dev -- CMD`: an application beside made-up stores.

use rustix::process::kill_process_group;

use super::*;

/// With a command: a shell script, in which FOLDER is the directory of the laptop's files.
fn sh(laptop: &Laptop, more: &[&str], script: &str) -> Leasehold {
    let script = script.replace("FOLDER", laptop.files.to_str().unwrap());
    laptop.command(&[more, &["--", "/bin/sh", "-c", &script]].concat())
}

fn laptop() -> Laptop {
    Laptop::with(&format!("{PRODUCTION}env: {{ API_KEY: \"{{{{ api['api-key'] }}}}\" }}\n"))
}

/// A command whose starts are written down, and how a value is saved for it.
const STARTS: &str = "echo $API_KEY >> FOLDER/starts; exec sleep 600";

fn save(laptop: &Laptop, key: &str) -> PathBuf {
    let values = laptop.files.join("values.yaml");
    fs::write(&values, format!("api: {{ api-key: {key}, server: {{ port: 8080 }} }}\n")).unwrap();
    values
}

#[track_caller]
fn await_starts(laptop: &Laptop, running: &Running, expected: &[&str]) {
    eventually(&format!("the starts {expected:?}"), SOON, || {
        let starts = lines(&laptop.files.join("starts"));
        if starts == expected { Ok(()) } else { Err(running.stderr()) }
    });
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn it_has_the_variables_and_the_files_and_its_code_is_ours() {
    let laptop = laptop();
    let ended = sh(&laptop, &[], "echo $API_KEY; echo $LEASEHOLD_DIR; cat $LEASEHOLD_DIR/api.env; exit 7")
        .finish(SOON);
    assert_eq!(ended.exit, Exit::Code(7), "{}", ended.stderr);
    let [key, directory, file] = ended.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("three lines: {}{}", ended.stdout, ended.stderr)
    };
    assert!(!key.is_empty() && file == format!("KEY={key} PORT=5432"), "{}", ended.stdout);
    assert!(directory.starts_with(laptop.session.to_str().unwrap()), "{directory}");
    assert!(!ended.stderr.contains(key), "{}", ended.stderr);
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
}

#[test]
fn one_interrupt_ends_both() {
    let laptop = laptop();
    let script = "
        trap 'echo INT >> FOLDER/got; exit 5' INT
        echo $$ > FOLDER/pid
        while :; do sleep 0.05; done";
    let mut running = sh(&laptop, &[], script).start();
    let pid = eventually("the command runs", SOON, || {
        lines(&laptop.files.join("pid")).pop().ok_or_else(|| running.stderr())
    });
    kill_process_group(running.pid(), Signal::INT).unwrap();
    assert_eq!(running.wait(SOON), Exit::Code(5), "{}", running.stderr());
    assert_eq!(lines(&laptop.files.join("got")), ["INT"]);
    assert!(!Path::new("/proc").join(pid).exists());
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
}

/// Saves a second value under a command that writes down its starts: these are awaited, then these lines.
/// What was said.
#[track_caller]
fn save_again(laptop: &Laptop, starts: &[&str], expected: &[&str]) -> String {
    let values = save(laptop, "first");
    let mut running = sh(laptop, &["--values", values.to_str().unwrap()], STARTS)
        .env("STRIPE_API_KEY", "canary-key")
        .start();
    await_starts(laptop, &running, &["first"]);
    save(laptop, "second");
    for line in expected {
        eventually(line, SOON, || said(&running, line));
    }
    await_starts(laptop, &running, starts);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 15), "{}", running.stderr());
    assert_eq!(lines(&laptop.files.join("starts")), starts);
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
    running.stderr()
}

#[test]
fn a_saved_value_starts_it_again_at_once_and_each_step_is_a_line() {
    // What spreads replicas in production spreads nothing here; the file that changes is one of several.
    for exec in ["", "exec: { splay: 10m }\n"] {
        let laptop = Laptop::with(&format!(
            "{}env: {{ API_KEY: \"{{{{ api['api-key'] }}}}\" }}\n{exec}",
            PRODUCTION.replace("refresh: 1m", "refresh: 1h")
        ));
        let expected = [
            "api rotated: generation 2 (files: api.env, api.json; env)",
            "what the command was given has changed; it is restarted now",
            "started the command again (restart 1)",
        ];
        save_again(&laptop, &["first", "second"], &expected);
    }
}

/// A secret in a variable, beside another one in a file.
fn variable_alone(exec: &str) -> Laptop {
    Laptop::with(&format!(
        "
providers: {{ aws: {{ type: aws-secrets-manager }} }}
secrets: {{ api: {{ provider: aws, path: prod/api, refresh: 1h }}, other: {{ provider: aws, path: prod/other }} }}
files: {{ other: {{ secret: other, field: value }} }}
env: {{ API_KEY: \"{{{{ api['api-key'] }}}}\" }}
exec: {exec}
"
    ))
}

#[test]
fn a_rotation_of_variables_alone_is_a_line_beside_files_and_so_is_what_is_withheld() {
    let expected = [
        "the command does not get ",
        "api rotated: generation 1 (env)",
        "what the command was given has changed; it is restarted now",
        "not ready for 0.1s (exec.drain), then the command is restarted",
        "started the command again (restart 1)",
    ];
    let all = save_again(&variable_alone("{ drain: 100ms }"), &["first", "second"], &expected);
    let withheld = all.lines().find(|line| line.contains("the command does not get ")).unwrap();
    assert!(withheld.contains("STRIPE_API_KEY") && !all.contains("canary"), "{all}");
}

#[test]
fn a_rotation_of_variables_alone_is_a_line_where_the_command_runs_on() {
    save_again(&variable_alone("{ on_change: none }"), &["first"], &["api rotated: generation 1 (env)"]);
}

#[test]
fn a_rotation_while_the_command_drains_is_a_line_too() {
    let laptop = variable_alone("{ drain: 10m }");
    let values = save(&laptop, "first");
    let mut running = sh(&laptop, &["--values", values.to_str().unwrap()], STARTS).start();
    await_starts(&laptop, &running, &["first"]);
    let line = "api rotated: generation 1 (env)";
    for (count, value) in ["second", "third"].iter().enumerate() {
        save(&laptop, value);
        eventually("a line each", SOON, || match running.stderr().matches(line).count() {
            said if said == count + 1 => Ok(()),
            _ => Err(running.stderr()),
        });
        eventually("it drains", SOON, || said(&running, "not ready for 10m (exec.drain)"));
    }
    assert_eq!(lines(&laptop.files.join("starts")), ["first"]);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 15), "{}", running.stderr());
}

#[test]
fn a_command_that_is_not_there_is_said_and_leaves_nothing() {
    let laptop = laptop();
    let ended = laptop.command(&["--", "no-such-command"]).finish(SOON);
    assert_eq!(ended.exit, Exit::Code(127), "{}", ended.stderr);
    assert!(ended.stderr.contains("is it in this image, and on PATH?"), "{}", ended.stderr);
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
}
