//! A JVM serves TLS from a keystore of ours, reads it again when it moves, and no handshake notices.

mod timing;
