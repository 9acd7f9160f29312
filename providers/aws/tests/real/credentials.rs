//! Where credentials come from. (169.254.170.2 of ECS cannot be had on a test machine; its other form can.)

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use leasehold_core::{Error, Fetched, Kind, NoObserver, Operation, Provider};
use leasehold_harness::http::{Request, Response, header};
use leasehold_harness::moto::moto;
use leasehold_harness::server::Reply;
use leasehold_harness::vault::unique;
use leasehold_harness::{ForwardProxy, HttpServer, Proxy, tmpfs};
use serde_json::{Value, json};

use crate::given::{Counted, KEY, KEYS, ONE, Store, at, at_proxy, aws_error, fetch, keys, observed};

const NO_MACHINE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const ROLE: &str = "arn:aws:iam::123456789012:role/web";

fn provider(raw: Value, environment: &[(&str, &str)]) -> Box<dyn Provider> {
    observed(Store::Secrets, raw, environment, Arc::new(NoObserver))
}

fn secret() -> String {
    let name = unique("credentials");
    moto().create_secret(&name, "x");
    name
}

fn after(wait: Duration) -> String {
    DateTime::from(SystemTime::now() + wait).fmt(Format::DateTime).unwrap()
}

/// What a fetch brings whose credentials come from the machine. The SDK gives the machine's service this long
/// for an answer, which a machine that stands still may take away: then a new provider asks.
async fn by_machine(provider: impl Fn() -> Box<dyn Provider>, path: &str) -> Result<Fetched, Error> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let asked = Instant::now();
        let brought = fetch(&*provider(), &at(path)).await;
        if brought.is_ok() || asked.elapsed() < PATIENCE || Instant::now() > deadline {
            return brought;
        }
    }
}

/// Answers that everybody gets, and what was asked.
fn scripted(
    answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> (HttpServer, Arc<Mutex<Vec<Request>>>) {
    let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
    let server = HttpServer::start({
        let asked = asked.clone();
        move |request| {
            asked.lock().unwrap().push(request.clone());
            Reply::Whole(answer(&request))
        }
    });
    (server, asked)
}

/// What STS answers, for credentials that are over so soon that each use fetches new ones.
fn web_identity_answer(request: &Request) -> Response {
    let form = String::from_utf8(request.body.clone()).unwrap();
    let (_, token) = form.split_once("WebIdentityToken=").unwrap();
    let token = token.split('&').next().unwrap();
    let soon = after(Duration::from_secs(20));
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA{token}</AccessKeyId>\
         <SecretAccessKey>canary-key</SecretAccessKey><SessionToken>canary-session</SessionToken>\
         <Expiration>{soon}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    );
    Response {
        status: 200,
        headers: vec![("Content-Type".into(), "text/xml".into())],
        body: body.into_bytes(),
    }
}

#[tokio::test]
async fn a_web_identity_token_is_read_anew_when_credentials_are_replaced() {
    let (sts, asked) = scripted(web_identity_answer);
    let (proxy, folder, name) = (Proxy::to(moto().address()), tmpfs(), secret());
    let token = folder.join("token");
    std::fs::write(&token, "ONE").unwrap();
    let url = sts.url();
    let environment = [
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &url),
        NO_MACHINE,
    ];
    let counted = Arc::new(Counted::default());
    let provider = observed(Store::Secrets, at_proxy(&proxy), &environment, counted.clone());
    fetch(&*provider, &at(&name)).await.unwrap();
    assert_eq!(counted.take(), [(Operation::Login, None), (Operation::Fetch, None)]);
    std::fs::write(&token, "TWO").unwrap();
    fetch(&*provider, &at(&name)).await.unwrap();
    assert_eq!(keys(&proxy, ONE), ["ASIAONE", "ASIATWO"]);
    let form = String::from_utf8(asked.lock().unwrap()[0].body.clone()).unwrap();
    assert!(form.contains("Action=AssumeRoleWithWebIdentity") && form.contains("role%2Fweb"), "{form}");

    std::fs::remove_file(&token).unwrap();
    let error = fetch(&*provider, &at(&name)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(
        error.detail.contains("AWS_WEB_IDENTITY_TOKEN_FILE") && error.detail.contains("does not exist"),
        "{error}"
    );
}

#[tokio::test]
async fn expired_credentials_are_replaced_before_the_next_call() {
    let (proxy, folder, name) = (Proxy::to(moto().address()), tmpfs(), secret());
    let token = folder.join("token");
    std::fs::write(&token, "any").unwrap();
    let url = proxy.url();
    let environment = [
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &url),
        NO_MACHINE,
    ];
    let provider = provider(at_proxy(&proxy), &environment);
    fetch(&*provider, &at(&name)).await.unwrap();
    fetch(&*provider, &at(&name)).await.unwrap();
    assert_eq!(proxy.requests("AssumeRoleWithWebIdentity").len(), 1, "good for an hour");
    let expired = proxy.answer(ONE, aws_error(400, "ExpiredTokenException"));
    let error = fetch(&*provider, &at(&name)).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
    drop(expired);
    fetch(&*provider, &at(&name)).await.unwrap();
    assert_eq!(proxy.requests("AssumeRoleWithWebIdentity").len(), 2);
    let used = keys(&proxy, ONE);
    assert_eq!(used[0], used[2]);
    assert_ne!(used[0], used[3], "the next call has fresh ones");
}

