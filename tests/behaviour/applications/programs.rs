//! The programs of the pages, one a language: each follows the rotation, and lives on when what it had is gone.

use std::fs;
use std::process::Command;

use harness::process::Group;
use harness::{TlsClient, eventually, ports, postgres, program, tls, vault};
use leasehold_harness as harness;
use serde_json::json;

use super::{Page, Program, Scene, database, replaced};
use crate::SOON;

/// Runs a program that says again and again who it is at the database, over three rotations.
#[track_caller]
fn follows(page: &'static str, program: impl FnOnce(&Page, &Scene) -> Program) {
    let page = Page::read(page);
    let (database, creds) = database("program");
    let scene = Scene::new("program", vault().policy("program").read(&creds).revoke_leases());
    let places = [("database/creds/web", creds.as_str()), ("overlap: 20m", "overlap: 3s")];
    let sidecar = scene.start(page.block("yaml", "db.json:"), &places);
    let mut program = program(&page, &scene);
    program.says(&database.newest());
    for _ in 0..3 {
        sidecar.refresh("db");
        program.says(&database.newest());
    }
    program.says_again_once(|| database.roles().len() == 1);
    sidecar.end();
}

#[test]
fn python_follows_the_rotation() {
    follows("python.md", |page, scene| {
        let address = postgres().address();
        let text = replaced(
            page.block("python", "ConnectionPool"),
            &[
                ("/run/secrets/leasehold/live", scene.live().as_str()),
                ("\"pg\"", &format!("\"{}\"", address.ip())),
                ("5432", &address.port().to_string()),
                ("\"app\"", "\"postgres\""),
                ("max_lifetime=600", "max_lifetime=1"),
                ("time.sleep(1)", "time.sleep(0.1)"),
            ],
        );
        let file = scene.file("app.py", &text);
        Program::start(Command::new(program("python")).arg(file))
    });
}

#[test]
fn node_follows_the_rotation() {
    follows("node.md", |page, scene| {
        let address = postgres().address();
        let text = replaced(
            page.block("js", "new Pool"),
            &[
                ("/run/secrets/leasehold/live", scene.live().as_str()),
                ("host: 'pg'", &format!("host: '{}'", address.ip())),
                ("5432", &address.port().to_string()),
                ("database: 'app'", "database: 'postgres'"),
                ("maxLifetimeSeconds: 600", "maxLifetimeSeconds: 1"),
                ("setTimeout(work, 1000)", "setTimeout(work, 100)"),
            ],
        );
        let file = scene.file("app.js", &text);
        Program::start(Command::new(program("node")).arg(file).env("NODE_PATH", program("node-pg")))
    });
}

#[test]
fn go_follows_the_rotation() {
    follows("go.md", |page, scene| {
        let text = replaced(
            page.block("go", "package main"),
            &[
                ("/run/secrets/leasehold/live", scene.live().as_str()),
                ("\"pg:5432\"", &format!("\"{}\"", postgres().address())),
                ("\"app\"", "\"postgres\""),
                // The server of the tests has no certificate.
                ("sslmode=verify-full", "sslmode=disable"),
                ("10 * time.Minute", "time.Second"),
                ("time.Sleep(time.Second)", "time.Sleep(100 * time.Millisecond)"),
            ],
        );
        // What the module needs lies in Go's caches: `tests/servers/install` brought it.
        let module = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/pq");
        for file in ["go.mod", "go.sum"] {
            fs::copy(format!("{module}/{file}"), scene.folder.join(file)).unwrap();
        }
        scene.file("main.go", &text);
        let mut build = Command::new(program("go"));
        build.args(["build", "-o", "app", "."]).current_dir(&scene.folder);
        build.env("GOPROXY", "off").env("GOFLAGS", "-mod=mod -buildvcs=false");
        let built = build.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Program::start(&mut Command::new(scene.folder.join("app")))
    });
}

#[test]
fn a_node_server_takes_each_new_certificate_while_it_runs() {
    let page = Page::read("node.md");
    let mount = vault().pki_mount("node");
    let issue = mount.role("web", json!({}));
    let scene = Scene::new("node", vault().policy("node").update(&issue));
    let sidecar = scene.start(page.block("yaml", "tls.pem:"), &[("pki/issue/web", &issue)]);
    let address = ports::free();
    let listen = format!("listen({}, '{}')", address.port(), address.ip());
    let text = replaced(
        page.block("js", "setSecureContext"),
        &[("/run/secrets/leasehold/live", scene.live().as_str()), ("listen(8443)", &listen)],
    );
    let file = scene.file("server.js", &text);
    let _server = Group::spawn(Command::new(program("node")).arg(file));
    let client = TlsClient::new(&mount.ca, "web.example.com");
    for rotation in 0..4 {
        let pem = fs::read_to_string(scene.folder.join("live/tls.pem")).unwrap();
        let placed = tls::serial(&pem);
        eventually("what is in place is served", SOON * 2, || match client.handshake(address) {
            Ok(served) if Some(&served) == placed.as_ref() => Ok(()),
            other => Err(format!("{other:?} and not {placed:?}")),
        });
        if rotation < 3 {
            sidecar.refresh("cert");
        }
    }
    sidecar.end();
}
