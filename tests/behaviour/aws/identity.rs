//! Who leasehold is for AWS: the role of a pod, from a token that somebody else keeps fresh.

use harness::http::{self, Request};
use harness::server::{HttpServer, Reply};

use super::*;

/// STS as a pod meets it, but for the life of what it gives: an hour would outlast any test.
fn short_lived(sts: std::net::SocketAddr) -> HttpServer {
    HttpServer::start(move |request: Request| {
        let Ok(mut answer) = http::send(sts, &request) else { return Reply::Nothing };
        answer.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
        let text = String::from_utf8(answer.body).unwrap();
        answer.body = match text.split_once("<Expiration>") {
            Some((head, rest)) => {
                let (_, tail) = rest.split_once("</Expiration>").unwrap();
                let end = std::time::SystemTime::now() + Duration::from_secs(30);
                format!("{head}<Expiration>{}</Expiration>{tail}", rfc3339(end)).into_bytes()
            }
            None => text.into_bytes(),
        };
        Reply::Whole(answer)
    })
}

#[test]
fn a_pods_role_is_assumed_with_the_token_as_it_is_now() {
    let name = unique("app/irsa");
    moto().create_secret(&name, "first");
    let site = Site::new(moto(), &[("api", json!({ "path": name, "refresh": "1s" }))]);
    let sts = short_lived(site.proxy.address());
    let token = site.place.file("token", "first.pod.token");
    let role = format!("arn:aws:iam::{}:role/web", Moto::ACCOUNT);
    let mut running = site
        .bare(&["run"])
        .env("AWS_ROLE_ARN", &role)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .env("AWS_ENDPOINT_URL_STS", sts.url())
        .start();
    assert_eq!(site.place.await_file("api/value", &mut running), "first");
    let assumed = || -> Vec<String> {
        let requests = site.proxy.requests("AssumeRoleWithWebIdentity");
        requests.into_iter().map(|seen| String::from_utf8(seen.body).unwrap()).collect()
    };
    let first = assumed();
    assert!(first[0].contains("WebIdentityToken=first.pod.token"), "{first:?}");
    assert!(first[0].contains("role%2Fweb"), "{first:?}");

    // The kubelet replaces the file; the next credentials are had with what it holds then.
    site.place.file("token", "second.pod.token");
    eventually("the role is assumed anew", SOON * 3, || {
        assumed().last().filter(|body| body.contains("WebIdentityToken=second.pod.token")).map(drop)
    });
    let before = site.asked("BatchGetSecretValue");
    moto().put_secret(&name, "second");
    site.follows("api/value", "second", &running);
    assert!(site.asked("BatchGetSecretValue") > before);
    // What signs is the role's key, never ours.
    let calls = site.proxy.requests("BatchGetSecretValue");
    let key = |seen: &harness::proxy::Seen| {
        let header = http::header(&seen.headers, "authorization").unwrap();
        header.split_once("Credential=").unwrap().1.split('/').next().unwrap().to_owned()
    };
    let caller = moto().caller(&key(calls.last().unwrap()));
    assert!(caller.starts_with(&format!("arn:aws:sts::{}:assumed-role/web/", Moto::ACCOUNT)), "{caller}");
    assert!(!running.stderr().contains("pod.token"), "{}", running.stderr());
    stop(running);
}

/// To the second, as STS writes it.
fn rfc3339(time: std::time::SystemTime) -> String {
    let seconds = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut day = days;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1)
}
