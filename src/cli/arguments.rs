//! The command line as types; their comments are the help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Short-lived secrets beside your application: fetched, renewed, rotated, announced, revoked.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, max_term_width = 100, after_help = EXITS)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXITS: &str = "\
Exit codes:
  0   done
  2   usage
  66  a required secret does not exist
  70  a fault of leasehold itself
  73  the output cannot be written, or another process owns it
  75  the store was unreachable until the deadline (or throttled us, or answered nonsense)
  77  the store denied us
  78  the configuration, or a request that it makes, is wrong";

/// What there is to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetch the first set of secrets, then renew and rotate until SIGTERM (a sidecar).
    Run {
        #[command(flatten)]
        files: Files,
    },
    /// Fetch one set of secrets, leave everything to a following `run`, and exit (an init container).
    Init {
        #[command(flatten)]
        files: Files,
    },
    /// Develop with the configuration of production: made-up secrets, in a directory for once.
    ///
    /// Every provider is replaced by a mock inside the process; files, state and sockets go below a
    /// fresh directory in memory, which is gone at the end. Neither a store nor root is needed.
    Dev {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        ways: Ways,
    },
    /// Say everything that is wrong with the configuration; with `--online`, ask the stores, too.
    ///
    /// `--online` logs in, reads static secrets, asks what we may do for the leased ones, prints the
    /// policy that is missing, and revokes its own session. It mints, unwraps and writes nothing.
    Check {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        online: Online,
    },
    /// Show what a running instance holds, how old it is and until when; never a value.
    Status {
        #[command(flatten)]
        files: Files,
        /// Show it again every second.
        #[arg(long)]
        watch: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have a running instance rotate secrets now.
    Refresh {
        #[command(flatten)]
        files: Files,
        /// Names of secrets; all of them where none is given.
        #[arg(value_name = "SECRET")]
        secrets: Vec<String>,
    },
    /// Ask whether a running instance is live or ready: for exec probes and hooks.
    Probe {
        #[command(flatten)]
        files: Files,
        /// What to ask.
        #[arg(value_name = "WHAT")]
        what: What,
        /// Ask again until the answer is yes, for at most this long.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        wait: Option<Duration>,
    },
    /// Tell a running instance that the application uses a generation.
    Ack {
        #[command(flatten)]
        files: Files,
        /// Its number; the newest where none is given.
        #[arg(value_parser = generation)]
        generation: Option<u64>,
        /// Who acknowledges, where several have to.
        #[arg(long)]
        name: Option<String>,
    },
    /// Tell a running instance that the application was refused with a secret.
    Stale {
        #[command(flatten)]
        files: Files,
        /// The secret's name.
        secret: String,
    },
    /// Say which version this is; with `--verbose`, what this build holds.
    Version {
        /// Types of providers, features, cryptography and target.
        #[arg(long)]
        verbose: bool,
    },
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Print a script that completes arguments.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// How one develops.
#[derive(Args, Debug)]
pub(super) struct Ways {
    /// A YAML or JSON file, read again when it changes: secret name or path → its fields. What it
    /// does not name is made up.
    #[arg(long, value_name = "FILE")]
    pub(super) values: Option<PathBuf>,
    /// Let time run faster, such as 60x, with TTLs of hours as in production. Default: as it runs,
    /// with TTLs of seconds.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) speed: Option<u32>,
    /// Play outages, denials, throttling and lost leases; the same number brings the same.
    #[arg(long, value_name = "SEED")]
    pub(super) chaos: Option<u64>,
    /// Run the actions of `on_change`, which are only named otherwise.
    #[arg(long)]
    pub(super) actions: bool,
    /// Show the log as in production, too.
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// How far `check` goes.
#[derive(Args, Debug)]
pub(super) struct Online {
    /// Ask the stores.
    #[arg(long)]
    pub(super) online: bool,
    /// Mint the leased secrets, too, and give them back.
    #[arg(long, requires = "online")]
    pub(super) mint: bool,
    /// Log in as the holder of the token in this file (methods kubernetes and jwt).
    #[arg(long, value_name = "FILE", requires = "online")]
    pub(super) jwt: Option<PathBuf>,
}

/// Which configuration.
#[derive(Args, Debug)]
pub(super) struct Files {
    /// A configuration file; may be repeated, then the files are merged. Default: what
    /// LEASEHOLD_CONFIG names, else ./leasehold.yaml, else /etc/leasehold/leasehold.yaml.
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Does it turn over?
    Live,
    /// May the application count on its files?
    Ready,
}

fn generation(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "expected the number of a generation, as `status` shows it")
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a duration with its unit, such as 30s, 5m or 1h".to_owned())
}

fn rate(text: &str) -> Result<u32, &'static str> {
    let number = text.strip_suffix('x').unwrap_or(text);
    let rate = number.parse().ok().filter(|rate| (1..=3_600).contains(rate));
    rate.ok_or("expected how much faster time runs, from 1x to 3600x")
}
