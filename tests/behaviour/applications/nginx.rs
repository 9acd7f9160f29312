//! nginx serves a certificate of Vault's, and no handshake notices that it rotates.

mod timing;
