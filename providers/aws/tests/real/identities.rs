//! The proof that Vault's log-in by AWS shows.

use std::sync::Arc;

use leasehold_core::{Cloud, Environment, IdentityRequest, Kind, NoObserver, Proof};
use leasehold_harness::Proxy;
use leasehold_harness::http::{self, Request};
use leasehold_harness::moto::moto;

use crate::given::{KEY, KEYS};

fn request(cloud: Cloud, more: &[(&str, &str)]) -> IdentityRequest {
    let variables = KEYS.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    IdentityRequest { cloud, ca_file: None, proxy: None, environment: Environment::new(variables) }
}

fn aws(region: Option<&str>, endpoint: Option<String>, role_arn: Option<&str>) -> Cloud {
    Cloud::Aws {
        region: region.map(str::to_owned),
        endpoint,
        server_id: Some("vault.example".to_owned()),
        role_arn: role_arn.map(str::to_owned),
    }
}

async fn prove(request: &IdentityRequest) -> (String, Vec<(String, String)>, Vec<u8>) {
    let identity = leasehold_aws::identity("vault", request, Arc::new(NoObserver)).unwrap();
    match identity.prove().await.unwrap() {
        Proof::Request { method, url, headers, body } => {
            assert_eq!(method, "POST");
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name, value.expose_text().unwrap().to_owned()))
                .collect();
            (url, headers, body)
        }
        Proof::Token { .. } => panic!("aws proves by a request"),
    }
}

#[tokio::test]
async fn the_proof_is_a_signed_request_that_sts_answers_and_that_was_not_sent() {
    let proxy = Proxy::to(moto().address());
    let (url, headers, body) = prove(&request(aws(Some("eu-west-1"), Some(proxy.url()), None), &[])).await;
    assert_eq!(url, format!("{}/", proxy.url()));
    assert!(proxy.requests("").is_empty(), "it is not sent");
    let signed = http::header(&headers, "authorization").unwrap().to_owned();
    assert!(signed.contains(&format!("Credential={KEY}/")) && signed.contains("/eu-west-1/sts/"), "{signed}");
    assert!(signed.contains("x-vault-aws-iam-server-id"), "the header is signed: {signed}");
    assert_eq!(http::header(&headers, "x-vault-aws-iam-server-id"), Some("vault.example"));
    let sent = Request { method: "POST".into(), path: "/".into(), headers, body };
    let answer = http::send(proxy.address(), &sent).unwrap();
    let said = String::from_utf8(answer.body).unwrap();
    assert!(answer.status == 200 && said.contains("GetCallerIdentityResult"), "{said}");
}

#[tokio::test]
async fn the_endpoint_is_the_regions_or_the_global_one() {
    for (region, url) in [
        (None, "https://sts.amazonaws.com/"),
        (Some("eu-west-1"), "https://sts.eu-west-1.amazonaws.com/"),
        (Some("cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn/"),
    ] {
        let (made, headers, _) = prove(&request(aws(region, None, None), &[])).await;
        assert_eq!(made, url);
        let signed = http::header(&headers, "authorization").unwrap().to_owned();
        assert!(signed.contains(&format!("/{}/sts/", region.unwrap_or("us-east-1"))), "{signed}");
    }
}

#[tokio::test]
async fn a_role_is_assumed_before_and_its_session_token_goes_along() {
    let proxy = Proxy::to(moto().address());
    let url = proxy.url();
    let role = "arn:aws:iam::123456789012:role/vault";
    let wanted = request(aws(Some("eu-west-1"), None, Some(role)), &[("AWS_ENDPOINT_URL_STS", &url)]);
    let (_, headers, _) = prove(&wanted).await;
    assert_eq!(proxy.requests("AssumeRole").len(), 1);
    assert!(http::header(&headers, "x-amz-security-token").is_some());
}

#[tokio::test]
async fn what_is_wrong_or_missing_is_said() {
    let no_keys = IdentityRequest {
        environment: Environment::new([("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned())]),
        ..request(aws(None, None, None), &[])
    };
    let identity = leasehold_aws::identity("vault", &no_keys, Arc::new(NoObserver)).unwrap();
    let error = identity.prove().await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("AWS_ACCESS_KEY_ID is not set"), "{error}");
    for cloud in [
        aws(Some("Europe"), None, None),
        aws(None, Some("sts".to_owned()), None),
        aws(None, None, Some("web")),
    ] {
        let wrong = request(cloud, &[]);
        let Err(error) = leasehold_aws::identity("vault", &wrong, Arc::new(NoObserver)) else {
            panic!("{wrong:?}")
        };
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
}
