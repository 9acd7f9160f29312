use std::time::{Duration, Instant};

use harness::stalls;

use super::*;

/// The longest that a session lives here.
const LIFE: Duration = Duration::from_secs(15);

#[test]
fn the_file_changes_with_the_session_and_the_old_token_lives_for_the_overlap_and_is_revoked() {
    stalls();
    let (bench, sections) =
        bench("tokens", json!({ "token_ttl": LIFE.as_secs(), "token_max_ttl": LIFE.as_secs() }));
    bench.configure(&bench.config(&vault().url(), "revoke_delay: 0s, overlap: 3s", &sections));
    let mut running = bench.run_until_ready();
    let mut old = bench.read("token").unwrap();
    for _ in 0..2 {
        let issued = Instant::now();
        let new = eventually("another token", SOON * 2, || {
            let token = bench.read("token").unwrap();
            if token == old { Err(running.stderr()) } else { Ok(token) }
        });
        let changed = Instant::now();
        assert!(issued.elapsed() < LIFE + stalls().lost(issued, Instant::now()), "before the old one ended");
        assert!(itself(&new).is_some(), "{}", running.stderr());
        while changed.elapsed() < Duration::from_millis(2_500) {
            assert!(
                itself(&old).is_some() || stalls().within(LIFE),
                "taken from under the application:\n{}",
                running.stderr()
            );
        }
        eventually("the old one is revoked", SOON, || itself(&old).is_none());
        old = new;
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    assert_eq!(itself(&old), None);
}
