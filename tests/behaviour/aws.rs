//! AWS Secrets Manager through the binary, against moto: alone, beside a real Vault, and where something is wrong.

use std::time::{Duration, Instant};

use harness::http::Response;
use harness::leasehold::Running;
use harness::moto::{Moto, moto};
use harness::vault::unique;
use harness::{Leasehold, Proxy, eventually};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::lifecycle::given::{Place, SOON};

mod bad;
mod identity;
mod two_stores;

/// One leasehold with a provider `aws` behind a proxy that counts.
struct Site {
    place: Place,
    proxy: Proxy,
}

impl Site {
    /// With these secrets of the provider, each under its name in the configuration.
    fn new(server: &Moto, secrets: &[(&str, Value)]) -> Self {
        let site = Self { place: Place::new(), proxy: Proxy::to(server.address()) };
        site.configure(secrets, json!({}));
        site
    }

    /// The same with other sections on top.
    fn configure(&self, secrets: &[(&str, Value)], more: Value) {
        let mut config = json!({
            "providers": { "aws": { "type": "aws-secrets-manager", "region": Moto::REGION } },
            "secrets": {},
        });
        for (name, secret) in secrets {
            config["secrets"][name] = secret.clone();
            config["secrets"][name]["provider"] = json!("aws");
        }
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.place.configure(config);
    }

    /// A command with the credentials of a user in its environment.
    fn command(&self, words: &[&str]) -> Leasehold {
        self.bare(words)
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", "canary-of-the-key")
    }

    /// A command that knows where AWS is, and nothing of who it is itself.
    fn bare(&self, words: &[&str]) -> Leasehold {
        self.place
            .command(words)
            .env("AWS_ENDPOINT_URL", self.proxy.url())
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }

    fn run(&self) -> Running {
        self.command(&["run"]).start()
    }

    /// How often an action was asked for.
    fn asked(&self, action: &str) -> usize {
        self.proxy.requests(action).len()
    }

    /// How many polls came after a change and before what is now in the file was written. Later ones came while
    /// the test had not looked yet.
    #[track_caller]
    fn polls_from(&self, change: Instant, file: &str) -> usize {
        let written = std::fs::metadata(self.place.live().join(file)).unwrap().modified().unwrap();
        let (now, ago) = (Instant::now(), written.elapsed().unwrap_or_default());
        let polls = self.proxy.requests("secretsmanager.");
        polls.iter().filter(|poll| poll.at > change && poll.at + ago <= now).count()
    }

    /// Waits until the file holds that.
    #[track_caller]
    fn follows(&self, file: &str, value: &str, running: &Running) {
        eventually(&format!("{file} follows"), SOON, || match self.place.read(file) {
            Some(held) if held == value => Ok(()),
            held => Err(format!("{held:?}\n{}", running.stderr())),
        });
    }
}

fn stop(mut running: Running) {
    running.signal(harness::Signal::TERM);
    let exit = running.wait(SOON);
    assert_eq!(exit, harness::process::Exit::Code(0), "{}", running.stderr());
}

#[test]
fn a_moved_stage_is_in_the_file_within_one_refresh_and_a_pending_one_never() {
    let name = unique("app/api-key");
    moto().create_secret(&name, "first");
    let site = Site::new(moto(), &[("api", json!({ "path": name, "refresh": "1s" }))]);
    let mut running = site.run();
    assert_eq!(site.place.await_file("api/value", &mut running), "first");

    let polls = || site.asked("secretsmanager.");
    // A rotation that has begun: its new version is nobody's yet.
    let second = moto().put_staged(&name, "second", &["AWSPENDING"]);
    let before = polls();
    eventually("three polls of the rotation in flight", SOON, || polls() > before + 3);
    assert_eq!(site.place.read("api/value").as_deref(), Some("first"));
    assert_eq!(site.place.metric("leasehold_generation", &[]), 1.0);

    // It ends: one poll may have been on its way, the next one brings it.
    moto().move_stage(&name, "AWSCURRENT", &second);
    let moved = Instant::now();
    site.follows("api/value", "second", &running);
    let took = site.polls_from(moved, "api/value");
    assert!(took <= 2, "{took} polls");

    // A person who sets a new value, and one who takes it back.
    moto().put_secret(&name, "third");
    site.follows("api/value", "third", &running);
    moto().move_stage(&name, "AWSCURRENT", &second);
    site.follows("api/value", "second", &running);
    assert_eq!(site.place.metric("leasehold_generation", &[]), 4.0);
    assert!(!running.stderr().contains("third") && !running.stderr().contains("canary"));
    stop(running);
}

