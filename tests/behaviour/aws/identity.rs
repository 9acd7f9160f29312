//! Who leasehold is for AWS: the role of a pod, from a token that somebody else keeps fresh; and that role as the
//! log-in to a real Vault.

use harness::http::{self, Request};
use harness::server::{HttpServer, Reply};
use harness::vault;

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
    let before = site.asked("secretsmanager.");
    moto().put_secret(&name, "second");
    site.follows("api/value", "second", &running);
    assert!(site.asked("secretsmanager.") > before);
    // What signs is the role's key, never ours.
    let calls = site.proxy.requests("secretsmanager.");
    let key = |seen: &harness::proxy::Seen| {
        let header = http::header(&seen.headers, "authorization").unwrap();
        header.split_once("Credential=").unwrap().1.split('/').next().unwrap().to_owned()
    };
    let caller = moto().caller(&key(calls.last().unwrap()));
    assert!(caller.starts_with(&format!("arn:aws:sts::{}:assumed-role/web/", Moto::ACCOUNT)), "{caller}");
    assert!(!running.stderr().contains("pod.token"), "{}", running.stderr());
    stop(running);
}

#[test]
fn vault_lets_in_a_pods_role_of_aws_and_no_other() {
    let database = vault().database_mount("by-role");
    let creds = database.role("web", "10m", "1h");
    let policy = vault().policy("by-role").read(&creds).create();
    let mount = vault().auth_mount("aws", "by-role");
    let client = json!({
        "sts_endpoint": moto().url(), "iam_server_id_header_value": "vault.example", "max_retries": 0,
    });
    vault().write(&format!("auth/{mount}/config/client"), client);
    let arn = |role: &str| format!("arn:aws:iam::{}:role/{role}", Moto::ACCOUNT);
    let role = json!({
        "auth_type": "iam", "bound_iam_principal_arn": [arn("web")], "resolve_aws_unique_ids": false,
        "token_policies": [policy], "token_ttl": "10m",
    });
    vault().write(&format!("auth/{mount}/role/web"), role);

    let place = Place::new();
    let auth = json!({ "method": "aws", "mount": mount, "role": "web", "server_id": "vault.example" });
    place.configure(json!({
        "providers": { "vault": { "type": "vault", "address": vault().url(), "auth": auth } },
        "secrets": { "db": { "provider": "vault", "path": creds } },
    }));
    let token = place.file("token", "a.pods.token");
    let sts = Proxy::to(moto().address());
    let as_role = |command: Leasehold, role: &str| {
        command
            .env("AWS_ROLE_ARN", arn(role))
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
            .env("AWS_REGION", Moto::REGION)
            .env("AWS_ENDPOINT_URL_STS", sts.url())
            .env("AWS_EC2_METADATA_DISABLED", "true")
    };
    let mut running = as_role(place.command(&["run"]), "web").start();
    let user = place.await_file("db/username", &mut running);
    assert_eq!(database.roles(), [user]);
    assert_eq!(sts.requests("AssumeRoleWithWebIdentity").len(), 1);
    assert_eq!(sts.requests("GetCallerIdentity").len(), 0, "the store asks that, not we");
    stop(running);
    eventually("it gave all back", SOON, || database.roles().is_empty());

    // Another role: tried for as long as such a refusal may pass by itself, then it is final.
    let refused = as_role(place.command(&["run"]), "stranger").finish(Duration::from_secs(90));
    assert_eq!(refused.exit, harness::process::Exit::Code(77), "{}", refused.stderr);
    assert!(refused.stderr.contains("bound to our ARN"), "{}", refused.stderr);
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
