//! The configuration as written: its keys, their types, and the words for them that the JSON
//! Schema carries. The schema of these types is what a file is checked against, so a key that is
//! missing here is an unknown key.
//!
//! Everything is optional to serde, because what is wrong has been taken out (and reported) by
//! then; what a person has to write is `required` in the schema.

use std::collections::BTreeMap;

use leasehold_http::RawTls;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Configuration of leasehold.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// The version of this format.
    #[serde(rename = "version")]
    #[schemars(extend("enum" = [1]))]
    pub(super) _version: Option<u32>,
    /// Named connections to secret stores.
    #[schemars(required)]
    pub(super) providers: Option<BTreeMap<String, Map<String, Value>>>,
    /// What is fetched, by name: `[a-z][a-z0-9_]*`.
    #[schemars(required)]
    pub(super) secrets: Option<BTreeMap<String, Secret>>,
    /// What is written, by file name relative to `output.directory`. Left out: every field of
    /// every secret, at SECRET/FIELD. `{}`: nothing, and no directory.
    pub(super) files: Option<BTreeMap<String, File>>,
    /// For `exec` and `dev`: environment of the command, name → template.
    pub(super) env: Option<BTreeMap<String, String>>,
    /// For `exec` and `dev`: what happens to the command on a change.
    pub(super) exec: Option<Exec>,
    /// Where the files go.
    pub(super) output: Option<Output>,
    /// Whom to tell about a change.
    pub(super) on_change: Option<Vec<Action>>,
    /// What a new generation is tried with before it is published: `command` or `http`.
    pub(super) verify: Option<Verify>,
    /// How leases and the process live.
    pub(super) lifecycle: Option<Lifecycle>,
    /// Ceilings.
    pub(super) limits: Option<Limits>,
    /// The socket of `status` and `refresh`.
    pub(super) admin: Option<Admin>,
    /// The port of `/livez`, `/readyz` and `/metrics`.
    pub(super) telemetry: Option<Telemetry>,
    /// What is logged, and how.
    pub(super) log: Option<Log>,
}

/// One thing that is fetched.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    /// The name of a provider.
    #[schemars(required)]
    pub(super) provider: Option<String>,
    /// Where it is in the store: a Vault path, a secret's name, an ARN.
    #[schemars(required)]
    pub(super) path: Option<String>,
    /// What is written to get it. Left out, the path is read.
    pub(super) data: Option<Map<String, Value>>,
    /// How often a secret that neither dies nor announces a change is read again.
    #[schemars(extend("default" = "5m"))]
    pub(super) refresh: Option<Length>,
    /// Whether the set is incomplete without it.
    #[schemars(extend("default" = true))]
    pub(super) required: Option<bool>,
    /// A pinned version.
    pub(super) version: Option<Version>,
    /// A version stage, such as AWSCURRENT.
    pub(super) stage: Option<String>,
    /// Picks one value inside the secret.
    pub(super) key: Option<String>,
    /// The namespace it lives in, where that is not the provider's.
    pub(super) namespace: Option<String>,
    /// The least time that an old lease outlives the announcement of its successor.
    pub(super) overlap: Option<LengthOrAuto>,
    /// What happens to its files when it has expired.
    pub(super) on_expiry: Option<OnExpiry>,
    /// Revoke a certificate when it is replaced, and at the end.
    #[schemars(extend("default" = false))]
    pub(super) revoke: Option<bool>,
    /// How often the store is asked whether the lease still lives. Left out: never.
    pub(super) lookup: Option<Length>,
    /// How long a new credential takes to be known everywhere: so long it is not tried by `verify`, nor
    /// published.
    #[schemars(extend("default" = "0s"))]
    pub(super) settle: Option<Length>,
    /// The kind of a key that is made here for each fetch; its certificate request goes to the store in `data.csr`.
    pub(super) generate_key: Option<KeyKind>,
}

/// A kind of key.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) enum KeyKind {
    #[serde(rename = "ec-p256")]
    EcP256,
    #[serde(rename = "ec-p384")]
    EcP384,
    #[serde(rename = "ed25519")]
    Ed25519,
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    #[serde(rename = "rsa-4096")]
    Rsa4096,
}

