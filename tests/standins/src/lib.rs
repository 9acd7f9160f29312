//! What stands for Azure Key Vault and Google Secret Manager in tests.
