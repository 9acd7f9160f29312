//! The mock behind bad weather.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leasehold_conformance::{Call, Capability, Chaos, Subject};
use leasehold_core::{Kind, Login, NoObserver, Operation, Provider, Session, Target, Wanted};

use crate::behind::Behind;
use crate::scripted::Scripted;

mod suite {
    leasehold_conformance::suite!(|| super::stormy(11));
}

/// The cases may repeat what passes; what happens is the seed's, and every provider has another one.
fn stormy(seed: u64) -> Behind {
    let own = "what fails is drawn, and not the case's to say";
    let seed = AtomicU64::new(seed);
    Behind {
        scripted: Scripted::new(),
        name: "mock, behind chaos",
        lacks: vec![
            (Capability::Counting, "what failed is asked again"),
            (Capability::Throttling, own),
            (Capability::Slow, own),
            (Capability::HalfSent, own),
            (Capability::Reset, own),
            (Capability::WrongContentType, own),
            (Capability::Nonsense, own),
            (Capability::ServerError, own),
        ],
        // Every fourth call fails, and an outage takes up to five.
        patience: 50,
        wrap: Box::new(move |inner, name| {
            Box::new(Chaos::over(inner, name, seed.fetch_add(1_000, Ordering::Relaxed)))
        }),
    }
}

#[test]
fn under_any_weather_every_case_holds() {
    for seed in 100..110 {
        for case in leasehold_conformance::names() {
            leasehold_conformance::run(case, &stormy(seed));
        }
    }
}

async fn log_in(provider: &dyn Provider) -> Session {
    loop {
        if let Ok(Login::Session(session)) = provider.login(None).await {
            return session;
        }
    }
}

#[tokio::test]
async fn each_mint_that_reached_the_store_is_brought_or_said_to_be_unavailable_and_sent_once() {
    const MINTS: usize = 200;
    let scripted = Scripted::new();
    let chaos = Chaos::over(scripted.provider("mock", Arc::new(NoObserver)), "mock", 5);
    let record = chaos.record();
    let provider: Box<dyn Provider> = Box::new(chaos);
    let session = log_in(&*provider).await;
    let reference = scripted.leased();
    let mut brought = Vec::new();
    for _ in 0..MINTS {
        let wanted = [Wanted { reference: &reference, known_version: None }];
        match provider.fetch(&session, &wanted).await.and_then(|mut results| results.remove(0)) {
            Ok(fetched) => brought.push(fetched.lease.expect("it is leased").id),
            Err(error) => assert!(matches!(error.kind, Kind::Unavailable | Kind::Throttled), "{error}"),
        }
    }
    let fetches: Vec<Call> =
        record.calls().into_iter().filter(|call| call.operation == Operation::Fetch).collect();
    assert_eq!(fetches.len(), MINTS);
    let (passed, lost): (Vec<Call>, Vec<Call>) =
        fetches.iter().filter(|call| call.passed).partition(|call| call.instead.is_none());
    assert!(!lost.is_empty() && passed.len() + lost.len() < MINTS, "the weather was bad: {fetches:?}");
    assert_eq!(brought.len(), passed.len());
    assert_eq!(
        scripted.living().len(),
        passed.len() + lost.len(),
        "one lease for each that reached the store"
    );
    assert!(brought.iter().all(|lease| scripted.living().contains(lease)));
    while provider.revoke(&session, Target::Session).await.is_err() {}
    assert_eq!(scripted.living(), Vec::<String>::new(), "those whose answers were lost end with the session");
}

#[tokio::test]
async fn the_weather_hangs_on_the_seed_alone() {
    let mut seen = Vec::new();
    for seed in [3, 3, 4] {
        let chaos = Chaos::over(Scripted::new().provider("mock", Arc::new(NoObserver)), "mock", seed);
        for _ in 0..100 {
            let _ = chaos.login(None).await;
        }
        seen.push(chaos.record().calls());
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}
