//! The room that a successor needs before the end of what it replaces.

use std::time::Duration;

use crate::config::model::Overlap;

/// How long before its end a credential is replaced, beside the margin for publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The least time that it outlives the announcement of its successor.
    pub overlap: Overlap,
    /// The time from the store's answer to that announcement.
    pub lead: Lead,
}

/// What passes between the store's answer and the announcement, by configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lead {
    /// Before it is offered at all: `settle`.
    pub settle: Duration,
    /// After that, the same whatever the grant: under `exec` what a restart takes.
    pub fixed: Duration,
    /// How restarts of replicas are spread.
    pub splay: Splay,
}

/// See `exec.splay`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Splay {
    /// Nothing is restarted, or everything at once.
    #[default]
    None,
    /// Over a quarter of the overlap; over its refresh what is polled.
    Auto,
    /// Over this time.
    Fixed(Duration),
}

impl From<Overlap> for Room {
    fn from(overlap: Overlap) -> Self {
        Self { overlap, lead: Lead::default() }
    }
}

/// The overlap that counts for a grant.
pub fn overlap(configured: Overlap, granted: Duration) -> Duration {
    match configured {
        Overlap::Auto => (granted / 5).min(Duration::from_secs(3_600)),
        Overlap::Fixed(length) => length.min(granted / 3),
    }
}

/// Over what time the restart for a new credential may be spread.
pub fn splay(room: &Room, granted: Duration) -> Duration {
    let wanted = match room.lead.splay {
        Splay::None => Duration::ZERO,
        Splay::Auto => overlap(room.overlap, granted) / 4,
        Splay::Fixed(length) => length,
    };
    wanted.min((granted / 4).saturating_sub(settle(room, Some(granted)) + room.lead.fixed))
}

/// How long a new credential waits until it is offered; at most a quarter of the grant, where it ends.
pub fn settle(room: &Room, granted: Option<Duration>) -> Duration {
    granted.map_or(room.lead.settle, |granted| room.lead.settle.min(granted / 4))
}

/// The same for a value that does not end and is read this often.
pub fn splay_of_polled(room: &Room, refresh: Duration) -> Duration {
    match room.lead.splay {
        Splay::None => Duration::ZERO,
        Splay::Auto => refresh,
        Splay::Fixed(length) => length,
    }
}

/// How much earlier a rotation is due for what comes before the announcement; at most a quarter of
/// the grant.
pub fn lead(room: &Room, granted: Duration) -> Duration {
    (room.lead.settle + room.lead.fixed + splay(room, granted)).min(granted / 4)
}

/// What of the lead is no matter of chance, where a quarter of the grant has no room for it.
pub fn lead_too_long(room: &Room, granted: Duration) -> Option<Duration> {
    let wanted = room.lead.settle + room.lead.fixed;
    (wanted > granted / 4).then_some(wanted)
}

/// Overlap and lead together.
pub fn room(room: &Room, granted: Duration) -> Duration {
    overlap(room.overlap, granted) + lead(room, granted)
}

/// The longest of several.
pub fn longest_room(rooms: &[Room], granted: Duration) -> Duration {
    rooms.iter().map(|one| room(one, granted)).max().unwrap_or_default()
}

/// A room as wide as the widest of several, with `more` before the announcement.
pub fn widest(rooms: &[Room], granted: Duration, more: Duration) -> Room {
    let longest = |length: fn(&Room, Duration) -> Duration| {
        rooms.iter().map(|room| length(room, granted)).max().unwrap_or_default()
    };
    Room {
        overlap: Overlap::Fixed(longest(|room, granted| overlap(room.overlap, granted))),
        lead: Lead { settle: Duration::ZERO, fixed: longest(lead) + more, splay: Splay::None },
    }
}

/// The time set aside for publishing.
pub fn margin(granted: Duration) -> Duration {
    (granted / 10).min(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn of(lead: Lead) -> Room {
        Room { overlap: Overlap::Auto, lead }
    }

    #[test]
    fn restarts_are_spread_over_a_quarter_of_the_overlap_and_rotation_is_due_that_much_earlier() {
        let spread = of(Lead { splay: Splay::Auto, ..Lead::default() });
        let granted = SECOND * 3_600;
        // The overlap is 12 minutes.
        assert_eq!(splay(&spread, granted), SECOND * 180);
        assert_eq!(room(&spread, granted), SECOND * (720 + 180));
        assert_eq!(room(&Overlap::Auto.into(), granted), SECOND * 720);
        assert_eq!(splay_of_polled(&spread, SECOND * 60), SECOND * 60);
        assert_eq!(splay_of_polled(&Overlap::Auto.into(), SECOND * 60), Duration::ZERO);
    }

    #[test]
    fn a_rotation_is_due_earlier_by_the_time_that_a_credential_needs_to_be_known_everywhere() {
        let settling = of(Lead { settle: SECOND * 30, ..Lead::default() });
        let granted = SECOND * 3_600;
        assert_eq!(room(&settling, granted), SECOND * (720 + 30));
        assert_eq!(settle(&settling, Some(granted)), SECOND * 30);
        // Of a short life it takes no more than a quarter; what does not end waits all of it.
        assert_eq!(settle(&settling, Some(SECOND * 40)), SECOND * 10);
        assert_eq!(room(&settling, SECOND * 40), SECOND * (8 + 10));
        assert_eq!(settle(&settling, None), SECOND * 30);
        // It comes before a restart is spread, which makes do with what is left of that quarter.
        let both = of(Lead { settle: SECOND * 8, fixed: SECOND, splay: Splay::Fixed(SECOND * 600) });
        assert_eq!(splay(&both, SECOND * 40), SECOND);
    }

    #[test]
    fn what_stands_before_the_announcement_is_never_more_than_a_quarter_of_the_grant() {
        let granted = SECOND * 40;
        for fixed in [0, 5, 9, 10, 600] {
            for wanted in [Splay::None, Splay::Auto, Splay::Fixed(SECOND * 4), Splay::Fixed(SECOND * 900)] {
                let room = of(Lead { settle: Duration::ZERO, fixed: SECOND * fixed, splay: wanted });
                assert!(lead(&room, granted) <= granted / 4, "{room:?}");
                // What a restart takes comes first: spreading makes do with what is left of it.
                let kept = lead(&room, granted).saturating_sub(splay(&room, granted));
                assert_eq!(kept, (SECOND * fixed).min(granted / 4), "{room:?}");
            }
        }
    }
}
