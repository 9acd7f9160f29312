//! What no server does on demand: each status of the API's table, redirects, and answers that break.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{Error, Kind, Operation, Target};
use leasehold_harness::http::{Request, Response, header};
use leasehold_harness::proxy::Proxy;
use leasehold_harness::server::{HttpServer, Reply};
use leasehold_harness::vault::{Vault, VaultConfig};
use leasehold_harness::{ports, vault};
use serde_json::{Value, json};

use crate::given::{Counted, at, fetch, observed, of, provider, session, text, with_token};

const CANARY: &str = "canary-b7e1";

fn at_address(url: &str) -> Value {
    json!({ "address": url, "auth": { "method": "approle", "role_id": "a", "secret_id": CANARY } })
}

/// A store that logs everybody in, knows one mount, and answers reads as the test says.
fn store(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |request: Request| {
        let json = match request.path.as_str() {
            "/v1/auth/approle/login" | "/v1/auth/token/renew-self" => json!({
                "auth": { "client_token": "t", "accessor": "a", "lease_duration": 60, "renewable": true }
            }),
            path if path.starts_with("/v1/sys/internal/ui/mounts/") => {
                json!({ "data": { "path": "db/", "type": "database" } })
            }
            "/v1/auth/token/lookup-self" => json!({ "data": { "ttl": 50, "expire_time": "later" } }),
            _ => return answer(&request),
        };
        Reply::Whole(Response::json(200, &json.to_string()))
    })
}

/// What a read brings at such a store.
async fn read_at(store: &HttpServer) -> Error {
    let provider = provider(at_address(&store.url()));
    let session = session(&*provider).await;
    fetch(&*provider, &session, &at("db/creds/web")).await.expect_err("it is refused")
}

