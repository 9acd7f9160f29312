//! The rules of the schedule, for all terms, overlaps and moments.

use std::collections::VecDeque;
use std::sync::Arc;

use leasehold_core::{Bound, Fields, Lease, Origin, SecretBytes, Session};
use proptest::prelude::*;

use super::*;
use crate::config::model::Overlap;
use crate::slot::Candidate;

const ZERO: Moment = Moment::from_zero(Duration::from_secs(1_000_000));

fn held(life: Option<Life>, session: &str) -> Held {
    Held {
        key: "k".to_owned(),
        fields: Arc::new(Fields::new()),
        version: None,
        lease: Some(Lease { id: "l".to_owned(), bound: Bound::Session, namespace: None }),
        session: session.to_owned(),
        issued: ZERO,
        life,
        changes_at: None,
    }
}

fn session(life: Option<Life>) -> HeldSession {
    HeldSession {
        session: Session {
            id: "s".to_owned(),
            credential: Arc::new(SecretBytes::new(Vec::new())),
            term: None,
            origin: Origin::LoggedIn,
            revocable: true,
            uses_left: None,
        },
        issued: ZERO,
        life,
    }
}

fn policy(overlap: Overlap) -> Policy {
    Policy {
        room: overlap.into(),
        refresh: Duration::from_secs(300),
        lookup: None,
        heal_splay: Duration::from_secs(10),
        mints_per_minute: 6,
    }
}

fn ttl() -> impl Strategy<Value = Duration> {
    (2_000_u64..90 * 24 * 3_600 * 1_000).prop_map(Duration::from_millis)
}

fn overlap_choice() -> impl Strategy<Value = Overlap> {
    prop_oneof![
        Just(Overlap::Auto),
        (0_u64..100_000_000).prop_map(|ms| Overlap::Fixed(Duration::from_millis(ms))),
    ]
}

fn slot_of(life: Life) -> Slot {
    Slot { current: Some(held(Some(life), "s")), ..Slot::default() }
}

/// What a store that counts in seconds grants of a lease: it rounds both the time of issue and now.
fn granted(ttl: u64, max_ttl: u64, issued: Moment, now: Moment) -> Option<Term> {
    let rounded = |at: Moment| at.since(Moment::from_zero(Duration::ZERO)).as_secs_f64().round() as u64;
    let left = max_ttl.checked_sub(rounded(now) - rounded(issued)).filter(|left| *left > 0)?;
    Some(Term { ttl: Duration::from_secs(ttl.min(left)), renewable: true })
}

#[test]
fn a_polled_value_that_cannot_be_published_is_polled_on_and_a_mint_is_not_repeated() {
    let (polled, retry) = (Held { lease: None, ..held(None, "s") }, Retry { count: 1, ..Retry::default() });
    let poll = ZERO + Duration::from_secs(5);
    let refused_until = ZERO + Duration::from_secs(60);
    let retry = Retry { at: Some(refused_until), ..retry };
    let next_of = |held: Held, retry: Retry| {
        let candidate = Some(Candidate { held, offer: Offered::No, retry });
        let slot = Slot { candidate, poll_at: Some(poll), ..Slot::default() };
        next(&slot, &|_| None, &policy(Overlap::Auto), None, ZERO).unwrap()
    };
    assert!(matches!(next_of(polled.clone(), retry), (at, Action::Fetch) if at == poll));
    // Not while the publisher has yet to see it, and never for what costs a mint.
    assert!(matches!(next_of(polled, Retry::default()), (at, Action::Offer) if at == ZERO));
    assert!(matches!(next_of(held(None, "s"), retry), (at, Action::Offer) if at == refused_until));
}

