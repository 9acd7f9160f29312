//! The keeper's part of the board.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_core::{Effect, Error};

use super::{Keeper, Phase};
use crate::schedule::{self, Action};
use crate::slot::Awaits;
use crate::status::{ProviderState, SecretState};

impl Keeper {
    /// Writes what is held to the board.
    pub(super) fn show(&self) {
        let now = self.links.clock.now();
        let acknowledged = *self.links.acknowledged.borrow();
        let find = |id: &str| self.sessions.held(id);
        self.links.board.write(|board| {
            let provider: &mut ProviderState = board.providers.entry(self.name.clone()).or_default();
            provider.session = self.sessions.current().map(|held| held.session.id.clone());
            provider.session_ends = self.sessions.current().and_then(|held| held.end());
            provider.polls_per_hour = self.polls_per_hour();
            provider.old_sessions = self.sessions.old().map(|held| held.session.id.clone()).collect();
            for (name, kept) in &self.secrets {
                let slot = &kept.slot;
                let shown = slot.current.as_ref().or(slot.newest());
                let session = shown.and_then(|held| find(&held.session));
                let next = schedule::next(slot, &find, &kept.plan.policy, acknowledged, now);
                let last_success = slot.confirmed.or(shown.map(|held| held.issued));
                let ceiling = schedule::mints_ceiling(slot, session, &kept.plan.policy);
                board.secrets.insert(
                    name.clone(),
                    SecretState {
                        provider: self.name.clone(),
                        required: kept.plan.required,
                        held: shown.is_some(),
                        version: shown.and_then(|held| held.version.clone()),
                        lease: shown.and_then(|held| held.lease.as_ref()).map(|lease| lease.id.clone()),
                        issued: shown.map(|held| held.issued),
                        expires: shown.and_then(|held| schedule::effective_end(held, session)),
                        granted: shown.and_then(|held| schedule::effective_grant(held, session)),
                        expired: slot.expired,
                        retiring: slot
                            .retiring
                            .iter()
                            .filter_map(|retiring| retiring.held.lease.as_ref())
                            .map(|lease| lease.id.clone())
                            .collect(),
                        last_success,
                        next: next.map(|(at, action)| (at, words(&action).to_owned())),
                        error: kept.error.clone(),
                        awaiting_ack: slot
                            .retiring
                            .iter()
                            .filter(|retiring| {
                                retiring.awaits == Awaits::Acknowledgement
                                    && acknowledged.is_none_or(|generation| generation < retiring.generation)
                            })
                            .map(|retiring| retiring.announced)
                            .min(),
                        mints_ceiling: ceiling,
                    },
                );
            }
            board.ending |= matches!(self.phase, Phase::Waiting(_));
        });
    }

    /// What polling costs at the store.
    fn polls_per_hour(&self) -> f64 {
        let mut together: BTreeMap<(String, usize, Duration), usize> = BTreeMap::new();
        for kept in self.secrets.values() {
            let traits = self.provider.describe(&kept.plan.reference);
            if traits.effect == Effect::Reads {
                *together.entry((traits.group, traits.batch, kept.plan.policy.refresh)).or_default() += 1;
            }
        }
        let cost = |((_, batch, refresh), secrets): (&(String, usize, Duration), &usize)| {
            schedule::polls_per_hour(*secrets, *batch, *refresh)
        };
        together.iter().map(cost).sum()
    }

    /// Shows, or takes away, the provider's last error.
    pub(super) fn show_error(&self, error: Option<(&Error, u32)>) {
        let now = self.links.clock.now();
        self.links.board.write(|board| {
            let provider = board.providers.entry(self.name.clone()).or_default();
            provider.error = error.map(|(error, count)| super::fetches::last_error(error, count, now));
        });
    }
}

fn words(action: &Action) -> &'static str {
    match action {
        Action::Fetch => "fetch",
        Action::Renew => "renew",
        Action::Lookup => "look up",
        Action::Offer => "publish",
        Action::Expire => "expire",
        Action::Revoke { .. } => "revoke the old lease",
        Action::Forget { .. } => "forget the old one",
    }
}
