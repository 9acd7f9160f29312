use super::rig::*;
use crate::config::model::{Exec, ExecChange};
use crate::schedule::Dice;
use crate::supervisor::CommandPhase;
use leasehold_core::Status;

#[tokio::test(start_paused = true)]
async fn rotations_that_fall_together_are_one_restart() {
    let scene = Scene::running(exec(), obedient()).await;
    scene.deliver("two");
    scene.deliver("three");
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "10 signal 15", "11 exit 0", "11 start three"]);
    assert_eq!((scene.has(), scene.command().restarts), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_while_a_restart_is_due_is_that_restart() {
    let scene = Scene::running(exec(), obedient()).await;
    scene.deliver_over("two", SECOND * 100);
    scene.settle().await;
    let due = scene.command().next_restart.unwrap();
    scene.deliver_over("three", SECOND * 1_000);
    scene.settle().await;
    assert_eq!(scene.command().next_restart, Some(due), "one that may come later does not put it off");
    scene.deliver("four");
    scene.pass(2_000).await;
    assert_eq!(scene.told()[1..], ["10 signal 15", "11 exit 0", "11 start four"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_while_a_restart_is_due_leaves_its_time() {
    let scene = Scene::running(exec(), obedient()).await;
    scene.deliver_over("two", SECOND * 1_000);
    scene.settle().await;
    let due = scene.command().next_restart.unwrap();
    scene.deliver("two");
    scene.settle().await;
    assert_eq!(scene.command().next_restart, Some(due), "{:?}", scene.told());
    scene.pass(1_000).await;
    assert_eq!(scene.told().last().unwrap().split_once(' ').unwrap().1, "start two");
    assert_eq!((scene.has(), scene.command().restarts), (3, 1));
    // Where each change is a restart, the sooner one is.
    let scene = Scene::running(on_change(ExecChange::Restart), obedient()).await;
    scene.deliver_over("two", SECOND * 1_000);
    scene.settle().await;
    scene.deliver("two");
    scene.pass(2).await;
    assert_eq!(scene.told()[1..], ["10 signal 15", "11 exit 0", "11 start two"]);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_in_the_middle_of_a_restart_is_not_lost() {
    let scene = Scene::running(exec(), Manners::EndsAfter(SECOND * 5, Status::Exited(0))).await;
    scene.deliver("two");
    scene.pass(2).await;
    scene.deliver("three");
    scene.pass(2).await;
    assert_eq!(scene.has(), 1, "it has nothing new before it starts");
    scene.pass(2).await;
    assert_eq!(scene.told(), ["0 start one", "10 signal 15", "15 exit 0", "15 start three"]);
    assert_eq!(scene.has(), 3);
    scene.deliver("four");
    scene.pass(60).await;
    assert_eq!(
        scene.told()[4..],
        ["16 signal 15", "21 exit 0", "21 start four"],
        "one more, with the newest"
    );
    assert_eq!((scene.has(), scene.command().restarts), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn without_on_change_only_changed_variables_are_a_restart() {
    let scene = Scene::running(exec(), obedient()).await;
    // A file changed: the same variables come anew.
    scene.deliver("one");
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one"]);
    assert_eq!(scene.has(), 2, "it reads its files by itself");
    scene.deliver("two");
    scene.pass(60).await;
    assert_eq!(scene.told()[1..], ["70 signal 15", "71 exit 0", "71 start two"]);
    assert_eq!(scene.has(), 3);
}

#[tokio::test(start_paused = true)]
async fn on_change_restart_is_one_for_whatever_changes() {
    let scene = Scene::running(on_change(ExecChange::Restart), obedient()).await;
    scene.deliver("one");
    scene.pass(60).await;
    assert_eq!(scene.told()[1..], ["10 signal 15", "11 exit 0", "11 start one"]);
    assert_eq!(scene.has(), 2);
}

#[tokio::test(start_paused = true)]
async fn on_change_signal_sends_it_and_restarts_nothing() {
    let scene = Scene::running(on_change(ExecChange::Signal), obedient()).await;
    scene.deliver("two");
    scene.settle().await;
    assert_eq!((scene.told().last().unwrap().as_str(), scene.has()), ("10 signal 1", 2));
    scene.deliver("two");
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "10 signal 1", "10 signal 1"]);
    assert_eq!((scene.has(), scene.command().restarts), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn on_change_none_leaves_it_alone() {
    let scene = Scene::running(on_change(ExecChange::None), obedient()).await;
    scene.deliver("two");
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one"]);
    assert_eq!(scene.has(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_for_the_drain_before_it_is_asked_to_end() {
    let scene = Scene::running(Exec { drain: SECOND * 5, ..exec() }, obedient()).await;
    assert!(scene.is_ready());
    scene.deliver("two");
    scene.pass(4).await;
    assert_eq!(scene.told(), ["0 start one"], "it runs on");
    assert_eq!((scene.is_ready(), scene.command().phase), (false, CommandPhase::Draining));
    // What comes meanwhile is what it starts with.
    scene.deliver("three");
    scene.pass(1).await;
    assert_eq!(scene.ready_at_term(), [false]);
    assert_eq!((scene.is_ready(), scene.command().phase), (false, CommandPhase::Restarting));
    scene.pass(60).await;
    assert_eq!(scene.told()[1..], ["15 signal 15", "16 exit 0", "16 start three"]);
    assert!(scene.is_ready());
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_end_is_killed_after_its_grace() {
    let scene = Scene::running(exec(), Manners::Stubborn).await;
    scene.deliver("two");
    scene.pass(9).await;
    assert_eq!(scene.told()[1..], ["10 signal 15"]);
    scene.pass(60).await;
    assert_eq!(scene.told()[1..], ["10 signal 15", "20 signal 9", "20 died of 9", "20 start two"]);
    let said = scene.events.recorded();
    assert!(said.iter().any(|line| line.contains("did not end within 10s of SIGTERM")), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_comes_within_the_splay_and_they_are_spread_over_it() {
    let mut waits = Vec::new();
    for seed in 0..40 {
        let scene = Scene::waiting(exec(), obedient(), Dice::seeded(seed));
        scene.deliver("one");
        scene.settle().await;
        let came = scene.clock.now();
        scene.deliver_over("two", SECOND * 60);
        scene.settle().await;
        let wait = scene.command().next_restart.unwrap().since(came);
        assert_eq!(scene.told(), ["0 start one"]);
        scene.pass(61).await;
        let at: u64 = scene.told()[1].strip_suffix(" signal 15").unwrap().parse().unwrap();
        assert!(at.abs_diff(wait.as_secs()) <= 1 && at <= 60, "{at} {wait:?}");
        waits.push(at);
    }
    let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*first < 15 && *last > 45, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_said_to_have_a_delivery_only_once_it_has_it() {
    let scene = Scene::waiting(Exec { drain: SECOND * 5, ..exec() }, obedient(), Dice::seeded(1));
    scene.settle().await;
    assert_eq!((scene.has(), scene.command().phase), (0, CommandPhase::Waiting));
    scene.deliver("one");
    scene.settle().await;
    assert_eq!(scene.has(), 1);
    scene.deliver_over("two", SECOND * 20);
    while scene.told().len() < 4 {
        assert_eq!(scene.has(), 1, "{:?}", scene.told());
        scene.settle().await;
    }
    assert_eq!(scene.told()[3].split_once(' ').unwrap().1, "start two");
    assert_eq!(scene.has(), 2);
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_when_there_is_never_more_than_one_and_it_gets_the_newest() {
    for seed in 0..20 {
        let mut dice = Dice::seeded(seed);
        let scene = Scene::running(Exec { drain: SECOND, ..exec() }, obedient()).await;
        for number in 0..100 {
            // Some end late, some only when they are killed.
            scene.behaves(Manners::EndsAfter(dice.between(SECOND / 10, SECOND * 15), Status::Exited(0)));
            scene.deliver_over(&number.to_string(), dice.between(SECOND / 10, SECOND * 5));
            scene.clock.sleep(dice.between(SECOND / 100, SECOND * 8)).await;
        }
        scene.pass(120).await;
        assert!(scene.told().last().unwrap().ends_with("start 99"), "{:?}", scene.told());
        assert_eq!((scene.has(), scene.end()), (101, None));
    }
}