#[tokio::test]
async fn each_status_of_the_table_has_its_meaning_and_no_body_is_quoted() {
    for (status, kind) in [
        (400, Kind::Invalid),
        (403, Kind::Denied),
        (404, Kind::Absent),
        (405, Kind::Invalid),
        (412, Kind::Unavailable),
        (429, Kind::Throttled),
        (472, Kind::Unavailable),
        (473, Kind::Unavailable),
        (500, Kind::Unavailable),
        (501, Kind::Unavailable),
        (502, Kind::Unavailable),
        (503, Kind::Unavailable),
    ] {
        let body = json!({ "errors": [CANARY], "data": { "key": CANARY } }).to_string();
        let store = store(move |_| Reply::Whole(Response::json(status, &body)));
        let error = read_at(&store).await;
        assert_eq!(error.kind, kind, "{status}: {error}");
        assert!(error.detail.contains(&status.to_string()), "{status}: {error}");
        assert!(error.to_string().starts_with("fetch at provider \"vault\", secret \"it\" (db/creds/web): "));
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_429_says_how_long_to_wait_in_seconds_or_by_a_date_of_the_store() {
    for (value, wait) in [
        ("7", Some(Duration::from_secs(7))),
        ("Tue, 24 Nov 2026 11:00:30 GMT", Some(Duration::from_secs(30))),
        ("soon", None),
    ] {
        let store = store(move |_| {
            let answer = Response::status(429).header("Date", "Tue, 24 Nov 2026 11:00:00 GMT");
            Reply::Whole(answer.header("Retry-After", value))
        });
        let error = read_at(&store).await;
        assert_eq!((error.kind, error.retry_after), (Kind::Throttled, wait), "{value}");
    }
    // A log-in may be throttled as well.
    let store = HttpServer::start(|_| Reply::Whole(Response::status(429).header("Retry-After", "3")));
    let error = provider(at_address(&store.url())).login(None).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (Kind::Throttled, Some(Duration::from_secs(3))));
}

#[tokio::test]
async fn a_renewal_that_answers_400_or_404_leaves_the_verdict_to_a_look_up() {
    for (status, kind) in [
        (400, Kind::LeaseGone),
        (404, Kind::LeaseGone),
        (429, Kind::Throttled),
        (500, Kind::Unavailable),
        (503, Kind::Unavailable),
    ] {
        let store = store(move |request| match request.path.as_str() {
            "/v1/sys/leases/renew" => Reply::Whole(Response::status(status)),
            _ => Reply::Whole(Response::json(200, r#"{"lease_id":"l","lease_duration":9,"data":{}}"#)),
        });
        let provider = provider(at_address(&store.url()));
        let session = session(&*provider).await;
        let reference = at("db/creds/web");
        let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
        let error =
            provider.renew(&session, of(&lease, &reference), Duration::from_secs(9)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}: {error}");
    }
}

#[tokio::test]
async fn a_lease_that_is_still_listed_without_time_is_gone() {
    for ttl in [0, -3] {
        let store = store(move |request| match request.path.as_str() {
            "/v1/sys/leases/lookup" => {
                Reply::Whole(Response::json(200, &json!({ "data": { "ttl": ttl } }).to_string()))
            }
            _ => Reply::Whole(Response::json(200, r#"{"lease_id":"l","lease_duration":9,"data":{}}"#)),
        });
        let provider = provider(at_address(&store.url()));
        let session = session(&*provider).await;
        let reference = at("db/creds/web");
        let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
        let error = provider.lookup(&session, of(&lease, &reference)).await.unwrap_err();
        assert_eq!(error.kind, Kind::LeaseGone, "{ttl}: {error}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_malformed_and_not_quoted() {
    for body in [
        format!("<html>{CANARY}</html>"),
        format!("{{\"data\":{{\"password\":\"{CANARY}\""),
        format!("[\"{CANARY}\"]"),
        format!("{{\"lease_duration\":\"{CANARY}\"}}"),
        format!("{{\"data\":\"{CANARY}\"}}"),
        format!("{{\"data\":{{\"certificate\":\"{CANARY}\",\"serial_number\":\"1\"}}}}"),
    ] {
        let shown = body.clone();
        let store = store(move |_| Reply::Whole(Response::json(200, &body)));
        let error = read_at(&store).await;
        assert_eq!(error.kind, Kind::Malformed, "{shown}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
    // A KV version 2 whose envelope is broken, and a log-in that brings nothing.
    let store = HttpServer::start(|_| Reply::Whole(Response::json(200, r#"{"data":{}}"#)));
    let error = provider(at_address(&store.url())).login(None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Malformed, "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_comes_is_unavailable() {
    let whole = || Response::json(200, r#"{"lease_id":"l","lease_duration":9,"data":{"a":"b"}}"#);
    for half in [true, false] {
        let store = store(move |_| if half { Reply::Half(whole()) } else { Reply::Nothing });
        let error = read_at(&store).await;
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.detail.contains("broke"), "{error}");
    }
}

#[tokio::test]
async fn a_mint_that_was_sent_is_never_sent_twice() {
    // Also not on a connection that was kept alive and breaks as the request goes out.
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let store = store(move |_| {
        *counted.lock().unwrap() += 1;
        Reply::Nothing
    });
    let error = read_at(&store).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert_eq!(*asked.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_is_not_there_says_what_is_wrong_with_the_address() {
    let nobody = format!("http://{}", ports::free());
    // A part of a name has 63 letters at most: no server of names is asked, and none can be slow.
    let nameless = format!("http://{}.invalid:8200", "x".repeat(64));
    for (address, said) in
        [(nobody.as_str(), "connection refused"), (nameless.as_str(), "cannot be resolved")]
    {
        let error = provider(at_address(address)).login(None).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.detail.contains(said) && error.detail.contains(address), "{error}");
    }
}

#[tokio::test]
async fn a_sealed_store_is_unavailable_and_a_stopped_one_too() {
    let vault = Vault::own(VaultConfig::default());
    let (provider, _) = with_token(&vault, json!({ "ttl": "5m" }));
    let session = session(&*provider).await;
    vault.seal();
    let error = provider.lookup(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("sealed"), "{error}");
    vault.unseal();
    provider.lookup(&session, Target::Session).await.unwrap();
    vault.kill9();
    let error = provider.lookup(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_redirect_is_followed_once_and_only_to_a_listed_host() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let active = HttpServer::start(move |request: Request| {
        let token = header(&request.headers, "x-vault-token").unwrap_or("none");
        seen.lock().unwrap().push(format!("{} {} {token}", request.method, request.path));
        Reply::Whole(Response::json(200, r#"{"lease_id":"l","lease_duration":9,"data":{"a":"b"}}"#))
    });
    let to = active.url();
    let standby = store(move |request| {
        let location = format!("{to}{}", request.path);
        Reply::Whole(Response::status(307).header("Location", &location))
    });

    let error = read_at(&standby).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains(&active.url()) && error.detail.contains("redirect_to"), "{error}");
    assert!(asked.lock().unwrap().is_empty(), "nothing was sent there");

    let mut raw = at_address(&standby.url());
    raw["redirect_to"] = json!([active.address().to_string()]);
    let provider = provider(raw.clone());
    let session = session(&*provider).await;
    assert_eq!(text(&fetch(&*provider, &session, &at("db/creds/web")).await.unwrap(), "a"), "b");
    let mut written = at("db/creds/web");
    written.data = Some(serde_json::Map::new());
    fetch(&*provider, &session, &written).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["GET /v1/db/creds/web t", "POST /v1/db/creds/web t"]);
}

#[tokio::test]
async fn a_second_redirect_is_not_followed() {
    let hops = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&hops);
    let store = store(move |request| {
        *counted.lock().unwrap() += 1;
        // To itself, which needs no listing: a loop.
        Reply::Whole(Response::status(307).header("Location", &request.path))
    });
    let error = read_at(&store).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert_eq!(*hops.lock().unwrap(), 2);
}

#[tokio::test]
async fn requests_are_counted_with_their_outcome() {
    let counted = Arc::new(Counted::default());
    let store = store(|_| Reply::Whole(Response::status(503)));
    let provider = observed(at_address(&store.url()), &[], counted.clone());
    let session = session(&*provider).await;
    let _ = fetch(&*provider, &session, &at("db/creds/web")).await;
    let expected =
        [(Operation::Login, None), (Operation::Fetch, None), (Operation::Fetch, Some(Kind::Unavailable))];
    assert_eq!(counted.take(), expected);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_a_stale_one_costs_nothing() {
    let proxy = Proxy::to(vault().address());
    let auth = vault().token(json!({ "ttl": "5m" }));
    let raw = json!({ "address": proxy.url(), "auth": { "method": "token" } });
    let token = auth["client_token"].as_str().unwrap();
    let provider = observed(raw, &[("VAULT_TOKEN", token)], Arc::new(Counted::default()));
    let session = session(&*provider).await;
    for _ in 0..3 {
        provider.lookup(&session, Target::Session).await.unwrap();
        proxy.cut();
        // The end of the connection may reach us after the request has left: then it is an error
        // that the engine tries again. It must never hang.
        let _ = provider.lookup(&session, Target::Session).await;
    }
    provider.lookup(&session, Target::Session).await.unwrap();
}

#[tokio::test]
async fn what_an_ingress_or_a_firewall_says_is_no_verdict_of_the_store() {
    let vault = vault();
    let creds = vault.database_mount("ingress").role("web", "1m", "5m");
    let policy = vault.policy("ingress").read(&creds).create();
    let auth = vault.token(json!({ "policies": [policy], "ttl": "5m" }));
    let proxy = Proxy::to(vault.address());
    let raw = json!({ "address": proxy.url(), "auth": { "method": "token" } });
    let token = auth["client_token"].as_str().unwrap();
    let provider = observed(raw, &[("VAULT_TOKEN", token)], Arc::new(Counted::default()));
    let session = session(&*provider).await;
    let reference = at(&creds);
    let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
    let target = of(&lease, &reference);
    for status in [400, 403, 404, 405] {
        let mut page = Response::status(status);
        page.body = b"<html>default backend</html>".to_vec();
        let _rule = proxy.answer("/v1/", page);
        for error in [
            provider.login(None).await.unwrap_err(),
            provider.lookup(&session, target).await.unwrap_err(),
            provider.lookup(&session, Target::Session).await.unwrap_err(),
            provider.renew(&session, target, Duration::from_secs(9)).await.unwrap_err(),
            provider.revoke(&session, target).await.unwrap_err(),
            provider.revoke(&session, Target::Session).await.unwrap_err(),
            fetch(&*provider, &session, &reference).await.unwrap_err(),
        ] {
            assert_eq!(error.kind, Kind::Malformed, "{status}: {error}");
            assert!(error.detail.contains("not the store"), "{status}: {error}");
        }
    }
    provider.renew(&session, target, Duration::from_secs(60)).await.unwrap();
}

#[tokio::test]
async fn a_strange_refusal_never_costs_a_lease() {
    for status in [402, 405, 410, 418, 451] {
        let store = store(move |request| match request.path.as_str() {
            path if path.starts_with("/v1/sys/leases/") => Reply::Whole(Response::status(status)),
            _ => Reply::Whole(Response::json(200, r#"{"lease_id":"l","lease_duration":9,"data":{}}"#)),
        });
        let provider = provider(at_address(&store.url()));
        let session = session(&*provider).await;
        let reference = at("db/creds/web");
        let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
        for error in [
            provider.lookup(&session, of(&lease, &reference)).await.unwrap_err(),
            provider.renew(&session, of(&lease, &reference), Duration::from_secs(9)).await.unwrap_err(),
            provider.revoke(&session, of(&lease, &reference)).await.unwrap_err(),
        ] {
            assert_eq!(error.kind, Kind::Unavailable, "{status}: {error}");
        }
    }
}

#[tokio::test]
async fn a_store_that_accepts_and_never_answers_is_unavailable_after_a_minute() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let auth = json!({ "method": "userpass", "username": "a", "password": "b" });
    let started = tokio::time::Instant::now();
    let plain = provider(json!({ "address": format!("http://{address}"), "auth": auth }));
    // Paused time moves on to the next limit as soon as there is nothing to do. That is not to be the limit
    // of the connection, while the kernel still makes it.
    let accepting = async {
        let connection = listener.accept().await.unwrap();
        tokio::time::pause();
        (connection, tokio::time::Instant::now())
    };
    let (refused, (_connection, accepted)) = tokio::join!(plain.login(None), accepting);
    let error = refused.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("no answer within 60 s"), "{error}");
    assert!(started.elapsed().as_secs() >= 60 && accepted.elapsed().as_secs() <= 60, "{error}");

    let started = tokio::time::Instant::now();
    let authority = leasehold_harness::Authority::new("mute");
    let tls = json!({ "ca_file": authority.ca_file() });
    let mute = provider(json!({ "address": format!("https://{address}"), "auth": auth, "tls": tls }));
    let error = mute.login(None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("no connection within 5 s"), "{error}");
    assert_eq!(started.elapsed().as_secs(), 5);
}
