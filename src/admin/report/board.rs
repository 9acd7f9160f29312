//! What stands on the board, as a [`Report`].

use super::{
    CommandReport, DrillReport, ErrorReport, GenerationReport, Health, NextReport, ProviderReport, Report,
    RunningReport, SecretReport, State, VerifyReport,
};
use crate::clock::{Clock, Moment, Reading};
use crate::events::words::seconds;
use crate::status::{CheckState, LastError, ProviderState, RunningState, SecretState, Snapshot};
use crate::supervisor::CommandState;

impl Report {
    /// What stands on the board now.
    pub fn of(board: &Snapshot, clock: &Clock) -> Self {
        let at = At(clock.reading());
        let now = at.0.now();
        let readiness = board.readiness(now);
        let ready = readiness == crate::status::Readiness::Ready;
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: at.wall(now),
            ready,
            not_ready: (!ready).then(|| readiness.words()),
            ending: board.ending,
            handover: board.handover,
            generation: board.generation.as_ref().map(|generation| GenerationReport {
                number: generation.number,
                published: at.wall(generation.published),
                age_seconds: at.age(generation.published),
                files: generation.files.clone(),
                actions: generation.actions.clone(),
            }),
            running_actions: board
                .running
                .iter()
                .map(|(label, running)| (label.clone(), at.running(running)))
                .collect(),
            acknowledged: board.acknowledged,
            missing_acknowledgements: match board.secrets.values().any(|secret| secret.awaiting_ack.is_some())
            {
                true => board.missing_acknowledgements.clone(),
                false => Vec::new(),
            },
            refused: board.refused.clone(),
            verify: board.verify.as_ref().map(|check| at.check(check)),
            needs_restart: board.needs_restart.clone(),
            command: board.command.as_ref().map(|command| at.command(command)),
            drill: board.drill.as_ref().map(|drill| DrillReport {
                what: drill.what.clone(),
                ends: at.wall(drill.ends),
                remaining_seconds: at.remaining(drill.ends),
            }),
            providers: board
                .providers
                .iter()
                .map(|(name, state)| (name.clone(), at.provider(state)))
                .collect(),
            secrets: board.secrets.iter().map(|(name, state)| (name.clone(), at.secret(state))).collect(),
        }
    }
}

/// One moment, and what it is on the wall.
struct At(Reading);

impl At {
    fn command(&self, state: &CommandState) -> CommandReport {
        CommandReport {
            state: state.phase.as_str().to_owned(),
            pid: state.pid,
            since: state.since.map(|since| self.wall(since)),
            age_seconds: state.since.map(|since| self.age(since)),
            restarts: state.restarts,
            next_restart: state.next_restart.map(|at| self.wall(at)),
            next_restart_seconds: state.next_restart.map(|at| self.remaining(at)),
        }
    }

    fn running(&self, state: &RunningState) -> RunningReport {
        RunningReport {
            generation: state.generation,
            since: self.wall(state.since),
            age_seconds: self.age(state.since),
            attempt: state.attempt,
            attempts: state.attempts,
            next: state.next.map(|next| self.wall(next)),
            next_seconds: state.next.map(|next| self.remaining(next)),
            error: state.error.clone(),
        }
    }

    fn provider(&self, state: &ProviderState) -> ProviderReport {
        let health = match (&state.error, &state.session) {
            (Some(_), _) => Health::Failing,
            (None, Some(_)) => Health::Ok,
            (None, None) => Health::NoSession,
        };
        ProviderReport {
            state: health,
            session: state.session.clone(),
            session_ends: state.session_ends.map(|end| self.wall(end)),
            session_remaining_seconds: state.session_ends.map(|end| self.remaining(end)),
            old_sessions: state.old_sessions.clone(),
            error: state.error.as_ref().map(|error| self.error(error)),
        }
    }

    fn secret(&self, state: &SecretState) -> SecretReport {
        SecretReport {
            provider: state.provider.clone(),
            required: state.required,
            state: self.state(state),
            version: state.version.clone(),
            lease: state.lease.clone(),
            issued: state.issued.map(|issued| self.wall(issued)),
            age_seconds: state.issued.map(|issued| self.age(issued)),
            expires: state.expires.map(|end| self.wall(end)),
            remaining_seconds: state.expires.map(|end| self.remaining(end)),
            granted_seconds: state.granted.map(seconds),
            retiring: state.retiring.clone(),
            last_success: state.last_success.map(|at| self.wall(at)),
            next: state.next.as_ref().map(|(at, action)| NextReport {
                action: action.clone(),
                at: self.wall(*at),
                in_seconds: self.remaining(*at),
            }),
            awaiting_ack_seconds: state.awaiting_ack.map(|since| self.age(since)),
            mints_ceiling: state.mints_ceiling,
            error: state.error.as_ref().map(|error| self.error(error)),
        }
    }

    fn state(&self, state: &SecretState) -> State {
        if state.is_expired(self.0.now()) {
            State::Expired
        } else if !state.held {
            if state.required { State::Missing } else { State::LeftOut }
        } else if state.error.is_some() {
            State::Failing
        } else if state.awaiting_ack.is_some() {
            State::AwaitingAck
        } else {
            State::Held
        }
    }

    fn error(&self, error: &LastError) -> ErrorReport {
        ErrorReport {
            kind: error.kind.as_str().to_owned(),
            text: error.text.clone(),
            at: self.wall(error.at),
            count: error.count,
        }
    }

    fn check(&self, check: &CheckState) -> VerifyReport {
        VerifyReport {
            outcome: check.outcome.to_owned(),
            said: check.said.clone(),
            tries: check.tries,
            since: self.wall(check.since),
            age_seconds: self.age(check.since),
            next: check.next.map(|next| self.wall(next)),
            next_seconds: check.next.map(|next| self.remaining(next)),
            until: check.until.map(|until| self.wall(until)),
        }
    }

    fn wall(&self, at: Moment) -> String {
        humantime::format_rfc3339_seconds(self.0.wall(at)).to_string()
    }

    fn age(&self, since: Moment) -> f64 {
        seconds(self.0.now().since(since))
    }

    fn remaining(&self, end: Moment) -> f64 {
        seconds(end.since(self.0.now()))
    }
}