proptest! {
    #[test]
    fn a_store_that_counts_in_seconds_does_not_cost_the_overlap(
        ttl in 3_u64..12, more in 0_u64..12, tenths in 0_u32..4, started in 0_u64..1_000, seed: u64,
    ) {
        let mut dice = Dice::seeded(seed);
        let configured = Overlap::Fixed(Duration::from_secs(ttl) * tenths / 10);
        let issued = ZERO + Duration::from_millis(started);
        let policy = policy(configured);
        let first = granted(ttl, ttl + more, issued, issued).unwrap();
        let mut held = held(Some(life(None, first, issued, configured, &mut dice)), "s");
        let mut now = issued;
        let rotated = loop {
            let current = held.life.clone().unwrap();
            let rotate = rotate_at(&held, None, &policy).unwrap().max(now);
            if current.is_final() || current.renew_at > rotate {
                break rotate;
            }
            now = current.renew_at;
            let term = granted(ttl, ttl + more, issued, now);
            prop_assert!(term.is_some(), "renewed past its max TTL");
            held.life = Some(life(Some(&current), term.unwrap(), now, configured, &mut dice));
        };
        let grant = Duration::from_secs(ttl);
        let left = held.life.as_ref().unwrap().end.since(rotated);
        let wanted = overlap(configured, grant);
        prop_assert!(left >= wanted, "{left:?} left of {wanted:?}");
    }

    #[test]
    fn a_look_up_moves_an_end_only_by_more_than_it_is_rounded_by(ttl in 4_u64..100, rounded in 0_u64..1_000) {
        let ttl = Duration::from_secs(ttl);
        let mut dice = Dice::seeded(0);
        let granted = life(None, Term { ttl, renewable: true }, ZERO, Overlap::Auto, &mut dice);
        let told = |ttl| {
            let mut life = granted.clone();
            confirm(&mut life, Term { ttl, renewable: true }, ZERO);
            life.end
        };
        prop_assert_eq!(told(ttl - Duration::from_millis(rounded)), granted.end);
        prop_assert_eq!(told(ttl / 4), ZERO + ttl / 4, "somebody shortened it");
        prop_assert_eq!(told(ttl * 2), ZERO + ttl * 2);
    }

    #[test]
    fn a_renewal_is_drawn_between_six_and_seven_tenths_unless_overlap_asks_for_earlier(
        ttl in ttl(), configured in overlap_choice(), seed: u64,
    ) {
        let mut dice = Dice::seeded(seed);
        let life = life(None, Term { ttl, renewable: true }, ZERO, configured, &mut dice);
        let offset = life.renew_at.since(ZERO);
        let latest = ttl - overlap(configured, ttl) - margin(ttl);
        prop_assert!(offset <= latest, "{offset:?} leaves room for a successor, {latest:?}");
        prop_assert!(offset <= ttl.mul_f64(0.7) + Duration::from_micros(1));
        if configured == Overlap::Auto && (Duration::from_secs(20)..Duration::from_secs(24 * 3_600)).contains(&ttl) {
            prop_assert!(offset >= ttl.mul_f64(0.6) - Duration::from_micros(1), "{offset:?} of {ttl:?}");
        }
        if offset < CEILING && offset > FLOOR {
            let high = ttl.mul_f64(0.7).min(latest.saturating_sub(GRAIN).max(FLOOR).min(latest));
            prop_assert!(offset + ttl / 10 + Duration::from_micros(1) >= high, "a tenth of spread");
        }
    }

    #[test]
    fn nothing_is_ever_due_past_the_expiry(
        ttl in ttl(), configured in overlap_choice(), renewable: bool, seed: u64,
        session_ttl in proptest::option::of(ttl()), failures in 0_u32..20,
    ) {
        let mut dice = Dice::seeded(seed);
        let lease = life(None, Term { ttl, renewable }, ZERO, configured, &mut dice);
        let session = session(session_ttl.map(|ttl| {
            life(None, Term { ttl, renewable: false }, ZERO, configured, &mut dice)
        }));
        let mut slot = slot_of(lease);
        let policy = policy(configured);
        let find = |_: &str| Some(&session);
        let end = effective_end(slot.current.as_ref().unwrap(), Some(&session)).unwrap();
        let mut now = ZERO;
        for _ in 0..=failures {
            let (at, action) = next(&slot, &find, &policy, None, now).unwrap();
            prop_assert!(at <= end, "{action:?} at {at:?}, end {end:?}");
            if action != Action::Renew {
                break;
            }
            now = now.max(at);
            let deadline = rotate_at(slot.current.as_ref().unwrap(), Some(&session), &policy);
            slot.renew_retry = retry(slot.renew_retry, None, deadline, now, &mut dice);
        }
    }

    #[test]
    fn a_successor_leaves_the_old_lease_its_overlap(
        ttl in ttl(), configured in overlap_choice(), renewable: bool, seed: u64,
    ) {
        let mut dice = Dice::seeded(seed);
        let lease = life(None, Term { ttl, renewable }, ZERO, configured, &mut dice);
        let held = held(Some(lease), "s");
        let at = rotate_at(&held, None, &policy(configured)).unwrap();
        let left = effective_end(&held, None).unwrap().since(at);
        prop_assert!(left + Duration::from_micros(1) >= overlap(configured, ttl) + margin(ttl));
    }

    #[test]
    fn repeats_are_never_closer_than_the_floor_unless_the_expiry_is(
        wait in 0_u64..60_000, asked in proptest::option::of(0_u64..600_000),
        left in proptest::option::of(1_u64..600_000), seed: u64,
    ) {
        let mut dice = Dice::seeded(seed);
        let before = Retry { count: 3, wait: Duration::from_millis(wait), at: None };
        let deadline = left.map(|left| ZERO + Duration::from_millis(left));
        let after = retry(before, asked.map(Duration::from_millis), deadline, ZERO, &mut dice);
        let at = after.at.unwrap();
        match deadline {
            Some(deadline) => {
                prop_assert!(at <= deadline);
                prop_assert!(at.since(ZERO) >= FLOOR.min(deadline.since(ZERO)));
                prop_assert!(at.since(ZERO) <= (deadline.since(ZERO) / 3).max(FLOOR));
            }
            None => {
                prop_assert!(at.since(ZERO) >= FLOOR);
                prop_assert!(asked.is_none_or(|asked| at.since(ZERO) >= Duration::from_millis(asked)));
            }
        }
    }

    #[test]
    fn what_may_be_tried_again_comes_within_the_splay_and_never_later_than_before(
        at in 0_u64..600_000, splay in 0_u64..60_000,
        left in proptest::option::of(0_u64..600_000), seed: u64,
    ) {
        let splay = Duration::from_millis(splay);
        let before = Retry { count: 3, wait: LONGEST_WAIT, at: Some(ZERO + Duration::from_millis(at)) };
        let deadline = left.map(|left| ZERO + Duration::from_millis(left));
        let after = again(before, deadline, splay, ZERO, &mut Dice::seeded(seed)).at.unwrap();
        prop_assert!(after <= before.at.unwrap() && after.since(ZERO) <= splay);
        prop_assert!(deadline.is_none_or(|deadline| after.since(ZERO) <= deadline.since(ZERO) / 3));
        prop_assert_eq!(again(Retry::default(), deadline, splay, ZERO, &mut Dice::seeded(seed)).at, None);
    }

    #[test]
    fn shifting_every_moment_shifts_every_answer(
        ttl in ttl(), configured in overlap_choice(), renewable: bool, seed: u64,
        elapsed in 0_u64..200_000_000, shift in 0_u64..1_000_000_000, mints in 0_u64..10,
    ) {
        let shift = Duration::from_millis(shift);
        let run = |zero: Moment| {
            let mut dice = Dice::seeded(seed);
            let lease = life(None, Term { ttl, renewable }, zero, configured, &mut dice);
            let mut slot = slot_of(lease);
            slot.mints = (0..mints).map(|n| zero + Duration::from_secs(n)).collect::<VecDeque<_>>();
            let now = zero + Duration::from_millis(elapsed);
            let policy = policy(configured);
            let due = next(&slot, &|_| None, &policy, None, now).unwrap();
            let mint = mint_allowed_at(&slot, mints_ceiling(&slot, None, &policy), now);
            (due.clone(), mint, retry(Retry::default(), None, Some(due.0), now, &mut dice))
        };
        let ((at, action), mint, wait) = run(ZERO);
        let ((at_shifted, action_shifted), mint_shifted, wait_shifted) = run(ZERO + shift);
        prop_assert_eq!(at + shift, at_shifted);
        prop_assert_eq!(action, action_shifted);
        prop_assert_eq!(mint + shift, mint_shifted);
        prop_assert_eq!(wait.at.unwrap() + shift, wait_shifted.at.unwrap());
    }

    #[test]
    fn the_ceiling_on_mints_holds_in_any_minute(ceiling in 1_u32..20, steps in proptest::collection::vec(0_u64..20_000, 1..200)) {
        let mut slot = Slot::default();
        let mut now = ZERO;
        let mut sent = Vec::new();
        for step in steps {
            now = now + Duration::from_millis(step);
            let at = mint_allowed_at(&slot, ceiling, now);
            if at <= now {
                slot.count_mint(now);
                sent.push(now);
            }
        }
        for (index, start) in sent.iter().enumerate() {
            let within = sent[index..].iter().filter(|at| at.since(*start) < MINT_WINDOW).count();
            prop_assert!(within <= ceiling as usize, "{within} mints within a minute");
        }
    }
}

