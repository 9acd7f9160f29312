//! Real servers and waiting helpers.
