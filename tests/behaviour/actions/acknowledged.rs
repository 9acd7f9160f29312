use std::io::BufReader;
use std::os::unix::net::UnixStream;

use super::*;

/// Posts to the socket among the files.
#[track_caller]
fn post(told: &Told, body: &str) -> (u16, String) {
    let stream = UnixStream::connect(told.stage.live().join("..ack.sock")).unwrap();
    let mut reader = BufReader::new(stream);
    let headers = vec![("Host".to_owned(), "leasehold".to_owned())];
    let request = Request { method: "POST".into(), path: "/v1/ack".into(), headers, body: body.into() };
    http::write_request(reader.get_mut(), &request).unwrap();
    let answer = http::read_response(&mut reader, "POST").unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn the_replaced_lease_stays_until_each_who_was_named_has_acknowledged() {
    let actions = r#"
  - name: pooler
    command: ["true"]
"#;
    let told = Told::start(stage("awaited", "2m"), ", acknowledge: { from: [web, pooler] }", actions);
    let replaced = told.rotate();
    assert_eq!(told.answer("pooler (command true)"), "ok (exit code 0)");
    told.is_kept(&replaced);
    let status = told.status();
    assert_eq!(status["missing_acknowledgements"], serde_json::json!(["web"]), "{status}");

    for body in [r#"{"name": "nobody"}"#, "{}"] {
        let (code, answer) = post(&told, body);
        assert!((400..500).contains(&code), "{code} {answer}");
        assert!(answer.contains("lifecycle.acknowledge.from expects pooler, web"), "{answer}");
    }
    let refused = told.ask(["ack", "--name", "nobody"]);
    assert_ne!(refused.exit, Exit::Code(0), "{}", refused.stdout);
    assert!(refused.stderr.contains("expects pooler, web"), "{}", refused.stderr);
    assert!(vault().lease_lookup(&replaced).is_some_and(|lease| lease.lives()), "{}", told.log());

    let last = told.ask(["ack", "--name", "web"]);
    assert_eq!((last.exit, last.stdout.as_str()), (Exit::Code(0), "generation 2 is acknowledged\n"));
    told.is_gone(&replaced);
    eventually("that is counted", SOON, || told.given_back() == Some(1.0));
    assert_eq!(told.status()["missing_acknowledgements"], serde_json::json!([]));
    told.end();
}

/// Kills it, as the kernel does for memory, and starts it again.
#[track_caller]
fn restarted(mut told: Told) -> Told {
    told.running.kill9();
    told.running = leasehold("run", &told.config).start();
    ready(&told.running, &told.config);
    told
}

#[test]
fn an_acknowledgement_is_still_awaited_after_a_kill_and_then_lets_the_replaced_lease_go() {
    let told = Told::start(stage("ack-killed", "2m"), ", acknowledge: required", "  []");
    let replaced = told.rotate();
    let password = told.file("password");
    told.is_kept(&replaced);

    let told = restarted(told);
    assert_eq!(told.file("password"), password, "the same credential goes on");
    told.is_kept(&replaced);
    let (code, answer) = post(&told, r#"{"generation": 2}"#);
    assert_eq!(code, 200, "{answer}");
    told.is_gone(&replaced);
    eventually("that is counted", SOON, || told.given_back() == Some(1.0));
    assert_eq!(told.file("password"), password);
    told.end();
}

#[test]
fn without_the_acknowledgement_a_restart_neither_renews_nor_revokes_the_replaced_lease() {
    let told = Told::start(stage("ack-missing", "12s"), ", acknowledge: required", "  []");
    let mark = vault().audit().mark();
    let replaced = told.rotate();
    let told = restarted(told);
    assert!(vault().lease_lookup(&replaced).is_some_and(|lease| lease.lives()), "{}", told.log());
    told.is_gone(&replaced);
    let about = |lease: &str, path: &str| {
        let asked = vault().audit().matching(mark, "update", path);
        asked.iter().filter(|entry| entry.line["request"]["data"]["lease_id"] == lease).count()
    };
    let held = told.status()["secrets"]["db"]["lease"].as_str().unwrap().to_owned();
    eventually("the lease in use is renewed", SOON, || about(&held, "sys/leases/renew") > 0);
    assert_eq!((about(&replaced, "sys/leases/renew"), about(&replaced, "sys/leases/revoke")), (0, 0));
    assert_eq!(told.given_back(), None, "it ended by itself: {}", told.log());
    told.end();
}
