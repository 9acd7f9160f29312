//! What this build is and holds.

use crate::{keys, registry};

/// `leasehold 0.1.0`; and where it is wanted, a line for each thing that two builds of a version
/// may differ in.
pub(super) fn text(verbose: bool) -> String {
    let name = format!("leasehold {}", env!("CARGO_PKG_VERSION"));
    if !verbose {
        return name;
    }
    let left_out = registry::left_out();
    let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
    format!(
        "{name}\nproviders: {}\nleft out: {left_out}\nfeatures: {}\ncryptography: {}\ntarget: {}-{}{}\n",
        registry::kinds().join(", "),
        features().join(", "),
        cryptography(),
        std::env::consts::ARCH,
        std::env::consts::OS,
        if cfg!(target_feature = "crt-static") { ", static" } else { "" },
    )
}

/// Those of the providers, and what else may be left out.
fn features() -> Vec<&'static str> {
    let mut features = registry::features();
    features.extend(keys::HELD.then_some("generate-key"));
    features
}

/// Only what speaks TLS or makes keys holds any.
fn cryptography() -> &'static str {
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "vault"))]
    return leasehold_http::CRYPTOGRAPHY;
    #[cfg(not(any(feature = "aws", feature = "azure", feature = "gcp", feature = "vault")))]
    if keys::HELD { "ring" } else { "none" }
}
