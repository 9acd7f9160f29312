//! Every way to log in and every kind of token, through the binary. The finer cases of each method are
//! shown at the provider.

use std::time::{Duration, SystemTime};

use harness::http::{Request, Response};
use harness::pki::{Authority, TokenSigner};
use harness::process::Exit;
use harness::server::{HttpServer, Reply};
use harness::vault::{KvMount, Tls, Vault, VaultConfig, unique};
use harness::{Signal, eventually, slapd, stalls, vault};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::lifecycle::given::{Place, SOON, provider, reader, role_under};

/// A KV value at the shared server, and a policy that allows to read it.
fn given(name: &str) -> (KvMount<'static>, String) {
    let kv = vault().kv_mount(name, 1);
    kv.put("app", json!({ "value": name }));
    let policy = vault().policy(name).read(&kv.data("app")).create();
    (kv, policy)
}

fn configure(place: &Place, kv: &KvMount<'_>, auth: Value) {
    place.configure(json!({
        "providers": { "vault": { "type": "vault", "address": vault().url(), "auth": auth } },
        "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()), "refresh": "1s" } },
    }));
}

/// One `init` with this log-in brings the value.
#[track_caller]
fn brings(kv: &KvMount<'_>, name: &str, auth: Value) -> Place {
    let place = Place::new();
    configure(&place, kv, auth);
    let ended = place.finish(&["init"]);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    assert_eq!(place.read("kv/value").as_deref(), Some(name));
    place
}

fn logins(mount: &str, mark: harness::vault::Mark) -> usize {
    vault().audit().matching(mark, "update", &format!("auth/{mount}/login")).len()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn approle_takes_its_secret_id_from_a_file_or_the_environment() {
    let (kv, policy) = given("from");
    let role = role_under("from", &policy, json!({}));
    let folder = harness::tmpfs();
    let file = folder.join("secret-id");
    std::fs::write(&file, format!("{}\n", role.secret_id)).unwrap();
    let auth = json!({ "method": "approle", "mount": role.mount, "role_id": role.role_id });
    let with = |key: &str, value: Value| {
        let mut auth = auth.clone();
        auth[key] = value;
        auth
    };
    brings(&kv, "from", with("secret_id_file", json!(file)));
    let place = Place::new();
    configure(&place, &kv, with("secret_id", json!("${SECRET_ID}")));
    let missing = place.finish(&["init"]);
    assert_eq!(missing.exit, Exit::Code(78));
    assert!(missing.stderr.contains("SECRET_ID"), "{}", missing.stderr);
    let ended = place.command(&["init"]).env("SECRET_ID", &role.secret_id).finish(SOON);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    assert_eq!(place.read("kv/value").as_deref(), Some("from"));
}

#[test]
fn a_wrapped_secret_id_is_unwrapped_once_and_kept_and_one_that_was_taken_is_77() {
    let (kv, policy) = given("wrapped");
    let mount = vault().approle_mount("wrapped");
    let options = json!({ "token_policies": [policy], "token_ttl": "3s", "token_max_ttl": "3s" });
    let role = mount.role("web", options);
    let wrapping = mount.wrapped_secret_id("web", "60s");
    let auth = json!({
        "method": "approle", "mount": role.mount, "role_id": role.role_id, "secret_id": wrapping, "wrapped": true,
    });
    let mark = vault().audit().mark();
    let place = brings(&kv, "wrapped", auth.clone());
    // The token of `init` lives 3 s: `run` logs in again with the secret id that was handed over.
    let before = logins(&role.mount, mark);
    let mut running = place.run();
    eventually("two more log-ins", SOON, || match running.exit() {
        Some(exit) => panic!("{exit:?}: {}", running.stderr()),
        None => logins(&role.mount, mark) >= before + 2,
    });
    assert_eq!(place.ready(), 200);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
    assert_eq!(
        vault()
            .audit()
            .matching(mark, "update", "sys/wrapping/unwrap")
            .iter()
            .filter(|e| !e.refused())
            .count(),
        1
    );

    // Whoever comes second finds it used.
    let place = Place::new();
    configure(&place, &kv, auth);
    let message = place.file("termination", "");
    let ended = place.command(&["init"]).env("TERMINATION_MESSAGE_PATH", &message).finish(SOON);
    assert_eq!(ended.exit, Exit::Code(77), "{}", ended.stderr);
    for text in [&ended.stderr, &std::fs::read_to_string(message).unwrap()] {
        assert!(text.contains("somebody else unwrapped it"), "{text}");
        assert!(!text.contains(&wrapping));
    }
}

#[test]
fn a_token_file_is_read_again_when_it_changes_and_its_tokens_are_never_revoked() {
    let (kv, policy) = given("given");
    let token =
        |ttl: &str| vault().token(json!({ "policies": [policy], "ttl": ttl, "explicit_max_ttl": ttl }));
    let (one, two) = (token("60s"), token("60s"));
    let text = |auth: &Value, key: &str| auth[key].as_str().unwrap().to_owned();
    let place = Place::new();
    let file = place.file("token", &text(&one, "client_token"));
    configure(&place, &kv, json!({ "method": "token", "token_file": file }));
    let mark = vault().audit().mark();
    let reads_by = |auth: &Value| {
        let reads = vault().audit().matching(mark, "read", &kv.data("app"));
        reads.iter().filter(|read| read.accessor() == auth["accessor"].as_str()).count()
    };
    let mut running = place.run();
    place.await_file("kv/value", &mut running);
    eventually("read as the first", SOON, || reads_by(&one) >= 1);
    place.file("token", &text(&two, "client_token"));
    eventually(
        "read as the second",
        SOON,
        || if reads_by(&two) >= 1 { Ok(()) } else { Err(running.stderr()) },
    );
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
    for auth in [&one, &two] {
        assert!(vault().token_lives(&text(auth, "accessor")), "a token that was given is not ours to revoke");
    }
}

#[test]
fn the_environment_gives_address_and_token() {
    let (kv, policy) = given("environment");
    let token = vault().token(json!({ "policies": [policy], "ttl": "60s" }));
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": { "type": "vault" } },
        "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()) } },
    }));
    let command = place.command(&["init"]).env("VAULT_ADDR", vault().url());
    let ended = command.env("VAULT_TOKEN", token["client_token"].as_str().unwrap()).finish(SOON);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    assert_eq!(place.read("kv/value").as_deref(), Some("environment"));
}