/// One file: a `template`, a `template_file`, a `secret` with a `field` or a `format`, or a `session`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// A template: `{{ db.username }}`, `{{ db["my-key"] }}`.
    pub(super) template: Option<String>,
    /// The path of a file that holds the template; a relative one begins where this file is.
    pub(super) template_file: Option<String>,
    /// The name of a secret.
    pub(super) secret: Option<String>,
    /// One field of it, byte by byte.
    pub(super) field: Option<String>,
    /// How the field's text encodes what is written; left out: it is written as it is.
    pub(super) decode: Option<Decode>,
    /// All its fields, in a format; or a keystore, made of its certificate and key.
    pub(super) format: Option<Format>,
    /// Of a keystore: its password, as a template.
    pub(super) password: Option<String>,
    /// Of a keystore: the name of its entry. Left out: the secret's name.
    pub(super) alias: Option<String>,
    /// Of a keystore: the private key with its certificates, or the authorities to be trusted.
    #[schemars(extend("default" = "key"))]
    pub(super) entries: Option<Entries>,
    /// The name of a provider: the session (the token) that leasehold itself uses there.
    pub(super) session: Option<String>,
    /// Permission bits, where they differ from `output.mode`.
    pub(super) mode: Option<Mode>,
    /// Owner, where it differs from `output.owner`.
    pub(super) owner: Option<Account>,
    /// Group, where it differs from `output.group`.
    pub(super) group: Option<Account>,
}

/// An encoding of bytes as text.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Decode {
    Base64,
}

/// A file format.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Format {
    Json,
    Yaml,
    Toml,
    Env,
    Properties,
    Pkcs12,
    Jks,
}

/// What is in a keystore.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Entries {
    Key,
    Trust,
}

/// What happens to the command on a change.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Exec {
    /// Left out: `restart` when the bytes of `env` change, else `none`.
    pub(super) on_change: Option<ExecChange>,
    /// What `on_change: signal` sends.
    #[schemars(extend("default" = "HUP"))]
    pub(super) signal: Option<Signal>,
    /// How long `/readyz` is false before a restart.
    #[schemars(extend("default" = "0s"))]
    pub(super) drain: Option<Length>,
    /// From SIGTERM to SIGKILL.
    #[schemars(extend("default" = "10s"))]
    pub(super) grace: Option<Length>,
    /// How restarts of replicas are spread.
    #[schemars(extend("default" = "auto"))]
    pub(super) splay: Option<LengthOrAuto>,
    /// When the command ends with a failure: `keep` leaves all to the next start, `revoke` takes it back.
    #[schemars(extend("default" = "keep"))]
    pub(super) on_crash: Option<OnCrash>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum OnCrash {
    Keep,
    Revoke,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum ExecChange {
    Restart,
    Signal,
    None,
}

/// Where the files go.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Output {
    /// A directory of our own, made inside the mounted volume.
    #[schemars(extend("default" = "/run/secrets/leasehold/live"))]
    pub(super) directory: Option<String>,
    /// Permission bits of files.
    #[schemars(extend("default" = "0440"))]
    pub(super) mode: Option<Mode>,
    /// Owner of files and directories; ours where left out.
    pub(super) owner: Option<Account>,
    /// Group of files and directories; inherited from a setgid directory where left out.
    pub(super) group: Option<Account>,
    /// What the directory has to stand on.
    #[schemars(extend("default" = true))]
    pub(super) require_tmpfs: Option<RequireTmpfs>,
}

