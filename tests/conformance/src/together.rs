//! Futures side by side on one task: all of them, or the first poll only.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Ends when all have.
pub(crate) async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, done) in &mut running {
            if done.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

/// Polls it this often beside the runtime's other work, then drops it. True: it had not ended.
pub(crate) async fn dropped_after(polls: usize, future: impl Future) -> bool {
    let mut future: Pin<Box<_>> = Box::pin(future);
    for _ in 0..polls {
        let ended = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if ended {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}
