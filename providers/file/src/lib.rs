//! A directory or a file as a leasehold provider.
