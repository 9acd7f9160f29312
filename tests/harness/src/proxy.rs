//! Between leasehold and a store: does what no real server does on demand.
//!
//! It passes every request on, and remembers it, unless a rule says otherwise. A rule holds for the requests
//! whose path or AWS action contains its pattern, the newest rule first, until its handle is dropped.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::http::{self, Request, Response};
use crate::server::{HttpServer, Reply};

/// A forwarding server on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Proxy {
    server: HttpServer,
    inner: Arc<Inner>,
}

/// A request that came by.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it was whole.
    pub at: Instant,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// As they were sent.
    pub headers: Vec<(String, String)>,
    /// Without its transfer encoding.
    pub body: Vec<u8>,
}

/// What holds for some requests while this handle lives.
#[must_use = "it ends when the handle is dropped"]
#[derive(Debug)]
pub struct Rule {
    inner: Arc<Inner>,
    id: u64,
}

/// While this lives, connections are refused.
#[must_use = "it ends when the handle is dropped"]
#[derive(Debug)]
pub struct Refusing<'a>(&'a Proxy);

#[derive(Clone, Debug)]
enum Effect {
    Withhold,
    Answer(Response),
    Half,
    Lose,
    Drop,
}

#[derive(Debug)]
struct Active {
    id: u64,
    pattern: String,
    effect: Effect,
    hits: usize,
    waiting: usize,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    rules: Vec<Active>,
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Inner {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

impl Proxy {
    /// Starts one in front of a server that speaks plain HTTP.
    pub fn to(upstream: SocketAddr) -> Self {
        let inner = Arc::new(Inner { upstream, state: Mutex::default(), changed: Condvar::new() });
        let server = HttpServer::start({
            let inner = inner.clone();
            move |request| inner.reply(request)
        });
        Self { server, inner }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Passes requests on and keeps the answers back, until the rule ends.
    pub fn withhold(&self, pattern: &str) -> Rule {
        self.rule(pattern, Effect::Withhold)
    }

    /// Answers in the server's place; it never sees the request.
    pub fn answer(&self, pattern: &str, response: Response) -> Rule {
        self.rule(pattern, Effect::Answer(response))
    }

    /// Passes requests on, and ends the connection in the middle of the answer's body.
    pub fn halve(&self, pattern: &str) -> Rule {
        self.rule(pattern, Effect::Half)
    }

    /// Passes requests on, and ends the connection in place of the answer.
    pub fn lose_answers(&self, pattern: &str) -> Rule {
        self.rule(pattern, Effect::Lose)
    }

    /// Ends the connection in place of passing the request on.
    pub fn drop_requests(&self, pattern: &str) -> Rule {
        self.rule(pattern, Effect::Drop)
    }

    /// Ends every connection that is open now.
    pub fn cut(&self) {
        self.server.cut();
    }

    /// Refuses connections, as a server that is down, until the handle is dropped.
    pub fn refuse(&self) -> Refusing<'_> {
        self.server.refuse();
        Refusing(self)
    }

    /// The requests so far whose path or AWS action contains `pattern`, in their order; `""` for all.
    pub fn requests(&self, pattern: &str) -> Vec<Seen> {
        let state = self.inner.state();
        state.seen.iter().filter(|seen| seen.is_for(pattern)).cloned().collect()
    }

    fn rule(&self, pattern: &str, effect: Effect) -> Rule {
        let mut state = self.inner.state();
        let id = state.next;
        state.next += 1;
        state.rules.push(Active { id, pattern: pattern.to_owned(), effect, hits: 0, waiting: 0 });
        Rule { inner: self.inner.clone(), id }
    }
}

impl Seen {
    fn is_for(&self, pattern: &str) -> bool {
        self.path.contains(pattern) || self.action().is_some_and(|action| action.contains(pattern))
    }

    /// What is asked of an AWS service, whose requests all have the same path: the header of the JSON
    /// protocol, or the form's first field.
    fn action(&self) -> Option<&str> {
        http::header(&self.headers, "x-amz-target").or_else(|| {
            let form = std::str::from_utf8(&self.body).ok()?.strip_prefix("Action=")?;
            form.split('&').next()
        })
    }
}

impl Rule {
    /// How many requests it was applied to.
    pub fn hits(&self) -> usize {
        self.here(|rule| rule.hits)
    }

    /// How many answers it keeps back: the server has done what was asked, and the client does not know.
    pub fn waiting(&self) -> usize {
        self.here(|rule| rule.waiting)
    }

    /// Lets the answers go that it keeps back, and ends.
    pub fn release(self) {}

    fn here(&self, read: impl Fn(&Active) -> usize) -> usize {
        let state = self.inner.state();
        state.rules.iter().find(|rule| rule.id == self.id).map(read).expect("it lives as long as its handle")
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.inner.state().rules.retain(|rule| rule.id != self.id);
        self.inner.changed.notify_all();
    }
}

impl Drop for Refusing<'_> {
    fn drop(&mut self) {
        self.0.server.accept();
    }
}

impl Inner {
    fn reply(&self, request: Request) -> Reply {
        let rule = {
            let mut state = self.state();
            let Request { method, path, headers, body } = request.clone();
            let seen = Seen { at: Instant::now(), method, path, headers, body };
            let newest = state.rules.iter_mut().rev().find(|rule| seen.is_for(&rule.pattern));
            let effect = newest.map(|rule| {
                rule.hits += 1;
                (rule.id, rule.effect.clone())
            });
            state.seen.push(seen);
            effect
        };
        match rule {
            None => self.pass(&request).map_or(Reply::Nothing, Reply::Whole),
            Some((_, Effect::Answer(response))) => Reply::Whole(response),
            Some((_, Effect::Drop)) => Reply::Nothing,
            Some((_, Effect::Lose)) => {
                self.pass(&request);
                Reply::Nothing
            }
            Some((_, Effect::Half)) => self.pass(&request).map_or(Reply::Nothing, Reply::Half),
            Some((id, Effect::Withhold)) => {
                let answer = self.pass(&request);
                self.wait_for_the_end_of(id);
                answer.map_or(Reply::Nothing, Reply::Whole)
            }
        }
    }

