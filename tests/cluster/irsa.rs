//! A role of AWS by the pod's service account (IRSA), next to a lease of Vault: with the environment and the token
//! that the webhook of EKS puts into a pod. STS and Secrets Manager are moto, which takes any token; that ours is
//! the kubelet's, for STS alone and of this pod, is looked at here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::moto::{Moto, moto};
use harness::vault::unique;
use harness::{Proxy, eventually};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::SOON;
use crate::node::Pod;
use crate::stage::{Changes, Stage};

/// Where the webhook mounts it.
const TOKEN: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";

/// What the webhook of EKS adds to a pod whose service account is annotated with a role.
const WEBHOOK: &str = "\
- op: add
  path: /spec/template/spec/volumes/-
  value:
    name: aws-iam-token
    projected:
      sources: [{ serviceAccountToken: { audience: sts.amazonaws.com, expirationSeconds: 86400, path: token } }]
- op: add
  path: /spec/template/spec/initContainers/0/volumeMounts/-
  value: { name: aws-iam-token, mountPath: /var/run/secrets/eks.amazonaws.com/serviceaccount, readOnly: true }
";

#[test]
fn an_aws_secret_by_the_pods_role_and_a_lease_of_vault_are_one_set_and_both_rotate() {
    let stage = Stage::new("irsa", "20s", "60s");
    let key = unique("app/api-key");
    moto().create_secret(&key, "key-1");
    let aws = Proxy::to(moto().address());
    let role = format!("arn:aws:iam::{}:role/web", Moto::ACCOUNT);
    let secrets = format!("secrets:\n  api: {{ provider: aws, path: {key}, refresh: 2s }}\n");
    let changes = Changes::default()
        .configuration("providers:\n", "providers:\n  aws: { type: aws-secrets-manager }\n")
        .configuration("secrets:\n", &secrets)
        .configuration("5432/web\n", "5432/web\n      API_KEY={{ api.value }}\n")
        .own_environment("AWS_REGION", Moto::REGION)
        .own_environment("AWS_STS_REGIONAL_ENDPOINTS", "regional")
        .own_environment("AWS_ROLE_ARN", &role)
        .own_environment("AWS_WEB_IDENTITY_TOKEN_FILE", &format!("{TOKEN}/token"))
        .own_environment("AWS_ENDPOINT_URL", &aws.url())
        .patch("Deployment", WEBHOOK);
    stage.deploy("native", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("application");

    // One file, of both stores.
    let (user, first) = read(&pod);
    assert_eq!(first, "key-1");
    assert_eq!(stage.database.roles(), [user]);

    // The token is the kubelet's, for STS alone, and of this pod.
    let assumed = aws.requests("AssumeRoleWithWebIdentity");
    let form = String::from_utf8(assumed[0].body.clone()).unwrap();
    let field = |name: &str| {
        let mut fields = form.split('&').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no {name}")).1.to_owned()
    };
    assert!(field("RoleArn").ends_with("role%2Fweb"), "{}", field("RoleArn"));
    let payload = URL_SAFE_NO_PAD.decode(field("WebIdentityToken").split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["aud"], json!(["sts.amazonaws.com"]), "{claims}");
    assert_eq!(claims["kubernetes.io"]["pod"]["name"], *pod.name, "{claims}");
    assert_eq!(claims["kubernetes.io"]["serviceaccount"]["name"], "web", "{claims}");

    // Each rotates, and takes nothing from the other.
    moto().put_secret(&key, "key-2");
    eventually("the key follows", SOON, || read(&pod).1 == "key-2");
    let users = || pod.lines("application").with("credential ").len();
    eventually("another credential of the database", 3 * SOON, || users() >= 2);
    assert_eq!(read(&pod).1, "key-2");
    moto().put_secret(&key, "key-3");
    eventually("the key follows again", SOON, || read(&pod).1 == "key-3");
    assert_eq!(pod.lines("application").with("failed log-in"), [""; 0]);
    assert_eq!((pod.restarts("leasehold"), pod.restarts("application")), (0, 0));
    assert_eq!(aws.requests("AssumeRoleWithWebIdentity").len(), 1, "one role for all of it");

    stage.end();
    pod.wait_until_gone();
    stage.wait_until_nothing_is_left();
}

/// What the application reads: the database user, and the key.
#[track_caller]
fn read(pod: &Pod<'_>) -> (String, String) {
    let file = format!("/proc/{}/root/run/secrets/leasehold/live/db.env", pod.process("application"));
    let text = std::fs::read_to_string(file).unwrap();
    let between = |before: &str, after: char| {
        text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).expect("it is in the file").0
    };
    (between("postgres://", ':').to_owned(), between("API_KEY=", '\n').to_owned())
}
