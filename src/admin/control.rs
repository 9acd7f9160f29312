//! What the admin socket answers, and to whom.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;

use super::ack::Acknowledgements;
use super::{Command, House, Report, body, error, json, not_allowed};
use crate::app::Successor;
use crate::config::model::Uid;
use crate::drill::{self, Failure};
use crate::http_server::{Answer, Handler, Request};
use crate::status::Readiness;

/// How long a refresh is waited for. A mint may take long; it is not dropped with the wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(55);

#[derive(Debug)]
pub(super) struct Control {
    house: House,
    /// What the application has to say, it may say here, too: without files there is no other socket.
    application: Acknowledgements,
    uids: Vec<Uid>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Refresh {
    secrets: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Handover {
    cancel: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drill {
    drill: Play,
    #[serde(default)]
    secret: String,
    seconds: Option<u64>,
}

/// What is to be played.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Play {
    Outage,
    Deny,
    Rotate,
    Expire,
    #[default]
    Stop,
}

impl Control {
    pub(super) fn new(house: House, uids: Vec<Uid>) -> Self {
        Self { application: Acknowledgements::new(house.clone()), house, uids }
    }

    async fn refresh(&self, request: &Request) -> Result<Answer, Answer> {
        let Refresh { secrets } = body(&request.body, r#"{"secrets": ["NAME"]}"#)?;
        self.house.known(&secrets)?;
        let done = self.house.run(PATIENCE, |reply| Command::Refresh { secrets, reply }).await?;
        Ok(json(StatusCode::OK, &serde_json::json!({ "secrets": done })))
    }

    async fn hand_over(&self, request: &Request) -> Result<Answer, Answer> {
        let Handover { cancel } = body(&request.body, r#"{"cancel": false}"#)?;
        let successor = if cancel { Successor::Nobody } else { Successor::Expected };
        let message = self.house.run(PATIENCE, |reply| Command::Handover { successor, reply }).await?;
        Ok(json(StatusCode::OK, &serde_json::json!({ "message": message })))
    }

    async fn drill(&self, request: &Request) -> Result<Answer, Answer> {
        const FORM: &str =
            r#"{"drill": "outage|deny|rotate|expire", "secret": "NAME", "seconds": 60} or {"drill": "stop"}"#;
        let Drill { drill, secret, seconds } = body(&request.body, FORM)?;
        let Some(drills) = &self.house.drills else {
            let words = "drills are off: set `admin.drills: true` in the configuration, and start anew";
            return Err(error(StatusCode::CONFLICT, words));
        };
        let say = |words: String| json(StatusCode::OK, &serde_json::json!({ "message": words }));
        let failure = match drill {
            Play::Stop => {
                let ended = drills.stop().map(|words| format!("ended: {words}"));
                return Ok(say(ended.unwrap_or_else(|| "no drill is played".to_owned())));
            }
            Play::Rotate => {
                self.house.known([&secret])?;
                let secrets = vec![secret.clone()];
                let done = self.house.run(PATIENCE, |reply| Command::Refresh { secrets, reply }).await?;
                return Ok(say(done.get(&secret).cloned().unwrap_or_default()));
            }
            Play::Outage => Failure::Outage,
            Play::Deny => Failure::Deny,
            Play::Expire => Failure::Expire,
        };
        self.house.known([&secret])?;
        let lasts = seconds.map_or(drill::USUAL, Duration::from_secs);
        drills.begin(failure, &secret, lasts).map(say).map_err(|why| error(StatusCode::CONFLICT, &why))
    }

    fn ready(&self) -> Answer {
        let readiness = self.house.board.snapshot().readiness(self.house.clock.now());
        let (status, ready) = match readiness {
            Readiness::Ready => (StatusCode::OK, true),
            _ => (StatusCode::SERVICE_UNAVAILABLE, false),
        };
        json(status, &serde_json::json!({ "ready": ready, "message": readiness.words() }))
    }
}

impl Handler for Control {
    async fn answer(&self, request: Request) -> Answer {
        if !self.admits(request.uid) {
            let words = match request.uid {
                Some(uid) => format!("uid {uid} may not use this socket: admin.uids does not list it"),
                None => "the caller's uid is not known".to_owned(),
            };
            return error(StatusCode::FORBIDDEN, &words);
        }
        match (request.path.as_str(), &request.method) {
            ("/v1/status", &Method::GET) => {
                json(StatusCode::OK, &Report::of(&self.house.board.snapshot(), &self.house.clock))
            }
            ("/v1/live", &Method::GET) => json(StatusCode::OK, &serde_json::json!({ "live": true })),
            ("/v1/ready", &Method::GET) => self.ready(),
            ("/v1/refresh", &Method::POST) => self.refresh(&request).await.unwrap_or_else(|answer| answer),
            ("/v1/drill", &Method::POST) => self.drill(&request).await.unwrap_or_else(|answer| answer),
            ("/v1/ack" | "/v1/stale", _) => self.application.answer(request).await,
            ("/v1/status" | "/v1/live" | "/v1/ready", _) => not_allowed("GET"),
            ("/v1/handover", &Method::POST) => self.hand_over(&request).await.unwrap_or_else(|answer| answer),
            ("/v1/refresh" | "/v1/drill" | "/v1/handover", _) => not_allowed("POST"),
            _ => error(
                StatusCode::NOT_FOUND,
                "this is the admin socket, with GET /v1/status, GET /v1/live, GET /v1/ready, POST /v1/refresh, \
                 POST /v1/drill, POST /v1/handover, POST /v1/ack and POST /v1/stale",
            ),
        }
    }

    fn admits(&self, uid: Option<u32>) -> bool {
        let own = rustix::process::geteuid().as_raw();
        let Some(peer) = uid else { return false };
        self.uids.iter().any(|uid| match uid {
            Uid::Own => peer == own || peer == 0,
            Uid::Number(number) => peer == *number,
        })
    }

    fn refuse(&self, status: StatusCode, words: &str) -> Answer {
        error(status, words)
    }
}
