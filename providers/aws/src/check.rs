//! What our role may not do, and the statement of an IAM policy that would let it.
//!
//! AWS has no question for that which does not need rights of its own. So the secret is asked for as a poll
//! would, and what comes is dropped.

use leasehold_core::{Error, Kind, MissingRight, Operation, SecretRef, Wanted};

use crate::arn::Arn;
use crate::backend::Aws;
use crate::error::{About, Refusal};
use crate::service::Service;
use crate::{parameters, secrets};

pub(crate) async fn check(
    aws: &Aws,
    service: &Service,
    reference: &SecretRef,
) -> Result<Vec<MissingRight>, Error> {
    let wanted = Wanted { reference, known_version: None };
    let mut missing = Vec::new();
    let alone = aws.ask_anywhere(Operation::Check, &[wanted]).await;
    match alone.into_iter().next() {
        Some(Err(refused)) if refused.about == About::Rights => missing.push(required(service, reference)),
        Some(Err(Refusal { error, .. }))
            if matches!(
                error.kind,
                Kind::Unavailable | Kind::Throttled | Kind::Malformed | Kind::SessionEnded
            ) =>
        {
            return Err(error);
        }
        Some(Err(Refusal { error, about: About::Credentials })) => return Err(error),
        // What else is wrong with it is said by its fetch.
        _ => {}
    }
    if let Service::Secrets(secrets) = service
        && missing.is_empty()
        && secrets.batch(reference).0 > 1
    {
        // The same twice is a batch of one.
        aws.ask_anywhere(Operation::Check, &[wanted, wanted]).await;
        if secrets.batch(reference).0 == 1 {
            missing.push(MissingRight {
                path: "*".to_owned(),
                capabilities: vec![secrets::GET_BATCH.to_owned()],
                purpose: "to ask for 20 secrets in one request; without it each costs a request of its own per poll"
                    .to_owned(),
                required: false,
                remedy: statement(&[secrets::GET_BATCH], "*"),
            });
        }
    }
    Ok(missing)
}

/// What reads a secret of Secrets Manager: action and resource.
pub(crate) fn reads_secret(reference: &SecretRef) -> (&'static str, String) {
    (secrets::GET, resource(reference, "secretsmanager", "secret:", "-??????"))
}

/// What reads a parameter, or all below a path.
pub(crate) fn reads_parameter(reference: &SecretRef) -> (&'static str, String) {
    match parameters::is_tree(reference) {
        true => (parameters::GET_TREE, resource(reference, "ssm", "parameter", "*")),
        false => (parameters::GET, resource(reference, "ssm", "parameter", "")),
    }
}

fn required(service: &Service, reference: &SecretRef) -> MissingRight {
    let (action, resource) = match service {
        Service::Secrets(_) => reads_secret(reference),
        Service::Parameters(_) => reads_parameter(reference),
    };
    let decrypt = "{\n  \"Effect\": \"Allow\",\n  \"Action\": \"kms:Decrypt\",\n  \"Resource\": \"<the key's ARN, where \
                   it is one of yours>\"\n}";
    MissingRight {
        remedy: format!("{},\n{decrypt}", statement(&[action], &resource)),
        path: resource,
        capabilities: vec![action.to_owned(), "kms:Decrypt".to_owned()],
        purpose: "to read the secret".to_owned(),
        required: true,
    }
}

/// What the statement names: an ARN as it stands, a name in whatever region and account.
fn resource(reference: &SecretRef, service: &str, before: &str, after: &str) -> String {
    let path = reference.path.as_str();
    if Arn::begins(path) {
        return path.to_owned();
    }
    // A parameter's name has a slash before it in its ARN, whether it begins with one or not.
    let slash = if service == "ssm" && !path.starts_with('/') { "/" } else { "" };
    format!("arn:aws:{service}:*:*:{before}{slash}{path}{after}")
}

pub(crate) fn statement(actions: &[&str], resource: &str) -> String {
    let actions: Vec<String> = actions.iter().map(|action| format!("\"{action}\"")).collect();
    format!(
        "{{\n  \"Effect\": \"Allow\",\n  \"Action\": [{}],\n  \"Resource\": \"{resource}\"\n}}",
        actions.join(", ")
    )
}
