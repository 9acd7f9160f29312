//! Failover to a region that the secrets are replicated to.

use std::sync::Arc;

use leasehold_core::{Kind, NoObserver, Operation};
use leasehold_harness::Proxy;
use leasehold_harness::http::{Response, header};
use leasehold_harness::moto::moto;
use leasehold_harness::vault::unique;
use serde_json::json;

use crate::given::{Counted, KEYS, ONE, Store, all, at, aws_error, fetch, observed, text};

const SECOND: &str = "eu-central-1";

#[tokio::test]
async fn what_does_not_answer_is_read_from_the_next_region_until_it_does() {
    let (first, second) = (Proxy::to(moto().address()), Proxy::to(moto().address()));
    let counted = Arc::new(Counted::default());
    let raw = json!({
        "region": "eu-west-1", "endpoint": first.url(), "regions": [{ "region": SECOND, "endpoint": second.url() }]
    });
    let provider = observed(Store::Secrets, raw, &KEYS, counted.clone());
    let name = unique("replicated");
    let made = moto().create_secret(&name, "here");
    let replica = json!({ "Name": name, "SecretString": "there" });
    moto().call(SECOND, "secretsmanager", "CreateSecret", &replica).unwrap();

    assert_eq!(text(&fetch(&*provider, &at(&name)).await.unwrap(), "value"), "here");
    assert!(second.requests("").is_empty());
    counted.take();

    let away = first.answer("", Response::status(503));
    assert_eq!(text(&fetch(&*provider, &at(&name)).await.unwrap(), "value"), "there");
    assert_eq!(
        counted.take(),
        [(Operation::Fetch, Some(Kind::Unavailable)), (Operation::Fetch, None)],
        "both are counted"
    );
    let signed = header(&second.requests("")[0].headers, "authorization").unwrap().to_owned();
    assert!(signed.contains("/eu-central-1/secretsmanager/"), "it is signed for the region that is asked");

    // Remembered, and a replica has the same ARN but for the region.
    let results = all(&*provider, &[at(&name), at(&made.arn)]).await;
    assert_eq!(text(results[0].as_ref().unwrap(), "value"), "there");
    let asked: serde_json::Value = serde_json::from_slice(&second.requests("Batch")[0].body).unwrap();
    let ids = asked["SecretIdList"].to_string();
    assert!(ids.contains(&made.arn.replace("eu-west-1", SECOND)) && !ids.contains("eu-west-1"), "{ids}");

    // What is not there in the second region may be there in the first: nobody knows.
    let error = fetch(&*provider, &at("nowhere")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");

    drop(away);
    let mut polls = 0;
    while text(&fetch(&*provider, &at(&name)).await.unwrap(), "value") != "here" {
        polls += 1;
        assert!(polls < 20, "the first region is asked again");
    }
    let before = second.requests("").len();
    fetch(&*provider, &at(&name)).await.unwrap();
    assert_eq!(second.requests("").len(), before);
}

#[tokio::test]
async fn a_verdict_of_the_first_region_is_final() {
    let (first, second) = (Proxy::to(moto().address()), Proxy::to(moto().address()));
    let raw = json!({
        "region": "eu-west-1", "endpoint": first.url(), "regions": [{ "region": SECOND, "endpoint": second.url() }]
    });
    let provider = observed(Store::Secrets, raw, &KEYS, Arc::new(NoObserver));
    for (code, kind) in [
        ("ResourceNotFoundException", Kind::Absent),
        ("AccessDeniedException", Kind::Denied),
        ("ThrottlingException", Kind::Throttled),
    ] {
        let _rule = first.answer(ONE, aws_error(400, code));
        assert_eq!(fetch(&*provider, &at("any")).await.unwrap_err().kind, kind);
    }
    assert!(second.requests("").is_empty());
}
