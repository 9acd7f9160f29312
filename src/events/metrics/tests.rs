use std::time::Duration;

use leasehold_core::{Error, Kind, Operation};

use super::*;
use crate::events::{Events, Was};
use crate::status::GenerationState;

/// A board and a clock at a fixed wall time, with a bit of everything on it.
fn scene() -> (Board, Clock) {
    let clock = Clock::tokio();
    let board = Board::default();
    let now = clock.now();
    board.write(|board| {
        let db = SecretState {
            provider: "vault".to_owned(),
            held: true,
            expires: Some(now + Duration::from_secs(60)),
            last_success: Some(now),
            retiring: vec!["database/creds/web/old-lease-id".to_owned()],
            lease: Some("database/creds/web/lease-id".to_owned()),
            awaiting_ack: Some(now),
            mints_ceiling: 6,
            ..SecretState::default()
        };
        board.secrets.insert("db".to_owned(), db);
        let polled = SecretState { provider: "aws".to_owned(), mints_ceiling: 6, ..SecretState::default() };
        board.secrets.insert("api".to_owned(), polled);
        let files = vec!["db.env".to_owned()];
        board.generation =
            Some(GenerationState { number: 7, published: now, files, actions: Default::default() });
    });
    (board, clock)
}

fn emit_all(events: &Events) {
    let error = Error::new(Kind::Denied, Operation::Renew, "vault", "the policy does not allow it");
    events.emit(&Event::Minting { secret: "db", provider: "vault" });
    events.emit(&Event::Failed { secret: Some("db"), error: &error, retry_in: None });
    events.emit(&Event::Revoked {
        was: Was::Replaced,
        secret: "db",
        provider: "vault",
        lease: "database/creds/web/x",
    });
    events.emit(&Event::RevokeFailed { secret: "db", error: &error, ends_in: None, repeated: false });
    events.emit(&Event::SessionRevoked { provider: "vault", session: "accessor" });
    events.emit(&Event::ActionDone {
        action: "signal HUP to nginx",
        operation: "signal",
        name: None,
        generation: 7,
        error: None,
    });
    events.emit(&Event::ActionDone {
        action: "signal HUP to nginx",
        operation: "signal",
        name: None,
        generation: 7,
        error: Some("no such process"),
    });
    events.emit(&Event::ReloadRefused { why: "it does not parse" });
    let observer = events.observer("vault");
    observer.request(Operation::Renew, None, Duration::from_millis(40));
    observer.request(Operation::Renew, Some(Kind::Denied), Duration::from_millis(4));
}

/// Families stand in no fixed order within themselves, and wall times change: neither is part of
/// the contract.
fn normal(text: &str) -> String {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# HELP") || line == "# EOF" || blocks.is_empty() {
            blocks.push(Vec::new());
        }
        let line = match line.rsplit_once(' ') {
            Some((name, _)) if name.contains("_timestamp_seconds") && !line.starts_with('#') => {
                format!("{name} [time]")
            }
            _ => line.replace(env!("CARGO_PKG_VERSION"), "[version]"),
        };
        blocks.last_mut().expect("pushed above").push(line);
    }
    for block in &mut blocks {
        let comments = block.iter().filter(|line| line.starts_with('#')).count();
        if !block.iter().any(|line| line.contains("_bucket")) {
            block[comments..].sort();
        }
    }
    blocks.concat().join("\n")
}

#[tokio::test(start_paused = true)]
async fn the_metrics_are_the_contract() {
    let (board, clock) = scene();
    let events = Events::new(board, clock.clone());
    emit_all(&events);
    clock.jump(Duration::from_secs(5));
    insta::assert_snapshot!("openmetrics", normal(&events.metrics(Exposition::OpenMetrics)));
    insta::assert_snapshot!("prometheus", normal(&events.metrics(Exposition::Prometheus)));
}

#[tokio::test(start_paused = true)]
async fn labels_are_only_those_of_the_contract_and_no_lease_or_address_is_one() {
    let (board, clock) = scene();
    let events = Events::new(board, clock);
    emit_all(&events);
    let text = events.metrics(Exposition::Prometheus);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, labels)) = line.split_once('{') else { continue };
        for label in labels.split('}').next().unwrap().split(',') {
            let key = label.split('=').next().unwrap();
            let known = ["secret", "provider", "operation", "outcome"].contains(&key)
                || (key == "le" && name.ends_with("_bucket"))
                || (key == "version" && name == "leasehold_build_info");
            assert!(known, "{line}");
        }
        assert!(!line.contains("database/creds") && !line.contains("nginx"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expiry_is_the_wall_time_at_which_the_secret_ends() {
    let (board, clock) = scene();
    let before = clock.wall(clock.now() + Duration::from_secs(60));
    let events = Events::new(board, clock.clone());
    clock.jump(Duration::from_secs(30));
    let text = events.metrics(Exposition::Prometheus);
    let line =
        text.lines().find(|line| line.starts_with("leasehold_secret_expiry_timestamp_seconds{")).unwrap();
    let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    let expected = before.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((value - expected).abs() < 0.01, "{line}, expected {expected}");
    assert!(line.contains("secret=\"db\",provider=\"vault\""), "{line}");
    assert_eq!(
        text.matches("leasehold_secret_expiry_timestamp_seconds{").count(),
        1,
        "a polled secret ends never"
    );
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    assert_eq!(Exposition::wanted(Some(prometheus)), Exposition::OpenMetrics);
    assert_eq!(Exposition::wanted(Some("*/*")), Exposition::Prometheus);
    assert_eq!(Exposition::wanted(None), Exposition::Prometheus);
}