#[test]
fn a_grant_that_is_shorter_than_asked_is_the_max_ttl_coming_near() {
    let mut dice = Dice::seeded(1);
    let first =
        life(None, Term { ttl: Duration::from_secs(10), renewable: true }, ZERO, Overlap::Auto, &mut dice);
    let later = ZERO + Duration::from_secs(6);
    let full = life(
        Some(&first),
        Term { ttl: Duration::from_millis(9_500), renewable: true },
        later,
        Overlap::Auto,
        &mut dice,
    );
    assert!(!full.is_final(), "a second less is rounding");
    let short = life(
        Some(&first),
        Term { ttl: Duration::from_secs(4), renewable: true },
        later,
        Overlap::Auto,
        &mut dice,
    );
    assert!(short.is_final());
    let held = held(Some(short), "s");
    // 10 s after the start it ends; overlap 2 s, margin 1 s.
    assert_eq!(rotate_at(&held, None, &policy(Overlap::Auto)), Some(ZERO + Duration::from_secs(7)));
}

#[test]
fn an_acknowledgement_that_is_expected_and_missing_lets_the_old_lease_end_by_itself() {
    let mut dice = Dice::seeded(1);
    let ttl = Duration::from_secs(60);
    let old = held(Some(life(None, Term { ttl, renewable: true }, ZERO, Overlap::Auto, &mut dice)), "s");
    let new = held(Some(life(None, Term { ttl, renewable: true }, ZERO, Overlap::Auto, &mut dice)), "s");
    let announced = ZERO + Duration::from_secs(20);
    let slot = Slot {
        current: Some(new),
        retiring: vec![Retiring {
            held: old,
            announced,
            generation: 7,
            overlap: Duration::from_secs(12),
            awaits: Awaits::Acknowledgement,
            revocation: Revocation::Due(Retry::default()),
        }],
        busy: Some(crate::slot::Busy::Renewing),
        ..Slot::default()
    };
    let policy = policy(Overlap::Auto);
    let due = |acknowledged| next(&slot, &|_| None, &policy, acknowledged, announced).unwrap();
    // Not acknowledged: first the current one would expire, at the same moment the old one is forgotten.
    assert_eq!(due(None), (ZERO + ttl, Action::Forget { key: "k".to_owned() }));
    assert_eq!(due(Some(6)).1, Action::Forget { key: "k".to_owned() });
    assert_eq!(due(Some(7)), (announced + Duration::from_secs(12), Action::Revoke { key: "k".to_owned() }));
}

