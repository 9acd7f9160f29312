//! At a real terminal, made by tmux.

use std::process::Command;

use super::*;
use harness::leasehold::binary;

/// A terminal of 80 columns with a shell in it, on a server of its own.
struct Terminal {
    socket: String,
}

impl Terminal {
    #[track_caller]
    fn open(place: &Place) -> Self {
        let terminal = Self { socket: place.folder.join("tmux").display().to_string() };
        let shell = "env -i PATH=\"$PATH\" TERM=screen HOME=/nonexistent PS1='outer$ ' bash --norc -i";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", shell]);
        terminal
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux").arg("-S").arg(&self.socket).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    #[track_caller]
    fn shows(&self, what: &str) {
        eventually(&format!("the terminal shows {what:?}"), SOON, || {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if screen.contains(what) { Ok(()) } else { Err(screen) }
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

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

#[test]
fn a_shell_with_job_control_is_usable_under_it() {
    let place = place();
    let terminal = Terminal::open(&place);
    let shell = "env PS1='inner$ ' bash --norc -i";
    terminal.keys(&[&line(&place, shell), "Enter"]);
    terminal.shows("inner$");
    terminal.keys(&["sleep 100", "Enter"]);
    terminal.keys(&["C-z"]);
    terminal.shows("Stopped");
    terminal.keys(&["fg", "Enter"]);
    terminal.keys(&["C-c"]);
    terminal.keys(&["echo user=$DB_USER-", "Enter"]);
    terminal.shows("user=v-");
    terminal.keys(&["exit 4", "Enter"]);
    terminal.shows("outer$ ");
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=4");
}

#[test]
fn a_stopped_command_gives_the_terminal_to_the_shell_above_and_goes_on() {
    let place = place();
    let terminal = Terminal::open(&place);
    let script = "sh -c 'trap \"echo interrupted; exit 6\" INT; echo begun; while :; do sleep 0.1; done'";
    terminal.keys(&[&line(&place, script), "Enter"]);
    terminal.shows("\nbegun");
    terminal.keys(&["C-z"]);
    terminal.shows("Stopped");
    terminal.keys(&["echo above", "Enter"]);
    terminal.shows("\nabove");
    terminal.keys(&["fg", "Enter"]);
    terminal.keys(&["C-c"]);
    terminal.shows("\ninterrupted");
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=6");
}

#[test]
fn top_draws_and_reads_keys_under_it() {
    let place = place();
    let terminal = Terminal::open(&place);
    terminal.keys(&[&line(&place, "top"), "Enter"]);
    terminal.shows("load average");
    terminal.keys(&["q"]);
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=0");
}
