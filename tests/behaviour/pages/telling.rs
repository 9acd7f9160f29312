//! `docs/telling-the-application.md`: its configuration at the real servers, and the lines by which somebody
//! says that a generation is in use.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use harness::HttpServer;
use harness::http::{Request, Response};
use harness::process::Group;
use harness::server::Reply;

use super::*;

/// What an action of the page told.
fn told(desk: &Desk, name: &str) -> String {
    fs::read_to_string(desk.folder.join(name)).unwrap_or_default()
}

/// A process of that name that writes down each HUP.
fn hears(desk: &Desk, name: &str) -> Group {
    desk.stand_in(name, "trap 'echo HUP >> hups' HUP; echo >> hears; while :; do sleep 0.1; done");
    let mut command = Command::new(desk.folder.join(name));
    command.current_dir(&*desk.folder).stdin(Stdio::null());
    let process = Group::spawn(&mut command);
    eventually("it listens for signals", SOON, || !told(desk, "hears").is_empty());
    process
}

#[test]
fn everybody_on_the_page_is_told_and_each_line_of_it_acknowledges() {
    let page = Page::at("docs/telling-the-application.md");
    let desk = Desk::new();
    let (database, pki) = (vault().database_mount("page-telling"), vault().pki_mount("page-telling"));
    let (creds, issue) = (database.role("web", "2m", "10m"), pki.role("web", json!({})));
    let policy = vault().policy("page-telling").read(&creds).update(&issue).revoke_leases();
    let bench = Bench::new(vault(), policy, json!({}));

    // A name of no other process of the machine, and as long as the kernel keeps one.
    let process = format!("hup-{}", std::process::id());
    let _process = hears(&desk, &process);
    desk.stand_in("reload", &format!("echo $* $MODE $LEASEHOLD_CHANGED >> {}", desk.path("reloads")));
    let requests = Arc::new(Mutex::new(Vec::<Request>::new()));
    let kept = Arc::clone(&requests);
    let server = HttpServer::start(move |request| {
        kept.lock().unwrap().push(request);
        Reply::Whole(Response::json(204, ""))
    });
    let (named, reload) = (format!("process: {process}"), desk.path("reload"));
    let places = [
        ("database/creds/web", creds.as_str()),
        ("pki/issue/web", &issue),
        ("process: nginx", &named),
        ("/bin/reload", &reload),
        ("127.0.0.1:8080", &server.address().to_string()),
    ];
    let own = replaced(sections(&page.block("yaml", "process: nginx")), &places);
    bench.configure(&bench.config(&vault().url(), "revoke_delay: 0s", ""));
    desk.write("page.yaml", &own);
    let (platform, page_file) = (bench.file().display().to_string(), desk.path("page.yaml"));
    let mut running = Leasehold::command(["run", "-c", &platform, "-c", &page_file]).start();
    bench.ready(&mut running);
    let refresh = |secret: &str| {
        done(Leasehold::command(["refresh", secret, "-c", &platform]).finish(SOON * 3));
    };
    let missing = |who: &[&str]| {
        eventually(&format!("what is missing is {who:?}"), SOON * 2, || {
            let status = bench.status();
            let same = status["missing_acknowledgements"] == json!(who);
            if same { Ok(()) } else { Err(format!("{status}\n{}", running.stderr())) }
        });
    };

    let lines = replaced(
        page.block("sh", "leasehold ack"),
        &[("/run/secrets/leasehold/live", &bench.folder.join("live").display().to_string())],
    );
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for line in lines.lines() {
        refresh("db");
        missing(&["batch"]);
        let said = done(desk.types(line).env("LEASEHOLD_CONFIG", &platform).finish(SOON));
        assert!(said.contains("generation"), "{said}");
        missing(&[]);
    }
    assert_eq!(told(&desk, "reloads"), "--soft gentle db.env\n".repeat(2));
    assert_eq!(told(&desk, "hups"), "", "none of its files has changed");
    refresh("cert");
    eventually("the signal of a changed certificate", SOON, || told(&desk, "hups") == "HUP\n");
    eventually("a request for each change", SOON, || requests.lock().unwrap().len() == 3);
    let asked: Vec<String> = requests
        .lock()
        .unwrap()
        .iter()
        .map(|request| format!("{} {}", request.method, request.path))
        .collect();
    assert_eq!(asked, ["POST /-/reload"; 3]);
    assert_eq!(told(&desk, "reloads").lines().count(), 2, "a certificate is not what it is about");
    running.signal(Signal::INT);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    bench.nothing_is_left(&database);
}
