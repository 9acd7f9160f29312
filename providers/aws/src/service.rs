//! The two stores behind one provider, and what both need to ask.

use std::borrow::Cow;

use aws_config::SdkConfig;
use leasehold_core::{Effect, Error, Fetched, Fields, Kind, Operation, SecretRef, Traits, Wanted};

use crate::arn::Arn;
use crate::credentials::Sources;
use crate::error::{About, Asked, Refusal, Site, named};
use crate::parameters::Parameters;
use crate::secrets::Secrets;
use crate::wire::Wire;

/// Which store.
pub(crate) enum Service {
    Secrets(Secrets),
    Parameters(Parameters),
}

/// What is asked in one region for one operation.
pub(crate) struct Asking<'a> {
    pub(crate) provider: &'a str,
    pub(crate) operation: Operation,
    pub(crate) region: &'a str,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) config: &'a SdkConfig,
    pub(crate) wire: Wire,
    pub(crate) sources: &'a Sources,
}

/// What a secret brought.
pub(crate) type Outcome = Result<Fetched, Refusal>;

impl Service {
    pub(crate) fn secrets() -> Self {
        Self::Secrets(Secrets::default())
    }

    pub(crate) fn parameters() -> Self {
        Self::Parameters(Parameters)
    }

    pub(crate) fn describe(&self, reference: &SecretRef) -> Traits {
        let (batch, group) = match self {
            Self::Secrets(secrets) => secrets.batch(reference),
            Self::Parameters(_) => Parameters::batch(reference),
        };
        Traits { effect: Effect::Reads, batch, group: group.to_owned() }
    }

    /// One outcome each, in the order asked.
    pub(crate) async fn fetch(&self, asking: &Asking<'_>, wanted: &[Wanted<'_>]) -> Vec<Outcome> {
        match self {
            Self::Secrets(secrets) => secrets.fetch(asking, wanted).await,
            Self::Parameters(parameters) => parameters.fetch(asking, wanted).await,
        }
    }

    /// What was learned of denials may have changed.
    pub(crate) fn forget(&self) {
        if let Self::Secrets(secrets) = self {
            secrets.forget();
        }
    }
}

impl<'a> Asking<'a> {
    pub(crate) fn site<'b>(&self, on: &'b str) -> Site<'b>
    where
        'a: 'b,
    {
        Site { provider: self.provider, operation: self.operation, on }
    }

    /// For the words about one secret.
    pub(crate) fn about<'b>(&'b self, action: &'static str, reference: &'b SecretRef) -> Asked<'b> {
        Asked {
            action,
            region: self.region,
            path: Some(&reference.path),
            stage: reference.stage.as_deref(),
            version: reference.version.as_deref(),
            sources: self.sources,
        }
    }

    /// For the words about several.
    pub(crate) fn about_several(&self, action: &'static str) -> Asked<'_> {
        Asked { action, region: self.region, path: None, stage: None, version: None, sources: self.sources }
    }

    /// The name or ARN, an ARN in the region that is asked.
    pub(crate) fn id<'b>(&self, reference: &'b SecretRef) -> Cow<'b, str> {
        match Arn::parse(&reference.path) {
            Some(arn) if arn.region != self.region => Cow::Owned(arn.in_region(self.region)),
            _ => Cow::Borrowed(&reference.path),
        }
    }

    /// The store's answer says nothing of this secret, or nothing that can be.
    pub(crate) fn malformed(&self, reference: &SecretRef, what: &str) -> Refusal {
        let detail = format!("the answer makes no sense ({what}): is something else at that address?");
        Refusal { error: self.site(&named(reference)).error(Kind::Malformed, detail), about: About::Else }
    }
}

/// What is new, or that nothing is.
pub(crate) fn fetched(
    version: Option<String>,
    known: Option<&str>,
    fields: impl FnOnce() -> Result<Fields, Error>,
) -> Outcome {
    if version.is_some() && version.as_deref() == known {
        return Ok(Fetched::unchanged(version));
    }
    match fields() {
        Ok(fields) => {
            Ok(Fetched { fields: Some(fields.into()), version, lease: None, term: None, changes_in: None })
        }
        Err(error) => Err(Refusal { error, about: About::Request }),
    }
}

impl Refusal {
    /// The same, said of this secret.
    pub(crate) fn of(&self, reference: &SecretRef) -> Self {
        Self { error: self.error.clone().on(named(reference)), about: self.about }
    }
}
