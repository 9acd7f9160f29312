use std::io::Write;
use std::sync::{Arc, Mutex};

use leasehold_core::{Error, Kind, Operation};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::clock::locked;
use crate::events::{Events, Was};

/// One of each, so that every sentence is read once by whoever reviews the snapshot.
fn told(events: &Events) {
    let second = Duration::from_secs(1);
    let error = Error::new(Kind::Unavailable, Operation::Renew, "vault", "connection refused; is it up?")
        .on("secret \"db\" (database/creds/web)");
    let (secret, provider) = ("db", "vault");
    let session = "accessor-1";
    let names: Vec<String> = (0..10).map(|n| format!("file-{n}")).collect();
    let all = [
        Event::LoggedIn {
            provider,
            session,
            origin: Origin::LoggedIn,
            ttl: Some(second * 3600),
            revocable: true,
        },
        Event::LoggedIn { provider, session, origin: Origin::LoggedIn, ttl: None, revocable: false },
        Event::LoggedIn { provider, session, origin: Origin::Given, ttl: None, revocable: true },
        Event::LoggedIn { provider, session, origin: Origin::Ambient, ttl: None, revocable: false },
        Event::Adopted { provider, sessions: 1, secrets: 2, confirmed: true },
        Event::Adopted { provider, sessions: 1, secrets: 1, confirmed: false },
        Event::SessionRenewed { provider, ttl: Some(second * 3599) },
        Event::SessionReplacing { provider, why: "its max TTL is near" },
        Event::SessionRevoked { provider, session },
        Event::Minting { secret, provider },
        Event::Fetched {
            secret,
            provider,
            effect: Effect::Mints,
            lease: Some("database/creds/web/abc"),
            ttl: Some(Duration::from_millis(3_660)),
            version: None,
        },
        Event::Fetched {
            secret,
            provider,
            effect: Effect::Reads,
            lease: None,
            ttl: None,
            version: Some("4"),
        },
        Event::Unchanged { secret, provider },
        Event::Renewed { secret, provider, ttl: second * 60, capped: false },
        Event::Renewed { secret, provider, ttl: second * 20, capped: true },
        Event::Failed { secret: Some(secret), error: &error, retry_in: Some(second * 2) },
        Event::Failed { secret: None, error: &error, retry_in: None },
        Event::LeaseLost { secret, provider, replaced_in: second * 7 },
        Event::MintsLimited { secret, provider, ceiling: 6, wait: second * 41 },
        Event::OverlapShortened { secret, configured: second * 60, effective: second * 20 },
        Event::LeadShortened { secret, wanted: second * 30, effective: second * 15 },
        Event::Revoked { was: Was::Replaced, secret, provider, lease: "database/creds/web/abc" },
        Event::Revoked { was: Was::Refused, secret, provider, lease: "database/creds/web/abc" },
        Event::RevokeFailed { secret, error: &error, ends_in: Some(second * 33), repeated: false },
        Event::RevokeFailed { secret, error: &error, ends_in: None, repeated: true },
        Event::Expired { secret, provider, action: "keep" },
        Event::LeftOut { secret, provider, why: "it does not exist" },
        Event::Published { generation: 3, changed: &names[..1], files: 2, environment: false },
        Event::Published { generation: 4, changed: &names, files: 10, environment: true },
        Event::EnvironmentChanged { generation: 4 },
        Event::PublishRefused { why: "no space left on the volume" },
        Event::ActionDone {
            action: "signal HUP to nginx",
            operation: "signal",
            name: None,
            generation: 3,
            error: None,
        },
        Event::ActionDone {
            action: "signal HUP to nginx",
            operation: "signal",
            name: None,
            generation: 3,
            error: Some("no such process"),
        },
        Event::Acknowledged { generation: 3 },
        Event::ReportedStale { secret, done: "asking the store whether the lease still lives" },
        Event::Reloaded { changes: &[], needs_restart: &[] },
        Event::Reloaded { changes: &names[..2], needs_restart: &names[2..3] },
        Event::ReloadRefused { why: "leasehold.yaml:3: unknown key `foo`" },
        Event::Ending { waiting_for: "revoke_delay (20s)" },
        Event::LeftBehind { provider, what: "lease database/creds/web/abc", why: "the store was away" },
        Event::Warning { text: "the volume may be swapped" },
        Event::Note { text: "watching 2 files" },
        Event::Request {
            provider,
            operation: Operation::Login,
            outcome: "ok",
            took: Duration::from_millis(12),
        },
    ];
    for event in &all {
        events.emit(event);
    }
}

#[tokio::test]
async fn every_event_is_a_sentence_at_a_fitting_level() {
    let events = Events::for_tests();
    told(&events);
    insta::assert_snapshot!("sentences", events.recorded().join("\n"));
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        locked(&self.0).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Captured;

    fn make_writer(&'a self) -> Captured {
        self.clone()
    }
}

#[tokio::test]
async fn machines_get_the_facts_as_fields_under_our_target() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .without_time()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .finish();
    let events = Events::for_tests();
    tracing::subscriber::with_default(subscriber, || {
        events.emit(&Event::Fetched {
            secret: "db",
            provider: "vault",
            effect: Effect::Mints,
            lease: Some("database/creds/web/abc"),
            ttl: Some(Duration::from_millis(3_660)),
            version: None,
        });
    });
    let line = String::from_utf8(locked(&captured.0).clone()).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["target"], "leasehold");
    assert_eq!(line["level"], "INFO");
    let fields = line["fields"].as_object().unwrap();
    assert_eq!(fields["event"], "fetched");
    assert_eq!(fields["secret"], "db");
    assert_eq!(fields["provider"], "vault");
    assert_eq!(fields["lease"], "database/creds/web/abc");
    assert_eq!(fields["ttl_seconds"], 3.66);
    assert!(!fields.contains_key("generation"), "what does not apply is left out: {fields:?}");
}

#[tokio::test]
async fn text_from_outside_cannot_forge_a_second_line() {
    let events = Events::for_tests();
    events.emit(&Event::Warning { text: "one\nerror published: two\u{1b}[31m" });
    assert_eq!(events.recorded(), ["warn warning: one error published: two [31m"]);
}
