//! A real terminal, made by tmux.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::eventually;
use leasehold_harness as harness;

const SOON: Duration = Duration::from_secs(20);

/// A terminal of 100 columns with a shell in it, on a server of its own.
pub(crate) struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Its server listens in this folder.
    #[track_caller]
    pub(crate) fn open(folder: &Path) -> Self {
        let terminal = Self { socket: folder.join("tmux") };
        let shell = "env -i PATH=\"$PATH\" TERM=screen HOME=/nonexistent PS1='outer$ ' bash --norc -i";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", shell]);
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