#[test]
fn userpass_and_ldap_log_in_by_password() {
    let (kv, policy) = given("people");
    let userpass = vault().auth_mount("userpass", "people");
    let user = json!({ "password": "right", "token_policies": [policy], "token_ttl": "60s" });
    vault().write(&format!("auth/{userpass}/users/web"), user);
    let auth = |method: &str, mount: &str, name: &str| json!({ "method": method, "mount": mount, "username": name, "password": "right" });
    brings(&kv, "people", auth("userpass", &userpass, "web"));

    let (name, ldap) = (unique("web"), vault().ldap_mount("people"));
    slapd().add_user(&name, "right");
    vault().write(&format!("auth/{ldap}/users/{name}"), json!({ "policies": policy }));
    brings(&kv, "people", auth("ldap", &ldap, &name));
    // A wrong one is final at once for userpass, and soon for ldap.
    for (method, mount, name) in [("userpass", &userpass, "web"), ("ldap", &ldap, &*name)] {
        let place = Place::new();
        let mut auth = auth(method, mount, name);
        auth["password"] = json!("wrong");
        configure(&place, &kv, auth);
        let ended = place.finish(&["init"]);
        assert_eq!(ended.exit, Exit::Code(77), "{method}: {}", ended.stderr);
    }
}

#[test]
fn cert_logs_in_with_the_certificate_of_the_connection() {
    let authority = Authority::new("cert");
    let server = authority.issue("vault.test");
    let tls = Tls { certificate: server.certificate, key: server.key, client_ca: None };
    let own = Vault::own(VaultConfig::default().tls(tls));
    let kv = own.kv_mount("cert", 1);
    kv.put("app", json!({ "value": "cert" }));
    let policy = own.policy("cert").read(&kv.data("app")).create();
    own.write("sys/auth/cert", json!({ "type": "cert" }));
    let role =
        json!({ "certificate": authority.ca(), "allowed_common_names": ["web"], "token_policies": [policy] });
    own.write("auth/cert/certs/web", role);
    for (name, code) in [("web", 0), ("stranger", 77)] {
        let client = authority.issue(name);
        let place = Place::new();
        place.configure(json!({
            "providers": { "vault": {
                "type": "vault",
                "address": format!("https://{}", own.tls_address()),
                "auth": { "method": "cert", "role": "web" },
                "tls": {
                    "ca_file": authority.ca_file(),
                    "client_certificate": client.certificate,
                    "client_key": client.key,
                },
            } },
            "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()) } },
        }));
        let ended = place.finish(&["init"]);
        assert_eq!(ended.exit, Exit::Code(code), "{name}: {}", ended.stderr);
        assert_eq!(place.read("kv/value").as_deref(), (code == 0).then_some("cert"));
    }
}

