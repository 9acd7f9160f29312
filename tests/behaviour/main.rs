//! Behaviour of the binary and of the library, against real servers.
