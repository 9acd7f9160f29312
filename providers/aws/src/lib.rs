//! AWS Secrets Manager and Parameter Store as a leasehold provider.