/// What a projected token of the service account `shop/web` says. `jti` tells one from the next.
fn claims(jti: &str) -> Value {
    json!({
        "iss": "https://kubernetes.default.svc",
        "aud": ["vault"],
        "sub": "system:serviceaccount:shop:web",
        "jti": jti,
        "iat": now(),
        "exp": now() + 300,
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "web", "uid": "1" } },
    })
}

/// Logs in with a token file that is replaced while it runs: the next log-in takes the new one.
#[track_caller]
fn follows_the_file(kv: &KvMount<'_>, method: &str, mount: &str, sign: impl Fn(&str) -> String) {
    let place = Place::new();
    let (first, second) = (sign("first"), sign("second"));
    let file = place.file("projected", &first);
    configure(&place, kv, json!({ "method": method, "mount": mount, "role": "web", "token_file": file }));
    let mark = vault().audit().mark();
    let used = |token: &str| {
        let logins = vault().audit().matching(mark, "update", &format!("auth/{mount}/login"));
        logins
            .iter()
            .filter(|login| !login.refused() && login.line["request"]["data"]["jwt"] == token)
            .count()
    };
    let mut running = place.run();
    place.await_file("kv/value", &mut running);
    assert_eq!((used(&first), used(&second)), (1, 0));
    place.file("projected", &second);
    eventually("the next log-in takes the new file", SOON, || {
        if used(&second) >= 1 { Ok(()) } else { Err(running.stderr()) }
    });
    assert_eq!(place.ready(), 200);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
}

#[test]
fn jwt_takes_the_projected_file_as_it_is_at_each_log_in() {
    let (kv, policy) = given("jwt");
    let signer = TokenSigner::new();
    let mount = vault().auth_mount("jwt", "signed");
    vault()
        .write(&format!("auth/{mount}/config"), json!({ "jwt_validation_pubkeys": [signer.public_key()] }));
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"],
        "token_policies": [policy], "token_ttl": "5s", "token_max_ttl": "5s",
    });
    vault().write(&format!("auth/{mount}/role/web"), role);
    follows_the_file(&kv, "jwt", &mount, |jti| signer.sign(&claims(jti)));
}

#[test]
fn kubernetes_takes_the_projected_file_as_it_is_at_each_log_in() {
    let (kv, policy) = given("kubernetes");
    // TokenReview belongs to a cluster; here a stand-in that confirms whatever Vault found well formed.
    let reviews = HttpServer::start(|request: Request| {
        assert!(request.path.ends_with("/apis/authentication.k8s.io/v1/tokenreviews"), "{}", request.path);
        let user = json!({ "username": "system:serviceaccount:shop:web", "uid": "1", "groups": ["system:serviceaccounts"] });
        let status = json!({ "authenticated": true, "audiences": ["vault"], "user": user });
        let body =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
        Reply::Whole(Response::json(201, &body.to_string()))
    });
    let (signer, mount) = (TokenSigner::new(), vault().auth_mount("kubernetes", "cluster"));
    let config = json!({
        "kubernetes_host": reviews.url(),
        "kubernetes_ca_cert": Authority::new("cluster").ca(),
        "disable_local_ca_jwt": true,
        "token_reviewer_jwt": TokenSigner::new().sign(&json!({ "sub": "reviewer" })),
    });
    vault().write(&format!("auth/{mount}/config"), config);
    let role = json!({
        "bound_service_account_names": ["web"], "bound_service_account_namespaces": ["shop"], "audience": "vault",
        "token_policies": [policy], "token_ttl": "5s", "token_max_ttl": "5s",
    });
    vault().write(&format!("auth/{mount}/role/web"), role);
    follows_the_file(&kv, "kubernetes", &mount, |jti| signer.sign(&claims(jti)));
}

