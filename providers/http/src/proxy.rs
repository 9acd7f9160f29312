//! Which connections go through an HTTP proxy: none, all, or as the environment says.

use std::fmt;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use leasehold_core::{Environment, Problem};

/// The proxy of the configuration, resolved.
#[derive(Clone, Default)]
pub struct Proxy {
    matcher: Option<Arc<Matcher>>,
    /// What the matcher was made from: https, http, all, no. Two proxies are the same if this is.
    made_from: [String; 4],
    /// As Go and curl do under the environment's variables: a loopback address is never proxied.
    spare_loopback: bool,
    /// Entries of NO_PROXY that name a port, which the matcher does not know: for that port only.
    direct_at: Vec<(u16, Arc<Matcher>)>,
}

impl Proxy {
    /// `env` (also where nothing is said), `none`, or the URL of an HTTP proxy.
    ///
    /// # Errors
    /// What was written, or a variable of the environment, is no such URL.
    pub fn parse(raw: Option<&str>, environment: &Environment) -> Result<Self, Problem> {
        match raw {
            Some("none") => Ok(Self::default()),
            None | Some("env") => Self::from_environment(environment),
            Some(url) => {
                if !usable(url) {
                    return Err(Problem::new(
                        "proxy",
                        "is neither env, none nor the URL of an HTTP proxy, like http://proxy:3128",
                    ));
                }
                let all = url.to_owned();
                Ok(Self::new([String::new(), String::new(), all, String::new()], false))
            }
        }
    }

    fn from_environment(environment: &Environment) -> Result<Self, Problem> {
        let either = |upper: &str, lower: &str| environment.value(upper).or(environment.value(lower));
        let variables = [
            ("HTTPS_PROXY", either("HTTPS_PROXY", "https_proxy")),
            ("HTTP_PROXY", either("HTTP_PROXY", "http_proxy")),
            ("ALL_PROXY", either("ALL_PROXY", "all_proxy")),
        ];
        for (name, value) in variables {
            if value.is_some_and(|value| !usable(value)) {
                return Err(Problem::new(
                    "proxy",
                    format!(
                        "{name} of the environment is not the URL of an HTTP proxy (http://HOST:PORT): \
                         change it, or set proxy to none"
                    ),
                ));
            }
        }
        let [(_, https), (_, http), (_, all)] = variables;
        if https.or(http).or(all).is_none() {
            return Ok(Self::default());
        }
        let made_from = [https, http, all, either("NO_PROXY", "no_proxy")];
        Ok(Self::new(made_from.map(|value| value.unwrap_or_default().to_owned()), true))
    }

    fn new(made_from: [String; 4], spare_loopback: bool) -> Self {
        let [https, http, all, no] = made_from.clone();
        let matcher = Matcher::builder().https(https).http(http).all(all).no(no).build();
        let direct_at = made_from[3]
            .split(',')
            .filter_map(host_at_port)
            .map(|(port, matcher)| (port, Arc::new(matcher)))
            .collect();
        Self { matcher: Some(Arc::new(matcher)), made_from, spare_loopback, direct_at }
    }

    /// The proxy for this destination, if it goes through one.
    pub(crate) fn intercept(&self, destination: &http::Uri) -> Option<Intercept> {
        let matcher = self.matcher.as_ref()?;
        if self.spare_loopback && destination.host().is_some_and(is_loopback) {
            return None;
        }
        let port = destination.port_u16().or(match destination.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        });
        let direct = |(at, hosts): &(u16, Arc<Matcher>)| {
            // Such a matcher sends everything through but the host that it was made of.
            Some(*at) == port && hosts.intercept(destination).is_none()
        };
        if self.direct_at.iter().any(direct) {
            return None;
        }
        matcher.intercept(destination)
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.matcher.is_some() == other.matcher.is_some()
            && self.made_from == other.made_from
            && self.spare_loopback == other.spare_loopback
    }
}

impl Eq for Proxy {}

impl fmt::Debug for Proxy {
    /// A proxy's URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.matcher.is_some() { "Proxy(set)" } else { "Proxy(none)" })
    }
}

/// An HTTP proxy that is spoken to in the clear: `http://`, or no scheme at all.
fn usable(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| {
        uri.authority().is_some_and(|authority| !authority.host().is_empty())
            && uri.scheme_str().is_none_or(|scheme| scheme == "http")
    })
}

/// `host:port` or `[address]:port` of NO_PROXY.
fn host_at_port(entry: &str) -> Option<(u16, Matcher)> {
    let (host, port) = entry.trim().rsplit_once(':')?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.is_empty() || (bare == host && host.contains(':')) {
        return None;
    }
    let hosts = Matcher::builder().all("http://any".to_owned()).no(bare.to_owned()).build();
    Some((port.parse().ok()?, hosts))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn goes_through(proxy: &Proxy, destination: &str) -> Option<String> {
        let uri = destination.parse().unwrap();
        proxy.intercept(&uri).map(|via| via.uri().authority().unwrap().to_string())
    }

    #[test]
    fn no_proxy_of_the_environment_takes_domains_and_networks() {
        let proxy = Proxy::parse(
            None,
            &environment(&[
                ("HTTPS_PROXY", "http://proxy:3128"),
                ("NO_PROXY", "10.0.0.0/8, .svc,vault.local,one.example:8200,[fd00::1]:443,fd00::2"),
            ]),
        )
        .unwrap();
        assert_eq!(goes_through(&proxy, "https://vault.example:8200").as_deref(), Some("proxy:3128"));
        assert_eq!(goes_through(&proxy, "https://one.example:8201").as_deref(), Some("proxy:3128"));
        for direct in [
            "https://10.1.2.3:8200",
            "https://vault.team.svc:8200",
            "https://vault.local",
            "https://one.example:8200",
            "https://[fd00::1]",
            "https://[fd00::2]:8200",
            "https://127.0.0.1:8200",
            "https://localhost:8200",
            "http://vault.example:8200",
        ] {
            assert_eq!(goes_through(&proxy, direct), None, "{direct}");
        }
    }

    #[test]
    fn a_proxy_of_the_file_beats_the_environment_and_none_means_none() {
        let env = environment(&[("HTTPS_PROXY", "http://one:1"), ("NO_PROXY", "*")]);
        let file = Proxy::parse(Some("http://two:2"), &env).unwrap();
        assert_eq!(goes_through(&file, "https://vault:8200").as_deref(), Some("two:2"));
        assert_eq!(goes_through(&file, "http://127.0.0.1:8200").as_deref(), Some("two:2"));
        let none = Proxy::parse(Some("none"), &env).unwrap();
        assert_eq!(goes_through(&none, "https://vault:8200"), None);
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_a_problem_that_does_not_repeat_its_password() {
        for bad in ["socks5://user:canary@proxy:1080", "https://user:canary@proxy", "not a url canary"] {
            let problem = Proxy::parse(Some(bad), &Environment::default()).unwrap_err();
            assert_eq!(problem.key, "proxy");
            assert!(!problem.message.contains("canary"), "{}", problem.message);
            let env = environment(&[("HTTPS_PROXY", bad)]);
            let problem = Proxy::parse(Some("env"), &env).unwrap_err();
            assert!(problem.message.contains("HTTPS_PROXY"), "{}", problem.message);
            assert!(!problem.message.contains("canary"), "{}", problem.message);
        }
    }
}
