//! The mock in the place of any provider, for development.

use leasehold_core::SecretRef;
use leasehold_mock::Nature;
pub use leasehold_mock::{Development, Forecast, Shape, Used};

use super::Settings;

/// The `type` of the store that is made up.
pub const MOCK: &str = "mock";

/// Whether any build of leasehold holds this `type`.
pub(crate) fn is_known(kind: &str) -> bool {
    super::KNOWN.iter().any(|(known, _)| *known == kind)
}

/// A secret that a store has to have which stands in for another.
pub(crate) struct Wanted<'a> {
    pub(crate) reference: &'a SecretRef,
    pub(crate) shape: Shape,
}

impl Settings {
    /// The mock in the place of a provider of this `type`; `None`: it is one in production, too.
    #[must_use]
    pub(crate) fn standing_in(
        &self,
        name: &str,
        kind: Option<&str>,
        development: &Development,
        wanted: Vec<Wanted<'_>>,
    ) -> Self {
        let Some(kind) = kind else {
            #[allow(irrefutable_let_patterns, reason = "a build may hold the mock alone")]
            let Self::Mock(own) = self else { return self.clone() };
            let mut own = own.clone().in_development(name, development);
            wanted.iter().for_each(|secret| own.complete(&secret.reference.path, &secret.shape));
            return Self::Mock(own);
        };
        let mut mock = leasehold_mock::Settings::standing_in(name, development);
        for Wanted { reference, shape } in wanted {
            let nature = match (reference.version.is_some(), kind) {
                (true, _) => Nature::Pinned,
                // What their paths look like means nothing to the others.
                (false, "vault" | "exec") => Nature::ByPath,
                (false, _) => Nature::Static,
            };
            mock.expect(development, &reference.path, nature, &shape);
        }
        Self::Mock(mock)
    }

    /// What a mock will play.
    pub(crate) fn forecast(&self) -> Vec<Forecast> {
        match self {
            Self::Mock(settings) => settings.forecast(),
            #[allow(unreachable_patterns, reason = "a build may hold the mock alone")]
            _ => Vec::new(),
        }
    }
}