/// One way to tell the application: `signal` with `process` or `pid_file`, `command`, or `http`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    /// What it is called in the log, in metrics, in `status` and in `lifecycle.acknowledge.from`.
    pub(super) name: Option<String>,
    /// A signal to a process in a shared PID namespace.
    pub(super) signal: Option<Signal>,
    /// To whom, by name.
    pub(super) process: Option<String>,
    /// To whom, by the pid in a file.
    pub(super) pid_file: Option<String>,
    /// A program and its arguments, run in leasehold's own container.
    pub(super) command: Option<Vec<String>>,
    /// What the command finds in its environment, beside PATH and LEASEHOLD_….
    pub(super) environment: Option<BTreeMap<String, String>>,
    /// A request.
    pub(super) http: Option<Http>,
    /// Only when one of these files changed.
    pub(super) files: Option<Vec<String>>,
    /// Wait until nothing changed for this long, ten times as long at most.
    #[schemars(extend("default" = "0s"))]
    pub(super) debounce: Option<Length>,
    /// How long one try may take.
    #[schemars(extend("default" = "10s"))]
    pub(super) timeout: Option<Length>,
    /// How often it is tried again.
    #[schemars(extend("default" = 3, "maximum" = 10))]
    pub(super) retries: Option<u32>,
}

/// What a new generation is tried with before it is published: `command` or `http`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    /// A program and its arguments, run in leasehold's own container. 0: the generation is good. 75: it
    /// could not tell. Anything else: it is refused.
    pub(super) command: Option<Vec<String>>,
    /// What the command finds in its environment, beside PATH and LEASEHOLD_….
    pub(super) environment: Option<BTreeMap<String, String>>,
    /// A request. An expected status: the generation is good. Any other: it is refused.
    pub(super) http: Option<Http>,
    /// How long one try may take.
    #[schemars(extend("default" = "30s"))]
    pub(super) timeout: Option<Length>,
    /// What becomes of a generation that is still refused when the old one is about to end: `keep` leaves
    /// the old one, `publish` publishes it all the same.
    #[schemars(extend("default" = "keep"))]
    pub(super) on_failure: Option<OnFailure>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum OnFailure {
    Keep,
    Publish,
}

/// A request. No redirect is followed, no proxy used.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    /// Where to: `http://` or `https://`.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// The method.
    #[schemars(extend("default" = "POST"))]
    pub(super) method: Option<String>,
    /// What is sent along, by name.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// What is sent along.
    pub(super) body: Option<String>,
    /// The statuses that mean success; any 2xx where left out.
    pub(super) expect: Option<Vec<u32>>,
    /// A unix socket to connect to instead of the URL's host.
    pub(super) socket: Option<String>,
    /// TLS of the connection.
    pub(super) tls: Option<RawTls>,
}

/// How leases and the process live.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lifecycle {
    /// Bounds passing errors until the first whole set.
    #[schemars(extend("default" = "5m"))]
    pub(super) startup_deadline: Option<Length>,
    /// The least time that an old lease outlives the announcement of its successor. `auto`: a
    /// fifth of the granted TTL, at most 1h.
    #[schemars(extend("default" = "auto"))]
    pub(super) overlap: Option<LengthOrAuto>,
    /// Whether an old lease waits for the application's word.
    #[schemars(extend("default" = "auto"))]
    pub(super) acknowledge: Option<Acknowledge>,
    /// Whether leases and sessions are revoked at the end.
    #[schemars(extend("default" = true))]
    pub(super) revoke_on_shutdown: Option<bool>,
    /// From SIGTERM to the revocation.
    #[schemars(extend("default" = "20s"))]
    pub(super) revoke_delay: Option<Length>,
    /// Bounds the revocation.
    #[schemars(extend("default" = "5s"))]
    pub(super) revoke_timeout: Option<Length>,
    /// The process whose end is ours, in a shared PID namespace.
    #[schemars(extend("default" = null))]
    pub(super) application: Option<Application>,
    /// What happens to files whose secret has expired.
    #[schemars(extend("default" = "keep"))]
    pub(super) on_expiry: Option<OnExpiry>,
    /// A lease that the store has lost is replaced within this time, at random.
    #[schemars(extend("default" = "10s"))]
    pub(super) heal_splay: Option<Length>,
    /// Whether a changed file or SIGHUP reloads.
    #[schemars(extend("default" = "auto"))]
    pub(super) reload: Option<Reload>,
    /// Where the hand-over is kept: on tmpfs, not mounted into the application. `off`: there is none.
    #[schemars(extend("default" = "/run/leasehold"))]
    pub(super) state_directory: Option<String>,
}

