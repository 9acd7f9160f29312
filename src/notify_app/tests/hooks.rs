//! Commands on paused time: debounce, repetitions, isolation, and whose success acknowledges.

use std::sync::Mutex;

use async_trait::async_trait;
use leasehold_core::{Failed, Program, Ran, SecretBytes, Spawn, Status};

use super::*;
use crate::clock::Moment;
use crate::config::model::{Hook, HookKind};
use crate::hook::Known;

/// Programs that take as long, and end with the code, as their arguments say.
struct Programs {
    clock: Clock,
    runs: Mutex<Vec<(String, Moment, String)>>,
}

#[async_trait]
impl Spawn for Programs {
    async fn run(&self, program: Program) -> Result<Ran, Failed> {
        let variable = |name: &str| program.environment[name].expose_text().unwrap().to_owned();
        let told = format!("{}: {}", variable("LEASEHOLD_GENERATION"), variable("LEASEHOLD_CHANGED"));
        self.runs.lock().unwrap().push((program.command[0].clone(), self.clock.now(), told));
        let seconds = Duration::from_secs(program.command[1].parse().unwrap());
        if self.clock.within(program.time_limit, self.clock.sleep(seconds)).await.is_none() {
            return Err(Failed::TimedOut(program.time_limit));
        }
        let nothing = || SecretBytes::new(Vec::new());
        let status = Status::Exited(program.command[2].parse().unwrap());
        Ok(Ran { status, output: nothing(), errors: nothing() })
    }
}

fn command(name: &str, seconds: u64, code: i32) -> Action {
    let command = vec![format!("/bin/{name}"), seconds.to_string(), code.to_string()];
    let timeout = Duration::from_secs(10);
    let kind = HookKind::Command { command, environment: BTreeMap::new() };
    let kind = ActionKind::Hook(Hook { kind, timeout });
    let debounce = Duration::ZERO;
    Action { name: Some(name.to_owned()), kind, files: None, debounce, timeout, retries: 0 }
}

struct Stage {
    scene: Scene,
    programs: Arc<Programs>,
    clock: Clock,
}

impl Stage {
    fn new(actions: Vec<Action>, acknowledge: Acknowledge) -> Self {
        let clock = Clock::tokio();
        let programs = Arc::new(Programs { clock: clock.clone(), runs: Mutex::default() });
        let mut surroundings = Surroundings::bare(clock.clone());
        surroundings.spawn = Arc::clone(&programs) as Arc<dyn Spawn>;
        surroundings.known = Known::default();
        let board = Board::default();
        let events = Events::recording(board.clone(), clock.clone());
        let scene = Scene::with(actions, acknowledge, surroundings, (board, events));
        Self { scene, programs, clock }
    }

    /// What each run of a program was told, with the milliseconds since `start`.
    fn runs(&self, name: &str, start: Moment) -> Vec<(u128, String)> {
        let runs = self.programs.runs.lock().unwrap();
        let of_it = runs.iter().filter(|(program, ..)| program.ends_with(name));
        of_it.map(|(_, at, told)| (at.since(start).as_millis(), told.clone())).collect()
    }

    fn acknowledged(&self) -> Option<u64> {
        *self.scene.announcements.acknowledged().borrow()
    }

