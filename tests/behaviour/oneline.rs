//! The one-line form: flags in place of a file, and beside one; against the real servers.

use std::fs;
use std::path::Path;

use harness::leasehold::Finished;
use harness::process::Exit;
use harness::{Leasehold, postgres, vault};
use leasehold_harness as harness;

use crate::SOON;
use crate::stage::{Rights, Stage};

/// The documented line, with a token of the user's own.
struct Line {
    stage: Stage,
    token: String,
    accessor: String,
}

const PSQL: [&str; 4] = ["--env", "PGUSER={{ db.username }}", "--env", "PGPASSWORD={{ db.password }}"];

impl Line {
    fn new(name: &str) -> Self {
        let (stage, accessor) = Stage::given_token(name, "1m", "5m", Rights::RevokeLeases);
        let token = fs::read_to_string(stage.folder.join("token")).unwrap();
        Self { stage, token, accessor }
    }

    /// `leasehold COMMAND --secret db=vault:… WORD…`, the provider set by its variables, in an empty directory.
    fn leasehold(&self, command: &str, words: &[&str]) -> Leasehold {
        let secret = format!("db=vault:{}", self.stage.creds);
        let here = self.stage.folder.join("here");
        fs::create_dir_all(&here).unwrap();
        let all = [&[command, "--secret", &secret][..], words].concat();
        Leasehold::command(all)
            .env("VAULT_ADDR", vault().url())
            .env("VAULT_TOKEN", &self.token)
            .current_dir(&here)
    }

    fn finish(&self, command: &str, words: &[&str]) -> Finished {
        self.leasehold(command, words).finish(SOON * 2)
    }
}

#[track_caller]
fn done(finished: Finished) -> String {
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    finished.stdout
}

#[test]
fn one_line_is_checked_and_printed_as_the_file_that_it_stands_for() {
    let line = Line::new("printed");
    let said = done(line.finish("check", &PSQL));
    assert_eq!(said, "ok: 1 provider, 1 secret, a file for every field (the command line)\n");
    let printed = done(line.finish("run", &[&PSQL[..], &["--print-config"]].concat()));
    let file = line.stage.folder.join("printed.yaml");
    fs::write(&file, &printed).unwrap();
    let check = Leasehold::command(["check".as_ref(), "-c".as_ref(), file.as_os_str()])
        .env("VAULT_ADDR", vault().url())
        .env("VAULT_TOKEN", &line.token)
        .finish(SOON);
    let said = done(check);
    assert!(said.starts_with("ok: 1 provider, 1 secret, a file for every field"), "{said}");
    assert!(!printed.contains(&line.token), "{printed}");

    let missing = Leasehold::command(["check", "--secret", "db=vault:database/creds/web"]).finish(SOON);
    assert_eq!(missing.exit, Exit::Code(78), "{missing:?}");
    for name in ["--secret db", "VAULT_ADDR", "VAULT_TOKEN"] {
        assert!(missing.stderr.contains(name), "no {name}: {}", missing.stderr);
    }
    let shapeless = Leasehold::command(["check", "--secret", "db"]).finish(SOON);
    assert_eq!(shapeless.exit, Exit::Code(2), "{shapeless:?}");
    assert!(shapeless.stderr.contains("NAME=PROVIDER:PATH"), "{}", shapeless.stderr);
}

#[test]
fn no_file_of_the_default_places_is_read_beside_a_secret_of_the_command_line() {
    let line = Line::new("alone");
    let here = line.stage.folder.join("here");
    fs::create_dir_all(&here).unwrap();
    fs::write(here.join("leasehold.yaml"), "this: [is no configuration").unwrap();
    let said =
        line.leasehold("check", &PSQL).env("LEASEHOLD_CONFIG", here.join("leasehold.yaml")).finish(SOON);
    assert!(done(said).contains("(the command line)"));
}

