use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// The runtime of a whole process: one thread, and a few more for what blocks (resolving names),
/// which end after a second, so that an idle process stays one thread.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_blocked_is_gone_soon_after() {
        let runtime = runtime().unwrap();
        let thread = runtime.block_on(async {
            tokio::task::spawn_blocking(|| rustix::thread::gettid().as_raw_nonzero()).await.unwrap()
        });
        let task = format!("/proc/self/task/{thread}");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::exists(&task).unwrap() {
            assert!(Instant::now() < deadline, "the thread stays");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
