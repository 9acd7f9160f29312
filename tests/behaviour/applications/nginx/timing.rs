use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Nginx, TlsClient, eventually, tls, vault};
use leasehold_harness as harness;
use serde_json::json;

use super::super::{Page, Scene, replaced};
use crate::SOON;

const ROTATIONS: usize = 20;
const PACE: Duration = Duration::from_millis(10);

/// What a client went through that makes a new handshake every 10 ms.
#[derive(Debug, Default)]
struct Life {
    handshakes: usize,
    failures: Vec<String>,
    /// The serial numbers that were in place, in their order.
    placed: Vec<String>,
    /// The serial numbers that were served, by their first time.
    served: Vec<String>,
    /// How many handshakes in a row were served what was in place.
    settled: usize,
}

impl Life {
    /// Notes what is in place; its number among all that were.
    fn look(&mut self, certificate: &Path) -> usize {
        let pem = fs::read_to_string(certificate).unwrap();
        let serial = tls::serial(&pem).unwrap_or_else(|| panic!("no certificate: {pem}"));
        if self.placed.last() != Some(&serial) {
            assert!(!self.placed.contains(&serial), "it came back: {serial}");
            self.placed.push(serial);
        }
        self.placed.len() - 1
    }
}

fn visit(
    client: &TlsClient,
    nginx: std::net::SocketAddr,
    certificate: &Path,
    life: &Mutex<Life>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let before = life.lock().unwrap().look(certificate);
        let outcome = client.handshake(nginx);
        let mut life = life.lock().unwrap();
        let now = life.look(certificate);
        life.handshakes += 1;
        match outcome {
            Err(why) => life.failures.push(why),
            Ok(serial) => {
                // The one that was in place before and the one that is now; none older.
                let live = life.placed[before.saturating_sub(1)..=now].contains(&serial);
                if !live {
                    let why = format!("{serial} was served, and in place were {:?}", life.placed);
                    life.failures.push(why);
                }
                let current = life.placed.last() == Some(&serial);
                life.settled = if current { life.settled + 1 } else { 0 };
                // Workers of before and after answer side by side for a moment.
                if !life.served.contains(&serial) {
                    life.served.push(serial);
                }
            }
        }
        drop(life);
        std::thread::sleep(PACE.saturating_sub(start.elapsed()));
    }
}

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
        stop.store(true, Ordering::Relaxed);
    });
    let life = life.into_inner().unwrap();
    println!(
        "{} handshakes, {} failed, {} certificates served",
        life.handshakes,
        life.failures.len(),
        life.served.len(),
    );
    assert_eq!(life.failures, [""; 0], "{}\n{}", sidecar.log(), nginx.log());
    assert_eq!(life.served, life.placed, "each was served, in their order");
    assert_eq!(life.served.len(), ROTATIONS + 1);
    assert!(life.handshakes >= ROTATIONS * 10, "{} handshakes", life.handshakes);
    assert!(!nginx.log().contains("[emerg]"), "{}", nginx.log());
    sidecar.end();
}
