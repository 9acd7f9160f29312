//! The terminal: what it can show, and having it to ourselves for a while.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use leasehold_core::Environment;
use rustix::io::Errno;
use rustix::termios::{
    self, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetwinsize,
};
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use super::view::{Colours, Glyphs, Line, View};
use crate::clock::Clock;
use crate::process;

/// Columns and rows of a terminal that does not say.
const USUAL: (usize, usize) = (80, 24);
/// The alternate screen, without a cursor and without wrapping of lines that a resize makes too long.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";

/// What standard output can show, by the environment and by the terminal itself.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    is_terminal: bool,
    glyphs: Glyphs,
    colours: Colours,
}

impl Screen {
    /// Of this process.
    pub fn of(environment: &Environment) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let says = |name: &str| environment.value(name).filter(|value| !value.is_empty());
        let dumb = says("TERM") == Some("dumb");
        let colours = is_terminal && !dumb && says("NO_COLOR").is_none();
        let locale = says("LC_ALL").or(says("LC_CTYPE")).or(says("LANG"));
        let unicode = is_terminal
            && match locale {
                Some(locale) => {
                    let locale = locale.to_ascii_lowercase();
                    locale.contains("utf-8") || locale.contains("utf8")
                }
                // An image without a shell sets none, while the terminal at the other end of `kubectl exec` is
                // like any other today.
                None => !dumb,
            };
        Self {
            is_terminal,
            glyphs: if unicode { Glyphs::Unicode } else { Glyphs::Ascii },
            colours: if colours { Colours::On } else { Colours::Off },
        }
    }

    /// Whether it is a terminal, which can be drawn on.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// As it is now: a window may be resized.
    pub fn view(&self) -> View {
        match self.is_terminal {
            true => View { columns: Some(size().0), glyphs: self.glyphs, colours: self.colours },
            false => View::PLAIN,
        }
    }
}

fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL,
    }
}

/// The terminal while it is ours, until [`Taken::give_back`].
pub(super) struct Taken {
    screen: Screen,
    keyboard: Option<Keyboard>,
    /// Whether something of ours stands on it.
    shown: bool,
    /// The frame that is being written: on a thread, since a terminal that nobody reads takes none, and a
    /// signal has to end us there too.
    frame: JoinSet<io::Result<()>>,
}

struct Keyboard {
    keys: AsyncFd<OwnedFd>,
    before: Termios,
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Leave,
    Suspend,
    Up,
    Down,
}

impl Taken {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, keyboard: Keyboard::take(), shown: false, frame: JoinSet::new() }
    }

    /// Has it again after [`Taken::give_back`].
    pub(super) fn take_again(&mut self) {
        self.keyboard = Keyboard::take();
    }

    /// It is as it was. Behind a frame that does not get out it waits for nothing, and else not for long.
    pub(super) async fn give_back(&mut self, clock: &Clock) {
        const PATIENCE: Duration = Duration::from_secs(1);
        self.keyboard = None;
        if !std::mem::take(&mut self.shown) || !self.frame.is_empty() {
            return;
        }
        self.frame.spawn_blocking(|| put(LEAVE));
        tokio::select! {
            // A terminal that has gone needs nothing.
            _ = self.frame.join_next() => {}
            () = clock.sleep(PATIENCE) => {}
        }
    }

    pub(super) fn view(&self) -> View {
        self.screen.view()
    }

    /// The rows that there are.
    pub(super) fn rows(&self) -> usize {
        size().1
    }

    /// Draws these lines over what was there, in one piece. An error means that the terminal has gone.
    pub(super) async fn draw(&mut self, lines: Vec<Line>) -> io::Result<()> {
        let view = self.view();
        let columns = view.columns.unwrap_or(USUAL.0);
        let enter = if std::mem::replace(&mut self.shown, true) { "" } else { ENTER };
        let frame = format!("{enter}{}", over(lines, columns, view.colours));
        self.frame.spawn_blocking(move || put(frame.as_bytes()));
        match self.frame.join_next().await {
            Some(Ok(written)) => written,
            Some(Err(_)) | None => Err(io::ErrorKind::Other.into()),
        }
    }

    /// The next key that means something; a keyboard that has gone means to leave. Never, where nobody types.
    pub(super) async fn key(&self) -> Key {
        match &self.keyboard {
            Some(keyboard) => keyboard.next().await,
            None => std::future::pending().await,
        }
    }
}

/// These lines, over whatever stands on the screen.
fn over(lines: Vec<Line>, columns: usize, colours: Colours) -> String {
    let mut frame = "\x1b[H".to_owned();
    for (at, line) in lines.into_iter().enumerate() {
        // The last row has no end of line: it would scroll.
        frame += if at == 0 { "" } else { "\r\n" };
        // What nobody sees is not written, and what stood there has to go.
        let line = line.cut(columns).trimmed();
        // In the last column the cursor still stands on what was written there.
        let rest = if line.width() < columns { "\x1b[K" } else { "" };
        frame += &line.painted(colours);
        frame += rest;
    }
    frame + "\x1b[J"
}

fn put(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

impl Keyboard {
    /// Keys one by one, not shown, none of them a signal. `None` where standard input is no terminal: then
    /// Ctrl-C is a signal, as ever.
    fn take() -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = termios::tcgetattr(&stdin).ok()?;
        let keys = process::watched(rustix::io::dup(&stdin).ok()?).ok()?;
        let mut ours = before.clone();
        ours.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        ours.input_modes -= InputModes::IXON;
        // A read gives what is there and never waits.
        ours.special_codes[SpecialCodeIndex::VMIN] = 0;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&stdin, OptionalActions::Now, &ours).ok()?;
        Some(Self { keys, before })
    }

    async fn next(&self) -> Key {
        loop {
            let Ok(mut ready) = self.keys.readable().await else { return Key::Leave };
            let mut typed = [0; 64];
            let count = match rustix::io::read(&self.keys, &mut typed) {
                // A terminal that has hung up has nothing, for ever, and stays ready to say so.
                Ok(0) if ready.ready().is_read_closed() => return Key::Leave,
                Ok(count) => count,
                Err(Errno::INTR | Errno::AGAIN) => 0,
                Err(_) => return Key::Leave,
            };
            // What filled all that we had room for may have left more.
            if count < typed.len() {
                ready.clear_ready();
            }
            if let Some(key) = meaning(&typed[..count]) {
                return key;
            }
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn meaning(typed: &[u8]) -> Option<Key> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const SUSPEND: u8 = 0x1a;
    const QUIT: u8 = 0x1c;
    match typed {
        b"\x1b[A" | b"\x1bOA" | b"k" => Some(Key::Up),
        b"\x1b[B" | b"\x1bOB" | b"j" => Some(Key::Down),
        // Another key of the kind that sends several bytes.
        [0x1b, _, ..] => None,
        _ if typed.contains(&SUSPEND) => Some(Key::Suspend),
        _ if typed.iter().any(|key| matches!(*key, b'q' | b'Q' | INTERRUPT | END | QUIT)) => Some(Key::Leave),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_frame_before_stays_behind_a_line_that_is_shorter_now() {
        let line = |text: &str, width: usize| Line::plain(text).padded(width);
        let frame = over(vec![line("LEASE", 8), line("12345678", 8)], 8, Colours::Off);
        assert_eq!(frame, "\x1b[HLEASE\x1b[K\r\n12345678\x1b[J");
    }
}
