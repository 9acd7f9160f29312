//! What AWS, the network and whatever stands between can answer, and what it means.

use std::time::Duration;

use leasehold_core::{Kind, SecretRef};
use leasehold_harness::Proxy;
use leasehold_harness::http::Response;
use leasehold_harness::moto::moto;
use leasehold_harness::vault::unique;
use serde_json::json;

use crate::given::{BATCH, KEYS, ONE, Store, all, at, at_proxy, aws_error, fetch, observed, secrets, text};

const CANARY: &str = "canary-4e8a";

#[tokio::test]
async fn each_code_has_its_kind_and_its_remedy_and_no_message_is_repeated() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let name = unique("codes");
    let made = moto().create_secret(&name, CANARY);
    let arn = SecretRef { path: made.arn, ..at(&name) };
    for (status, code, kind, remedy) in [
        (400, "ResourceNotFoundException", Kind::Absent, "check path and region"),
        (400, "AccessDeniedException", Kind::Denied, "secretsmanager:GetSecretValue"),
        (400, "AccessDeniedException", Kind::Denied, "kms:Decrypt"),
        (400, "DecryptionFailure", Kind::Denied, "kms:Decrypt"),
        (400, "UnrecognizedClientException", Kind::Denied, "AWS_ACCESS_KEY_ID of the environment"),
        (403, "InvalidSignatureException", Kind::Denied, "clock"),
        (400, "ExpiredTokenException", Kind::SessionEnded, "expired"),
        (400, "InvalidParameterException", Kind::Invalid, "version and stage"),
        (400, "InvalidRequestException", Kind::Invalid, "version and stage"),
        (500, "InternalServiceError", Kind::Unavailable, "eu-west-1"),
        (503, "ServiceUnavailable", Kind::Unavailable, "503"),
        (400, "ThrottlingException", Kind::Throttled, "too many requests"),
        (400, "RequestLimitExceeded", Kind::Throttled, "too many requests"),
        (400, "com.amazonaws.secretsmanager#TooManyRequestsException", Kind::Throttled, "too many requests"),
    ] {
        let _rule = proxy.answer(ONE, aws_error(status, code));
        let before = proxy.requests(ONE).len();
        let error = fetch(&*provider, &at(&name)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}: {error}");
        assert!(error.detail.contains(remedy), "{code}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(proxy.requests(ONE).len(), before + 1, "{code} is not tried again");
        assert!(error.reference.contains(&name), "{error}");
    }
    let _rule = proxy.answer(ONE, aws_error(400, "AccessDeniedException"));
    let error = fetch(&*provider, &arn).await.unwrap_err();
    assert!(error.detail.contains("if account 123456789012 is not ours: its resource policy"), "{error}");
}

#[tokio::test]
async fn throttling_carries_what_the_store_asks_for() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    for (header, value, wait) in [("Retry-After", "7", 7000), ("x-amz-retry-after", "1500", 1500)] {
        let throttled = aws_error(400, "ThrottlingException").header(header, value);
        let _rule = proxy.answer("GetSecretValue", throttled);
        let error = fetch(&*provider, &at("any")).await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_millis(wait)), "{error}");
        for result in all(&*provider, &[at("any"), at("other")]).await {
            let error = result.unwrap_err();
            assert_eq!((error.kind, error.retry_after), (Kind::Throttled, Some(Duration::from_millis(wait))));
        }
    }
    assert_eq!(proxy.requests(BATCH).len(), 2, "a throttled batch is no reason to ask more");
    assert_eq!(proxy.requests(ONE).len(), 2);
}

#[tokio::test]
async fn errors_in_a_batch_fail_their_own_secret_on_whichever_page_they_come() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let value = |name: &str, text: &str| {
        json!({
            "ARN": format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf"),
            "Name": name, "VersionId": "v1", "SecretString": text, "VersionStages": ["AWSCURRENT"],
        })
    };
    let page = json!({
        "SecretValues": [value("c", CANARY)],
        "Errors": [
            { "SecretId": "a", "ErrorCode": "ResourceNotFoundException", "Message": CANARY },
            { "SecretId": "b", "ErrorCode": "AccessDeniedException", "Message": "Access to KMS is not allowed" },
            { "SecretId": "d", "ErrorCode": "DecryptionFailure", "Message": CANARY },
            { "SecretId": "f", "ErrorCode": "InternalServiceError", "Message": CANARY },
        ],
    });
    let _rule = proxy.answer(BATCH, Response::json(200, &page.to_string()));
    let partial = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:c";
    let results = all(&*provider, &["f", "d", "c", "b", "a", "e", partial].map(at)).await;
    let kinds: Vec<Option<Kind>> =
        results.iter().map(|one| one.as_ref().err().map(|error| error.kind)).collect();
    let denied = Some(Kind::Denied);
    assert_eq!(
        kinds,
        [Some(Kind::Unavailable), denied, None, denied, Some(Kind::Absent), Some(Kind::Malformed), None]
    );
    for result in [&results[2], &results[6]] {
        assert_eq!(text(result.as_ref().unwrap(), "value"), CANARY);
    }
    assert!(results[3].as_ref().unwrap_err().detail.contains("KMS key"), "{results:?}");
    assert!(!format!("{results:?}").contains(CANARY), "no value, no message");
}

