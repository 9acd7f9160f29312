//! The session as a file, for an application that talks to the store itself.
//!
//! The session that new requests use is offered to the publisher like a value, and becomes part of the
//! consistent set. One that was replaced lives on until the file with its successor has been in place for
//! the overlap (and is acknowledged, where that is expected): it is the application's as well as ours.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Field, Fields, SecretBytes, Shape};

use super::Keeper;
use crate::clock::Moment;
use crate::config::model::{Overlap, SESSION_FIELD, session_value};
use crate::publisher::{Answer, Offer, Published, Refusal, Refused, Replaced, ToPublisher, Value};
use crate::schedule;
use crate::slot::{Awaits, HeldSession, Retry};

/// What is known of the file.
pub(super) struct SessionFile {
    overlap: Overlap,
    /// The session that it holds.
    current: Option<String>,
    /// The one that the publisher has been offered and has not answered for.
    offered: Option<String>,
    retry: Retry,
    /// Those that it held before, and that live on.
    replaced: Vec<Former>,
}

struct Former {
    id: String,
    /// Since when the file holds its successor.
    announced: Moment,
    generation: u64,
    overlap: Duration,
    awaits: Awaits,
}

/// Until when the file keeps a session.
pub(super) enum Keeps {
    /// It has nothing to do with it, or not after this moment.
    Until(Option<Moment>),
    /// The application uses it, or may do so.
    InUse,
}

impl SessionFile {
    pub(super) fn new(overlap: Overlap) -> Self {
        Self { overlap, current: None, offered: None, retry: Retry::default(), replaced: Vec::new() }
    }

    /// The same file under another plan.
    pub(super) fn replan(&mut self, overlap: Overlap) {
        self.overlap = overlap;
    }

    /// Whether the application has this session, or is about to get it.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.current.as_deref() == Some(id)
            || self.offered.as_deref() == Some(id)
            || self.replaced.iter().any(|replaced| replaced.id == id)
    }

    /// Until when it keeps a session, which ends at `end` by itself.
    pub(super) fn keeps(&self, id: &str, end: Option<Moment>, acknowledged: Option<u64>) -> Keeps {
        // Before the first answer nobody knows which one the file holds.
        let Some(current) = &self.current else { return Keeps::InUse };
        if current == id || self.offered.as_deref() == Some(id) {
            return Keeps::InUse;
        }
        let Some(replaced) = self.replaced.iter().find(|replaced| replaced.id == id) else {
            return Keeps::Until(None);
        };
        let acknowledged = acknowledged.is_some_and(|generation| generation >= replaced.generation);
        match replaced.awaits {
            Awaits::Acknowledgement if !acknowledged => {
                end.map_or(Keeps::InUse, |end| Keeps::Until(Some(end)))
            }
            _ => Keeps::Until(Some(replaced.announced + replaced.overlap)),
        }
    }

    fn forget(&mut self, id: &str) {
        self.replaced.retain(|replaced| replaced.id != id);
    }
}

impl Keeper {
    /// When the session is to be offered for the file; `None` where the file has it.
    pub(super) fn session_file_due(&self, now: Moment) -> Option<Moment> {
        let file = self.session_file.as_ref().filter(|file| file.offered.is_none())?;
        let wanted = self.sessions.current.as_ref()?;
        (file.current.as_ref() != Some(wanted)).then(|| file.retry.at.unwrap_or(now))
    }

    /// Offers the current session.
    pub(super) fn offer_session(&mut self) {
        let Some(session) = self.sessions.current().cloned() else { return };
        let Some(file) = &mut self.session_file else { return };
        let id = session.session.id.clone();
        let overlap = file.overlap;
        let replaces = file.current.as_ref().and_then(|id| self.sessions.held(id)).and_then(|held| {
            let life = held.life.as_ref()?;
            Some(Replaced { end: life.end, overlap: schedule::overlap(overlap, life.granted) })
        });
        let offer = Offer {
            secret: session_value(&self.name),
            key: key(&id),
            value: Ok(Value {
                fields: fields(&session),
                version: None,
                issued: session.issued,
                expires: session.last_end(),
            }),
            replaces,
            splay: Duration::ZERO,
            answer: self.answer_to.clone(),
        };
        file.offered = Some(id);
        // The publisher outlives the keepers.
        let _ = self.links.publisher.send(ToPublisher::Offer(offer));
    }

    /// The publisher answered for the session.
    pub(super) fn session_published(&mut self, answer: Answer) {
        let now = self.links.clock.now();
        let Some(file) = &mut self.session_file else { return };
        let Some(id) = file.offered.clone().filter(|id| key(id) == answer.key) else { return };
        if let Err(Refused { how: Refusal::Tried, .. }) = answer.outcome {
            return;
        }
        file.offered = None;
        match answer.outcome {
            Ok(published) => {
                file.retry = Retry::default();
                self.session_in_place(id, published);
            }
            // It costs nothing to offer it again, and it is never given back for that.
            Err(_) => file.retry = schedule::retry(file.retry, None, None, now, &mut self.dice),
        }
    }

    /// The file holds this session now; the one before lives on for the overlap.
    fn session_in_place(&mut self, id: String, published: Published) {
        let Some(file) = &mut self.session_file else { return };
        let before: Vec<String> = match file.current.replace(id.clone()) {
            Some(before) => vec![before],
            // An earlier process may have put any of these into the file.
            None => self.sessions.iter().map(|held| held.session.id.clone()).collect(),
        };
        for before in before.into_iter().filter(|before| *before != id) {
            let Some(held) = self.sessions.held(&before) else { continue };
            let granted = held.life.as_ref().map(|life| life.granted);
            file.forget(&before);
            file.replaced.push(Former {
                overlap: granted.map_or(Duration::ZERO, |granted| schedule::overlap(file.overlap, granted)),
                id: before,
                announced: published.announced,
                generation: published.generation,
                awaits: published.awaits,
            });
        }
    }

    /// A session is no more: the generations that hold it may go.
    pub(super) fn session_left(&mut self, id: &str) {
        let Some(file) = &mut self.session_file else { return };
        file.forget(id);
        if file.offered.take_if(|offered| offered == id).is_some() {
            self.take_back_offer(&session_value(&self.name), &key(id));
        } else {
            let _ = self.links.publisher.send(ToPublisher::Release { key: key(id) });
        }
    }

    /// Another plan: what the file held is let go where there is none any more.
    pub(super) fn replan_session_file(&mut self, overlap: Option<Overlap>) {
        match (&mut self.session_file, overlap) {
            (Some(file), Some(overlap)) => file.replan(overlap),
            (None, Some(overlap)) => self.session_file = Some(SessionFile::new(overlap)),
            (Some(file), None) => {
                let held = file.replaced.iter().map(|replaced| &replaced.id).chain(&file.current);
                for id in held.chain(&file.offered) {
                    let _ = self.links.publisher.send(ToPublisher::Release { key: key(id) });
                }
                self.session_file = None;
            }
            (None, None) => {}
        }
    }
}

/// What names it to the publisher: no two sessions of one provider have the same.
fn key(id: &str) -> String {
    format!("session:{id}")
}

/// The credential, as the one field that the file is made of.
fn fields(session: &HeldSession) -> Arc<Fields> {
    let mut fields = Fields::new();
    let bytes = SecretBytes::new(session.session.credential.expose().to_vec());
    fields.insert(SESSION_FIELD, Field { bytes, shape: Shape::Text });
    Arc::new(fields)
}
