mod hooks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::config::model::{ActionKind, Signal, Target};
use crate::status::GenerationState;

/// A real process that counts the HUPs it gets, in a file, and leaves its pid in another.
struct Application {
    child: Child,
    directory: tempfile::TempDir,
}

impl Application {
    fn start() -> Self {
        use std::io::{BufRead as _, BufReader};
        let directory = tempfile::tempdir().unwrap();
        let script =
            r#"trap 'echo hup >> hups' HUP; echo $$ > pid; echo started; while :; do read line || :; done"#;
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        Self { child, directory }
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join("pid")
    }

    fn hups(&self) -> usize {
        std::fs::read_to_string(self.directory.path().join("hups")).unwrap_or_default().lines().count()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hup(pid_file: &Path, files: Option<&[&str]>) -> Action {
    Action {
        kind: ActionKind::Signal { signal: Signal::Hup, target: Target::PidFile(pid_file.to_owned()) },
        files: files.map(|files| files.iter().map(ToString::to_string).collect()),
        name: None,
        debounce: Duration::ZERO,
        timeout: Duration::from_secs(10),
        retries: 3,
    }
}

fn announcement(generation: u64, changed: &[&str]) -> Announcement {
    Announcement { generation, changed: changed.iter().map(ToString::to_string).collect() }
}

/// An announcer with its task, a board, and what it told.
struct Scene {
    announcements: Announcements,
    board: Board,
    events: Events,
    ending: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Scene {
    fn new(actions: Vec<Action>, acknowledge: Acknowledge, clock: Clock) -> Self {
        let board = Board::default();
        let events = Events::recording(board.clone(), clock.clone());
        let surroundings = Surroundings::bare(clock);
        Self::with(actions, acknowledge, surroundings, (board, events))
    }

    fn with(
        actions: Vec<Action>,
        acknowledge: Acknowledge,
        surroundings: Surroundings,
        (board, events): (Board, Events),
    ) -> Self {
        let plan = Plan { actions, acknowledge, directory: "/run/live".into() };
        let (announcements, announcer) =
            Announcements::new(plan, surroundings, board.clone(), events.clone());
        let ending = CancellationToken::new();
        let task = tokio::spawn(announcer.run(ending.clone()));
        Self { announcements, board, events, ending, task }
    }

    /// As the publisher does.
    fn publish(&self, generation: u64, changed: &[&str]) -> Awaits {
        self.board.write(|board| {
            board.generation = Some(GenerationState {
                number: generation,
                published: crate::clock::Moment::from_zero(Duration::ZERO),
                files: Vec::new(),
                actions: BTreeMap::new(),
            });
        });
        self.announcements.publish(&announcement(generation, changed))
    }

    /// The facts, without the texts of errors.
    /// What stands in an action's way is said beside them.
    fn told(&self) -> Vec<String> {
        let short = |line: String| line.split(": ").take(2).collect::<Vec<_>>().join(": ");
        let facts = self.events.recorded().into_iter().filter(|line| !line.starts_with("warn warning"));
        facts.map(short).collect()
    }

    fn answers(&self) -> Vec<String> {
        self.board.snapshot().generation.map_or_else(Vec::new, |g| g.actions.into_values().collect())
    }
}

/// Waits for a fact outside of this process, in real time.
async fn eventually(what: &str, fact: impl Fn() -> bool) {
    let clock = Clock::boot();
    let deadline = clock.now() + Duration::from_secs(10);
    while !fact() {
        assert!(clock.now() < deadline, "{what}");
        clock.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_changed_file_signals_the_application_and_the_first_generation_does_not() {
    let application = Application::start();
    let scene = Scene::new(vec![hup(&application.pid_file(), None)], Acknowledge::Auto, Clock::boot());
    scene.announcements.in_place(1, None);
    assert_eq!(scene.publish(2, &["db.env"]), Awaits::Nothing, "a signal's delivery is no acknowledgement");
    eventually("the signal", || application.hups() == 1).await;
    eventually("the report", || scene.told() == ["info action_done: announced generation 2"]).await;
    assert_eq!(scene.answers(), [format!("ok (process {})", application.child.id())]);
    assert_eq!(*scene.announcements.acknowledged().borrow(), None);
    scene.ending.cancel();
    scene.task.await.unwrap();
}

#[tokio::test]
async fn a_generation_is_announced_once_its_actions_were_run_or_given_up() {
    let application = Application::start();
    let missing = application.directory.path().join("missing");
    // Three repetitions may be used up in less than two seconds: a loaded machine has more time.
    let patient = Action { retries: 6, ..hup(&missing, Some(&["db.env"])) };
    let actions = vec![hup(&application.pid_file(), None), patient];
    let scene = Scene::new(actions, Acknowledge::Auto, Clock::boot());
    let standing = scene.announcements.standing();
    let announced = || standing.borrow().announced;
    scene.announcements.in_place(3, None);
    assert_eq!(announced(), Some(3), "it runs none");
    scene.publish(4, &["db.env"]);
    assert_eq!(announced(), Some(3), "none has run yet");
    eventually("the signal", || application.hups() == 1).await;
    assert_eq!(announced(), Some(3), "the other is tried again");
    std::fs::copy(application.pid_file(), missing).unwrap();
    eventually("both have run", || announced() == Some(4)).await;
    eventually("the second signal", || application.hups() == 2).await;
    scene.ending.cancel();
    scene.task.await.unwrap();
}

#[tokio::test]
async fn an_action_runs_only_for_the_files_that_it_names() {
    let (web, any) = (Application::start(), Application::start());
    let actions = vec![hup(&web.pid_file(), Some(&["tls/tls.crt"])), hup(&any.pid_file(), None)];
    let scene = Scene::new(actions, Acknowledge::Auto, Clock::boot());
    scene.publish(2, &["db.env"]);
    eventually("the action without files", || any.hups() == 1).await;
    assert_eq!(web.hups(), 0);
    scene.publish(3, &["tls/tls.crt", "tls/tls.key"]);
    eventually("both", || (web.hups(), any.hups()) == (1, 2)).await;
    assert_eq!(scene.told().len(), 3, "{:?}", scene.told());
}

#[tokio::test(start_paused = true)]
async fn a_failed_action_is_tried_again_blocks_no_other_and_is_owed_to_the_next_generation() {
    let gone = tempfile::tempdir().unwrap().path().join("pid");
    let application = Application::start();
    let actions = vec![hup(&gone, Some(&["a"])), hup(&application.pid_file(), Some(&["a"]))];
    let clock = Clock::tokio();
    let scene = Scene::new(actions, Acknowledge::Auto, clock.clone());
    scene.publish(2, &["a"]);
    let start = clock.now();
    clock.sleep(Duration::from_millis(1)).await;
    assert_eq!(scene.told(), ["info action_done: announced generation 2"], "the other did not wait");
    while scene.told().len() < 2 {
        clock.sleep(Duration::from_millis(10)).await;
    }
    let took = clock.now().since(start);
    assert_eq!(scene.told()[1], "warn action_failed: could not announce generation 2");
    let waits = announcer::FIRST_WAIT * 7;
    assert!(took >= waits / 2 && took <= waits * 3 / 2 + Duration::from_millis(100), "{took:?}");
    let failed = scene.answers().into_iter().filter(|answer| answer.contains("cannot be read")).count();
    assert_eq!(failed, 1, "{:?}", scene.answers());
    // Only `b` changes; what the first action failed to announce is still owed.
    scene.publish(3, &["b"]);
    clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.told()[2..], ["warn action_failed: could not announce generation 3"]);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_comes_late_announces_only_the_latest_generation() {
    let gone = tempfile::tempdir().unwrap().path().join("pid");
    let clock = Clock::tokio();
    let scene = Scene::new(vec![hup(&gone, None)], Acknowledge::Auto, clock.clone());
    for generation in 2..6 {
        scene.publish(generation, &["a"]);
        clock.sleep(Duration::from_millis(100)).await;
    }
    clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.told(), ["warn action_failed: could not announce generation 5"]);
}

#[tokio::test]
async fn what_is_acknowledged_covers_all_before_it_and_never_what_is_not_announced() {
    let scene = Scene::new(Vec::new(), Acknowledge::Required, Clock::boot());
    let mut acknowledged = scene.announcements.acknowledged();
    assert_eq!(scene.announcements.acknowledge(None, None), Err(Refused::NothingAnnounced));
    scene.announcements.in_place(1, None);
    assert_eq!(scene.publish(2, &["a"]), Awaits::Acknowledgement);
    assert_eq!(scene.publish(3, &["a"]), Awaits::Acknowledgement);
    assert_eq!(
        scene.announcements.acknowledge(Some(4), None),
        Err(Refused::NotAnnounced { generation: 4, latest: 3 })
    );
    assert!(!acknowledged.has_changed().unwrap());
    assert_eq!(scene.announcements.acknowledge(None, Some("web")).unwrap().generation, 3);
    assert_eq!(*acknowledged.borrow_and_update(), Some(3));
    assert_eq!(scene.announcements.acknowledge(Some(2), None).unwrap().generation, 3, "late news");
    assert!(!acknowledged.has_changed().unwrap());
    assert_eq!(scene.board.snapshot().acknowledged, Some(3));
    assert_eq!(scene.told(), ["info acknowledged: the application acknowledged generation 3"]);
}

#[tokio::test]
async fn whether_an_acknowledgement_is_expected_follows_the_configuration() {
    let scene = Scene::new(Vec::new(), Acknowledge::Auto, Clock::boot());
    let changed = ["a".to_owned()];
    assert_eq!(scene.announcements.awaits(&changed), Awaits::Nothing);
    scene.announcements.set_acknowledge(Acknowledge::Required);
    assert_eq!(scene.announcements.awaits(&changed), Awaits::Acknowledgement);
    assert_eq!(scene.announcements.awaits(&[]), Awaits::Nothing, "there is nothing to take up");
    scene.announcements.set_acknowledge(Acknowledge::None);
    assert_eq!(scene.announcements.awaits(&changed), Awaits::Nothing);
}

#[tokio::test]
async fn what_an_earlier_process_announced_is_taken_over() {
    let application = Application::start();
    let scene = Scene::new(vec![hup(&application.pid_file(), None)], Acknowledge::Required, Clock::boot());
    let earlier = Standing { announced: Some(7), acknowledged: Some(6), answers: BTreeMap::new() };
    scene.announcements.in_place(7, Some((&earlier, &["a".to_owned()])));
    assert_eq!(scene.announcements.latest(), Some(7));
    assert_eq!(*scene.announcements.acknowledged().borrow(), Some(6));
    assert_eq!(scene.announcements.acknowledge(None, None).unwrap().generation, 7);
    assert_eq!(
        scene.told(),
        ["info acknowledged: the application acknowledged generation 7"],
        "what was known is told no second time"
    );
    scene.ending.cancel();
    scene.task.await.unwrap();
    assert_eq!(application.hups(), 0);
}