#[tokio::test]
async fn pages_of_a_batch_are_followed_and_do_not_go_on_for_ever() {
    let pages = std::sync::Mutex::new(Vec::new());
    let pages = std::sync::Arc::new(pages);
    let server = leasehold_harness::HttpServer::start({
        let pages = pages.clone();
        move |request| {
            let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let ids = asked["SecretIdList"].as_array().unwrap().clone();
            let at = asked["NextToken"].as_str().map_or(0, |token| token.parse::<usize>().unwrap());
            pages.lock().unwrap().push(at);
            let endless = ids.iter().any(|id| id == "endless");
            let mut page = json!({ "SecretValues": [], "Errors": [] });
            if let Some(id) = ids.get(at) {
                page["SecretValues"] =
                    json!([{ "ARN": id, "Name": id, "VersionId": "1", "SecretString": id }]);
            }
            if at + 1 < ids.len() || endless {
                page["NextToken"] = json!((at + 1).to_string());
            }
            leasehold_harness::server::Reply::Whole(Response::json(200, &page.to_string()))
        }
    });
    let raw = json!({ "region": "eu-west-1", "endpoint": server.url() });
    let provider = observed(Store::Secrets, raw, &KEYS, std::sync::Arc::new(leasehold_core::NoObserver));
    let results = all(&*provider, &["one", "two", "three"].map(at)).await;
    let values: Vec<String> = results.iter().map(|one| text(one.as_ref().unwrap(), "value")).collect();
    assert_eq!(values, ["one", "two", "three"]);
    assert_eq!(*pages.lock().unwrap(), [0, 1, 2]);
    all(&*provider, &["endless", "two"].map(at)).await;
    assert!(pages.lock().unwrap().len() <= 6, "{:?}", pages.lock().unwrap());
}

#[tokio::test]
async fn an_answer_without_sense_or_without_end_is_no_verdict_and_says_nothing_of_its_body() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let (name, other) = (unique("broken"), unique("beside"));
    moto().create_secret(&name, &CANARY.repeat(100));
    moto().create_secret(&other, CANARY);
    for body in ["{\"SecretString\": \"canary-4e8a", "<html>canary-4e8a</html>", "{\"Name\":\"canary-4e8a\"}"]
    {
        let _rule = proxy.answer("GetSecretValue", Response::json(200, body));
        let error = fetch(&*provider, &at(&name)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{error}");
        for result in all(&*provider, &[at(&name), at(&other)]).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind, Kind::Malformed, "{error}");
            assert!(!error.to_string().contains(CANARY), "{error}");
        }
    }
    for break_it in [Proxy::halve, Proxy::lose_answers, Proxy::drop_requests] {
        let rule = break_it(&proxy, "GetSecretValue");
        let error = fetch(&*provider, &at(&name)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert_eq!(rule.hits(), 1, "it is not tried again");
    }
    for (status, kind) in [(404, Kind::Malformed), (502, Kind::Unavailable), (429, Kind::Throttled)] {
        let page = Response { status, headers: vec![], body: b"<html>canary-4e8a</html>".to_vec() };
        let _rule = proxy.answer("GetSecretValue", page);
        let error = fetch(&*provider, &at(&name)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.to_string().contains(CANARY), "{error}");
    }
    let refusing = proxy.refuse();
    // The first may meet a connection that has just ended.
    fetch(&*provider, &at(&name)).await.unwrap_err();
    let error = fetch(&*provider, &at(&name)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("connection refused"), "{error}");
    drop(refusing);
    fetch(&*provider, &at(&name)).await.unwrap();
}

#[tokio::test]
async fn an_arn_of_another_region_is_refused_before_anything_is_asked() {
    let proxy = Proxy::to(moto().address());
    let mut raw = at_proxy(&proxy);
    let abroad = at("arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf");
    for from_environment in [false, true] {
        let mut environment = KEYS.to_vec();
        if from_environment {
            raw.as_object_mut().unwrap().remove("region");
            environment.push(("AWS_REGION", "eu-west-1"));
        }
        let observer = std::sync::Arc::new(leasehold_core::NoObserver);
        let provider = observed(Store::Secrets, raw.clone(), &environment, observer);
        let error = fetch(&*provider, &abroad).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert!(error.detail.contains("us-east-1") && error.detail.contains("eu-west-1"), "{error}");
    }
    assert!(proxy.requests("").is_empty());
}
