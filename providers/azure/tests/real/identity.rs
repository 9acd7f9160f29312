//! What Vault's log-in is shown.

use std::sync::Arc;
use std::time::Duration;

use leasehold_azure::identity;
use leasehold_core::{Cloud, Environment, Identity, IdentityRequest, Kind, NoObserver, Proof};
use leasehold_harness::ports;
use leasehold_standins::{Azure, Cluster, Part};

use crate::given::{CLIENT, asked};

const RESOURCE: &str = "https://management.azure.com/";

fn request(azure: &Azure, resource: &str, variables: &[(&str, &str)]) -> IdentityRequest {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    IdentityRequest {
        cloud: Cloud::Azure { resource: resource.to_owned(), client_id: None },
        ca_file: Some(azure.ca_file().to_owned()),
        proxy: None,
        environment: Environment::new(variables),
    }
}

fn ours(request: &IdentityRequest) -> Arc<dyn Identity> {
    identity("vault", request, Arc::new(NoObserver)).unwrap()
}

#[tokio::test]
async fn a_machine_shows_a_token_of_its_identity_and_what_it_is() {
    let azure = Azure::start();
    azure.register_identity("own");
    let imds = azure.imds();
    let identity = ours(&request(&azure, RESOURCE, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &imds)]));
    let Proof::Token { token, about } = identity.prove().await.unwrap() else { panic!("a token") };
    assert!(!token.is_empty());
    // What the stand-in knows of the machine is its own; where it knows nothing, nothing is said.
    let metadata = asked(&azure, Part::Imds);
    assert!(metadata.iter().any(|line| line.starts_with("GET /metadata/identity/oauth2/token 200")));
    assert!(metadata.iter().any(|line| line.starts_with("GET /metadata/instance")), "{metadata:?}");
    for name in about.keys() {
        assert!(["subscription_id", "resource_group_name", "vm_name", "vmss_name"].contains(&name.as_str()));
    }
}

#[tokio::test]
async fn a_pod_shows_a_token_of_its_own_identity_and_nothing_of_the_node() {
    let azure = Azure::start();
    let cluster = Cluster::new("https://cluster.test");
    let subject = "system:serviceaccount:team:web";
    azure.register_federated(CLIENT, &cluster, subject);
    let token = cluster.token(subject, Azure::FEDERATED_AUDIENCE, Duration::from_secs(3600));
    let file = cluster.project(&token);
    let (imds, authority) = (azure.imds(), azure.authority());
    let request = request(
        &azure,
        Azure::RESOURCE,
        &[
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &imds),
            ("AZURE_AUTHORITY_HOST", &authority),
            ("AZURE_TENANT_ID", Azure::TENANT),
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
        ],
    );
    let Proof::Token { token, about } = ours(&request).prove().await.unwrap() else { panic!("a token") };
    assert!(!token.is_empty());
    assert!(about.is_empty(), "{about:?}");
    assert_eq!(asked(&azure, Part::Imds), [""; 0]);
}

#[tokio::test]
async fn who_has_no_identity_is_told_so() {
    let azure = Azure::start();
    let nobody = format!("http://{}", ports::free());
    let identity = ours(&request(&azure, RESOURCE, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &nobody)]));
    let error = identity.prove().await.unwrap_err();
    assert_eq!(error.provider, "vault");
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("the managed identity at"), "{error}");
    let wrong = request(&azure, RESOURCE, &[("AZURE_AUTHORITY_HOST", "http://canary")]);
    let error = leasehold_azure::identity("vault", &wrong, Arc::new(NoObserver)).err().unwrap();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.detail.contains("AZURE_AUTHORITY_HOST") && !error.detail.contains("canary"), "{error}");
}
