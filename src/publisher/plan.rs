//! Other files or secrets while it runs. What is in place stays until the new set is whole; a set that
//! cannot be rendered or written, or that its check does not find good, leaves the old plan.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;

use super::Publisher;
use super::place::all_words;
use crate::config::model::{Files, Variable};
use crate::render::{Paths, Renderer, Variables};

/// What is made of which secrets.
pub(super) struct Design {
    pub(super) renderer: Renderer,
    /// Every secret that the set is made of.
    pub(super) secrets: BTreeSet<String>,
}

/// A plan that is not taken over yet.
pub(super) struct Planned {
    pub(super) design: Design,
    /// What the command is given, where there is one.
    pub(super) variables: Option<Variables>,
    reply: oneshot::Sender<Result<(), String>>,
}

impl Planned {
    /// The old plan stays.
    pub(super) fn refuse(self, why: String) {
        // Whoever reloads may have gone.
        let _ = self.reply.send(Err(why));
    }
}

impl Publisher {
    /// Tries another plan; the reply goes out once it is decided.
    pub(super) fn replan(
        &mut self,
        files: &Files,
        env: &BTreeMap<String, Variable>,
        secrets: BTreeSet<String>,
        reply: oneshot::Sender<Result<(), String>>,
    ) {
        let paths = Paths::new(files, &self.output);
        let made = Renderer::new(files, &paths)
            .and_then(|renderer| Variables::new(env, &paths).map(|variables| (renderer, variables)));
        let (renderer, variables) = match made {
            Ok(made) => made,
            Err(errors) => return drop(reply.send(Err(all_words(&errors)))),
        };
        let variables = self.child.is_some().then_some(variables);
        let planned = Planned { design: Design { renderer, secrets }, variables, reply };
        self.abandon();
        if self.is_whole(&planned.design.secrets) && self.links.board.snapshot().ready {
            self.bring_plan(planned);
        } else {
            self.take_over(planned);
        }
        self.collect_rest();
    }

    fn bring_plan(&mut self, planned: Planned) {
        // With a check, only what the plan cannot do without: an offer on trial must not decide over it.
        let checked = self.check.is_some();
        let mut values = self.with_pending(|name, _| !(checked && self.values.contains_key(name)));
        values.retain(|name, _| planned.design.secrets.contains(name));
        let rendered = self.render(&planned.design, planned.variables.as_ref(), values);
        match rendered {
            Err((why, _)) => planned.refuse(why.text().to_owned()),
            Ok((draft, set)) if checked => self.try_out(draft, set, Some(planned)),
            Ok((draft, set)) => {
                let Planned { design, variables, reply } = planned;
                let before = self.exchange(variables);
                match self.place(draft, set.as_ref()) {
                    Ok(()) => self.take_over(Planned { design, variables: None, reply }),
                    Err((why, _)) => {
                        self.exchange(before);
                        let _ = reply.send(Err(why.text().to_owned()));
                    }
                }
            }
        }
    }

    /// Other variables for the command; the ones before, to go back to.
    pub(super) fn exchange(&mut self, variables: Option<Variables>) -> Option<Variables> {
        Some(self.child.as_mut()?.replan(variables?))
    }

    /// The plan holds from now on.
    pub(super) fn take_over(&mut self, planned: Planned) {
        let Planned { design, variables, reply } = planned;
        self.exchange(variables);
        let before = std::mem::replace(&mut self.design, design);
        for name in before.secrets.difference(&self.design.secrets) {
            self.pending.remove(name);
        }
        let gone: Vec<String> = before
            .secrets
            .difference(&self.design.secrets)
            .filter_map(|name| self.values.remove(name))
            .map(|placed| placed.key)
            .collect();
        for key in gone {
            self.replaced(key);
        }
        // Whoever reloads may have gone; the plan holds all the same.
        let _ = reply.send(Ok(()));
    }
}
