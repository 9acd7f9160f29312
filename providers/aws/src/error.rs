//! From an answer of AWS to what it means, in our own words. A message of AWS is looked at where its code
//! alone does not tell two things apart, and never repeated.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use leasehold_core::{Error, Kind, Operation, SecretRef};
use leasehold_http::{Trouble, classify};

use crate::arn::Arn;
use crate::credentials::{self, Sources};

/// Where something was tried: what an error begins with.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) provider: &'a str,
    pub(crate) operation: Operation,
    /// `secret "api" (prod/api)`; empty where it is about many.
    pub(crate) on: &'a str,
}

impl Site<'_> {
    pub(crate) fn error(&self, kind: Kind, detail: impl Into<String>) -> Error {
        Error::new(kind, self.operation, self.provider, detail).on(self.on)
    }
}

pub(crate) fn named(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, reference.path)
}

/// What a refusal was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// IAM does not let our role do it.
    Rights,
    /// The credentials are missing, wrong or over: those that are held are worth nothing.
    Credentials,
    /// The secret or the request.
    Request,
    /// None of these.
    Else,
}

/// An error, and what it was about.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) about: About,
}

/// What was asked, for the words.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// `secretsmanager:GetSecretValue`
    pub(crate) action: &'static str,
    pub(crate) region: &'a str,
    /// Name or ARN of one; `None`: of several.
    pub(crate) path: Option<&'a str>,
    pub(crate) stage: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    pub(crate) sources: &'a Sources,
}

/// What an error of the SDK means.
pub(crate) fn refusal<E>(site: &Site<'_>, asked: &Asked<'_>, error: &SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            let Refusal { error, about } =
                of_code(site, asked, status, context.err().code(), context.err().message());
            Refusal { error: error.retry_after(retry_after(context.raw())), about }
        }
        SdkError::ResponseError(context) => {
            let status = context.raw().status().as_u16();
            if (200..300).contains(&status) {
                let detail =
                    "the answer makes no sense (no JSON of the API): is something else at that address?";
                Refusal { error: site.error(Kind::Malformed, detail), about: About::Else }
            } else {
                of_code(site, asked, status, None, None)
            }
        }
        other => unanswered(site, asked, other),
    }
}

