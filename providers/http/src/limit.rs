//! The only places where providers meet a clock: how long one request took, and how long it may
//! take. Neither is a schedule, and both may stop while the machine sleeps: no answer comes then.

use std::future::Future;
use std::time::{Duration, Instant};

/// Waits for it this long at most.
#[allow(clippy::disallowed_methods, reason = "bounds one request; when something is due is the engine's")]
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// For the length of a request, which is told to the observer and decides nothing.
#[allow(clippy::disallowed_methods, reason = "measures one request, and decides nothing")]
pub fn now() -> Instant {
    Instant::now()
}
