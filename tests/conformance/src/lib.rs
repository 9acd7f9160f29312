//! One set of cases for every provider of leasehold.
//!
//! A provider's own test target brings a [`Subject`]: its provider, over a store that can be played on. The
//! macro [`suite!`] makes a test of each case. What a subject lacks it says with a reason, and the case then
//! passes as "could not", which the output shows: nothing is left out in silence. What it does not say it
//! lacks is tried.
//!
//! In every case, whatever it is about: each error names operation, provider and secret in our own words, and
//! no value and no credential is shown by `Debug` or `Display`, or said through `tracing` at any level.
//!
//! ```ignore
//! mod conformance {
//!     leasehold_conformance::suite!(super::Kept::new);
//! }
//! ```
//!
//! [`Chaos`] puts any provider behind bad weather, drawn on a seed.
//!
//! It stands on `leasehold-core` alone: no case knows of a store.

mod cases;
mod chaos;
mod listen;
mod run;
mod stage;
mod subject;
mod together;

pub use chaos::{Call, Chaos, Odds, Record};
pub use listen::{Listening, listen};
pub use run::{judge, names, run};
pub use subject::{Cannot, Capability, Content, Facts, Fault, Playing, Subject, Verdict};

/// Calls a macro with the names of all cases, in the order of the table.
#[doc(hidden)]
#[macro_export]
macro_rules! every_case {
    ($($callback:ident)::+ $(, $argument:expr)?) => {
        $($callback)::+! {
            $($argument;)?
            what_is_kept_is_read
            the_libraries_below_say_no_value_either
            several_fields_are_told_apart
            a_key_picks_one_value
            what_is_not_there_is_absent
            what_was_removed_is_absent
            a_path_that_leads_elsewhere_brings_nothing
            what_is_denied_is_denied
            a_batch_keeps_its_order_and_one_bad_secret_fails_alone
            a_batch_costs_what_it_says
            every_request_is_told_to_the_observer
            any_bytes_are_brought_as_they_are
            an_empty_value_is_a_value
            any_character_is_brought_as_it_is
            a_field_may_have_any_name
            the_largest_value_is_brought_whole
            many_at_once_do_not_mix
            a_new_value_has_another_version
            a_pinned_version_stays
            a_version_that_is_not_there_is_absent
            a_version_that_leads_elsewhere_brings_nothing
            an_unchanged_secret_brings_no_fields
            a_changed_secret_brings_its_fields
            a_stage_is_read_by_its_name
            too_many_requests_are_throttled
            an_answer_that_breaks_off_is_no_verdict
            a_connection_that_ends_is_no_verdict
            a_page_for_people_is_no_secret
            an_answer_without_sense_is_malformed
            a_store_that_fails_is_unavailable
            a_mint_is_described_as_one_and_comes_with_its_lease
            a_dozen_mints_at_once_are_a_dozen
            a_lease_is_renewed
            a_lease_that_is_gone_is_said_to_be
            a_lease_is_looked_up
            a_lease_is_revoked_and_twice_is_fine
            a_late_answer_is_brought_and_holds_up_nothing_else
            a_dropped_read_leaves_nothing_behind
            a_late_mint_is_brought_and_was_sent_once
            a_mint_whose_answer_is_lost_is_not_sent_again
            describing_is_steady_and_honest
            checking_mints_nothing
            a_log_in_says_what_it_brought
            two_log_ins_do_not_hang_together
            a_session_is_looked_up_and_renewed
            a_revoked_session_has_ended_and_its_leases_with_it
            a_wrong_credential_is_denied
        }
    };
}

/// Makes a test of each case, with what `$subject`, a function, returns as its subject.
#[macro_export]
macro_rules! suite {
    ($subject:expr) => {
        $crate::every_case!($crate::tests_of, $subject);
    };
}

/// One test a case.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_of {
    ($subject:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::run(stringify!($case), &$subject());
            }
        )*
    };
}
