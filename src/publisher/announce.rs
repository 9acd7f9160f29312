//! Telling the announcer, and recording how far it came.

use super::place::Place;
use super::{Before, Publisher};
use crate::events::Event;
use crate::handover::Entry;
use crate::notify_app::Announcement;
use crate::slot::Awaits;

impl Publisher {
    /// Tells the announcer. The first generation of all runs no action; one that an earlier
    /// process put in place and did not announce to the end runs them now.
    pub(super) fn announce(&mut self, generation: u64, place: &Place, moved: bool, first: bool) -> Awaits {
        let announcements = &self.links.announcements;
        let Before { generation: in_place, standing } = &self.before;
        if first && let (Some(_), Some(announced)) = (in_place, standing.announced) {
            announcements.in_place(announced, Some((standing, &[])));
        }
        let changed = match (first, in_place) {
            (true, None) => None,
            (true, Some(_)) if standing.announced < *in_place => Some(place.draft.files.clone()),
            _ if moved => Some(place.changed.clone()),
            _ => None,
        };
        match changed {
            Some(changed) => announcements.publish(&Announcement { generation, changed }),
            None if first => {
                let earlier = in_place.map(|_| (standing, place.draft.files.as_slice()));
                announcements.in_place(generation, earlier);
                // What it replaced may not have been noted as such yet, and waits for the same.
                match in_place {
                    Some(_) => announcements.awaits(&place.draft.files),
                    None => Awaits::Nothing,
                }
            }
            None => Awaits::Nothing,
        }
    }

    /// The next process is to know what it need not announce any more, and who has answered.
    pub(super) fn record_announced(&self) {
        let now = self.links.clock.now();
        let Some(entry) = Entry::announced(&self.links.announcements.standing().borrow(), now) else {
            return;
        };
        if let Err(error) = self.links.handover.put(&entry) {
            self.links.events.emit(&Event::Warning { text: &error.to_string() });
        }
    }
}