#[test]
fn pinned_versions_and_stages_stay_where_they_are() {
    let name = unique("app/pinned");
    let made = moto().create_secret(&name, "first");
    moto().put_secret(&name, "second");
    let at = |more: Value| {
        let mut secret = json!({ "path": name, "refresh": "1s" });
        secret.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        secret
    };
    let site = Site::new(
        moto(),
        &[
            ("current", at(json!({}))),
            ("previous", at(json!({ "stage": "AWSPREVIOUS" }))),
            ("pinned", at(json!({ "version": made.version }))),
        ],
    );
    let mut running = site.run();
    assert_eq!(site.place.await_file("pinned/value", &mut running), "first");
    let all =
        || ["current", "previous", "pinned"].map(|one| site.place.read(&format!("{one}/value")).unwrap());
    assert_eq!(all(), ["second", "first", "first"]);
    moto().put_secret(&name, "third");
    site.follows("current/value", "third", &running);
    site.follows("previous/value", "second", &running);
    assert_eq!(all(), ["third", "second", "first"]);
    stop(running);
}

#[test]
fn twenty_secrets_are_one_call_a_poll() {
    // A server of our own, so that its log holds nobody else's requests.
    let server = Moto::start();
    let names: Vec<String> = (0..20).map(|number| format!("app/one-of-twenty-{number}")).collect();
    for name in &names {
        server.create_secret(name, &json!({ "field": format!("first of {name}") }).to_string());
    }
    let keys: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let secrets: Vec<(&str, Value)> = keys
        .iter()
        .zip(&names)
        .map(|(key, name)| (key.as_str(), json!({ "path": name, "refresh": "1s" })))
        .collect();
    let site = Site::new(&server, &secrets);
    let at_server = || server.log().matches("\"POST / HTTP").count();
    let before = at_server();
    let mut running = site.run();
    site.place.await_file("s19/field", &mut running);

    eventually("six polls", SOON, || site.asked("BatchGetSecretValue") >= 7);
    server.put_secret(&names[7], &json!({ "field": "changed" }).to_string());
    site.follows("s7/field", "changed", &running);
    assert_eq!(site.place.read("s8/field").as_deref(), Some("first of app/one-of-twenty-8"));
    assert_eq!(site.place.metric("leasehold_generation", &[]), 2.0);
    stop(running);

    let polls = site.proxy.requests("");
    for poll in &polls {
        let asked: Value = serde_json::from_slice(&poll.body).unwrap();
        assert_eq!(asked["SecretIdList"].as_array().map(Vec::len), Some(20), "{asked}");
    }
    // One a second: whatever comes closer would be a second call of the same poll.
    for pair in polls.windows(2) {
        let apart = pair[1].at.duration_since(pair[0].at);
        assert!(apart >= Duration::from_millis(500), "{apart:?}");
    }
    // One call of ours was the new version. A poll of the last moment may still be on its way.
    eventually("each is counted at the server, once", SOON, || {
        let (counted, polls) = (at_server() - before, site.proxy.requests("").len());
        if counted == polls + 1 { Ok(()) } else { Err(format!("{counted} for {polls}:\n{}", server.log())) }
    });
}
