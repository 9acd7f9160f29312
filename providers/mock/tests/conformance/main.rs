//! The suite of all providers, run with the mock: as it is, without log-in, and behind bad weather. And the
//! suite itself, put to the test: a provider that breaks a rule does not get through.
#![allow(clippy::disallowed_methods, reason = "a test asks the provider itself, as the engine does")]
#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

mod behind;
mod chaos;
mod scripted;
mod spoilt;

mod mock {
    leasehold_conformance::suite!(crate::scripted::Scripted::new);
}

mod ambient {
    leasehold_conformance::suite!(crate::scripted::Scripted::without_log_in);
}
