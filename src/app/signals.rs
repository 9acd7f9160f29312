//! What the process is told by signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that concern the whole process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End(Ending::Terminate),
            _ = self.interrupt.recv() => Told::End(Ending::Interrupt),
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// The next request to end.
    pub(super) async fn end(&mut self) -> Ending {
        loop {
            if let Told::End(ending) = self.next().await {
                return ending;
            }
        }
    }
}

/// What a signal asks for.
pub(super) enum Told {
    End(Ending),
    Reload,
}

/// How the end was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Terminate,
    Interrupt,
}
