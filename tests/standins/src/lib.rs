//! What stands for Azure Key Vault and Google Secret Manager in tests, and for what their clients log in to.
//!
//! No emulator of either is to be had, so these are written from the published descriptions of the interfaces
//! (each module names its own), and by another hand than the providers: one misreading then does not confirm
//! the other. Where the real service is strict, so are they; what they do not do they answer with 404, never
//! with a guess.
//!
//! - [`Azure`]: a vault, the authority that issues its tokens, and the metadata service of a machine.
//! - [`Google`]: Secret Manager, the OAuth token endpoint, the Security Token Service, IAM credentials, and
//!   the metadata server of a machine.
//! - [`Cluster`]: an issuer of projected service-account tokens that both can be told to trust.
//!
//! Each part has a free port of 127.0.0.1 of its own. The clouds' own names are in the certificates as well
//! (`*.vault.azure.net`, `secretmanager.googleapis.com`, …), for a test that leads them here by a [`Detour`].
//! Everything ends when the stand-in is dropped. Set-up that goes wrong panics with what was tried.
//!
//! Both are driven the same way: what is stored (`put_secret`, `disable`, …), who may read it (`register_…`,
//! `deny`, `revoke_tokens`), what goes wrong (`throttle`, `fail_next`), and what was asked (`requests`).

pub mod azure;
mod cluster;
mod detour;
mod fault;
mod form;
pub mod google;
mod hold;
mod journal;
mod jwt;
mod pki;
mod server;

pub use azure::Azure;
pub use cluster::Cluster;
pub use detour::Detour;
pub use fault::Fault;
pub use google::Google;
pub use hold::Held;
pub use journal::{Asked, Part};
pub use pki::KeyPair;
