//! The store's address, and the hosts that it may send us on to.

use http::Uri;
use http::uri::PathAndQuery;
use leasehold_core::Problem;
use url::Url;

/// Scheme, host, port and a path in front of the API (a reverse proxy's).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `scheme://host:port`, without a path.
    root: String,
    /// The path in front of the API, without a slash at its end. Mostly empty.
    prefix: String,
    place: Place,
    redirect_to: Vec<(String, u16)>,
}

/// What makes two URLs the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    scheme: String,
    host: String,
    port: u16,
}

impl Address {
    /// Takes `address` and `redirect_to` of the configuration.
    pub(crate) fn parse(address: &str, redirect_to: &[String]) -> Result<Self, Vec<Problem>> {
        let bad = |why: &str| {
            vec![Problem::new("address", format!("{why}: an address looks like https://vault.example:8200"))]
        };
        let url = Url::parse(address.trim()).map_err(|_| bad("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("is neither http:// nor https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("holds a user or password, which belongs under auth"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("has something after a ? or #"));
        }
        let place = Place::of(&url).ok_or_else(|| bad("has no host"))?;
        let mut prefix = url.path().trim_end_matches('/').to_owned();
        if let Some(before) = prefix.strip_suffix("/v1") {
            prefix = before.to_owned();
        }
        let mut problems = Vec::new();
        let mut allowed = Vec::new();
        for (index, entry) in redirect_to.iter().enumerate() {
            match host_and_port(entry, &place) {
                Some(found) => allowed.push(found),
                None => problems.push(Problem::new(
                    format!("redirect_to[{index}]"),
                    "is not a host, like vault-1.example or vault-1.example:8200",
                )),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let root = format!("{}://{}:{}", place.scheme, place.host, place.port);
        Ok(Self { root, prefix, place, redirect_to: allowed })
    }

    /// `scheme://host:port`.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The whole address, as a person writes it.
    pub(crate) fn full(&self) -> String {
        format!("{}{}", self.root, self.prefix)
    }

    /// The hosts that a standby may send us on to.
    pub(crate) fn others(&self) -> Vec<String> {
        self.redirect_to.iter().map(|(host, port)| format!("{host}:{port}")).collect()
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_tls(&self) -> bool {
        self.place.scheme == "https"
    }

    /// Puts the path in front of the API's, where there is one.
    pub(crate) fn with_prefix(&self, uri: Uri) -> Result<Uri, http::Error> {
        if self.prefix.is_empty() {
            return Ok(uri);
        }
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let path = format!("{}{path}", self.prefix);
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path)?);
        Ok(Uri::from_parts(parts)?)
    }

    /// Where an answer's `Location` sends us: the URL if we may follow with a token, else the
    /// address to name to a person.
    pub(crate) fn redirect(&self, asked: &Uri, location: &str) -> Result<Uri, String> {
        let Some(target) = Url::parse(&asked.to_string()).ok().and_then(|url| url.join(location).ok()) else {
            return Err(String::new());
        };
        let Some(place) = Place::of(&target) else { return Err(String::new()) };
        let named = format!("{}://{}:{}", place.scheme, place.host, place.port);
        let same_scheme = place.scheme == self.place.scheme;
        let listed = self.redirect_to.contains(&(place.host.clone(), place.port));
        if same_scheme && (listed || place == self.place) {
            let mut bare = target;
            let _ = bare.set_username("");
            let _ = bare.set_password(None);
            bare.set_fragment(None);
            return bare.as_str().parse().map_err(|_| named);
        }
        Err(named)
    }
}

impl Place {
    fn of(url: &Url) -> Option<Self> {
        let host = url.host_str().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default()? })
    }
}

/// `host` or `host:port`; without a port it is that of the address.
fn host_and_port(entry: &str, place: &Place) -> Option<(String, u16)> {
    if entry.contains(['/', '@', '?', '#']) || entry.trim() != entry {
        return None;
    }
    // A port that is the scheme's default disappears in a parsed URL, so it is looked for before.
    let names_port = entry.rsplit_once(':').is_some_and(|(host, port)| {
        (!host.contains(':') || host.ends_with(']')) && port.parse::<u16>().is_ok()
    });
    let found = Place::of(&Url::parse(&format!("{}://{entry}", place.scheme)).ok()?)?;
    Some((found.host, if names_port { found.port } else { place.port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, redirect_to: &[&str]) -> Result<Address, Vec<Problem>> {
        let hosts: Vec<String> = redirect_to.iter().map(|host| (*host).to_owned()).collect();
        Address::parse(text, &hosts)
    }

    #[test]
    fn a_token_follows_only_to_listed_hosts_over_the_same_scheme() {
        let address =
            address("https://vault:8200", &["vault-1", "vault-2:443", "[::1]:8201", "vault-9:8300"]).unwrap();
        let asked: Uri = "https://vault:8200/v1/sys/x".parse().unwrap();
        for allowed in [
            "https://vault-1:8200/v1/sys/x",
            "https://vault-2/v1/sys/x",
            "https://[::1]:8201/v1/sys/x",
            "https://VAULT-9:8300/v1/sys/x",
            "/v1/sys/y",
        ] {
            assert!(address.redirect(&asked, allowed).is_ok(), "{allowed}");
        }
        for (refused, named) in [
            ("https://evil:8200/v1/sys/x", "https://evil:8200"),
            ("http://vault-1:8200/v1/sys/x", "http://vault-1:8200"),
            ("https://vault-1/v1/sys/x", "https://vault-1:443"),
            ("https://vault:9999/v1/sys/x", "https://vault:9999"),
            ("https://vault-1.evil:8200/v1", "https://vault-1.evil:8200"),
            ("//evil/v1", "https://evil:443"),
            ("https://vault-1:8200@evil/v1", "https://evil:443"),
        ] {
            assert_eq!(address.redirect(&asked, refused), Err(named.to_owned()), "{refused}");
        }
    }

    #[test]
    fn a_path_in_the_address_stands_before_the_api() {
        for text in ["http://gate/vault", "http://gate/vault/", "http://gate/vault/v1/"] {
            let address = address(text, &[]).unwrap();
            let uri = address.with_prefix("http://gate:80/v1/kv/a?x=1".parse().unwrap()).unwrap();
            assert_eq!(uri.to_string(), "http://gate:80/vault/v1/kv/a?x=1");
            assert_eq!(address.full(), "http://gate:80/vault");
        }
    }

    #[test]
    fn a_wrong_address_is_a_problem_that_does_not_repeat_it() {
        for bad in [
            "vault:8200",
            "ftp://canary",
            "https://canary:pw@vault",
            "https://vault?canary",
            "unix:///canary",
            "",
        ] {
            let problems = address(bad, &[]).unwrap_err();
            assert_eq!(problems[0].key, "address");
            assert!(!problems[0].message.contains("canary"), "{}", problems[0].message);
        }
        let problems = address("https://vault", &["ok", "https://no", "a/b"]).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["redirect_to[1]", "redirect_to[2]"]);
    }
}
