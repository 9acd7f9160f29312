use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use harness::{Nginx, TlsClient, eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use super::super::visitor::{Ending, Life, PACE, visit};
use super::super::{Page, Scene, replaced};
use crate::SOON;

const ROTATIONS: usize = 20;

#[test]
fn no_handshake_fails_over_twenty_rotations_and_what_is_served_is_one_of_two() {
    let page = Page::read("nginx.md");
    let mount = vault().pki_mount("nginx");
    let issue = mount.role("web", json!({}));
    let scene = Scene::new("nginx", vault().policy("nginx").update(&issue));
    let place = Nginx::new();
    let process = format!("process: {}", place.name());
    let sidecar = scene.start(
        page.block("yaml", "providers:"),
        &[("pki/issue/web", issue.as_str()), ("process: nginx", &process)],
    );
    let listen = format!("listen {} ssl", place.address());
    let servers = replaced(
        page.block("nginx", "server {"),
        &[("listen 8443 ssl", listen.as_str()), ("/run/secrets/leasehold/live", &scene.live())],
    );
    let nginx = place.start(&servers);
    let client = TlsClient::new(&mount.ca, "web.example.com");
    let certificate = scene.folder.join("live/tls/tls.crt");

    let (life, stop) = (Mutex::new(Life::default()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _ending = Ending(&stop);
        let visitor = scope.spawn(|| visit(&client, nginx.address(), &certificate, &life, &stop));
        for rotation in 0..=ROTATIONS {
            eventually("the certificate in place is served", SOON, || {
                let life = life.lock().unwrap();
                let settled = life.served.len() > rotation && life.settled >= 10;
                let seen = settled || visitor.is_finished() || !life.failures.is_empty();
                if seen { Ok(()) } else { Err(format!("{life:?}\n{}\n{}", sidecar.log(), nginx.log())) }
            });
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
    assert_eq!(life.failures, [""; 0], "{}\n{}", sidecar.log(), nginx.log());
    assert_eq!(life.served, life.placed, "each was served, in their order");
    assert_eq!(life.served.len(), ROTATIONS + 1);
    assert!(life.handshakes >= ROTATIONS * 10, "{} handshakes", life.handshakes);
    assert!(life.pace() < PACE * 3 / 2, "one handshake in {:?}", life.pace());
    assert!(!nginx.log().contains("[emerg]"), "{}", nginx.log());
    sidecar.end();
}
