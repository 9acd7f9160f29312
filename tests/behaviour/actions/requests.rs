use std::io::{BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use harness::HttpServer;
use harness::http::Response;
use harness::server::Reply;

use super::*;

/// What stands in the body of every answer, and nowhere else.
const BODY: &str = "words-of-the-server";

type Requests = Arc<Mutex<Vec<Request>>>;

/// A server on TCP that keeps the requests: 202 for all but `/broken`, which gets 500.
fn on_tcp() -> (HttpServer, Requests) {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let server = HttpServer::start(move |request| {
        let status = if request.path == "/broken" { 500 } else { 202 };
        kept.lock().unwrap().push(request);
        Reply::Whole(Response::json(status, BODY))
    });
    (server, requests)
}

/// One on a unix socket that answers one request with 200.
fn on_socket(path: &Path) -> Requests {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let request = http::read_request(&mut reader).unwrap().unwrap();
        kept.lock().unwrap().push(request);
        reader.get_mut().write_all(&http::response_bytes(&Response::json(200, BODY))).unwrap();
    });
    requests
}

#[test]
fn a_request_arrives_as_configured_and_what_went_wrong_is_said_without_the_answer() {
    let stage = stage("requested", "2m");
    let (server, on_tcp) = on_tcp();
    let on_socket = on_socket(&stage.folder.join("app.sock"));
    let (address, refused) = (server.address(), harness::ports::free());
    let actions = format!(
        r#"
  - name: tcp
    http: {{ url: "http://{address}/-/reload?soft=1", method: PUT, headers: {{ X-Key: abc }}, body: "go on", expect: [202] }}
  - name: unix
    http: {{ url: "http://app.local/reload", socket: FOLDER/app.sock }}
  - name: broken
    retries: 1
    http: {{ url: "http://{address}/broken", expect: [200, 204] }}
  - name: refused
    retries: 0
    http: {{ url: "http://{refused}/" }}
"#
    );
    let told = Told::start(stage, ", acknowledge: none", &actions);
    assert!(on_tcp.lock().unwrap().is_empty(), "nobody is told of the first set");
    told.rotate();

    assert_eq!(told.answer(&format!("tcp (http PUT to {address})")), "ok (status 202)");
    let socket = told.stage.folder.join("app.sock");
    assert_eq!(told.answer(&format!("unix (http POST to unix:{})", socket.display())), "ok (status 200)");
    let label = format!("broken (http POST to {address})");
    assert_eq!(told.answer(&label), "it answered with status 500, expected was 200 or 204");
    told.says(["could not announce generation 2", &label, "status 500"]);
    let label = format!("refused (http POST to {refused})");
    assert!(told.answer(&label).contains("connection refused"), "{}", told.answer(&label));
    told.says(["could not announce generation 2", &label, "connection refused"]);

    let seen = on_tcp.lock().unwrap().clone();
    let to = |path: &str| -> Vec<&Request> { seen.iter().filter(|request| request.path == path).collect() };
    let [request] = to("/-/reload?soft=1")[..] else { panic!("{seen:?}") };
    let header = |name| http::header(&request.headers, name);
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("PUT", b"go on".as_slice()));
    assert_eq!((header("x-key"), header("host")), (Some("abc"), Some(address.to_string().as_str())));
    assert_eq!(to("/broken").len(), 2, "it was tried again once: {seen:?}");
    let seen = on_socket.lock().unwrap().clone();
    let [request] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/reload"));
    assert_eq!(http::header(&request.headers, "host"), Some("app.local"));

    for (action, outcome) in [("tcp", "ok"), ("unix", "ok"), ("broken", "failed"), ("refused", "failed")] {
        let labels = format!(r#"{{operation="http",action="{action}",outcome="{outcome}"}}"#);
        assert_eq!(told.stage.metric(&format!("leasehold_actions_total{labels}")), Some(1.0), "{labels}");
    }
    let (log, status) = (told.log(), told.status().to_string());
    assert!(!log.contains(BODY) && !status.contains(BODY), "{log}\n{status}");
    told.end();
}
