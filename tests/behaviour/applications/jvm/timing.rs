use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use harness::{TlsClient, eventually, ports, program, tls, vault};
use leasehold_harness as harness;
use serde_json::json;

use super::super::visitor::{Ending, Life, visit};
use super::super::{Page, Program, Scene, replaced};
use crate::SOON;

const ROTATIONS: usize = 12;
const PASSWORD: &str = "change it: 'p\"a$$";

/// The program of the page, compiled.
#[track_caller]
fn compiled(scene: &Scene, source: &str) -> Command {
    let source = scene.file("Server.java", source);
    let mut compiler = Command::new(program("javac"));
    compiler.args(["-Xlint:all", "-Werror", "-d"]).arg(scene.path("classes")).arg(source);
    let built = compiler.stdin(Stdio::null()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut server = Command::new(program("java"));
    // One core of two is enough for it.
    server.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m"]);
    server.arg("-cp").arg(scene.path("classes")).arg("Server");
    server
}

/// The serial number of the certificate that OpenSSL finds in a keystore.
#[track_caller]
fn openssl_reads(keystore: &Path) -> String {
    let mut openssl = Command::new(program("openssl"));
    openssl.args(["pkcs12", "-nodes", "-passin", "env:PASSWORD", "-in"]).arg(keystore);
    let output = openssl.env("PASSWORD", PASSWORD).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("-----BEGIN PRIVATE KEY-----"), "there is a key");
    tls::serial(&said[said.find("-----BEGIN CERTIFICATE-----").expect("there is a certificate")..]).unwrap()
}

#[test]
fn no_handshake_of_a_jvm_fails_over_twelve_rotations_and_openssl_reads_each_keystore() {
    let page = Page::read("jvm.md");
    let mount = vault().pki_mount("jvm");
    let issue = mount.role("web", json!({}));
    let kv = vault().kv_mount("jvm", 2);
    kv.put("keystore", json!({ "password": PASSWORD }));
    let scene = Scene::new("jvm", vault().policy("jvm").update(&issue).read(&kv.data("keystore")));
    let stored = format!("{}/keystore", kv.path());
    let seen = "files:\n  tls.crt: { secret: cert, field: certificate }\n";
    let sidecar = scene.start(
        page.block("yaml", "keystore.p12:"),
        &[("pki/issue/web", issue.as_str()), ("kv/web/keystore", &stored), ("files:\n", seen)],
    );
    let address = ports::free();
    let listen = format!("new InetSocketAddress(\"{}\", {})", address.ip(), address.port());
    let source = replaced(
        page.block("java", "class Server"),
        &[("new InetSocketAddress(8443)", listen.as_str()), ("/run/secrets/leasehold/live", &scene.live())],
    );
    let mut server = Program::start(&mut compiled(&scene, &source));
    let client = TlsClient::new(&mount.ca, "web.example.com");
    eventually("it serves", SOON * 3, || client.handshake(address));

    let certificate = scene.folder.join("live/tls.crt");
    let (life, stop) = (Mutex::new(Life::default()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _ending = Ending(&stop);
        let visitor = scope.spawn(|| visit(&client, address, &certificate, &life, &stop));
        for rotation in 0..=ROTATIONS {
            eventually("the certificate in place is served", SOON, || {
                let life = life.lock().unwrap();
                let settled = life.served.len() > rotation && life.settled >= 10;
                let seen = settled || visitor.is_finished() || !life.failures.is_empty();
                if seen { Ok(()) } else { Err(format!("{life:?}\n{}", sidecar.log())) }
            });
            let read = openssl_reads(&scene.folder.join("live/keystore.p12"));
            assert_eq!(Some(&read), life.lock().unwrap().placed.last(), "OpenSSL reads the same");
            if rotation < ROTATIONS {
                sidecar.refresh("cert");
            }
        }
    });
    let life = life.into_inner().unwrap();
    println!(
        "{} handshakes, one in {:?}, {} failed, {} certificates served",
        life.handshakes,
        life.pace(),
        life.failures.len(),
        life.served.len(),
    );
    assert_eq!(life.failures, [""; 0], "{}", sidecar.log());
    assert_eq!(life.served, life.placed, "each was served, in their order");
    assert_eq!(life.served.len(), ROTATIONS + 1);
    assert!(life.handshakes >= ROTATIONS * 10, "{} handshakes", life.handshakes);
    assert_eq!(server.said(), (0, String::new()), "it has nothing to complain of");
    sidecar.end();
}
