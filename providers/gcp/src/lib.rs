//! Google Secret Manager as a leasehold provider.
