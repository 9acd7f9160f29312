//! Sessions: every way to log in, every kind of token, replaced without a gap, under the least policy.

mod least;
mod methods;
mod timing;
