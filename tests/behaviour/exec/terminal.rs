//! At a real terminal, made by tmux.

use std::process::Command;

use super::*;
use harness::leasehold::binary;

/// A terminal with a shell in it, on a server of its own.
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    #[track_caller]
    pub(crate) fn open(socket: &Path, (columns, rows): (u16, u16)) -> Self {
        let terminal = Self { socket: socket.display().to_string() };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let shell = "env -i PATH=\"$PATH\" TERM=screen HOME=/nonexistent PS1='outer$ ' bash --norc -i";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, shell]);
        terminal
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux").arg("-S").arg(&self.socket).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    #[track_caller]
    pub(crate) fn shows(&self, what: &str) {
        eventually(&format!("the terminal shows {what:?}"), SOON, || {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if screen.contains(what) { Ok(()) } else { Err(screen) }
        });
    }

    /// One row of it begins and ends so.
    #[track_caller]
    pub(crate) fn shows_line(&self, start: &str, end: &str) {
        eventually(&format!("the terminal shows a line {start:?} … {end:?}"), SOON, || {
            let screen = self.tmux(&["capture-pane", "-p"]);
            let found = screen.lines().any(|line| line.starts_with(start) && line.ends_with(end));
            if found { Ok(()) } else { Err(screen) }
        });
    }

    /// The last line is this prompt: whoever wrote before it has read its keys, and has ended.
    #[track_caller]
    pub(crate) fn prompts(&self, prompt: &str) {
        eventually(&format!("the prompt {prompt:?}"), SOON, || {
            let screen = self.tmux(&["capture-pane", "-p"]);
            let last = screen.trim_end().lines().last().unwrap_or_default().trim_end();
            if last == prompt { Ok(()) } else { Err(screen) }
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn open(place: &Place) -> Terminal {
    Terminal::open(&place.folder.join("tmux"), (100, 30))
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

/// A program that says when it begins, is continued, and is interrupted.
fn talker(place: &Place) -> String {
    let script = "trap 'echo interrupted; exit 6' INT\ntrap 'echo goes on' CONT\necho begun\nwhile :; do sleep 0.1; done\n";
    format!("sh {}", place.file("talker", script).display())
}

#[test]
fn a_shell_with_job_control_is_usable_under_it() {
    let place = place();
    let terminal = open(&place);
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
    let terminal = open(&place);
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
    let terminal = open(&place);
    terminal.keys(&[&line(&place, "top"), "Enter"]);
    terminal.shows("load average");
    terminal.keys(&["q"]);
    terminal.prompts("outer$");
    terminal.keys(&["echo code=$?", "Enter"]);
    terminal.shows("code=0");
}
