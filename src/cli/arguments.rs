//! The command line as types; their comments are the help texts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
#[cfg(feature = "completions")]
use clap_complete::Shell;

use crate::config::flags::{Flags, Form, SecretFlag, TemplateFlag};
use crate::drill;
#[cfg(feature = "explain")]
use crate::explain::TermFlag;

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
  78  the configuration, or a request that it makes, is wrong
  exec ends as its command does: its code, 128+N where signal N ended it";

/// What there is to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetch the first set of secrets, then renew and rotate until SIGTERM (a sidecar).
    Run {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        inline: Inline,
    },
    /// Fetch one set of secrets, leave everything to a following `run`, and exit (an init container).
    Init {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        inline: Inline,
    },
    /// Fetch the first set of secrets, then run a command with it; renew and rotate until it ends.
    ///
    /// The command gets `env` of the configuration, LEASEHOLD_DIR, and our environment less what is
    /// secret; and our signals, standard input and output, and terminal. It is restarted or signalled
    /// when what it was given changes (`exec` in the configuration). We end as it does: with its exit
    /// code, 128+N where signal N ended it, 127 where it is not there and 126 where it may not be run.
    Exec {
        #[command(flatten)]
        files: Files,
        /// The command and its arguments, after `--`.
        #[arg(value_name = "CMD", last = true, required_unless_present = "print_config")]
        command: Vec<OsString>,
        // Last: its heading is that of all that follow.
        #[command(flatten)]
        inline: Inline,
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
        /// A command to run as `exec` does, after `--`; without one, until Ctrl-C.
        #[arg(value_name = "CMD", last = true)]
        command: Vec<OsString>,
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
        // Last: its heading is that of all that follow.
        #[command(flatten)]
        inline: Inline,
    },
    /// Say what the configuration means: what is fetched as whom, when it renews, what it needs.
    ///
    /// In words, with a time line for each leased secret and the smallest policy for each provider.
    /// Nothing is contacted and no credential is read: a TTL that only the store knows is assumed.
    #[cfg(feature = "explain")]
    Explain {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        assumed: Assumed,
        // Last: its heading is that of all that follow.
        #[command(flatten)]
        inline: Inline,
    },
    #[cfg(not(feature = "explain"))]
    #[command(hide = true)]
    Explain(LeftOut),
    /// Show what a running instance holds, how old it is and until when; never a value.
    Status {
        #[command(flatten)]
        instance: Instance,
        /// Show it again every second.
        #[arg(long)]
        watch: bool,
        /// As one JSON object; with `--watch` as one line of JSON each second.
        #[arg(long)]
        json: bool,
    },
    /// Have a running instance rotate secrets now.
    Refresh {
        #[command(flatten)]
        instance: Instance,
        /// Names of secrets; all of them where none is given.
        #[arg(value_name = "SECRET")]
        secrets: Vec<String>,
    },
    /// Ask whether a running instance is live or ready: for exec probes and hooks.
    Probe {
        #[command(flatten)]
        instance: Instance,
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
        instance: Instance,
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
        instance: Instance,
        /// The secret's name.
        secret: String,
    },
    /// Have the next SIGTERM leave everything to a successor: nothing is revoked at that end.
    ///
    /// For an image of a sidecar that is changed in a live pod, or a binary under a service manager.
    /// Refused where a successor could not take over, for want of a hand-over.
    Handover {
        #[command(flatten)]
        instance: Instance,
        /// Take it back: the next SIGTERM revokes, as it did before.
        #[arg(long)]
        cancel: bool,
    },
    /// Copy this binary to DIR/leasehold and print that path, for the exec wrapper in a pod.
    ///
    /// Nothing is written where the same binary is there already. No configuration is read.
    Install {
        /// A directory that is there.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Play a failure in a running instance, to see what the application does (`admin.drills: true`).
    Drill {
        #[command(flatten)]
        instance: Instance,
        /// How long it lasts: 1s to 1h, by default 1m. A rotation lasts no time.
        #[arg(long = "for", value_name = "DURATION", value_parser = lasting, global = true)]
        lasts: Option<Duration>,
        #[command(subcommand)]
        drill: Drill,
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
    #[cfg(feature = "completions")]
    Completions {
        /// For which shell.
        shell: Shell,
    },
    #[cfg(not(feature = "completions"))]
    #[command(hide = true)]
    Completions(LeftOut),
}

/// A command that this build does not have, however it is called.
#[cfg(not(all(feature = "completions", feature = "explain")))]
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(super) struct LeftOut {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<OsString>,
}

/// What is played.
#[derive(Debug, Subcommand)]
pub(super) enum Drill {
    /// The provider of the secret cannot be reached.
    Outage {
        /// The secret's name.
        secret: String,
    },
    /// The store denies the secret.
    Deny {
        /// The secret's name.
        secret: String,
    },
    /// The secret gets a new value, as by `refresh`.
    Rotate {
        /// The secret's name.
        secret: String,
    },
    /// The store has lost the secret's lease.
    Expire {
        /// The secret's name.
        secret: String,
    },
    /// End the drill that is played.
    Stop,
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
    #[arg(long, value_name = "SEED", value_parser = seed)]
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

/// What no store was asked for.
#[cfg(feature = "explain")]
#[derive(Args, Debug)]
pub(super) struct Assumed {
    /// The TTL that is granted: for every secret, for one secret, or for the session of a provider; may
    /// be repeated. Default: what the settings say, else 1h.
    #[arg(long, value_name = "[NAME=]LENGTH", value_parser = TermFlag::parse)]
    pub(super) ttl: Vec<TermFlag>,
    /// How long renewals can stretch it, likewise. Default: what the settings say, else 24h.
    #[arg(long, value_name = "[NAME=]LENGTH", value_parser = TermFlag::parse)]
    pub(super) max_ttl: Vec<TermFlag>,
    /// Print the policy for this provider, and nothing else.
    #[arg(long, value_name = "PROVIDER")]
    pub(super) policy: Option<String>,
}

/// Which configuration.
#[derive(Args, Debug)]
pub(super) struct Files {
    /// A configuration file; may be repeated, then the files are merged. Default: what
    /// LEASEHOLD_CONFIG names, else ./leasehold.yaml, else /etc/leasehold/leasehold.yaml.
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Vec<PathBuf>,
}

/// What stands for a configuration file, or goes beside one.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Without a file")]
pub(super) struct Inline {
    /// A secret; may be repeated. PROVIDER is vault, aws, aws-parameter-store, gcp or azure, set by its
    /// usual environment variables, or a provider that a file of `-c` defines.
    #[arg(long = "secret", value_name = "NAME=PROVIDER:PATH", value_parser = SecretFlag::parse)]
    pub(super) secrets: Vec<SecretFlag>,
    /// A variable of the command's environment, such as 'PGUSER={{ db.username }}'; may be repeated.
    #[arg(long = "env", value_name = "NAME=TEMPLATE", value_parser = TemplateFlag::parse)]
    pub(super) env: Vec<TemplateFlag>,
    /// A file in the output directory; may be repeated.
    #[arg(long = "file", value_name = "NAME=TEMPLATE", value_parser = TemplateFlag::parse)]
    pub(super) written: Vec<TemplateFlag>,
    /// The output directory.
    #[arg(long, value_name = "DIR")]
    pub(super) directory: Option<String>,
    /// Print the file that these flags stand for, and do nothing else.
    #[arg(long)]
    pub(super) print_config: bool,
}

impl Inline {
    /// The flags, for a command that makes this of them.
    pub(super) fn flags(self, form: Form) -> Flags {
        let Self { secrets, env, written, directory, print_config: _ } = self;
        Flags { secrets, env, files: written, directory, form }
    }
}

/// Which running instance.
#[derive(Args, Debug)]
pub(super) struct Instance {
    /// The configuration file of the running instance; may be repeated. Default: as for `run`.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(super) config: Vec<PathBuf>,
    /// The socket to ask instead of the one that a configuration file names: for `ack` and `stale`
    /// `..ack.sock` in the output directory, for all else that of `admin.listen`.
    #[arg(long, value_name = "PATH", conflicts_with = "config", value_parser = socket, global = true)]
    pub(super) socket: Option<PathBuf>,
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

/// Of a drill.
fn lasting(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    let possible = length.subsec_nanos() == 0 && !length.is_zero() && length <= drill::LONGEST;
    possible.then_some(length).ok_or_else(|| "a drill lasts whole seconds, 1s to 1h".to_owned())
}

/// As in a configuration, or without its `unix:`.
fn socket(text: &str) -> Result<PathBuf, &'static str> {
    match text.strip_prefix("unix:").unwrap_or(text) {
        "" => Err("expected the path of a socket, such as /run/leasehold/admin.sock"),
        path => Ok(PathBuf::from(path)),
    }
}

fn seed(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "expected a whole number, such as 7")
}

fn rate(text: &str) -> Result<u32, &'static str> {
    let number = text.strip_suffix('x').unwrap_or(text);
    let rate = number.parse().ok().filter(|rate| (1..=3_600).contains(rate));
    rate.ok_or("expected how much faster time runs, from 1x to 3600x")
}
