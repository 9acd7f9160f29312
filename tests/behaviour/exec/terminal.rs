//! At a real terminal.

use super::*;
use crate::terminal::Terminal;
use harness::leasehold::binary;

/// The line that starts a command under leasehold.
fn line(place: &Place, command: &str) -> String {
    let config = place.folder.join("leasehold.yaml");
    format!("{} exec -c {} -- {command}", binary().display(), config.display())
}

fn place() -> Place {
    let place = Place::new();
    let mut config = quiet();
    config["log"] = json!({ "level": "warn" });
    place.configure(config);
    place
}

/// A program that says when it begins, is continued, and is interrupted.
fn talker(place: &Place) -> String {
    let script = "trap 'echo interrupted; exit 6' INT\ntrap 'echo goes on' CONT\necho begun\nwhile :; do sleep 0.1; done\n";
    format!("sh {}", place.file("talker", script).display())
}

#[test]
fn a_shell_with_job_control_is_usable_under_it() {
    let place = place();
    let terminal = Terminal::open(&place.folder);
    terminal.prompts("outer$");
    terminal.keys(&[&line(&place, "env PS1='inner$ ' bash --norc -i"), "Enter"]);
    terminal.prompts("inner$");
    terminal.keys(&[&talker(&place), "Enter"]);
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
    terminal.prompts("outer$");
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=4");
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
    terminal.prompts("outer$");
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=6");
}

#[test]
fn top_draws_and_reads_keys_under_it() {
    let place = place();
    let terminal = Terminal::open(&place.folder);
    terminal.keys(&[&line(&place, "top"), "Enter"]);
    terminal.shows("load average");
    terminal.keys(&["q"]);
    terminal.prompts("outer$");
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=0");
}