#[test]
fn what_hangs_on_a_session_that_ends_is_rotated_before_that_end() {
    let mut dice = Dice::seeded(3);
    let lease = life(
        None,
        Term { ttl: Duration::from_secs(60), renewable: true },
        ZERO,
        Overlap::Fixed(Duration::from_secs(2)),
        &mut dice,
    );
    let session = session(Some(life(
        None,
        Term { ttl: Duration::from_secs(15), renewable: false },
        ZERO,
        Overlap::Auto,
        &mut dice,
    )));
    let slot = slot_of(lease);
    let policy = policy(Overlap::Fixed(Duration::from_secs(2)));
    let (at, action) = next(&slot, &|_| Some(&session), &policy, None, ZERO).unwrap();
    assert_eq!((at, action), (ZERO + Duration::from_secs(12), Action::Fetch));
}

#[test]
fn a_lease_that_the_store_lost_is_not_renewed_but_replaced() {
    let mut dice = Dice::seeded(3);
    let ttl = Duration::from_secs(60);
    let mut slot = slot_of(life(None, Term { ttl, renewable: true }, ZERO, Overlap::Auto, &mut dice));
    let heal = ZERO + Duration::from_secs(4);
    slot.want = Some(Want::Lost(heal));
    let due = next(&slot, &|_| None, &policy(Overlap::Auto), None, ZERO);
    assert_eq!(due, Some((heal, Action::Fetch)));
}

#[test]
fn a_candidate_that_waits_for_the_volume_is_renewed_and_nothing_further_is_minted() {
    let mut dice = Dice::seeded(3);
    let ttl = Duration::from_secs(60);
    let grant = |dice: &mut Dice| life(None, Term { ttl, renewable: true }, ZERO, Overlap::Auto, dice);
    let mut slot = slot_of(grant(&mut dice));
    slot.candidate = Some(crate::slot::Candidate {
        held: held(Some(grant(&mut dice)), "s"),
        offer: Offered::Yes,
        retry: Retry::default(),
    });
    slot.want = Some(Want::Asked);
    let (at, action) = next(&slot, &|_| None, &policy(Overlap::Auto), None, ZERO).unwrap();
    assert_eq!(action, Action::Renew);
    assert!(at >= ZERO + Duration::from_secs(36) && at <= ZERO + Duration::from_secs(42));
}

#[test]
fn the_ceiling_on_mints_is_raised_to_twice_what_a_short_life_needs() {
    let mut dice = Dice::seeded(3);
    let mut ceiling = |ttl: u64| {
        let term = Term { ttl: Duration::from_secs(ttl), renewable: false };
        let slot = slot_of(life(None, term, ZERO, Overlap::Auto, &mut dice));
        mints_ceiling(&slot, None, &policy(Overlap::Auto))
    };
    assert_eq!(ceiling(3_600), 6, "what is configured is enough");
    // Rotated every two seconds or so, thirty times a minute.
    assert_eq!(ceiling(4), 60);
}
