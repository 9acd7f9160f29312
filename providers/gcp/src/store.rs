//! Secret Manager as a provider has it: its API, the credentials' own words about it, and what is
//! remembered of it, which can be forgotten without loss.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderName, HeaderValue};
use leasehold_core::{Error, Kind, SecretRef, Session, Surroundings};
use serde_json::Value;

use crate::api::{Answer, Api, Ask, Call, Peer};
use crate::auth::{Credential, at};
use crate::config::Settings;
use crate::error::Site;
use crate::reference::{Resource, is_path, is_project, project_of};

const USER_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// The store.
pub(crate) struct Store {
    pub(crate) api: Api,
    pub(crate) settings: Settings,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// What the credentials say of projects, as they were when they were read last.
    projects: Option<Projects>,
    /// The token that a log-in brought last, until something was answered under it.
    unproven: Option<String>,
    /// Secrets whose versions' states we may not ask for.
    stateless: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Projects {
    default: Option<String>,
    quota: Option<String>,
}

impl Store {
    pub(crate) fn new(name: &str, settings: Settings, surroundings: Surroundings) -> Self {
        let api = Api::new(name, settings.transport.clone(), surroundings.observer);
        Self { api, settings, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A log-in brought this session with this credential: what was remembered of others is forgotten.
    pub(crate) fn logged_in(&self, session: &Session, credential: &Credential) {
        let mut memory = self.memory();
        let kept = memory.projects.take().and_then(|projects| projects.default);
        let default = match credential.is_of_the_machine() {
            true => kept,
            false => credential.project.clone(),
        };
        memory.projects = Some(Projects { default, quota: credential.quota_project.clone() });
        memory.unproven = Some(session.id.clone());
        memory.stateless.clear();
    }

    /// Where a secret is.
    pub(crate) async fn locate(&self, ask: &Ask<'_>, reference: &SecretRef) -> Result<Resource, Error> {
        let site = self.api.site(ask);
        if !is_path(&reference.path) {
            return Err(site.error(
                Kind::Invalid,
                "the path is no secret of Google Secret Manager: write it as NAME or \
                 projects/PROJECT/secrets/NAME",
            ));
        }
        let project = match (project_of(&reference.path), &self.settings.project) {
            (Some(own), _) => own.to_owned(),
            (None, Some(project)) => project.clone(),
            (None, None) => self.default_project(ask).await?,
        };
        Resource::parse(&reference.path, Some(&project), self.settings.location.as_deref())
            .ok_or_else(|| site.error(Kind::Internal, "a sound path names no secret"))
    }

    /// The project of the credentials, else that of the machine.
    async fn default_project(&self, ask: &Ask<'_>) -> Result<String, Error> {
        let site = self.api.site(ask);
        if let Some(known) = self.memory().projects.as_ref().and_then(|projects| projects.default.clone()) {
            return Ok(known);
        }
        let credential = self.settings.sources.read(&site)?;
        let found = match (&credential.project, credential.is_of_the_machine()) {
            (Some(project), _) => Some(project.clone()),
            (None, true) => Some(self.settings.sources.metadata().project(&self.api, ask).await?),
            (None, false) => None,
        };
        let found = found.filter(|project| is_project(project)).ok_or_else(|| {
            site.error(
                Kind::Invalid,
                "it is not known in which project: set project, or write the path as \
                 projects/PROJECT/secrets/NAME",
            )
        })?;
        let quota = credential.quota_project.clone();
        self.memory().projects = Some(Projects { default: Some(found.clone()), quota });
        Ok(found)
    }

    /// Whose quota a request is counted by, where that is not the secret's project.
    fn quota_project(&self, site: &Site<'_>) -> Option<String> {
        if let Some(project) = &self.settings.quota_project {
            return Some(project.clone());
        }
        if let Some(projects) = &self.memory().projects {
            return projects.quota.clone();
        }
        // A session that was taken over: nobody has read the credentials in this process yet.
        let credential = self.settings.sources.read(site).ok()?;
        let quota = credential.quota_project.clone();
        let default = credential.project.clone();
        self.memory().projects = Some(Projects { default, quota: quota.clone() });
        quota
    }

    /// Asks the API about a secret. `method` is what follows its name; with a body it is a POST.
    pub(crate) async fn ask(
        &self,
        ask: &Ask<'_>,
        session: &Session,
        resource: &Resource,
        method: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let site = self.api.site(ask);
        let url = at(&self.settings.root(resource), &format!("v1/{}{method}", resource.name()))
            .ok_or_else(|| site.error(Kind::Invalid, "no address can be made of endpoint and path"))?;
        let mut call = match body {
            None => Call::get(Peer::Store, url),
            Some(body) => Call::json(Peer::Store, url, body),
        };
        call = call.authorized("Bearer", session.credential.expose_text().unwrap_or_default());
        let quota = self.quota_project(&site).and_then(|project| HeaderValue::try_from(project).ok());
        if let Some(project) = quota {
            call = call.header(USER_PROJECT, project);
        }
        let answer = self.api.exchange(ask, call).await?;
        if answer.is_foreign() {
            return Ok(answer);
        }
        if answer.status.as_u16() == 401 {
            return Err(self.unauthenticated(&site, session));
        }
        self.memory().unproven.take_if(|id| *id == session.id);
        Ok(answer)
    }

    /// The token is over; or, where it is new and has never served, it is the credentials that Google
    /// does not accept, and the next token will fare no better.
    fn unauthenticated(&self, site: &Site<'_>, session: &Session) -> Error {
        if self.memory().unproven.as_ref() == Some(&session.id) {
            return site.error(
                Kind::Denied,
                "our token is not accepted by Google although it is new (401): was the key of the credential \
                 file deleted or its service account disabled, or is the clock of this machine wrong?",
            );
        }
        site.error(Kind::SessionEnded, "our access token is over (401): a new one is needed")
    }

    /// What an answer means that is no success, about a secret.
    pub(crate) fn refused(&self, site: &Site<'_>, answer: &Answer, resource: &Resource) -> Error {
        if let Some(error) = site.common(answer) {
            return error;
        }
        let (status, verdict) = (answer.status.as_u16(), answer.verdict());
        let (project, secret) = (&resource.project, &resource.secret);
        match (status, verdict.reason.as_str()) {
            (403, reason) => {
                let credential = self.settings.sources.read(site).ok();
                let account = credential.as_ref().and_then(Credential::account);
                site.error(Kind::Denied, denied(reason, resource, account))
            }
            (404, _) => site.error(
                Kind::Absent,
                format!(
                    "there is no secret {secret} or no such version of it in project {project} (404): check path, \
                     version, project and location; \"gcloud secrets versions list {secret} {}\" shows what there is",
                    resource.flags()
                ),
            ),
            (400, _) => site.error(
                Kind::Invalid,
                "the Secret Manager API finds the request wrong (400): check path, version, project and location".to_owned(),
            ),
            _ => site.error(Kind::Invalid, format!("the Secret Manager API refuses the request ({status})")),
        }
    }

    /// Whether we may ask for the states of its versions, as far as is known.
    pub(crate) fn may_ask_states(&self, resource: &Resource) -> bool {
        !self.memory().stateless.contains(&resource.name())
    }

    pub(crate) fn may_not_ask_states(&self, resource: &Resource) {
        self.memory().stateless.insert(resource.name());
    }
}

fn denied(reason: &str, resource: &Resource, account: Option<&str>) -> String {
    let project = &resource.project;
    match reason {
        "SERVICE_DISABLED" => format!(
            "the Secret Manager API is not enabled, in project {project} or in that of the credentials: \
             \"gcloud services enable secretmanager.googleapis.com --project={project}\""
        ),
        "BILLING_DISABLED" => format!("project {project} has no billing account: link one"),
        "CONSUMER_INVALID" | "RESOURCE_PROJECT_INVALID" | "USER_PROJECT_DENIED" => format!(
            "there is no project {project} for us, or its quota may not be used by us: check project, path and \
             the quota project of the credentials"
        ),
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => {
            "the access scopes of this machine do not include cloud-platform: \
                                              change them, or use workload identity"
                .to_owned()
        }
        "SECURITY_POLICY_VIOLATED" => {
            "a VPC Service Controls perimeter keeps us out: ask whoever keeps it for an ingress rule"
                .to_owned()
        }
        _ => format!(
            "it is denied to us (403): we lack roles/secretmanager.secretAccessor on it, or there is no such secret \
             or project; \"{}\"",
            grant(resource, account)
        ),
    }
}

/// What an administrator types to let us read a secret.
pub(crate) fn grant(resource: &Resource, account: Option<&str>) -> String {
    format!(
        "gcloud secrets add-iam-policy-binding {} {} --member={} \
         --role=roles/secretmanager.secretAccessor",
        resource.secret,
        resource.flags(),
        account.map_or("MEMBER".to_owned(), |account| format!("serviceAccount:{account}"))
    )
}