    fn pass(&self, request: &Request) -> Option<Response> {
        let mut response = http::send(self.upstream, request).ok()?;
        // It speaks of the connection to the server, not of ours.
        response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
        Some(response)
    }

    fn wait_for_the_end_of(&self, id: u64) {
        let mut state = self.state();
        if let Some(rule) = state.rules.iter_mut().find(|rule| rule.id == id) {
            rule.waiting += 1;
        }
        while state.rules.iter().any(|rule| rule.id == id) {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{eventually, vault};

    const SOON: Duration = Duration::from_secs(10);

    fn get(proxy: &Proxy, path: &str) -> std::io::Result<Response> {
        let headers = vec![("X-Vault-Token".into(), vault().root_token().into())];
        http::send(
            proxy.address(),
            &Request { method: "GET".into(), path: path.into(), headers, body: vec![] },
        )
    }

    #[test]
    fn withholds_an_answer_that_the_server_has_given() {
        let database = vault().database_mount("withheld");
        let path = format!("/v1/{}", database.role("web", "1m", "1m"));
        let proxy = Proxy::to(vault().address());
        let rule = proxy.withhold("/creds/");
        thread::scope(|scope| {
            let asked = scope.spawn(|| get(&proxy, &path).unwrap());
            eventually("the answer is kept back", SOON, || rule.waiting() == 1);
            assert_eq!(database.roles().len(), 1);
            assert!(!asked.is_finished());
            rule.release();
            assert_eq!(asked.join().unwrap().status, 200);
        });
        assert_eq!(proxy.requests("/creds/web").len(), 1);
    }

    #[test]
    fn answers_in_the_servers_place_until_the_rule_ends() {
        let proxy = Proxy::to(vault().address());
        let rule = proxy.answer("sys/health", Response::status(429).header("Retry-After", "7"));
        let throttled = get(&proxy, "/v1/sys/health").unwrap();
        assert_eq!((throttled.status, http::header(&throttled.headers, "retry-after")), (429, Some("7")));
        assert_eq!(get(&proxy, "/v1/sys/seal-status").unwrap().status, 200);
        assert_eq!(rule.hits(), 1);
        drop(rule);
        assert_eq!(get(&proxy, "/v1/sys/health").unwrap().status, 200);
    }

    #[test]
    fn loses_halves_and_drops() {
        let kv = vault().kv_mount("lost", 1);
        kv.put("one", json!({ "field": "value" }));
        let path = format!("/v1/{}", kv.data("one"));
        let proxy = Proxy::to(vault().address());
        for break_it in [Proxy::lose_answers, Proxy::halve, Proxy::drop_requests] {
            let rule = break_it(&proxy, "/one");
            get(&proxy, &path).unwrap_err();
            assert_eq!(rule.hits(), 1);
        }
        assert_eq!(get(&proxy, &path).unwrap().status, 200);
    }

    #[test]
    fn refuses_connections_and_listens_again() {
        let proxy = Proxy::to(vault().address());
        let refusing = proxy.refuse();
        assert_eq!(get(&proxy, "/v1/sys/health").unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        drop(refusing);
        assert_eq!(get(&proxy, "/v1/sys/health").unwrap().status, 200);
    }
}