#[tokio::test]
async fn a_role_is_assumed_with_what_was_found() {
    let (proxy, name) = (Proxy::to(moto().address()), secret());
    let url = proxy.url();
    let mut environment = KEYS.to_vec();
    environment.push(("AWS_ENDPOINT_URL_STS", &url));
    let mut raw = at_proxy(&proxy);
    raw["role_arn"] = json!("arn:aws:iam::123456789012:role/reader");
    raw["external_id"] = json!("of-web");
    raw["session_name"] = json!("pod-7");
    let provider = provider(raw, &environment);
    fetch(&*provider, &at(&name)).await.unwrap();
    assert_eq!(keys(&proxy, "AssumeRole"), [KEY]);
    let form = String::from_utf8(proxy.requests("AssumeRole")[0].body.clone()).unwrap();
    assert!(form.contains("ExternalId=of-web") && form.contains("RoleSessionName=pod-7"), "{form}");
    let used = keys(&proxy, ONE).pop().unwrap();
    assert!(moto().caller(&used).ends_with(":assumed-role/reader/pod-7"), "{}", moto().caller(&used));
}

#[tokio::test]
async fn what_sts_refuses_says_what_to_change() {
    let (proxy, folder) = (Proxy::to(moto().address()), tmpfs());
    let token = folder.join("token");
    std::fs::write(&token, "canary-token").unwrap();
    let url = proxy.url();
    let web = [
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &url),
        NO_MACHINE,
    ];
    for (status, code, kind, remedy) in [
        (403, "AccessDenied", Kind::Denied, "trust policy"),
        (400, "InvalidIdentityToken", Kind::Denied, "audience"),
        (400, "ExpiredTokenException", Kind::Denied, "kubelet"),
        (400, "IDPCommunicationError", Kind::Unavailable, "issuer"),
        (400, "Throttling", Kind::Throttled, "too many"),
        (503, "ServiceUnavailable", Kind::Unavailable, "not ready"),
    ] {
        let body = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>canary</Message></Error></ErrorResponse>"
        );
        let answer = Response { status, headers: vec![], body: body.into_bytes() };
        let rule = proxy.answer("AssumeRoleWithWebIdentity", answer);
        let error = fetch(&*provider(at_proxy(&proxy), &web), &at("any")).await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}: {error}");
        assert!(error.detail.contains(remedy) && !error.to_string().contains("canary"), "{code}: {error}");
        assert_eq!(rule.hits(), 1, "{code} is not tried again");
    }
}