#[test]
fn files_by_flags_beside_a_file_and_from_what_is_printed_are_the_same() {
    let line = Line::new("beside");
    let folder = &line.stage.folder;
    fs::create_dir(folder.join("state")).unwrap();
    let base = folder.join("base.yaml");
    let text = format!(
        "lifecycle: {{ state_directory: {0}/state, revoke_delay: 0s }}\nadmin: {{ listen: off }}\n\
         telemetry: {{ listen: off }}\n",
        folder.display()
    );
    fs::write(&base, text).unwrap();
    let live = folder.join("live");
    let base = base.to_str().unwrap();
    let flags = [
        "-c",
        base,
        "--file",
        "conf/db.env=USER={{ db.username }}\nPASSWORD={{ db.password }}\n",
        "--directory",
        live.to_str().unwrap(),
    ];
    let init = line.finish("init", &flags);
    assert_eq!(init.exit, Exit::Code(0), "{}", init.stderr);
    let written = fs::read_to_string(live.join("conf/db.env")).unwrap();
    let (user, password) = written.trim_end().split_once('\n').unwrap();
    let (user, password) = (user.strip_prefix("USER=").unwrap(), password.strip_prefix("PASSWORD=").unwrap());
    assert_eq!(postgres().login(user, password), Ok(()));

    // The file that it prints takes over what the flags took: nothing differs.
    let printed = done(line.finish("init", &[&flags[..], &["--print-config"]].concat()));
    let more = folder.join("more.yaml");
    fs::write(&more, printed).unwrap();
    let words = ["init", "-c", base, "-c", more.to_str().unwrap()];
    let again = Leasehold::command(words)
        .env("VAULT_ADDR", vault().url())
        .env("VAULT_TOKEN", &line.token)
        .finish(SOON * 2);
    assert_eq!(again.exit, Exit::Code(0), "{}", again.stderr);
    assert_eq!(fs::read_to_string(live.join("conf/db.env")).unwrap(), written);
    assert_eq!((line.stage.mints(), line.stage.only_role()), (1, user.to_owned()));

    // And `run` under the flags ends it.
    let mut run = line.leasehold("run", &flags).start();
    harness::eventually("it has taken over", SOON, || run.stderr().contains("took over"));
    run.signal(harness::Signal::TERM);
    assert_eq!(run.wait(SOON), Exit::Code(0), "{}", run.stderr());
    line.stage.nothing_is_left();
}

#[test]
fn the_binary_installs_itself_and_the_copy_runs() {
    let folder = harness::tmpfs();
    let install = || Leasehold::command(["install".as_ref(), folder.as_os_str()]).finish(SOON);
    let path = done(install());
    let path = Path::new(path.trim_end());
    assert_eq!(path, folder.join("leasehold"));
    let version = std::process::Command::new(path).arg("version").output().unwrap();
    let ours = done(Leasehold::command(["version"]).finish(SOON));
    assert_eq!(String::from_utf8_lossy(&version.stdout), ours);
    let modified = || fs::metadata(path).unwrap().modified().unwrap();
    let before = modified();
    done(install());
    assert_eq!(modified(), before, "what is there already is left alone");

    let nowhere = Leasehold::command(["install".as_ref(), folder.join("nowhere").as_os_str()]).finish(SOON);
    assert_eq!(nowhere.exit, Exit::Code(73), "{nowhere:?}");
    assert!(nowhere.stderr.contains("it does not exist"), "{}", nowhere.stderr);
}

#[test]
fn a_query_under_a_leased_credential_in_one_line_without_a_file_and_nothing_is_left() {
    let line = Line::new("psql");
    let theirs = line.stage.database.mint("web");
    let (host, port) = (postgres().address().ip().to_string(), postgres().address().port().to_string());
    let psql =
        ["--", "psql", "-X", "-h", &host, "-p", &port, "-d", "postgres", "-Atc", "select current_user"];
    let words = [&PSQL[..], &psql].concat();
    // As somebody who can write nowhere that we would, but in memory and /tmp.
    let finished = line.leasehold("exec", &words).user(12345, 12345).finish(SOON * 2);
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    assert_eq!(finished.stderr, "", "a command on a terminal hears nothing of ours");
    let user = finished.stdout.trim_end();
    assert!(user.starts_with(line.stage.database.prefix()), "{user}");
    assert_ne!(user, theirs.username);
    assert_eq!(line.stage.mints(), 2, "theirs and ours");
    assert_eq!(fs::read_dir(line.stage.folder.join("here")).unwrap().count(), 0);
    // The token was given: it lives, and of its leases only ours is gone.
    assert!(vault().token_lives(&line.accessor));
    harness::eventually("only theirs is left", SOON, || {
        line.stage.database.leases() == [theirs.lease.as_str()]
            && line.stage.database.roles() == [theirs.username.as_str()]
    });
}

