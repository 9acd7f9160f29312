//! Certificates with their keys, as PEM.

use leasehold_core::{Kind, Shape};
use leasehold_standins::{Azure, KeyPair};

use crate::given::{at, fetch, fetch_since, ours, session, text};

#[tokio::test]
async fn a_certificate_comes_with_its_key_and_follows_its_versions() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    let pair = KeyPair::new("web.test");
    let version = azure.put_certificate("web", &pair);
    let fetched = fetch(&*provider, &session, &at("certificates/web")).await.unwrap();
    assert_eq!(text(&fetched, "certificate"), pair.certificate_pem().trim_end());
    assert_eq!(text(&fetched, "private_key"), pair.key_pem().trim_end());
    assert_eq!(text(&fetched, "ca_chain"), "[]");
    assert_eq!(fetched.version.as_deref(), Some(&*version));
    let same = fetch_since(&*provider, &session, &at("certificates/web"), Some(&version)).await.unwrap();
    assert!(same.fields.is_none());

    let renewed = KeyPair::new("web.test");
    azure.put_certificate("web", &renewed);
    let next = fetch_since(&*provider, &session, &at("certificates/web"), Some(&version)).await.unwrap();
    assert_eq!(text(&next, "certificate"), renewed.certificate_pem().trim_end());
    // As a secret, it is what is kept.
    let whole = text(&fetch(&*provider, &session, &at("web")).await.unwrap(), "value");
    assert!(whole.contains("PRIVATE KEY") && whole.contains("CERTIFICATE"));
}

#[tokio::test]
async fn a_bundle_is_turned_into_pem_or_the_policy_is_named() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    let pair = KeyPair::new("web.test");
    azure.put_pkcs12("web", &pair);
    match fetch(&*provider, &session, &at("certificates/web")).await {
        Ok(fetched) => assert_eq!(text(&fetched, "certificate"), pair.certificate_pem().trim_end()),
        Err(error) => {
            assert_eq!(error.kind, Kind::Invalid, "{error}");
            assert!(error.detail.contains("application/x-pem-file"), "{error}");
        }
    }
    let fetched = fetch(&*provider, &session, &at("web")).await.unwrap();
    let field = fetched.fields.as_ref().and_then(|fields| fields.get("value")).unwrap();
    assert_eq!(field.shape, Shape::Binary);
    assert_eq!(field.bytes.expose().first(), Some(&0x30), "the bytes of a bundle, no base64");
}