/// The process whose end is ours.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Application {
    /// Its name.
    #[schemars(required)]
    pub(super) process: Option<String>,
}

/// Whether, and by whom, a generation has to be acknowledged.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Acknowledge {
    Word(AcknowledgeWord),
    From(AcknowledgeFrom),
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum AcknowledgeWord {
    Auto,
    Required,
    None,
}

/// Who has to acknowledge, all of them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a mapping with the key \"from\"")]
pub(super) struct AcknowledgeFrom {
    /// The names of actions, and of those who post to `..ack.sock`.
    #[schemars(required)]
    pub(super) from: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum OnExpiry {
    Keep,
    Delete,
    Exit,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Reload {
    Auto,
    Signal,
    Off,
}

/// Ceilings.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Mints in 60 s, per secret; raised to twice what its life needs.
    #[schemars(extend("default" = 6, "minimum" = 1, "maximum" = 6000))]
    pub(super) mints_per_minute: Option<u32>,
}

/// The socket of `status` and `refresh`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// `unix:/path`, or `off`.
    #[schemars(extend("default" = "unix:/run/leasehold/admin.sock"))]
    pub(super) listen: Option<String>,
    /// Who may connect: `own` (root too) and numbers.
    #[schemars(extend("default" = ["own"]))]
    pub(super) uids: Option<Vec<Uid>>,
    /// Whether failures may be played in a running instance.
    #[schemars(extend("default" = false))]
    pub(super) drills: Option<bool>,
}

/// The port of `/livez`, `/readyz` and `/metrics`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Telemetry {
    /// An IP address and a port, or `off`.
    #[schemars(extend("default" = "127.0.0.1:9441"))]
    pub(super) listen: Option<String>,
}

/// What is logged, and how.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    /// The least important level that is shown.
    #[schemars(extend("default" = "info"))]
    pub(super) level: Option<LogLevel>,
    /// Lines for people, or JSON for machines.
    #[schemars(extend("default" = "text"))]
    pub(super) format: Option<LogFormat>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(super) enum Signal {
    Hup,
    Int,
    Quit,
    Term,
    Usr1,
    Usr2,
    Winch,
}

/// A scalar whose text is looked at later. Its schema's `title` says what is expected; the words
/// go into the report.
macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $schema:tt) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(transparent)]
        pub(super) struct $name(pub(super) $inner);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

scalar!(
    /// A length of time.
    Length,
    String,
    {
        "type": "string",
        "title": "a duration with its unit, such as \"30s\", \"5m\" or \"24h\"",
        "pattern": r"^(([0-9]+ ?[a-z]+ ?)+|.*\$\{.*)$"
    }
);

scalar!(
    /// A length of time, or what is right for the case.
    LengthOrAuto,
    String,
    {
        "type": "string",
        "title": "\"auto\", or a duration with its unit, such as \"30s\", \"5m\" or \"24h\"",
        "pattern": r"^(auto|([0-9]+ ?[a-z]+ ?)+|.*\$\{.*)$"
    }
);

scalar!(
    /// Permission bits.
    Mode,
    String,
    {
        "type": "string",
        "title": "four octal digits in quotes, such as \"0440\"",
        "pattern": r"^(0[0-7]{3}|.*\$\{.*)$"
    }
);

scalar!(
    /// A user or a group.
    Account,
    Value,
    { "type": ["string", "integer"], "title": "a number, or a name", "minimum": 0, "maximum": 4294967294u32 }
);

scalar!(
    /// A pinned version.
    Version,
    Value,
    { "type": ["string", "integer"], "title": "a version: a number, or text", "minimum": 0 }
);

scalar!(
    /// Whether the output has to be on tmpfs.
    RequireTmpfs,
    Value,
    { "enum": [true, "strict", false] }
);

scalar!(
    /// Who may use the admin socket.
    Uid,
    Value,
    { "type": ["string", "integer"], "title": "\"own\", or a number", "minimum": 0, "maximum": 4294967294u32 }
);