    async fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_debounced_action_waits_for_quiet_and_for_ten_debounces_at_most() {
    let debounce = Duration::from_secs(2);
    let stage = Stage::new(vec![Action { debounce, ..command("web", 0, 0) }], Acknowledge::Auto);
    let start = stage.clock.now();
    stage.scene.publish(2, &["a"]);
    stage.pass(1).await;
    stage.scene.publish(3, &["b"]);
    stage.pass(9).await;
    assert_eq!(stage.runs("web", start), [(3_000, "3: a\nb".to_owned())]);
    // A change each second: it runs all the same.
    let start = stage.clock.now();
    for generation in 4..40 {
        stage.scene.publish(generation, &["a"]);
        stage.pass(1).await;
    }
    let runs = stage.runs("web", start);
    assert_eq!(runs[1].0, 20_000, "{runs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_during_a_run_is_announced_by_the_next_and_acknowledged_only_by_it() {
    let stage = Stage::new(vec![command("web", 5, 0)], Acknowledge::Auto);
    let start = stage.clock.now();
    assert_eq!(stage.scene.publish(2, &["a"]), Awaits::Acknowledgement);
    stage.pass(1).await;
    stage.scene.publish(3, &["b"]);
    stage.pass(5).await;
    assert_eq!(stage.acknowledged(), Some(2), "the first run knew nothing of it");
    stage.pass(5).await;
    assert_eq!(stage.acknowledged(), Some(3));
    assert_eq!(stage.runs("web", start), [(0, "2: a".to_owned()), (5_000, "3: b".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_a_hanging_and_a_failing_action_hold_no_other_up() {
    let actions = vec![
        command("slow", 9, 0),
        command("hanging", 600, 0),
        command("failing", 0, 1),
        command("good", 0, 0),
    ];
    let stage = Stage::new(actions, Acknowledge::Auto);
    let start = stage.clock.now();
    stage.scene.publish(2, &["a"]);
    stage.pass(1).await;
    stage.scene.publish(3, &["a"]);
    stage.pass(1).await;
    assert_eq!(stage.runs("good", start), [(0, "2: a".to_owned()), (1_000, "3: a".to_owned())]);
    assert_eq!(stage.runs("failing", start).len(), 2);
    stage.pass(60).await;
    let answers = stage.scene.answers();
    let count = |part: &str| answers.iter().filter(|answer| answer.contains(part)).count();
    assert_eq!(count("not done within 10s"), 1, "{answers:?}");
    assert_eq!((count("exit code 1"), count("ok (exit code 0)")), (1, 2), "{answers:?}");
    assert_eq!(stage.acknowledged(), None, "not by all that were asked");
    assert_eq!(*stage.scene.announcements.standing().borrow().announced.as_ref().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_action_is_seen_while_it_waits_while_it_runs_and_between_its_tries() {
    let seconds = Duration::from_secs;
    let actions = vec![
        Action { retries: 3, ..command("hanging", 600, 0) },
        Action { debounce: seconds(3), ..command("late", 8, 0) },
        command("good", 0, 0),
    ];
    let stage = Stage::new(actions, Acknowledge::Auto);
    let start = stage.clock.now();
    // Per action: the generation, which try of how many, since when, and until when it waits.
    let running = || {
        let of_it = |(label, run): (String, crate::status::RunningState)| {
            let name = label.split(' ').next().unwrap().to_owned();
            let next = run.next.map(|next| next.since(start));
            (name, (run.generation, (run.attempt, run.attempts), run.since.since(start), next))
        };
        stage.scene.board.snapshot().running.into_iter().map(of_it).collect::<BTreeMap<_, _>>()
    };
    stage.scene.publish(2, &["a"]);
    stage.pass(1).await;
    assert_eq!(running()["hanging"], (2, (1, 4), seconds(0), None));
    assert_eq!(running()["late"], (2, (1, 1), seconds(0), Some(seconds(3))));
    assert!(!running().contains_key("good"), "it is done: {:?}", running());
    stage.scene.publish(3, &["a"]);
    stage.pass(4).await;
    assert_eq!(running()["late"], (3, (1, 1), seconds(4), None));
    assert_eq!(running()["hanging"], (2, (1, 4), seconds(0), None), "it knows nothing of the next one");
    // Given up after 10 s; the next try comes 250 to 750 ms later and knows it.
    stage.clock.sleep_until(start + Duration::from_millis(10_100)).await;
    let (generation, tries, since, next) = running()["hanging"];
    assert_eq!((generation, tries, since), (2, (2, 4), seconds(0)));
    assert!(next.is_some_and(|next| next > seconds(10)), "{next:?}");
    stage.clock.sleep_until(start + seconds(11)).await;
    assert_eq!(running()["hanging"], (3, (2, 4), seconds(0), None));
    let errors: Vec<_> =
        stage.scene.board.snapshot().running.into_values().filter_map(|run| run.error).collect();
    assert!(matches!(errors.as_slice(), [only] if only.contains("not done within 10s")), "{errors:?}");
    stage.pass(60).await;
    assert_eq!(running(), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_as_often_as_configured() {
    let action = Action { retries: 2, ..command("web", 0, 1) };
    let stage = Stage::new(vec![action], Acknowledge::Auto);
    let start = stage.clock.now();
    stage.scene.publish(2, &["a"]);
    stage.pass(60).await;
    let runs = stage.runs("web", start);
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!((250..=750).contains(&runs[1].0), "{runs:?}");
    assert!((500..=1_500).contains(&(runs[2].0 - runs[1].0)), "{runs:?}");
}

#[tokio::test(start_paused = true)]
async fn everybody_who_is_named_has_to_acknowledge_and_nobody_else_can() {
    let from = Acknowledge::From(["web".to_owned(), "pooler".to_owned()].into());
    let stage = Stage::new(vec![command("web", 0, 0), command("shipper", 0, 0)], from);
    let announcements = &stage.scene.announcements;
    announcements.in_place(1, None);
    assert_eq!(stage.scene.publish(2, &["a"]), Awaits::Acknowledgement);
    stage.pass(1).await;
    assert_eq!(stage.acknowledged(), None, "the pooler has not answered");
    assert_eq!(stage.scene.board.snapshot().missing_acknowledgements, ["pooler"]);
    for name in [None, Some("shipper")] {
        let refused = announcements.acknowledge(None, name).unwrap_err().to_string();
        assert!(refused.ends_with("lifecycle.acknowledge.from expects pooler, web"), "{refused}");
    }
    let standing = announcements.standing().borrow().clone();
    assert_eq!(standing.answers, [("web".to_owned(), 2)].into(), "for the next process");
    let done = announcements.acknowledge(None, Some("pooler")).unwrap();
    assert_eq!(done, Acknowledged { generation: 2, missing: Vec::new() });
    assert_eq!(stage.acknowledged(), Some(2));
    // A process that comes after knows who has answered.
    let from = Acknowledge::From(["web".to_owned(), "pooler".to_owned()].into());
    let next = Stage::new(Vec::new(), from);
    next.scene.announcements.in_place(2, Some((&standing, &["a".to_owned()])));
    assert_eq!(next.acknowledged(), None);
    assert_eq!(next.scene.announcements.acknowledge(None, Some("pooler")).unwrap().missing, [""; 0]);
    assert_eq!(next.acknowledged(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_action_about_other_files_has_nothing_to_acknowledge() {
    let web = Action { files: Some(vec!["a".to_owned()]), ..command("web", 0, 0) };
    let from = Acknowledge::From(["web".to_owned()].into());
    let stage = Stage::new(vec![web], from);
    assert_eq!(stage.scene.announcements.awaits(&["b".to_owned()]), Awaits::Nothing);
    assert_eq!(stage.scene.announcements.awaits(&["a".to_owned()]), Awaits::Acknowledgement);
}
