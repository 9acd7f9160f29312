//! What is played on the store: which failure meets a request, and what holds its answer up.

use std::time::Duration;

use leasehold_core::{Kind, Operation, Session};
use tokio::sync::watch;

use super::Store;
use crate::failure::Failure;
use crate::fault::{Fault, Stage, Touched};
use crate::script::{Happening, Line};

/// Answers that are withheld.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) touched: Touched,
    pub(crate) waiting: watch::Sender<u64>,
    pub(crate) released: watch::Receiver<()>,
}

/// What stands between the store's deed and its answer.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) delay: Duration,
    pub(crate) held: Vec<watch::Receiver<()>>,
}

impl Store {
    /// The denials that would meet this secret, each as an operation. None is used up.
    pub(crate) fn denials(&mut self, session: &Session, path: &str) -> Result<Vec<Operation>, Failure> {
        self.use_session(session)?;
        let now = self.time.now();
        let denied = |operation: Operation| {
            let scripted = self.settings.script.iter().filter(|line| line.is_on(now)).filter_map(Line::fault);
            self.faults.iter().chain(scripted).any(|fault| {
                fault.kind == Kind::Denied
                    && (fault.touched.matches(operation, None, Some(&session.id))
                        || fault.touched.matches(operation, Some(path), Some(&session.id)))
            })
        };
        Ok([Operation::Fetch, Operation::Renew, Operation::Lookup, Operation::Revoke]
            .into_iter()
            .filter(|operation| denied(*operation))
            .collect())
    }

    /// The failure that is played on the request as a whole, or because of one of these paths.
    pub(super) fn fault(
        &mut self,
        stage: Stage,
        operation: Operation,
        paths: &[&str],
        session: Option<&str>,
    ) -> Option<Failure> {
        let now = self.time.now();
        self.fault_for(stage, operation, None, session, now).or_else(|| {
            paths.iter().find_map(|path| self.fault_for(stage, operation, Some(path), session, now))
        })
    }

    pub(super) fn fault_at(
        &mut self,
        stage: Stage,
        operation: Operation,
        path: &str,
        session: Option<&str>,
    ) -> Option<Failure> {
        let now = self.time.now();
        self.fault_for(stage, operation, Some(path), session, now)
    }

    pub(super) fn way(
        &self,
        operation: Operation,
        paths: &[&str],
        session: Option<&str>,
        now: Duration,
    ) -> Way {
        let touches = |touched: &Touched| {
            touched.matches(operation, None, session)
                || paths.iter().any(|path| touched.matches(operation, Some(path), session))
        };
        let scripted = self.settings.script.iter().filter(|line| line.is_on(now)).filter_map(|line| {
            match &line.happening {
                Happening::Delay(touched, length) => Some((touched, *length)),
                _ => None,
            }
        });
        let delays = self.delays.iter().map(|(touched, length)| (touched, *length)).chain(scripted);
        let delay = delays.filter(|(touched, _)| touches(touched)).map(|(_, length)| length).max();
        let held = self.holds.iter().filter(|held| touches(&held.touched)).map(|held| {
            held.waiting.send_modify(|waiting| *waiting += 1);
            held.released.clone()
        });
        Way { delay: delay.unwrap_or_default(), held: held.collect() }
    }

    fn fault_for(
        &mut self,
        stage: Stage,
        operation: Operation,
        path: Option<&str>,
        session: Option<&str>,
        now: Duration,
    ) -> Option<Failure> {
        let touches = |fault: &Fault| fault.stage == stage && fault.touched.matches(operation, path, session);
        let scripted = self.settings.script.iter().filter(|line| line.is_on(now)).filter_map(Line::fault);
        if let Some(fault) = scripted.into_iter().find(|fault| touches(fault)) {
            return Some(fault.failure());
        }
        let index = self.faults.iter().position(touches)?;
        let failure = self.faults[index].failure();
        if let Some(times) = &mut self.faults[index].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.faults.remove(index);
            }
        }
        Some(failure)
    }
}

impl Line {
    fn fault(&self) -> Option<&Fault> {
        match &self.happening {
            Happening::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}
