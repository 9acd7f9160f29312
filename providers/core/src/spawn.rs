use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::secret::SecretBytes;

/// Starts programs, for whoever needs one. Umask, limits and signals are put back as the process
/// found them, the environment is the one given and nothing else, and the program's whole process
/// group ends with it.
#[async_trait]
pub trait Spawn: Send + Sync {
    /// Runs a program to its end. Dropped meanwhile, out of time or over its limit: its process group is
    /// killed. What it started and left behind in its group ends with it.
    async fn run(&self, program: Program) -> Result<Ran, Failed>;
}

/// Starts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSpawn;

#[async_trait]
impl Spawn for NoSpawn {
    async fn run(&self, _: Program) -> Result<Ran, Failed> {
        Err(Failed::NotStarted("no program is started here"))
    }
}

/// A program to run once.
#[derive(Debug)]
pub struct Program {
    /// The program and its arguments, without a shell. Without a slash it is looked for on `PATH`
    /// of `environment`.
    pub command: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, SecretBytes>,
    /// Where it runs, and from where a relative path of it counts; `None`: where we do.
    pub directory: Option<PathBuf>,
    /// What it reads on standard input, which then ends.
    pub input: SecretBytes,
    /// How long it may take.
    pub time_limit: Duration,
    /// The most that it may write on standard output.
    pub output_limit: usize,
    /// How much of standard error is kept: its beginning; the rest is read and dropped.
    pub error_limit: usize,
}

/// A program that ended by itself.
#[derive(Debug)]
pub struct Ran {
    /// How.
    pub status: Status,
    /// What it wrote on standard output.
    pub output: SecretBytes,
    /// The beginning of what it wrote on standard error. It may hold a value: nobody prints it
    /// before it was looked through.
    pub errors: SecretBytes,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// Why there is no [`Ran`]. Its text is for a person, and holds nothing that the program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// There is no such program.
    NotFound,
    /// It is there, and what its first line names, or its loader, is not.
    NoInterpreter,
    /// There is no such directory to run it in.
    NoDirectory,
    /// It may not be run by us, or is no program.
    NotExecutable,
    /// It could not be started: out of processes, memory or descriptors.
    NotStarted(&'static str),
    /// It took longer than this, and was killed.
    TimedOut(Duration),
    /// It wrote more than this on standard output, and was killed.
    TooMuchOutput(usize),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such program"),
            Self::NoInterpreter => f.write_str("what its first line (or its loader) names is not there"),
            Self::NoDirectory => f.write_str("there is no such directory to run it in"),
            Self::NotExecutable => f.write_str("it may not be run by us, or is no program"),
            Self::NotStarted(why) => write!(f, "it could not be started: {why}"),
            Self::TimedOut(limit) => write!(f, "it did not end within {limit:?} and was killed"),
            Self::TooMuchOutput(limit) => {
                write!(f, "it wrote more than {limit} bytes on standard output and was killed")
            }
        }
    }
}

impl std::error::Error for Failed {}
