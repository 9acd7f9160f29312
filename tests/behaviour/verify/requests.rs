//! A request that tries a candidate.

use std::sync::{Arc, Mutex};

use harness::HttpServer;
use harness::http::{self, Request, Response};
use harness::server::Reply;

use super::*;

#[test]
fn the_request_of_the_page_names_the_candidate_and_its_status_decides() {
    let seen: Arc<Mutex<Vec<(Request, String)>>> = Arc::default();
    let kept = Arc::clone(&seen);
    // As a service that shares the volume: it tries what it finds there.
    let server = HttpServer::start(move |request| {
        let candidate = http::header(&request.headers, "leasehold-candidate").unwrap().to_owned();
        let text = fs::read_to_string(Path::new(&candidate).join("db.env")).unwrap();
        let (user, password) = text.split_once(' ').unwrap();
        let good = postgres().login(user, password).is_ok();
        let mut seen = kept.lock().unwrap();
        seen.push((request, text.clone()));
        // The first time it is not there yet.
        let status = if good && seen.len() > 1 { 204 } else { 503 };
        Reply::Whole(Response::json(status, ""))
    });
    let address = server.address().to_string();
    let (bench, config) = example("asked", "http:", &[("127.0.0.1:8080", address.as_str())]);
    bench.configure(&config);
    let running = bench.run_until_ready();
    let tried = seen.lock().unwrap().clone();
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert_eq!((tried[0].0.method.as_str(), tried[0].0.path.as_str()), ("POST", "/-/try"));
    assert_eq!(http::header(&tried[0].0.headers, "leasehold-generation"), Some("1"));
    assert_eq!(tried[0].1, tried[1].1, "the same candidate");
    assert_eq!(bench.read("db.env"), Some(tried[1].1.clone()));
    assert_eq!(bench.metric(r#"leasehold_verify_total{outcome="refused"}"#), Some(1.0));
    end(running);
}
