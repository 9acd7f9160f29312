//! The configuration: YAML files → one merged, expanded tree → valid types, or one report of
//! every problem.

pub mod model;

pub use model::Config;
