use std::time::Duration;

use leasehold_core::{Failed, Status};
use rustix::process::Signal;

use super::rig::*;
use crate::config::model::Exec;
use crate::schedule::Dice;
use crate::supervisor::{CommandPhase, End, Order};

fn by_itself(status: Status) -> Option<End> {
    Some(End::Ended { status, asked: false })
}

fn as_asked(status: Status) -> Option<End> {
    Some(End::Ended { status, asked: true })
}

#[tokio::test(start_paused = true)]
async fn its_own_end_is_ours() {
    let scene = Scene::running(exec(), obedient()).await;
    scene.ends(Status::Exited(3));
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "10 exit 3"]);
    assert_eq!(scene.end(), by_itself(Status::Exited(3)));
    assert_eq!(scene.end().unwrap().code(), Some(3));
    assert!(scene.end().unwrap().is_crash());
    assert_eq!((scene.command().phase, scene.command().pid), (CommandPhase::Ended, None));
    assert!(!scene.is_ready());
}

#[tokio::test(start_paused = true)]
async fn its_own_end_while_a_restart_is_due_or_it_is_drained_is_ours() {
    let draining = Exec { drain: SECOND * 5, ..exec() };
    for (exec, splay) in [(exec(), SECOND * 1_000), (draining, Duration::ZERO)] {
        let scene = Scene::running(exec, obedient()).await;
        scene.deliver_over("two", splay);
        scene.pass(2).await;
        scene.ends(Status::Signalled(11));
        scene.pass(2_000).await;
        assert_eq!(scene.told(), ["0 start one", "12 died of 11"]);
        assert_eq!(scene.end(), by_itself(Status::Signalled(11)));
        assert_eq!(scene.end().unwrap().code(), Some(139));
        assert_eq!(scene.command().next_restart, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_just_before_our_sigterm_is_its_own() {
    let scene = Scene::running(exec(), Manners::HadEnded(Status::Exited(7))).await;
    scene.deliver("two");
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "10 exit 7"]);
    assert_eq!(scene.end(), by_itself(Status::Exited(7)));
    assert_eq!(scene.has(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_after_our_sigterm_is_none() {
    for status in [Status::Exited(0), Status::Exited(3), Status::Exited(143), Status::Signalled(15)] {
        let scene = Scene::running(exec(), Manners::EndsAfter(SECOND, status)).await;
        scene.deliver("two");
        scene.pass(60).await;
        assert_eq!(scene.told()[3..], ["11 start two"], "{status:?}");
        assert_eq!(scene.end(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn told_to_end_it_ends_in_its_own_time() {
    let scene = Scene::running(exec(), Manners::EndsAfter(SECOND * 100, Status::Exited(0))).await;
    assert!(!scene.is_given_up());
    scene.handle.tell(Order::Terminate);
    scene.pass(50).await;
    assert!(scene.is_given_up());
    scene.deliver("two");
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "10 signal 15", "110 exit 0"]);
    assert_eq!(scene.end(), as_asked(Status::Exited(0)));
}

#[tokio::test(start_paused = true)]
async fn told_to_end_in_the_middle_of_a_restart_it_is_asked_once_and_not_started_again() {
    let scene = Scene::running(exec(), Manners::EndsAfter(SECOND * 5, Status::Exited(0))).await;
    scene.deliver("two");
    scene.pass(2).await;
    scene.handle.tell(Order::Terminate);
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "10 signal 15", "15 exit 0"]);
    assert_eq!(scene.end(), as_asked(Status::Exited(0)));
}

#[tokio::test(start_paused = true)]
async fn told_to_end_while_it_is_drained_it_is_asked_at_once() {
    let scene = Scene::running(Exec { drain: SECOND * 30, ..exec() }, obedient()).await;
    scene.deliver("two");
    scene.pass(2).await;
    scene.handle.tell(Order::Terminate);
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "12 signal 15", "13 exit 0"]);
}

#[tokio::test(start_paused = true)]
async fn stopped_it_has_its_grace() {
    let scene = Scene::running(exec(), Manners::Stubborn).await;
    scene.handle.tell(Order::Stop);
    scene.pass(60).await;
    assert_eq!(scene.told(), ["0 start one", "10 signal 15", "20 signal 9", "20 died of 9"]);
    assert_eq!(scene.end(), as_asked(Status::Signalled(9)));
}

#[tokio::test(start_paused = true)]
async fn a_second_word_kills_it() {
    let scene = Scene::running(exec(), Manners::Stubborn).await;
    scene.handle.tell(Order::Terminate);
    scene.pass(30).await;
    scene.handle.tell(Order::Kill);
    scene.pass(1).await;
    assert_eq!(scene.told()[1..], ["10 signal 15", "40 signal 9", "40 died of 9"]);
    assert_eq!(scene.end(), as_asked(Status::Signalled(9)));
}

#[tokio::test(start_paused = true)]
async fn an_end_by_a_signal_that_we_passed_on_was_asked_for() {
    let ends = [
        (Status::Signalled(2), as_asked(Status::Signalled(2))),
        (Status::Exited(130), as_asked(Status::Exited(130))),
        (Status::Exited(1), by_itself(Status::Exited(1))),
    ];
    for (status, end) in ends {
        let scene = Scene::running(exec(), obedient()).await;
        scene.handle.tell(Order::Pass(Signal::INT));
        scene.settle().await;
        scene.ends(status);
        scene.pass(1).await;
        assert_eq!(scene.told()[1], "10 signal 2");
        assert_eq!(scene.end(), end);
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_was_passed_on_before_a_restart_asks_nothing_of_the_next() {
    let scene = Scene::running(exec(), obedient()).await;
    scene.handle.tell(Order::Pass(Signal::INT));
    scene.deliver("two");
    scene.pass(10).await;
    scene.ends(Status::Exited(130));
    scene.pass(1).await;
    assert_eq!(scene.end(), by_itself(Status::Exited(130)));
}

#[tokio::test(start_paused = true)]
async fn told_to_end_before_the_first_set_it_is_never_started() {
    let scene = Scene::waiting(exec(), obedient(), Dice::seeded(1));
    scene.handle.tell(Order::Pass(Signal::HUP));
    scene.pass(1).await;
    assert_eq!(scene.end(), None);
    scene.handle.tell(Order::Terminate);
    scene.pass(1).await;
    assert_eq!(scene.end(), Some(End::Unstarted));
    assert!(scene.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_started_again_is_the_end() {
    let scene = Scene::running(exec(), obedient()).await;
    scene.loses_its_program();
    scene.deliver("two");
    scene.pass(60).await;
    assert_eq!(scene.told()[1..], ["10 signal 15", "11 exit 0"]);
    assert_eq!((scene.end(), scene.has()), (Some(End::NotStarted(Failed::NotFound)), 1));
}
