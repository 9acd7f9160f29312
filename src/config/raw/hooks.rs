//! What is run on a change, and before one.

use std::collections::BTreeMap;

use leasehold_http::RawTls;
use schemars::JsonSchema;
use serde::Deserialize;

use super::scalars::Length;

/// One way to tell the application: `signal` with `process` or `pid_file`, `command`, or `http`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Action {
    /// What it is called in the log, in metrics, in `status` and in `lifecycle.acknowledge.from`.
    pub(in crate::config) name: Option<String>,
    /// A signal to a process in a shared PID namespace.
    pub(in crate::config) signal: Option<Signal>,
    /// To whom, by name.
    pub(in crate::config) process: Option<String>,
    /// To whom, by the pid in a file.
    pub(in crate::config) pid_file: Option<String>,
    /// A program and its arguments, run in leasehold's own container.
    pub(in crate::config) command: Option<Vec<String>>,
    /// What the command finds in its environment, beside PATH and LEASEHOLD_….
    pub(in crate::config) environment: Option<BTreeMap<String, String>>,
    /// A request.
    pub(in crate::config) http: Option<Http>,
    /// Only when one of these files changed.
    pub(in crate::config) files: Option<Vec<String>>,
    /// Wait until nothing changed for this long, ten times as long at most.
    #[schemars(extend("default" = "0s"))]
    pub(in crate::config) debounce: Option<Length>,
    /// How long one try may take.
    #[schemars(extend("default" = "10s"))]
    pub(in crate::config) timeout: Option<Length>,
    /// How often it is tried again.
    #[schemars(extend("default" = 3, "maximum" = 10))]
    pub(in crate::config) retries: Option<u32>,
}

/// What a new generation is tried with before it is published: `command` or `http`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Verify {
    /// A program and its arguments, run in leasehold's own container. 0: the generation is good. 75: it
    /// could not tell. Anything else: it is refused.
    pub(in crate::config) command: Option<Vec<String>>,
    /// What the command finds in its environment, beside PATH and LEASEHOLD_….
    pub(in crate::config) environment: Option<BTreeMap<String, String>>,
    /// A request. An expected status: the generation is good. Any other: it is refused.
    pub(in crate::config) http: Option<Http>,
    /// How long one try may take.
    #[schemars(extend("default" = "30s"))]
    pub(in crate::config) timeout: Option<Length>,
    /// What becomes of a generation that is still refused when the old one is about to end: `keep` leaves
    /// the old one, `publish` publishes it all the same.
    #[schemars(extend("default" = "keep"))]
    pub(in crate::config) on_failure: Option<OnFailure>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum OnFailure {
    Keep,
    Publish,
}

/// A request. No redirect is followed, no proxy used.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Http {
    /// Where to: `http://` or `https://`.
    #[schemars(required)]
    pub(in crate::config) url: Option<String>,
    /// The method.
    #[schemars(extend("default" = "POST"))]
    pub(in crate::config) method: Option<String>,
    /// What is sent along, by name.
    pub(in crate::config) headers: Option<BTreeMap<String, String>>,
    /// What is sent along.
    pub(in crate::config) body: Option<String>,
    /// The statuses that mean success; any 2xx where left out.
    pub(in crate::config) expect: Option<Vec<u32>>,
    /// A unix socket to connect to instead of the URL's host.
    pub(in crate::config) socket: Option<String>,
    /// TLS of the connection.
    pub(in crate::config) tls: Option<RawTls>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(in crate::config) enum Signal {
    Hup,
    Int,
    Quit,
    Term,
    Usr1,
    Usr2,
    Winch,
}
