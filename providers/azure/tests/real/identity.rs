//! What Vault's log-in is shown.

use std::sync::Arc;
use std::time::Duration;

use leasehold_azure::identity;
use leasehold_core::{Cloud, Environment, Identity, IdentityRequest, Kind, NoObserver, Proof};
use leasehold_harness::http::{Response, header};
use leasehold_harness::server::Reply;
use leasehold_harness::{HttpServer, ports};
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
async fn what_the_machine_is_is_said_or_is_not_to_be_had_and_never_left_out_for_haste() {
    let azure = Azure::start();
    for (metadata, expected) in [
        (
            Response::json(
                200,
                r#"{"subscriptionId":"s","resourceGroupName":"g","name":"vm_0","vmScaleSetName":"vms"}"#,
            ),
            Ok(vec![("resource_group_name", "g"), ("subscription_id", "s"), ("vmss_name", "vms")]),
        ),
        (Response::status(403), Ok(vec![])),
        (Response::status(503), Err(Kind::Unavailable)),
        (Response::status(429).header("Retry-After", "3"), Err(Kind::Throttled)),
        (Response::json(200, "[canary"), Err(Kind::Malformed)),
    ] {
        let server = HttpServer::start(move |request| {
            let metadata = metadata.clone();
            Reply::Whole(match header(&request.headers, "metadata") {
                Some("true") if request.path.starts_with("/metadata/identity/oauth2/token?") => {
                    Response::json(200, r#"{"access_token":"of-the-machine","expires_in":"86399"}"#)
                }
                Some("true") if request.path.starts_with("/metadata/instance/compute?") => metadata,
                _ => Response::status(400),
            })
        });
        let url = server.url();
        let proved = ours(&request(&azure, RESOURCE, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url)]));
        match (proved.prove().await, expected) {
            (Ok(Proof::Token { token, about }), Ok(expected)) => {
                assert_eq!(token.expose(), b"of-the-machine");
                let about: Vec<_> =
                    about.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                assert_eq!(about, expected);
            }
            (Err(error), Err(kind)) => {
                assert_eq!(error.kind, kind, "{error}");
                assert!(!error.to_string().contains("canary"), "{error}");
            }
            (proved, expected) => panic!("{proved:?} instead of {expected:?}"),
        }
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
