//! Endings that need a stretch of time for themselves.

use std::time::Instant;

use super::*;

/// Vault answers 403 whenever the API server does not confirm a service account, also when it is only away for a
/// moment; so such a denial is believed only after 30 s.
#[test]
fn a_log_in_that_a_third_party_must_confirm_is_given_30_seconds() {
    let site = Site::new("kubernetes");
    let api = HttpServer::start(|_| {
        let review = r#"{"kind":"TokenReview","status":{"authenticated":false,"error":"expired"}}"#;
        harness::server::Reply::Whole(harness::http::Response::json(201, review))
    });
    let mount = vault().auth_mount("kubernetes", "kubernetes");
    let signer = harness::TokenSigner::new();
    let token = signer.sign(&json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:shop:web",
        "exp": 4_000_000_000_u64,
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "web", "uid": "1" } },
    }));
    fs::write(site.folder.join("token"), &token).unwrap();
    let config = json!({
        "kubernetes_host": api.url(),
        "token_reviewer_jwt": token,
        "disable_local_ca_jwt": true,
        "kubernetes_ca_cert": vault().pki_mount("kubernetes-ca").ca,
    });
    vault().write(&format!("auth/{mount}/config"), config);
    let names = json!({ "bound_service_account_names": "web", "bound_service_account_namespaces": "shop" });
    vault().write(&format!("auth/{mount}/role/web"), names);

    let auth = format!("auth: {{ method: kubernetes, mount: {mount}, role: web, token_file: FOLDER/token }}");
    let old = "auth: { method: approle, mount: APPROLE, role_id: ROLE_ID, secret_id_file: FOLDER/secret-id }";
    let config = GOOD
        .replace(old, &auth)
        .replace("FOLDER/state", "FOLDER/another")
        .replace("startup_deadline: 10s", "startup_deadline: 5m");
    let start = Instant::now();
    let refusal = site.refuses("run", &site.config(&config));
    let took = start.elapsed();
    assert!((Duration::from_secs(30)..Duration::from_secs(50)).contains(&took), "{took:?}");
    let tries = vault().audit().matching(site.mark, "update", &format!("auth/{mount}/login"));
    assert!((3..40).contains(&tries.len()), "{} tries", tries.len());
    assert!(tries.iter().all(harness::vault::Entry::refused));
    insta::assert_snapshot!(refusal.replace(&mount, "KUBERNETES"));
}
