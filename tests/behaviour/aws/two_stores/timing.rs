//! An outage of one store, of each kind, while the other goes on.

use harness::stalls;

use super::*;

/// The longest that a credential lives here.
const LIFE: Duration = Duration::from_secs(6);

/// Refused connections, or answers that do not come.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Refused,
    Silent,
}

#[test]
fn vault_is_renewed_and_rotated_on_time_while_aws_is_away() {
    for outage in [Outage::Refused, Outage::Silent] {
        stalls();
        let both = Both::new("while-aws-is-away", "3s", "6s");
        let mut running = both.site.run();
        both.site.place.await_file("app.env", &mut running);
        let refusing = matches!(outage, Outage::Refused).then(|| both.site.proxy.refuse());
        let silent = matches!(outage, Outage::Silent).then(|| both.site.proxy.withhold("secretsmanager."));
        if let Some(rule) = &silent {
            eventually("a poll is unanswered", SOON, || rule.waiting() > 0);
        }
        let began = Instant::now();
        let (mut users, mut logins) = (vec![both.read()[0].clone()], 0);
        while users.len() < 4 {
            assert!(began.elapsed() < SOON * 2, "{outage:?}: {users:?}\n{}", running.stderr());
            // What a file says is good for longer than it takes to read it and log in.
            let read = Instant::now();
            let login = both.login();
            let stalled = read.elapsed() >= Duration::from_millis(400) || stalls().within(LIFE);
            assert!(login.is_ok() || stalled, "{outage:?}: {login:?}\n{}", running.stderr());
            logins += 1;
            let user = both.read()[0].clone();
            if users.last() != Some(&user) {
                users.push(user);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // At the latest after the max TTL each, less the overlap.
        let each = (began.elapsed() - stalls().lost(began, Instant::now())) / 3;
        println!("{outage:?}: three rotations, one in {each:?}; {logins} log-ins, none failed");
        assert!(each <= Duration::from_millis(6_500), "{outage:?}: {each:?}");
        assert_eq!(both.read()[2], "key-1", "the old key is kept");
        assert_eq!(both.site.place.ready(), 200);
        drop((refusing, silent));
        moto().put_secret(&both.key, "key-2");
        eventually("aws is back", Duration::from_secs(90), || both.read()[2] == "key-2");
        stop(running);
        eventually("nothing is left at the database", SOON, || both.database.roles().is_empty());
    }
}

#[test]
fn a_key_of_aws_follows_within_a_refresh_while_vault_is_away() {
    for outage in [Outage::Refused, Outage::Silent] {
        let both = Both::new("while-vault-is-away", "10s", "1h");
        let mut running = both.site.run();
        both.site.place.await_file("app.env", &mut running);
        let [user, password, _] = both.read();
        let refusing = matches!(outage, Outage::Refused).then(|| both.vault_proxy.refuse());
        let silent = matches!(outage, Outage::Silent).then(|| both.vault_proxy.withhold("/v1/"));
        for key in ["key-2", "key-3", "key-4"] {
            moto().put_secret(&both.key, key);
            let put = Instant::now();
            eventually("the key follows", SOON, || both.read()[2] == key);
            let polls = both.site.polls_from(put, "app.env");
            println!("{outage:?}: {key} after {:?}, {polls} polls", put.elapsed());
            assert!(polls <= 2, "{outage:?}: {polls}");
        }
        let [kept, same, _] = both.read();
        assert_eq!((kept, same), (user, password), "{outage:?}");
        if let Some(rule) = &silent {
            eventually("a renewal is unanswered", SOON, || rule.waiting() > 0);
        }
        drop((refusing, silent));
        eventually("vault is asked again", Duration::from_secs(60), || both.login());
        stop(running);
    }
}
