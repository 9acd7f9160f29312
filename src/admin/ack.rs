//! What `..ack.sock` answers. Everyone who can see the files may ask: it reads nothing out, and
//! the most that it can start is one look-up per secret and a successor for a lease that is gone.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;

use super::{Command, House, body, error, json, not_allowed};
use crate::http_server::{Answer, Handler, Request};
use crate::notify_app::Acknowledged;

/// How long the engine may take to say what it does.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Of a name: as long as a file name may be.
const NAME: usize = 255;

#[derive(Debug)]
pub(super) struct Acknowledgements {
    house: House,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ack {
    generation: Option<u64>,
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stale {
    secret: String,
}

impl Acknowledgements {
    pub(super) fn new(house: House) -> Self {
        Self { house }
    }

    async fn ack(&self, request: &Request) -> Result<Answer, Answer> {
        let Ack { generation, name } = body(&request.body, r#"{"generation": 7, "name": "NAME"}"#)?;
        if name.as_ref().is_some_and(|name| name.len() > NAME) {
            return Err(error(StatusCode::BAD_REQUEST, "the name is longer than 255 bytes"));
        }
        let Acknowledged { generation, missing } =
            self.house.run(PATIENCE, |reply| Command::Ack { generation, name, reply }).await?;
        let answer = match missing.is_empty() {
            true => serde_json::json!({ "generation": generation }),
            false => serde_json::json!({ "generation": generation, "missing": missing }),
        };
        Ok(json(StatusCode::OK, &answer))
    }

    async fn stale(&self, request: &Request) -> Result<Answer, Answer> {
        let Stale { secret } = body(&request.body, r#"{"secret": "NAME"}"#)?;
        self.house.known([&secret])?;
        let done = self.house.run(PATIENCE, |reply| Command::Stale { secret, reply }).await?;
        Ok(json(StatusCode::OK, &serde_json::json!({ "message": done })))
    }
}

impl Handler for Acknowledgements {
    async fn answer(&self, request: Request) -> Answer {
        let answer = match (request.path.as_str(), &request.method) {
            ("/v1/ack", &Method::POST) => self.ack(&request).await,
            ("/v1/stale", &Method::POST) => self.stale(&request).await,
            ("/v1/ack" | "/v1/stale", _) => Err(not_allowed("POST")),
            _ => Err(error(
                StatusCode::NOT_FOUND,
                "this is the application's socket, with POST /v1/ack and POST /v1/stale; `status` and all other \
                 commands ask the admin socket (`admin.listen`)",
            )),
        };
        answer.unwrap_or_else(|answer| answer)
    }

    fn refuse(&self, status: StatusCode, words: &str) -> Answer {
        error(status, words)
    }
}
