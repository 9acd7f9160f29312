//! What Vault's log-in `gcp` is shown.

use std::sync::Arc;
use std::time::SystemTime;

use leasehold_core::{Cloud, Environment, Error, IdentityRequest, Kind, NoObserver, Proof};
use leasehold_standins::{Google, Part};
use serde_json::Value;

const AUDIENCE: &str = "vault/web";

fn request(google: &Google, service_account: Option<&str>, environment: &[(&str, &str)]) -> IdentityRequest {
    let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    IdentityRequest {
        cloud: Cloud::Gcp {
            audience: AUDIENCE.to_owned(),
            service_account: service_account.map(str::to_owned),
            endpoint: Some(google.iam()),
        },
        ca_file: Some(google.ca_file().to_owned()),
        proxy: None,
        environment: Environment::new(variables),
    }
}

async fn proved(request: &IdentityRequest) -> Result<String, Error> {
    let identity = leasehold_gcp::identity("vault", request, Arc::new(NoObserver))?;
    match identity.prove().await? {
        Proof::Token { token, about } => {
            assert!(about.is_empty());
            Ok(token.expose_text().unwrap().to_owned())
        }
        Proof::Request { .. } => panic!("Google signs tokens"),
    }
}

/// Header and claims of a token.
fn read(token: &str) -> (Value, Value) {
    let part = |at: usize| {
        let text = token.split('.').nth(at).unwrap().replace('-', "+").replace('_', "/");
        serde_json::from_slice(&unpadded(&text)).unwrap()
    };
    (part(0), part(1))
}

fn unpadded(text: &str) -> Vec<u8> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    STANDARD_NO_PAD.decode(text).unwrap()
}

#[tokio::test]
async fn a_machine_shows_its_identity_token_for_that_audience() {
    let google = Google::start();
    let email = google.register_service_account("node");
    google.register_machine(&email);
    let host = google.metadata().replace("http://", "");
    let token = proved(&request(&google, None, &[("GCE_METADATA_HOST", &host)])).await.unwrap();
    let (_, claims) = read(&token);
    assert_eq!((claims["aud"].as_str(), claims["email"].as_str()), (Some(AUDIENCE), Some(email.as_str())));
    assert!(claims["google"]["compute_engine"]["instance_id"].is_string(), "format=full: {claims}");
    // Each proof is made anew.
    let asked = google.requests_of(Part::Metadata);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.ends_with("/identity?audience=vault%2Fweb&format=full"), "{asked:?}");
}

#[tokio::test]
async fn a_service_account_is_shown_by_a_token_that_iam_signs_in_its_name() {
    let google = Google::start();
    let (node, web) = (google.register_service_account("node"), google.register_service_account("web"));
    google.register_machine(&node);
    let host = google.metadata().replace("http://", "");
    let request = request(&google, Some(&web), &[("GCE_METADATA_HOST", &host)]);
    let error = proved(&request).await.unwrap_err();
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    assert!(error.detail.contains("roles/iam.serviceAccountTokenCreator"), "{error}");
    google.let_impersonate(&node, &web);
    google.let_impersonate(&format!("serviceAccount:{node}"), &web);
    vaults_claims(&proved(&request).await.unwrap(), &web);
    assert_eq!(google.requests_of(Part::Iam).len(), 2);
}

#[tokio::test]
async fn a_key_file_of_that_account_signs_without_asking_anybody() {
    let google = Google::start();
    let web = google.register_service_account("web");
    let file = google.service_account_file(&web);
    let environment = [("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())];
    let token = proved(&request(&google, Some(&web), &environment)).await.unwrap();
    let (header, claims) = read(&token);
    assert_eq!(header["kid"], google.service_account_key(&web)["private_key_id"]);
    vaults_claims(&token, &web);
    // The same claims, signed by whoever has the key, have the same signature: RS256 leaves no choice.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let again = google.sign_as(&web, &claims);
    let (by_stand_in, its_signature) = again.rsplit_once('.').unwrap();
    assert_eq!(signed == by_stand_in, signature == its_signature, "{signed} {by_stand_in}");
    assert_eq!(google.requests(), []);
}

fn vaults_claims(token: &str, account: &str) {
    let (header, claims) = read(token);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(header["alg"], "RS256");
    assert_eq!((claims["sub"].as_str(), claims["aud"].as_str()), (Some(account), Some(AUDIENCE)));
    let left = claims["exp"].as_u64().unwrap() - now;
    assert!((300..=900).contains(&left), "Vault takes no token of more than 15 minutes: {left}");
}

#[tokio::test]
async fn what_was_asked_for_wrongly_is_said_before_anybody_is_asked() {
    let google = Google::start();
    let mut other = request(&google, Some("not an account"), &[]);
    let error = proved(&other).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    other.cloud = Cloud::Azure { resource: "r".to_owned(), client_id: None };
    let error = proved(&other).await.unwrap_err();
    assert_eq!(error.kind, Kind::Internal, "{error}");
    let mut proxied = request(&google, None, &[]);
    proxied.proxy = Some("socks5://canary".to_owned());
    let error = proved(&proxied).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(!error.detail.contains("canary"), "{error}");
    // A machine without a service account of its own.
    let host = google.metadata().replace("http://", "");
    let error = proved(&request(&google, None, &[("GCE_METADATA_HOST", &host)])).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
}
