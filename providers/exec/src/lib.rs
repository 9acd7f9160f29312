//! Any program as a leasehold provider.
