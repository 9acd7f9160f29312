//! What this build is and holds.

use crate::registry;

/// `leasehold 0.1.0`; and where it is wanted, a line for each thing that two builds of a version
/// may differ in.
pub(super) fn text(verbose: bool) -> String {
    let name = format!("leasehold {}", env!("CARGO_PKG_VERSION"));
    if !verbose {
        return name;
    }
    let keystores = if cfg!(feature = "keystore") { "pkcs12, jks" } else { "none" };
    let left_out = registry::left_out();
    let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
    format!(
        "{name}\nproviders: {}\nleft out: {left_out}\nkeystores: {keystores}\nfeatures: {}\ncryptography: {}\ntarget: {}-{}{}\n",
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
    features.extend(cfg!(feature = "completions").then_some("completions"));
    features.extend(cfg!(feature = "explain").then_some("explain"));
    features.extend(cfg!(feature = "generate-key").then_some("generate-key"));
    features.extend(cfg!(feature = "keystore").then_some("keystore"));
    features.sort_unstable();
    features
}

/// Only what speaks TLS, writes keystores or makes keys holds any.
fn cryptography() -> &'static str {
    let held = cfg!(any(
        feature = "aws",
        feature = "azure",
        feature = "gcp",
        feature = "generate-key",
        feature = "keystore",
        feature = "vault"
    ));
    if held { leasehold_http::CRYPTOGRAPHY } else { "none" }
}