#[tokio::test]
async fn container_credentials_are_asked_for_with_the_token_of_now() {
    let (agent, asked) = scripted(|request| {
        let token = header(&request.headers, "authorization").unwrap_or("none").to_owned();
        let soon = after(Duration::from_secs(20));
        let body = json!({
            "AccessKeyId": format!("ASIA{token}"), "SecretAccessKey": "canary-key", "Token": "canary-token",
            "Expiration": soon,
        });
        Response::json(200, &body.to_string())
    });
    let (proxy, folder, name) = (Proxy::to(moto().address()), tmpfs(), secret());
    let token = folder.join("token");
    std::fs::write(&token, "ONE").unwrap();
    let url = format!("{}/v1/credentials", agent.url());
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        NO_MACHINE,
    ];
    let forward = ForwardProxy::start();
    let mut raw = at_proxy(&proxy);
    raw["proxy"] = json!(forward.url());
    let provider = provider(raw, &environment);
    fetch(&*provider, &at(&name)).await.unwrap();
    std::fs::write(&token, "TWO").unwrap();
    fetch(&*provider, &at(&name)).await.unwrap();
    assert_eq!(keys(&proxy, ONE), ["ASIAONE", "ASIATWO"]);
    assert_eq!(asked.lock().unwrap()[0].path, "/v1/credentials");
    let through: Vec<String> = forward.asked().into_iter().map(|one| one.path).collect();
    assert!(through.len() == 2 && through.iter().all(|path| path.starts_with(&proxy.url())), "{through:?}");
    agent.refuse();
    let error = fetch(&*provider, &at(&name)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn the_machine_gives_credentials_and_its_region_to_who_shows_a_token() {
    let (machine, asked) = scripted(|request| {
        let role = json!({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAOFTHEMACHINE", "SecretAccessKey": "canary-key",
            "Token": "canary-token", "Expiration": after(Duration::from_secs(3600)), "LastUpdated": after(Duration::ZERO),
        });
        let token = header(&request.headers, "x-aws-ec2-metadata-token");
        match (request.method.as_str(), request.path.as_str(), token) {
            ("PUT", "/latest/api/token", _) => {
                Response { body: b"a-token".to_vec(), ..Response::json(200, "") }
                    .header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
            }
            (_, _, None) => Response::status(401),
            (_, "/latest/meta-data/placement/region", _) => {
                Response { body: b"eu-west-1".to_vec(), ..Response::json(200, "") }
            }
            (_, path, _) if path.ends_with("/security-credentials/") => {
                Response { body: b"role".to_vec(), ..Response::json(200, "") }
            }
            (_, path, _) if path.ends_with("/security-credentials/role") => {
                Response::json(200, &role.to_string())
            }
            _ => Response::status(404),
        }
    });
    let (proxy, name) = (Proxy::to(moto().address()), secret());
    let url = machine.url();
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    by_machine(|| provider(json!({ "endpoint": proxy.url() }), &environment), &name).await.unwrap();
    assert_eq!(keys(&proxy, ONE), ["ASIAOFTHEMACHINE"]);
    let signed = header(&proxy.requests(ONE)[0].headers, "authorization").unwrap().to_owned();
    assert!(signed.contains("/eu-west-1/"), "the region is the machine's");
    assert_eq!(asked.lock().unwrap()[0].method, "PUT", "a token first");
}

#[tokio::test]
async fn a_profile_stands_above_keys_of_the_environment_and_what_it_cannot_do_is_said() {
    let (proxy, folder, name) = (Proxy::to(moto().address()), tmpfs(), secret());
    let (config, shared) = (folder.join("config"), folder.join("credentials"));
    std::fs::write(
        &config,
        "[profile web]\nregion = eu-west-1\n[profile program]\ncredential_process = /bin/canary\nregion = eu-west-1\n",
    )
    .unwrap();
    let write = |key: &str| {
        let text = format!("[web]\naws_access_key_id = {key}\naws_secret_access_key = canary-key\n");
        std::fs::write(&shared, text).unwrap();
    };
    write("AKIAOFTHEPROFILE");
    let mut environment = KEYS.to_vec();
    environment.push(("AWS_CONFIG_FILE", config.to_str().unwrap()));
    environment.push(("AWS_SHARED_CREDENTIALS_FILE", shared.to_str().unwrap()));
    let profile = |name: &str| json!({ "endpoint": proxy.url(), "profile": name });
    let web = provider(profile("web"), &environment);
    fetch(&*web, &at(&name)).await.unwrap();
    assert_eq!(keys(&proxy, ONE), ["AKIAOFTHEPROFILE"]);

    // Replaced at AWS and in the file: a refusal is a reason to read it again.
    write("AKIAREPLACED");
    let refused = proxy.answer(ONE, aws_error(400, "UnrecognizedClientException"));
    let error = fetch(&*web, &at(&name)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("profile web"), "{error}");
    drop(refused);
    fetch(&*web, &at(&name)).await.unwrap();
    assert_eq!(keys(&proxy, ONE).pop().unwrap(), "AKIAREPLACED");

    let error = fetch(&*provider(profile("program"), &environment), &at(&name)).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Invalid | Kind::Denied), "{error}");
    assert!(error.detail.contains("credential_process") && !error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn absent_credentials_say_what_was_looked_at_and_an_absent_region_what_to_set() {
    let proxy = Proxy::to(moto().address());
    let error = fetch(&*provider(at_proxy(&proxy), &[NO_MACHINE]), &at("any")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    for looked_at in [
        "AWS_ACCESS_KEY_ID is not set",
        "default profile",
        "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set",
        "AWS_EC2_METADATA_DISABLED is set",
    ] {
        assert!(error.detail.contains(looked_at), "{looked_at}: {error}");
    }
    let error = fetch(&*provider(json!({ "endpoint": proxy.url() }), &KEYS), &at("any")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.detail.contains("set region"), "{error}");
    assert!(proxy.requests("").is_empty());
}

#[tokio::test]
async fn a_source_of_credentials_that_cannot_be_reached_is_a_passing_failure_and_one_without_any_is_not() {
    let proxy = Proxy::to(moto().address());
    // Nobody listens there.
    let gone = {
        let (server, _) = scripted(|_| Response::status(404));
        server.url()
    };
    let away = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", gone.as_str())];
    let error = fetch(&*provider(at_proxy(&proxy), &away), &at("any")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    for words in [
        "instance metadata service was not reached",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ACCESS_KEY_ID is not set",
    ] {
        assert!(error.detail.contains(words), "{words}: {error}");
    }

    let container = format!("{gone}/credentials");
    let container = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()), NO_MACHINE];
    let error = fetch(&*provider(at_proxy(&proxy), &container), &at("any")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");

    // It is there, and knows no role: nothing will come of waiting.
    let (machine, _) = scripted(|request| match request.method.as_str() {
        "PUT" => Response { body: b"a-token".to_vec(), ..Response::json(200, "") }
            .header("x-aws-ec2-metadata-token-ttl-seconds", "21600"),
        _ => Response::status(404),
    });
    let url = machine.url();
    let bare = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    let error = by_machine(|| provider(at_proxy(&proxy), &bare), "any").await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(proxy.requests("").is_empty());
}
