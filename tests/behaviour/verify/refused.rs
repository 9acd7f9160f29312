//! A check that says no, to the end of the old credential.

use super::*;

/// A candidate is tried for three seconds; half of this is left of the old one then.
const OVERLAP: &str = "overlap: 5s";

/// Good only for the first set.
const ONLY_THE_FIRST: &str = "echo $LEASEHOLD_GENERATION >> FOLDER/tries; echo no login for $(cat $LEASEHOLD_CANDIDATE/username); \
     test $LEASEHOLD_GENERATION = 1";

#[test]
fn a_candidate_that_is_refused_to_the_end_is_given_back_and_the_old_set_stays_byte_for_byte() {
    let stage = Stage::new("refused", "15s", "15s", Rights::RevokeLeases);
    let config = configured(&stage, OVERLAP, &script(ONLY_THE_FIRST));
    let running = leasehold("run", &config).start();
    ready(&running, &config);
    let first = in_place(&stage);
    let old = stage.database.leases();
    let data = fs::read_link(stage.live().join("..data")).unwrap();
    eventually("the candidate is minted", SOON * 2, || stage.mints() == 2);
    let refused = eventually("status says why", SOON, || {
        let status = status(&config);
        let text = status.to_string();
        if text.contains("no login for") { Ok(status) } else { Err(format!("{text}\n{}", running.stderr())) }
    });
    let words = ["status", "-c"].map(AsRef::as_ref).into_iter();
    let table = Leasehold::command(words.chain([config.as_os_str()])).finish(SOON);
    assert!(table.stdout.contains("no login for"), "{}\n{refused}", table.stdout);
    eventually("the candidate is given back", SOON * 2, || {
        let left = stage.database.leases();
        let gone = left.iter().all(|lease| old.contains(lease));
        if gone && stage.mints() == 2 && tries(&stage).len() >= 3 {
            Ok(())
        } else {
            Err(format!("{left:?} {:?}\n{}", tries(&stage), running.stderr()))
        }
    });
    let tried = tries(&stage);
    assert_eq!(tried[0], 1);
    assert!(tried[1..].iter().all(|generation| *generation == 2), "the same candidate again: {tried:?}");
    eventually("the old one has ended by itself", SOON * 2, || stage.database.leases().is_empty());
    assert_eq!(in_place(&stage), first);
    assert_eq!(fs::read_link(stage.live().join("..data")).unwrap(), data);
    assert_eq!(stage.mints(), 2, "no further one for five minutes");
    let count = |outcome| stage.metric(&format!(r#"leasehold_verify_total{{outcome="{outcome}"}}"#));
    // A try that the end of that time meets has not answered.
    let (refused, unknown) = (count("refused").unwrap(), count("unknown").unwrap_or_default());
    assert_eq!((refused + unknown) as usize, tried.len() - 1);
    end(running);
    stage.nothing_is_left();
}

#[test]
fn where_it_is_wanted_a_candidate_is_published_all_the_same_before_the_old_one_ends() {
    let stage = Stage::new("allthesame", "15s", "15s", Rights::RevokeLeases);
    let verify = script(ONLY_THE_FIRST).replace("timeout: 10s", "timeout: 10s, on_failure: publish");
    let config = configured(&stage, OVERLAP, &verify);
    let running = leasehold("run", &config).start();
    ready(&running, &config);
    let [_, first, password] = in_place(&stage);
    let second = eventually("the second set", SOON * 2, || {
        let [_, user, _] = in_place(&stage);
        if user == first { Err(format!("{:?}\n{}", tries(&stage), running.stderr())) } else { Ok(user) }
    });
    assert_eq!(postgres().login(&first, &password), Ok(()), "the old one still lives");
    assert!(stage.database.roles().contains(&second));
    assert!(tries(&stage).len() >= 3, "{:?}", tries(&stage));
    end(running);
    stage.nothing_is_left();
}
