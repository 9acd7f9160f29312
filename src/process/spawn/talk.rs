//! The three pipes of a child: what it reads, what it writes, what it complains.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;

use leasehold_core::{Failed, Program, Ran, SecretBytes, Status};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::{Receiver, Sender};
use zeroize::Zeroizing;

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// A conversation with a child, until it has ended.
pub(super) struct Talk<'a> {
    input: (Option<Sender>, &'a SecretBytes),
    output: Collected,
    errors: Collected,
    limit: usize,
}

impl<'a> Talk<'a> {
    pub(super) fn new(mut child: Child, program: &'a Program) -> Result<Self, Failed> {
        let mut pipes = || -> io::Result<_> {
            let lost = || io::Error::from(io::ErrorKind::BrokenPipe);
            let input = Sender::from_owned_fd(child.stdin.take().ok_or_else(lost)?.into())?;
            let output = OwnedFd::from(child.stdout.take().ok_or_else(lost)?);
            let errors = OwnedFd::from(child.stderr.take().ok_or_else(lost)?);
            Ok((input, Receiver::from_owned_fd(output)?, Receiver::from_owned_fd(errors)?))
        };
        let (input, output, errors) =
            pipes().map_err(|_| Failed::NotStarted("its pipes cannot be waited for"))?;
        Ok(Self {
            input: (Some(input), &program.input),
            // One byte more than it may write shows that it wrote more.
            output: Collected::new(output, program.output_limit.saturating_add(1)),
            errors: Collected::new(errors, program.error_limit),
            limit: program.output_limit,
        })
    }

    /// Goes on until the child has ended; what it wrote before that is in the pipes, and is read to
    /// the last byte. Who else holds the pipes is not waited for.
    pub(super) async fn until(&mut self, ended: impl Future<Output = Option<Status>>) -> Result<Ran, Failed> {
        let Self { input, output, errors, limit } = self;
        let status = {
            let aside = async {
                tokio::join!(feed(input.0.take(), input.1), async { while errors.more().await {} });
                // It has read everything and says nothing more.
                std::future::pending().await
            };
            let too_much = async {
                while output.more().await {
                    if output.bytes.len() > *limit {
                        return;
                    }
                }
                // It has closed its output, and may go on.
                std::future::pending().await
            };
            tokio::select! {
                status = ended => status,
                () = too_much => return Err(Failed::TooMuchOutput(*limit)),
                () = aside => None,
            }
        };
        let status = status.ok_or(Failed::NotStarted("we are about to end"))?;
        output.rest();
        errors.rest();
        if output.bytes.len() > *limit {
            return Err(Failed::TooMuchOutput(*limit));
        }
        Ok(Ran { status, output: output.take(), errors: errors.take() })
    }
}

/// Writes all of it, then closes. A program that does not care to read is no failure.
async fn feed(pipe: Option<Sender>, input: &SecretBytes) {
    if let Some(mut pipe) = pipe {
        let _ = pipe.write_all(input.expose()).await;
    }
}

/// The beginning of what comes out of a pipe. What follows is read and dropped, so that nobody is held up by a
/// full pipe.
struct Collected {
    pipe: Receiver,
    bytes: Zeroizing<Vec<u8>>,
    most: usize,
    chunk: Zeroizing<Vec<u8>>,
}

impl Collected {
    fn new(pipe: Receiver, most: usize) -> Self {
        Self { pipe, bytes: Zeroizing::default(), most, chunk: Zeroizing::new(vec![0; CHUNK]) }
    }

    /// Waits for more; false at the pipe's end. May be dropped at any time: nothing is lost.
    async fn more(&mut self) -> bool {
        if self.pipe.readable().await.is_err() {
            return false;
        }
        match self.pipe.try_read(&mut self.chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.keep(count);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Reads what is in the pipe now, past what the runtime knows of it.
    fn rest(&mut self) {
        loop {
            match rustix::io::read(self.pipe.as_fd(), &mut self.chunk[..]) {
                Err(Errno::INTR) => {}
                // Nothing now, or nothing any more.
                Ok(0) | Err(_) => return,
                Ok(count) => self.keep(count),
            }
        }
    }

    fn keep(&mut self, count: usize) {
        let room = self.most.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&self.chunk[..count.min(room)]);
    }

    fn take(&mut self) -> SecretBytes {
        SecretBytes::new(std::mem::take(&mut *self.bytes))
    }
}
