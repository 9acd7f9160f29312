//! One request: the program is started, told, heard, and its answer read.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_core::{Error, Kind, Observer, Program, Ran, SecretBytes, Spawn};
use leasehold_http::now;
use serde::Deserialize;

use crate::config::Settings;
use crate::environment::PLAIN;
use crate::error::Site;
use crate::protocol::{Answer, Request, VERSION};
use crate::words::{Values, plain};

/// How much of the program's standard error is looked at.
const ERRORS: usize = 2_048;

/// What every request needs.
pub(crate) struct Caller {
    pub(crate) settings: Settings,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) observer: Arc<dyn Observer>,
    /// The program's name, for errors.
    pub(crate) program: String,
}

/// The beginning of every answer, whatever follows.
#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

impl Caller {
    pub(crate) fn new(settings: Settings, spawn: Arc<dyn Spawn>, observer: Arc<dyn Observer>) -> Self {
        let program = plain(settings.command.first().map_or("", String::as_str), 200);
        Self { settings, spawn, observer, program }
    }

    /// Asks, and makes of the answer what `read` says. One request is counted, by how all of it went.
    pub(crate) async fn ask<T>(
        &self,
        request: &Request<'_>,
        site: &Site<'_>,
        read: impl FnOnce(Answer, &Values) -> Result<T, Error>,
        outcome: impl FnOnce(&T) -> Option<Kind>,
    ) -> Result<T, Error> {
        let values = self.values(request);
        let began = now();
        let result =
            self.exchange(request, site, values).await.and_then(|(answer, values)| match &answer.error {
                Some(refusal) => Err(site.refused(refusal, &values)),
                None => read(answer, &values),
            });
        let kind = match &result {
            Ok(done) => outcome(done),
            Err(error) => Some(error.kind),
        };
        self.observer.request(request.operation.operation(), kind, began.elapsed());
        result
    }

    async fn exchange(
        &self,
        request: &Request<'_>,
        site: &Site<'_>,
        mut values: Values,
    ) -> Result<(Answer, Values), Error> {
        let input = serde_json::to_vec(request)
            .map_err(|_| site.error(Kind::Internal, "the request cannot be written; please report it"))?;
        let program = self.program(SecretBytes::new(input));
        let Ran { status, output, errors } =
            self.spawn.run(program).await.map_err(|failed| site.failed(&failed))?;
        let output = output.expose().trim_ascii();
        if output.is_empty() {
            return Err(site.silent(status, errors.expose(), &values));
        }
        // An answer counts however the program ended: what it made must not be lost.
        let version = serde_json::from_slice::<Versioned>(output)
            .map_err(|_| site.malformed("it is no JSON object"))?
            .version
            .ok_or_else(|| site.malformed("it says no version"))?;
        if version != VERSION {
            return Err(site.other_version(version));
        }
        let answer: Answer = serde_json::from_slice(output)
            .map_err(|_| site.malformed("a key of it is unknown, missing or of another type"))?;
        for brought in &answer.secrets {
            brought.fields.iter().flat_map(|fields| fields.values()).for_each(|value| values.add_json(value));
            brought.binary.values().for_each(|value| values.add(value.as_bytes()));
        }
        Ok((answer, values))
    }

    fn program(&self, input: SecretBytes) -> Program {
        let settings = &self.settings;
        let environment: BTreeMap<String, SecretBytes> = settings
            .environment
            .names()
            .map(|name| {
                let value = settings.environment.value(name).unwrap_or_default();
                (name.to_owned(), SecretBytes::from_text(value.to_owned()))
            })
            .collect();
        Program {
            command: settings.command.clone(),
            environment,
            directory: settings.directory.clone(),
            input,
            time_limit: settings.time_limit,
            output_limit: settings.output_limit,
            error_limit: ERRORS,
        }
    }

    /// What goes to the program and is not to be read in a log.
    fn values(&self, request: &Request<'_>) -> Values {
        let mut values = Values::default();
        let environment = &self.settings.environment;
        for name in environment.names().filter(|name| !PLAIN.contains(name)) {
            values.add(environment.value(name).unwrap_or_default().as_bytes());
        }
        for data in request.secrets.iter().filter_map(|secret| secret.data) {
            data.values().for_each(|value| values.add_json(value));
        }
        values
    }
}
