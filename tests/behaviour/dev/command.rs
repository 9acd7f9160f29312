//! `dev -- CMD`: an application beside made-up stores.

use rustix::process::kill_process_group;

use super::*;

/// With a command: a shell script, in which FOLDER is the directory of the laptop's files.
fn sh(laptop: &Laptop, more: &[&str], script: &str) -> Leasehold {
    let script = script.replace("FOLDER", laptop.files.to_str().unwrap());
    laptop.command(&[more, &["--", "/bin/sh", "-c", &script]].concat())
}

fn laptop() -> Laptop {
    Laptop::with(&format!(
        "{PRODUCTION}env: {{ API_KEY: \"{{{{ api['api-key'] }}}}\" }}\nexec: {{ splay: 0s }}\n"
    ))
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

#[test]
fn a_rotation_that_changes_its_environment_starts_it_again() {
    let laptop = laptop();
    let values = laptop.files.join("values.yaml");
    let write = |key: &str| fs::write(&values, format!("api: {{ api-key: {key} }}\n")).unwrap();
    write("first");
    let script = "echo $API_KEY >> FOLDER/starts; exec sleep 600";
    let mut running = sh(&laptop, &["--values", values.to_str().unwrap()], script).start();
    let starts = |expected: &[&str]| {
        eventually(&format!("the starts {expected:?}"), SOON, || {
            let starts = lines(&laptop.files.join("starts"));
            if starts == expected { Ok(()) } else { Err(running.stderr()) }
        });
    };
    starts(&["first"]);
    write("second");
    starts(&["first", "second"]);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 15), "{}", running.stderr());
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_command_that_is_not_there_is_said_and_leaves_nothing() {
    let laptop = laptop();
    let ended = laptop.command(&["--", "no-such-command"]).finish(SOON);
    assert_eq!(ended.exit, Exit::Code(127), "{}", ended.stderr);
    assert!(ended.stderr.contains("is it in this image, and on PATH?"), "{}", ended.stderr);
    assert_eq!(laptop.left(), Vec::<PathBuf>::new());
}