#[test]
fn a_periodic_token_is_renewed_for_as_long_as_we_live() {
    let database = vault().database_mount("periodic");
    let creds = database.role("web", "6s", "1h");
    let role = reader("periodic", &[&creds], json!({ "token_period": "6s" }));
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": { "db": { "provider": "vault", "path": creds } },
    }));
    let mark = vault().audit().mark();
    let mut running = place.run();
    let username = place.await_file("db/username", &mut running);
    let accessor = || {
        let renewals = vault().audit().matching(mark, "update", "auth/token/renew-self");
        let lease = vault().audit().matching(mark, "read", &creds);
        let ours = lease.first().and_then(|mint| mint.accessor().map(str::to_owned))?;
        let last = renewals.iter().rfind(|renewal| renewal.accessor() == Some(&*ours))?;
        (last.at - lease[0].at > Duration::from_secs(12)).then_some(ours)
    };
    let accessor = eventually("it has lived for two periods", SOON * 2, accessor);
    assert_eq!((database.roles(), logins(&role.mount, mark)), (vec![username], 1));
    assert!(vault().token_lives(&accessor));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
    assert!(!vault().token_lives(&accessor));
    eventually("its lease went with it", SOON, || database.roles().is_empty());
}

#[test]
fn a_batch_token_says_at_log_in_that_it_cannot_be_revoked_and_its_leases_end_with_it() {
    let database = vault().database_mount("batch");
    let creds = database.role("web", "60s", "1h");
    let options = json!({ "token_type": "batch", "token_ttl": "6s", "token_max_ttl": "6s" });
    let role = reader("batch", &[&creds], options);
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": { "db": { "provider": "vault", "path": creds, "overlap": "500ms" } },
    }));
    stalls();
    let mut running = place.run();
    let first = place.await_file("db/username", &mut running);
    assert!(running.stderr().contains("it cannot be revoked"), "{}", running.stderr());
    // The lease says 60 s, and its token 6: what hangs on it is replaced before that.
    let started = std::time::Instant::now();
    eventually("replaced before the token's end", SOON, || {
        place.read("db/username").is_some_and(|username| username != first)
    });
    let took = started.elapsed().saturating_sub(stalls().lost(started, std::time::Instant::now()));
    assert!(took < Duration::from_secs(6), "{took:?}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    assert!(running.stderr().contains("left behind"), "{}", running.stderr());
    // Nobody revokes it, and the server gave the lease no more time than its token has.
    eventually("the leases have ended with their tokens", SOON, || database.roles().is_empty());
}

#[test]
fn a_token_with_few_uses_serves_init_with_what_is_static_and_nothing_else() {
    let (kv, database) = (vault().kv_mount("uses", 1), vault().database_mount("uses"));
    kv.put("app", json!({ "value": "v" }));
    let creds = database.role("web", "60s", "1h");
    let role = reader("uses", &[&kv.data("app"), &creds], json!({ "token_num_uses": 20 }));
    let place = |path: String| {
        let place = Place::new();
        place.configure(json!({
            "providers": { "vault": provider(&vault().url(), &role) },
            "secrets": { "it": { "provider": "vault", "path": path } },
        }));
        place
    };
    let fixed = place(format!("{}/app", kv.path()));
    let ended = fixed.finish(&["init"]);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    assert_eq!(fixed.read("it/value").as_deref(), Some("v"));

    let mark = vault().audit().mark();
    for (place, command, says) in [
        (place(creds.clone()), "init", "cannot look after the lease of secret \"it\""),
        (place(creds.clone()), "run", "uses"),
        (place(format!("{}/app", kv.path())), "run", "leasehold init"),
    ] {
        let ended = place.finish(&[command]);
        assert_eq!(ended.exit, Exit::Code(78), "{command}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{command}: {}", ended.stderr);
    }
    assert!(vault().audit().matching(mark, "read", &creds).is_empty(), "nothing was minted");
}
