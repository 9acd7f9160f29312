//! Who AWS says that we are, proved to a third party: a signed `sts:GetCallerIdentity` that we do not send.

use std::sync::Arc;

use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity as Signer;
use leasehold_core::{
    Cloud, Error, Identity, IdentityRequest, Kind, Observer, Operation, Proof, SecretBytes, async_trait,
};
use leasehold_http::{RawTls, Transport};

use crate::arn::{Arn, partition_of};
use crate::chain::{Chain, Loaded, Role};
use crate::config::is_region;
use crate::credentials::{self, Sources};
use crate::error::{Asked, Site};
use crate::wire::Wire;

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
const SERVER_ID: &str = "x-vault-aws-iam-server-id";
/// The region that the global endpoint belongs to.
const GLOBAL: &str = "us-east-1";

/// What proves for `provider` who we are, with the credentials that a provider of AWS would use.
///
/// # Errors
/// Something in the request is wrong.
pub fn identity(
    provider: &str,
    request: &IdentityRequest,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Identity>, Error> {
    let site = Site { provider, operation: Operation::Login, on: "" };
    let invalid = |detail: &str| site.error(Kind::Invalid, detail.to_owned());
    let Cloud::Aws { region, endpoint, server_id, role_arn } = &request.cloud else {
        return Err(invalid("this proves who we are to aws, and another cloud was asked for"));
    };
    if region.as_deref().is_some_and(|region| !is_region(region)) {
        return Err(invalid("region is no region like eu-west-1"));
    }
    let url = match endpoint {
        Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
        None => sts(region.as_deref()),
    };
    let host = url
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.authority().map(|authority| authority.as_str().to_owned()))
        .ok_or_else(|| invalid("endpoint is no URL like https://sts.eu-west-1.amazonaws.com"))?;
    if server_id.as_deref().is_some_and(|id| !id.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(invalid("the server id holds something that no header holds"));
    }
    let role = match role_arn {
        None => None,
        Some(arn) if Arn::parse(arn).is_some_and(|arn| arn.service == "iam" && arn.has_account()) => {
            Some(Role { arn: arn.clone(), external_id: None, session_name: "leasehold".to_owned() })
        }
        Some(_) => return Err(invalid("role_arn is no ARN like arn:aws:iam::123456789012:role/web")),
    };
    let ca_file =
        request.ca_file.clone().or_else(|| request.environment.value("AWS_CA_BUNDLE").map(Into::into));
    let tls = RawTls { ca_file, ..RawTls::default() };
    let transport =
        Transport::parse(tls, request.proxy.as_deref(), &request.environment).map_err(|problems| {
            invalid(&problems.iter().map(|one| one.message.as_str()).collect::<Vec<_>>().join("; "))
        })?;
    Ok(Arc::new(CallerIdentity {
        provider: provider.to_owned(),
        url,
        host,
        region: region.clone().unwrap_or_else(|| GLOBAL.to_owned()),
        server_id: server_id.clone(),
        sources: Sources::new(request.environment.clone(), None, role_arn.clone()),
        chain: Chain {
            environment: request.environment.clone(),
            profile: None,
            role,
            fips: None,
            dual_stack: None,
        },
        loaded: Loaded::default(),
        wire: Wire::new(provider, transport, observer),
    }))
}

/// The endpoint of a region; without one, the global one, which is what who takes such proofs expects where
/// nothing else was said.
fn sts(region: Option<&str>) -> String {
    match region {
        None => "https://sts.amazonaws.com/".to_owned(),
        Some(region) => {
            let suffix = match partition_of(region) {
                "aws-cn" => "amazonaws.com.cn",
                "aws-iso" => "c2s.ic.gov",
                "aws-iso-b" => "sc2s.sgov.gov",
                "aws-iso-e" => "cloud.adc-e.uk",
                "aws-iso-f" => "csp.hci.ic.gov",
                "aws-eusc" => "amazonaws.eu",
                _ => "amazonaws.com",
            };
            format!("https://sts.{region}.{suffix}/")
        }
    }
}

struct CallerIdentity {
    provider: String,
    url: String,
    host: String,
    region: String,
    server_id: Option<String>,
    sources: Sources,
    chain: Chain,
    loaded: Loaded,
    wire: Wire,
}

impl CallerIdentity {
    fn site(&self) -> Site<'_> {
        Site { provider: &self.provider, operation: Operation::Login, on: "" }
    }

    fn unproved(&self, failed: &CredentialsError) -> Error {
        let asked = Asked {
            action: "sts:GetCallerIdentity",
            region: &self.region,
            path: None,
            stage: None,
            version: None,
            sources: &self.sources,
        };
        credentials::refusal(&self.site(), &asked, failed).error
    }

    /// The headers of the request, the signature among them.
    fn sign(&self, signer: &Signer, at: std::time::SystemTime) -> Option<Vec<(String, SecretBytes)>> {
        let mut headers = vec![("host", self.host.as_str()), ("content-type", CONTENT_TYPE)];
        headers.extend(self.server_id.as_deref().map(|id| (SERVER_ID, id)));
        let params = v4::SigningParams::builder()
            .identity(signer)
            .region(&self.region)
            .name("sts")
            .time(at)
            .settings(SigningSettings::default())
            .build()
            .ok()?;
        let body = SignableBody::Bytes(BODY.as_bytes());
        let request = SignableRequest::new("POST", &self.url, headers.iter().copied(), body).ok()?;
        let (instructions, _) = sign(request, &params.into()).ok()?.into_parts();
        Some(
            headers
                .iter()
                .copied()
                .chain(instructions.headers())
                .map(|(name, value)| (name.to_owned(), SecretBytes::from_text(value.to_owned())))
                .collect(),
        )
    }
}

#[async_trait]
impl Identity for CallerIdentity {
    /// Credentials are asked for anew each time: a proof lives for minutes.
    async fn prove(&self) -> Result<Proof, Error> {
        self.loaded.forget().await;
        let config = self.loaded.config(&self.chain, Some(&self.region), &self.wire).await;
        let provider = config
            .credentials_provider()
            .ok_or_else(|| self.site().error(Kind::Internal, "the chain of aws credentials is empty"))?;
        let credentials = provider.provide_credentials().await.map_err(|failed| self.unproved(&failed))?;
        let now = config.time_source().map(|source| aws_smithy_async::time::TimeSource::now(&source));
        let signed = now.and_then(|now| self.sign(&credentials.into(), now));
        let headers = signed
            .ok_or_else(|| self.site().error(Kind::Internal, "the request to STS could not be signed"))?;
        Ok(Proof::Request {
            method: "POST".to_owned(),
            url: self.url.clone(),
            headers,
            body: BODY.as_bytes().to_vec(),
        })
    }
}
