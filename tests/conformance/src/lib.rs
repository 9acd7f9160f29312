//! One set of cases for every provider of leasehold.
