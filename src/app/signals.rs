//! What the process is told by signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Mode;

/// The signals that concern the whole process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Those that only a command hears of.
    passed: Option<Passed>,
}

/// Signals for the command that `exec` runs.
struct Passed {
    quit: Signal,
    usr1: Signal,
    usr2: Signal,
    winch: Signal,
    continued: Signal,
}

impl Signals {
    pub(super) fn new(mode: Mode) -> std::io::Result<Self> {
        let passed = match mode {
            Mode::Exec => Some(Passed::new()?),
            Mode::Run | Mode::Init => None,
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            passed,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Told {
        use rustix::process::Signal as Number;
        let for_a_command = self.passed.is_some();
        tokio::select! {
            _ = self.terminate.recv() => Told::End(Ending::Terminate),
            _ = self.interrupt.recv() => match for_a_command {
                true => Told::Pass(Number::INT),
                false => Told::End(Ending::Interrupt),
            },
            _ = self.hangup.recv() => match for_a_command {
                true => Told::Pass(Number::HUP),
                false => Told::Reload,
            },
            told = next_passed(&mut self.passed) => told,
        }
    }

    /// The next request to end.
    pub(super) async fn end(&mut self) -> Ending {
        loop {
            if let Some(ending) = self.next().await.ending() {
                return ending;
            }
        }
    }
}

impl Passed {
    fn new() -> std::io::Result<Self> {
        let other = |number| signal(SignalKind::from_raw(number));
        Ok(Self {
            quit: signal(SignalKind::quit())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            winch: signal(SignalKind::window_change())?,
            continued: other(rustix::process::Signal::CONT.as_raw())?,
        })
    }
}

async fn next_passed(passed: &mut Option<Passed>) -> Told {
    use rustix::process::Signal as Number;
    let Some(Passed { quit, usr1, usr2, winch, continued }) = passed else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = quit.recv() => Told::Pass(Number::QUIT),
        _ = usr1.recv() => Told::Pass(Number::USR1),
        _ = usr2.recv() => Told::Pass(Number::USR2),
        _ = winch.recv() => Told::Pass(Number::WINCH),
        _ = continued.recv() => Told::Continued,
    }
}

/// What a signal asks for.
pub(super) enum Told {
    End(Ending),
    Reload,
    /// It is for the command.
    Pass(rustix::process::Signal),
    /// We were stopped, and go on.
    Continued,
}

impl Told {
    /// What it asks for where no command is there to hear it: those that end a process end us.
    pub(super) fn ending(&self) -> Option<Ending> {
        use rustix::process::Signal as Number;
        match self {
            Self::End(ending) => Some(*ending),
            Self::Pass(Number::INT) => Some(Ending::Interrupt),
            Self::Pass(Number::QUIT) => Some(Ending::Quit),
            Self::Pass(Number::HUP) => Some(Ending::Hangup),
            Self::Pass(_) | Self::Reload | Self::Continued => None,
        }
    }
}

/// How the end was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Terminate,
    Interrupt,
    Quit,
    Hangup,
}

impl Ending {
    /// How a command that such a signal ended would end.
    pub(super) fn code(self) -> u8 {
        use rustix::process::Signal as Number;
        let signal = match self {
            Self::Terminate => Number::TERM,
            Self::Interrupt => Number::INT,
            Self::Quit => Number::QUIT,
            Self::Hangup => Number::HUP,
        };
        128 + u8::try_from(signal.as_raw()).unwrap_or_default()
    }
}