/// No answer came, or no request was sent.
fn unanswered(site: &Site<'_>, asked: &Asked<'_>, error: &(dyn StdError + 'static)) -> Refusal {
    if let Some(failed) = find::<CredentialsError>(error) {
        return credentials::refusal(site, asked, failed);
    }
    let (kind, detail) = match classify(error) {
        Some(Trouble::Files(why)) => (Kind::Invalid, why),
        Some(trouble @ Trouble::TooLarge) => (Kind::Malformed, format!("aws in {}: {trouble}", asked.region)),
        Some(trouble) => (Kind::Unavailable, format!("aws in {}: {trouble}", asked.region)),
        None => (
            Kind::Unavailable,
            format!(
                "no request could be made: the credentials did not come in time, or there is no endpoint for {}: \
                 check region, fips and dual_stack",
                asked.region
            ),
        ),
    };
    Refusal { error: site.error(kind, detail), about: About::Else }
}

/// What a code means, in an answer or in the `Errors` of a batch (status 0: it came in a good answer).
pub(crate) fn of_code(
    site: &Site<'_>,
    asked: &Asked<'_>,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
) -> Refusal {
    let says = |word: &str| message.is_some_and(|message| message.contains(word));
    let kind = kind_of(status, code);
    let refused = |kind, about, detail: String| Refusal { error: site.error(kind, detail), about };
    let code = code.unwrap_or_default();
    match (kind, code) {
        (_, "InvalidRequestException") if says("deletion") || says("deleted") => refused(
            Kind::Absent,
            About::Request,
            "the secret is marked for deletion: restore it (aws secretsmanager restore-secret), or name another"
                .to_owned(),
        ),
        (Kind::Absent, _) => refused(kind, About::Request, absent(asked)),
        (Kind::SessionEnded, _) => refused(
            kind,
            About::Credentials,
            format!("our credentials have expired ({}): fresh ones are looked for", asked.sources.first()),
        ),
        (Kind::Denied, "RequestExpired" | "RequestTimeTooSkewed") => refused(
            kind,
            About::Credentials,
            "aws says that the request is not of this time: is the clock of this machine right?".to_owned(),
        ),
        (Kind::Denied, "DecryptionFailure") => refused(kind, About::Rights, decryption(asked)),
        (Kind::Denied, "AccessDeniedException" | "AccessDenied" | "NotAuthorized") => {
            let detail = if says("KMS") || says("kms:") { decryption(asked) } else { denied(asked) };
            refused(kind, About::Rights, detail)
        }
        (Kind::Denied, "") => refused(kind, About::Else, format!("the request was denied ({status}) by something that \
            does not speak as aws does: is there a proxy or a firewall, and does its policy (that of a VPC endpoint) \
            let us through?")),
        (Kind::Denied, _) => refused(
            kind,
            About::Credentials,
            format!(
                "aws does not accept our credentials ({}): are they of this partition and not deleted, and is the \
                 clock of this machine right?",
                asked.sources.first()
            ),
        ),
        (Kind::Throttled, _) => {
            refused(kind, About::Else, format!("too many requests of {} in {}", asked.action, asked.region))
        }
        (Kind::Unavailable, _) => {
            refused(kind, About::Else, format!("aws in {} failed, or is not ready ({status})", asked.region))
        }
        (Kind::Malformed, _) => refused(
            kind,
            About::Else,
            format!("something that is not aws answered {status}: check endpoint, and what stands before it"),
        ),
        (_, "InvalidKeyId" | "InvalidKeyIdException") => refused(
            Kind::Invalid,
            About::Request,
            "its KMS key cannot be used: it is disabled, gone or of another account".to_owned(),
        ),
        (kind, _) => refused(
            kind,
            About::Request,
            format!(
                "aws says that the request is wrong ({}): check path, version and stage",
                asked.action
            ),
        ),
    }
}

fn absent(asked: &Asked<'_>) -> String {
    let store = if asked.action.starts_with("ssm:") { "Parameter Store" } else { "Secrets Manager" };
    let what = match (asked.version, asked.stage) {
        (Some(_), _) => "there is no such secret, or no such version of it",
        (_, Some(_)) => "there is no such secret, or no version of it at that stage",
        _ => "there is no such secret, or no value in it",
    };
    format!(
        "{what}, in {store} of {}: check path and region, and whose account our credentials are of",
        asked.region
    )
}

fn denied(asked: &Asked<'_>) -> String {
    let Asked { action, .. } = asked;
    let key = match asked.action.starts_with("ssm:") {
        true => "kms:Decrypt on its key, where that is one of yours",
        false => "kms:Decrypt on its key, where that is not aws/secretsmanager",
    };
    let mut said = format!("iam denied {action}: allow it to our role, and {key}");
    match asked.path.and_then(Arn::parse).filter(Arn::has_account) {
        None => {}
        Some(arn) if asked.sources.account() == Some(arn.account) => {}
        Some(arn) => {
            let whose = match asked.sources.account() {
                Some(_) => format!("account {} is not ours", arn.account),
                None => format!("if account {} is not ours", arn.account),
            };
            said.push_str(&format!(
                "; {whose}: its resource policy has to allow us, too, and its KMS key has to be one of that \
                 account's own whose policy lets us decrypt"
            ));
        }
    }
    said
}

fn decryption(asked: &Asked<'_>) -> String {
    format!(
        "{} is allowed, but its KMS key does not let us decrypt: allow kms:Decrypt on it to our role (in iam, and in \
         the key's own policy where the key is of another account), and see that it is enabled",
        asked.action
    )
}

/// The kind of a code; where there is none, of the status.
pub(crate) fn kind_of(status: u16, code: Option<&str>) -> Kind {
    let Some(code) = code.filter(|code| !code.is_empty()) else {
        return match status {
            401 | 403 => Kind::Denied,
            407 | 408 => Kind::Unavailable,
            429 => Kind::Throttled,
            500..=599 => Kind::Unavailable,
            _ => Kind::Malformed,
        };
    };
    match code {
        "ResourceNotFoundException"
        | "ParameterNotFound"
        | "ParameterVersionNotFound"
        | "ParameterVersionLabelNotFound" => Kind::Absent,
        "AccessDeniedException"
        | "AccessDenied"
        | "NotAuthorized"
        | "DecryptionFailure"
        | "UnrecognizedClientException"
        | "UnrecognizedClient"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidAccessKeyId"
        | "OptInRequired"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => Kind::Denied,
        "ExpiredTokenException" | "ExpiredToken" | "TokenRefreshRequired" => Kind::SessionEnded,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "LimitExceededException"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "ProvisionedThroughputExceededException"
        | "TransactionInProgressException" => Kind::Throttled,
        "InternalServiceError"
        | "InternalServerError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "KMSInternalException" => Kind::Unavailable,
        _ if status >= 500 => Kind::Unavailable,
        _ => Kind::Invalid,
    }
}

/// The code of an error of the API, which is in the body, or in a header.
pub(crate) fn code_of(answer: &http::Response<Bytes>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(rename = "__type", alias = "code")]
        kind: Option<String>,
    }
    let header =
        answer.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok().map(str::to_owned));
    let said = header.or_else(|| serde_json::from_slice::<Body>(answer.body()).ok()?.kind)?;
    let bare = said.split(':').next().unwrap_or_default();
    Some(bare.rsplit('#').next().unwrap_or_default().to_owned())
}

