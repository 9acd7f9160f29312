//! A real terminal, made by tmux.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::eventually;
use leasehold_harness as harness;

const SOON: Duration = Duration::from_secs(20);

/// A terminal with a shell in it, on a server of its own.
pub(crate) struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// One of 100 columns and 30 rows. Its server listens in this folder.
    #[track_caller]
    pub(crate) fn open(folder: &Path) -> Self {
        Self::sized(folder, (100, 30))
    }

    /// One of so many columns and rows.
    #[track_caller]
    pub(crate) fn sized(folder: &Path, (columns, rows): (u16, u16)) -> Self {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let terminal = Self { socket: folder.join("tmux") };
        let shell = "env -i PATH=\"$PATH\" TERM=screen HOME=/nonexistent PS1='outer$ ' bash --norc -i";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, shell]);
        terminal
    }

    #[track_caller]
    pub(crate) fn tmux(&self, words: &[&str]) -> String {
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
