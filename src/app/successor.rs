//! `leasehold handover`: an operator says that a successor comes, so that the next SIGTERM leaves
//! everything to it: an image of the sidecar changed in a live pod, a new binary under a service
//! manager.
//!
//! What is held is in the hand-over at every moment, so there is nothing to write then. What is
//! asked here is whether a successor could read it: where nothing is recorded, or something could
//! not be, the answer is no, with the reason, and the end stays what it was. SIGINT revokes all the
//! same: a terminal has no successor.

use super::{House, Mode};
use crate::events::Event;

/// Who comes after this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// Nobody: the end takes everything back.
    Nobody,
    /// The next process on the same directories.
    Expected,
}

impl House {
    /// Notes who comes after us. Returns what that means, in words; an error says why not.
    pub(super) fn expect(&mut self, successor: Successor) -> Result<String, String> {
        if self.board.snapshot().ending {
            return Err("a termination signal came already".to_owned());
        }
        let text = match successor {
            Successor::Nobody => {
                "taken back: the next SIGTERM ends everything as lifecycle.revoke_on_shutdown says"
            }
            Successor::Expected => {
                self.can_be_succeeded()?;
                match self.mode {
                    Mode::Exec => {
                        "the next SIGTERM revokes nothing: it is passed on to the command, and once that has \
                         ended, what is held is left to the next process on this state directory"
                    }
                    Mode::Run | Mode::Init => {
                        "the next SIGTERM revokes nothing and waits for nothing: what is held is left to the next \
                         process on this state directory"
                    }
                }
            }
        };
        if self.successor != successor {
            self.successor = successor;
            self.board.write(|board| board.handover = successor == Successor::Expected);
            self.events.emit(&Event::Note { text });
        }
        Ok(text.to_owned())
    }

    fn can_be_succeeded(&self) -> Result<(), String> {
        if let Some(why) = &self.no_handover {
            return Err(why.clone());
        }
        let unrecorded = self.handover.unrecorded();
        if unrecorded.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = unrecorded.iter().map(ToString::to_string).collect();
        Err(format!(
            "the hand-over is not whole: {} could not be written to {}; make room there (a memory volume has the \
             size of its sizeLimit) and ask again",
            names.join(", "),
            self.config.lifecycle.state_directory.path.display()
        ))
    }
}
