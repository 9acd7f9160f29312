//! At a real terminal.

use super::*;
use crate::terminal::Terminal;
use harness::leasehold::binary;

/// The line that starts a command under leasehold.
pub(super) fn line(place: &Place, command: &str) -> String {
    let config = place.folder.join("leasehold.yaml");
    format!("{} exec -c {} -- {command}", binary().display(), config.display())
}

pub(super) fn place() -> Place {
    let place = Place::new();
    let mut config = quiet();
    config["log"] = json!({ "level": "warn" });
    place.configure(config);
    place
}

/// A program that says when it begins, is continued, and is interrupted.
pub(super) fn talker(place: &Place) -> String {
    let script = "trap 'echo interrupted; exit 6' INT\ntrap 'echo goes on' CONT\necho begun\nwhile :; do sleep 0.1; done\n";
    format!("sh {}", place.file("talker", script).display())
}

/// A shell that prompts with `inner$` takes a program, its stop, its return and its interruption, and ends
/// with 4.
#[track_caller]
pub(super) fn controls_jobs(terminal: &Terminal, place: &Place) {
    terminal.prompts("inner$");
    terminal.keys(&[&talker(place), "Enter"]);
    terminal.shows("\nbegun");
    terminal.keys(&["C-z"]);
    terminal.shows("Stopped");
    terminal.prompts("inner$");
    terminal.keys(&["fg", "Enter"]);
    terminal.shows("\ngoes on");
    terminal.keys(&["C-c"]);
    terminal.shows("interrupted");
    terminal.prompts("inner$");
    terminal.keys(&["echo user=$DB_USER-", "Enter"]);
    terminal.shows("user=v-");
    terminal.keys(&["exit 4", "Enter"]);
}

/// Its shell has the terminal again, and this code of what it ran.
#[track_caller]
pub(super) fn ended_with(terminal: &Terminal, code: i32) {
    terminal.prompts("outer$");
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows(&format!("\ncode={code}"));
}

#[test]
fn a_shell_with_job_control_is_usable_under_it() {
    let place = place();
    let terminal = Terminal::open(&place.folder);
    terminal.prompts("outer$");
    terminal.keys(&[&line(&place, "env PS1='inner$ ' bash --norc -i"), "Enter"]);
    controls_jobs(&terminal, &place);
    ended_with(&terminal, 4);
}

#[test]
fn a_stopped_command_gives_the_terminal_to_the_shell_above_and_goes_on() {
    let place = place();
    let terminal = Terminal::open(&place.folder);
    terminal.prompts("outer$");
    terminal.keys(&[&line(&place, &talker(&place)), "Enter"]);
    terminal.shows("\nbegun");
    terminal.keys(&["C-z"]);
    terminal.shows("Stopped");
    terminal.prompts("outer$");
    terminal.keys(&["echo above", "Enter"]);
    terminal.shows("\nabove");
    terminal.keys(&["fg", "Enter"]);
    terminal.shows("\ngoes on");
    terminal.keys(&["C-c"]);
    terminal.shows("interrupted");
    ended_with(&terminal, 6);
}

#[test]
fn a_rotation_restarts_it_at_once_since_there_are_no_replicas() {
    let place = Place::new();
    let mut config = quiet();
    // Elsewhere the restart would be drawn from a quarter of an hour.
    config["providers"]["store"]["ttl"] = json!("10h");
    config["log"] = json!({ "level": "warn" });
    place.configure(config);
    let starts = place.folder.join("starts");
    let script = format!("echo $DB_USER >> {}\nexec {}\n", starts.display(), talker(&place));
    let command = format!("sh {}", place.file("starter", &script).display());
    let terminal = Terminal::open(&place.folder);
    terminal.prompts("outer$");
    terminal.keys(&[&line(&place, &command), "Enter"]);
    eventually("it runs", SOON, || lines(&starts).len() == 1);
    let told = place.command(&["refresh", "db"]).finish(SOON);
    assert_eq!(told.exit, Exit::Code(0), "{told:?}");
    eventually("it runs with another credential", SOON, || lines(&starts).len() == 2);
    terminal.shows("begun\nbegun");
    terminal.keys(&["C-c"]);
    terminal.shows("interrupted");
    ended_with(&terminal, 6);
}

#[test]
fn top_draws_and_reads_keys_under_it() {
    let place = place();
    let terminal = Terminal::open(&place.folder);
    terminal.keys(&[&line(&place, "top"), "Enter"]);
    terminal.shows("load average");
    terminal.keys(&["q"]);
    ended_with(&terminal, 0);
}

/// A program that draws a screen and waits for a key, beside a store that is away before the first renewal.
fn painter(place: &Place, log: &str) -> String {
    let mut config = quiet();
    config["providers"]["store"] =
        json!({ "type": "mock", "ttl": "9s", "script": [{ "at": "2s", "outage": true }] });
    config["log"] = json!({ "level": log });
    place.configure(config);
    let script = "stty -icanon -echo min 1\nprintf '\\033[?1049h\\033[2J\\033[Hframe'\n\
        dd bs=1 count=1 >/dev/null 2>&1\nprintf '\\033[?1049l'\nstty sane\necho painted\n";
    format!("sh {}", place.file("painter", script).display())
}

/// Several attempts have failed since: the first one's warning is somewhere.
#[track_caller]
fn fails_often(place: &Place) {
    eventually("attempts fail", SOON, || match place.metric("leasehold_secret_failures_total", &[]) {
        failures if failures >= 3.0 => Ok(()),
        failures => Err(failures),
    });
}

#[test]
fn a_full_screen_program_keeps_its_screen_and_warnings_come_after_it() {
    let place = Place::new();
    let painter = painter(&place, "info");
    let terminal = Terminal::open(&place.folder);
    terminal.keys(&[&line(&place, &painter), "Enter"]);
    terminal.shows("frame");
    fails_often(&place);
    assert_eq!(terminal.tmux(&["capture-pane", "-p"]).trim(), "frame");
    terminal.keys(&["q"]);
    terminal.shows("painted");
    terminal.shows(" WARN ");
    terminal.shows("what is held is taken back");
}

#[test]
fn a_full_screen_program_that_is_stopped_lets_warnings_be_seen() {
    let place = Place::new();
    let painter = painter(&place, "info");
    let terminal = Terminal::open(&place.folder);
    terminal.keys(&[&line(&place, &painter), "Enter"]);
    terminal.shows("frame");
    fails_often(&place);
    assert_eq!(terminal.tmux(&["capture-pane", "-p"]).trim(), "frame");
    terminal.keys(&["C-z"]);
    terminal.shows("Stopped");
    terminal.shows(" WARN ");
    terminal.keys(&["fg", "Enter", "q"]);
    terminal.shows("painted");
}

#[test]
fn a_log_that_is_not_on_the_screen_and_one_at_debug_are_written_at_once() {
    let place = Place::new();
    let painter = painter(&place, "info");
    let terminal = Terminal::open(&place.folder);
    let log = place.folder.join("log");
    terminal.keys(&[&format!("{} 2>{}", line(&place, &painter), log.display()), "Enter"]);
    terminal.shows("frame");
    fails_often(&place);
    let written = fs::read_to_string(&log).unwrap();
    assert!(written.contains(" INFO ") && written.contains(" WARN "), "{written}");
    drop(terminal);

    let place = Place::new();
    let painter = self::painter(&place, "debug");
    let terminal = Terminal::open(&place.folder);
    terminal.keys(&[&line(&place, &painter), "Enter"]);
    terminal.shows("frame");
    terminal.shows(" WARN ");
}
