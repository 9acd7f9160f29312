//! What the program finds in its environment: nothing of ours but what is named here.

use std::collections::BTreeMap;

use leasehold_core::{Environment, Problem};

use crate::protocol::Connection;

/// Of ours, where they are set.
const ALWAYS: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Where programs are, where we do not know.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As different programs read them.
const PROXIES: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// What stands in every environment, and is no value to keep out of a log.
pub(crate) const PLAIN: [&str; 4] = ["PATH", "HOME", "LANG", "SSL_CERT_FILE"];

/// The environment of the program. What is written in the configuration comes last, and wins.
pub(crate) fn of_the_program(
    written: BTreeMap<String, String>,
    pass: &[String],
    connection: &Connection,
    ours: &Environment,
    problems: &mut Vec<Problem>,
) -> Environment {
    let mut given = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    let mut take = |name: &str| {
        if let Some(value) = ours.value(name) {
            given.insert(name.to_owned(), value.to_owned());
        }
    };
    ALWAYS.iter().for_each(|name| take(name));
    if connection.proxy.is_none() {
        PROXIES.iter().for_each(|name| take(name));
    }
    for (at, name) in pass.iter().enumerate() {
        match is_name(name) {
            true => take(name),
            false => problems.push(Problem::new(format!("pass[{at}]"), NO_NAME)),
        }
    }
    if let Some(url) = connection.proxy.as_ref().filter(|proxy| *proxy != "none") {
        for name in &PROXIES[..4] {
            given.insert((*name).to_owned(), url.clone());
        }
    }
    if let Some(file) = &connection.ca_file {
        given.insert("SSL_CERT_FILE".to_owned(), file.display().to_string());
    }
    for (name, value) in written {
        if !is_name(&name) {
            problems.push(Problem::new("environment", format!("a key {NO_NAME}")));
        } else if value.contains('\0') {
            problems.push(Problem::new(format!("environment.{name}"), "holds a NUL byte"));
        } else {
            given.insert(name, value);
        }
    }
    Environment::new(given)
}

const NO_NAME: &str = "is no name of a variable: letters, digits and `_`, and no digit at its begin";

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