#[test]
fn under_exec_no_credential_stands_on_a_command_line_and_the_code_is_the_commands() {
    let line = Line::new("cmdline");
    let script = r#"printf '%s\n' "$PGPASSWORD"; tr '\0' ' ' </proc/$PPID/cmdline /proc/$$/cmdline; exit 7"#;
    let finished = line.finish("exec", &[&PSQL[..], &["--", "sh", "-c", script]].concat());
    assert_eq!(finished.exit, Exit::Code(7), "{finished:?}");
    let (password, shown) = finished.stdout.split_once('\n').unwrap();
    assert!(!password.is_empty() && !shown.contains(password) && !shown.contains(&line.token), "{shown}");
    line.stage.nothing_is_left();
}

#[test]
fn under_exec_what_is_printed_does_the_same() {
    let line = Line::new("same");
    let printed = done(line.finish("exec", &[&PSQL[..], &["--print-config"]].concat()));
    let file = line.stage.folder.join("printed.yaml");
    fs::write(&file, printed).unwrap();
    let finished =
        Leasehold::command(["exec", "-c", file.to_str().unwrap(), "--", "sh", "-c", "echo $PGUSER"])
            .env("VAULT_ADDR", vault().url())
            .env("VAULT_TOKEN", &line.token)
            .finish(SOON * 2);
    assert_eq!((finished.exit, &*finished.stderr), (Exit::Code(0), ""), "{finished:?}");
    assert!(finished.stdout.starts_with(line.stage.database.prefix()), "{finished:?}");
    line.stage.nothing_is_left();
}

#[test]
fn flags_that_would_do_nothing_are_refused_and_a_line_without_a_secret_names_the_flag() {
    let said = |words: &[&str], code| {
        let here = harness::tmpfs();
        let finished = Leasehold::command(words).current_dir(&*here).finish(SOON);
        assert_eq!(finished.exit, Exit::Code(code), "{words:?}: {finished:?}");
        finished.stderr
    };
    let mock = ["--secret", "db=mock:database/creds/web"];
    for command in ["run", "init"] {
        let said = said(&[&[command][..], &mock, &["--env", "A=b"]].concat(), 2);
        assert!(said.contains("`--env` is for `exec`"), "{said}");
    }
    let nothing = said(&[&["exec"][..], &mock, &["--directory", "/run/x", "--", "true"]].concat(), 78);
    assert!(nothing.contains("add `--file NAME=TEMPLATE`"), "{nothing}");
    let lacking = said(&["exec", "--env", "A=b", "--", "true"], 78);
    assert!(lacking.contains("--secret NAME=PROVIDER:PATH"), "{lacking}");
    let nowhere = ["--file", "a={{ db.username }}", "--directory", "/nowhere/live", "--", "true"];
    let nowhere = said(&[&["exec"][..], &mock, &nowhere].concat(), 73);
    assert!(nowhere.contains("or name another (output.directory, or --directory)"), "{nowhere}");
    for command in ["exec", "dev"] {
        let dashes = said(&[command, "sh", "-c", "true"], 2);
        let tip = format!("the command to run stands after `--`: leasehold {command} … -- sh …");
        assert!(dashes.contains(&tip), "{dashes}");
    }
}

#[test]
fn under_exec_a_directory_that_only_our_uid_reads_is_no_matter() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let words = ["--secret", "db=mock:database/creds/web", "--file", "a={{ db.username }}", "--directory"];
    let words = [&["exec"][..], &words, &[live.to_str().unwrap(), "--", "true"]].concat();
    let finished = Leasehold::command(words).finish(SOON);
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    assert!(!finished.stderr.contains("fsGroup"), "{finished:?}");
}
