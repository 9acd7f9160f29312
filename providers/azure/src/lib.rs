//! Azure Key Vault as a leasehold provider.