/// How long AWS asks us to wait: its own header in milliseconds, else the usual one in seconds.
fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let number = |name: &str| answer.headers().get(name)?.trim().parse::<u64>().ok();
    number("x-amz-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

/// What we know somewhere below a foreign error.
pub(crate) fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_permanent_or_passing_whatever_its_status() {
        for (status, code, kind) in [
            (400, "ResourceNotFoundException", Kind::Absent),
            (400, "ParameterNotFound", Kind::Absent),
            (400, "AccessDeniedException", Kind::Denied),
            (400, "DecryptionFailure", Kind::Denied),
            (400, "UnrecognizedClientException", Kind::Denied),
            (400, "InvalidSignatureException", Kind::Denied),
            (400, "ExpiredTokenException", Kind::SessionEnded),
            (400, "ThrottlingException", Kind::Throttled),
            (400, "RequestLimitExceeded", Kind::Throttled),
            (400, "InvalidParameterException", Kind::Invalid),
            (400, "InvalidRequestException", Kind::Invalid),
            (400, "SomethingNewException", Kind::Invalid),
            (500, "InternalServiceError", Kind::Unavailable),
            (400, "InternalServiceError", Kind::Unavailable),
            (503, "SomethingNewException", Kind::Unavailable),
        ] {
            assert_eq!(kind_of(status, Some(code)), kind, "{status} {code}");
        }
        for (status, kind) in [
            (403, Kind::Denied),
            (404, Kind::Malformed),
            (400, Kind::Malformed),
            (429, Kind::Throttled),
            (502, Kind::Unavailable),
        ] {
            assert_eq!(kind_of(status, None), kind, "{status}");
        }
    }

    #[test]
    fn a_code_stands_in_a_header_or_in_the_body_with_or_without_its_namespace() {
        let answer = |header: Option<&str>, body: &str| {
            let mut answer = http::Response::new(Bytes::from(body.to_owned()));
            if let Some(value) = header {
                answer.headers_mut().insert("x-amzn-errortype", value.parse().unwrap());
            }
            code_of(&answer)
        };
        let body = r#"{"__type":"com.amazonaws.secretsmanager#ThrottlingException","message":"x"}"#;
        assert_eq!(answer(None, body).as_deref(), Some("ThrottlingException"));
        assert_eq!(answer(Some("ExpiredToken:http://internal/"), "").as_deref(), Some("ExpiredToken"));
        assert_eq!(answer(None, "<html>"), None);
    }
}
