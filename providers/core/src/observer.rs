use std::time::Duration;

use crate::error::{Kind, Operation};

/// Counts requests on the wire. Given to a provider when it is built; one operation of
/// [`crate::Provider`] may need several requests.
pub trait Observer: Send + Sync {
    /// One request ended. `outcome` is `None` when it went well.
    fn request(&self, operation: Operation, outcome: Option<Kind>, took: Duration);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn request(&self, _: Operation, _: Option<Kind>, _: Duration) {}
}
