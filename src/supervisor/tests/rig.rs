//! A supervisor, its two ends of the line, and a command that does what a test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{Failed, SecretBytes, Status};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Moment, locked};
use crate::config::model::{Exec, ExecChange, OnCrash, Signal as Name};
use crate::events::Events;
use crate::process::Happened;
use crate::publisher::{ChildEnvironment, Delivery, Has, Line};
use crate::schedule::Dice;
use crate::status::{Board, Readiness};
use crate::supervisor::{Command, CommandState, End, Handle, Links, Running, Supervisor};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What the command does when SIGTERM is sent to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manners {
    /// It ends like this, so much later.
    EndsAfter(Duration, Status),
    /// It hears nothing but SIGKILL.
    Stubborn,
    /// It had ended like this a moment before.
    HadEnded(Status),
}

/// What has become of the command, as the kernel would know it.
pub(super) struct Play {
    clock: Clock,
    zero: Moment,
    board: Board,
    manners: Mutex<Manners>,
    /// The way to the one that lives.
    living: Mutex<Option<mpsc::UnboundedSender<Happened>>>,
    told: Mutex<Vec<String>>,
    unstartable: Mutex<bool>,
    overlapped: Mutex<bool>,
    ready_at_term: Mutex<Vec<bool>>,
}

impl Play {
    /// Seconds since the first delivery could come, and a fact.
    fn note(&self, what: &str) {
        let seconds = self.clock.now().since(self.zero).as_secs_f64().round();
        locked(&self.told).push(format!("{seconds} {what}"));
    }

    /// The command ends. False: it had.
    fn end(&self, status: Status) -> bool {
        let Some(living) = locked(&self.living).take() else { return false };
        self.note(&match status {
            Status::Exited(code) => format!("exit {code}"),
            Status::Signalled(signal) => format!("died of {signal}"),
        });
        let _ = living.send(Happened::Ended(status));
        true
    }
}

/// Starts the commands of a play.
pub(super) struct Scripted(Arc<Play>);

impl Command for Scripted {
    type Running = Actor;

    fn start(&mut self, environment: &ChildEnvironment) -> Result<Actor, Failed> {
        if *locked(&self.0.unstartable) {
            return Err(Failed::NotFound);
        }
        let value = environment["VALUE"].expose_text().unwrap();
        self.0.note(&format!("start {value}"));
        let (sender, happens) = mpsc::unbounded_channel();
        if locked(&self.0.living).replace(sender).is_some() {
            *locked(&self.0.overlapped) = true;
        }
        Ok(Actor { play: Arc::clone(&self.0), happens })
    }
}

pub(super) struct Actor {
    play: Arc<Play>,
    happens: mpsc::UnboundedReceiver<Happened>,
}

impl Running for Actor {
    fn pid(&self) -> i32 {
        7
    }

    async fn next(&mut self) -> Happened {
        match self.happens.recv().await {
            Some(happened) => happened,
            None => std::future::pending().await,
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        if locked(&self.play.living).is_none() {
            return false;
        }
        let manners = *locked(&self.play.manners);
        if signal == Signal::TERM {
            let readiness = self.play.board.snapshot().readiness(self.play.clock.now());
            locked(&self.play.ready_at_term).push(readiness == Readiness::Ready);
            if let Manners::HadEnded(status) = manners {
                self.play.end(status);
                return false;
            }
        }
        self.play.note(&format!("signal {}", signal.as_raw()));
        match (signal, manners) {
            (Signal::KILL, _) => {
                self.play.end(Status::Signalled(Signal::KILL.as_raw()));
            }
            (Signal::TERM, Manners::EndsAfter(length, status)) => {
                let play = Arc::clone(&self.play);
                let asked = locked(&play.living).clone();
                tokio::spawn(async move {
                    play.clock.sleep(length).await;
                    // It may have been killed meanwhile, and another have been started.
                    let living = locked(&play.living).clone();
                    if asked.zip(living).is_some_and(|(asked, living)| asked.same_channel(&living)) {
                        play.end(status);
                    }
                });
            }
            _ => {}
        }
        true
    }

    fn pass(&self, signal: Signal) -> bool {
        self.signal(signal)
    }

    fn stopped(&self, _: i32) {}

    fn continued(&self) {}
}

/// How `exec` is configured where a test says nothing else.
pub(super) fn exec() -> Exec {
    Exec {
        on_change: None,
        signal: Name::Hup,
        drain: Duration::ZERO,
        grace: SECOND * 10,
        splay: None,
        on_crash: OnCrash::Keep,
    }
}

pub(super) fn on_change(change: ExecChange) -> Exec {
    Exec { on_change: Some(change), ..exec() }
}

/// It ends a second after SIGTERM, with code 0.
pub(super) fn obedient() -> Manners {
    Manners::EndsAfter(SECOND, Status::Exited(0))
}

/// A supervisor that runs, and both sides of it.
pub(super) struct Scene {
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) handle: Handle,
    board: Board,
    play: Arc<Play>,
    deliveries: watch::Sender<Option<Delivery>>,
    has: watch::Receiver<Has>,
}

impl Scene {
    /// With nothing delivered yet.
    pub(super) fn waiting(exec: Exec, manners: Manners, dice: Dice) -> Self {
        let clock = Clock::tokio();
        let board = Board::default();
        board.write(|board| board.ready = true);
        let events = Events::recording(board.clone(), clock.clone());
        let play = Arc::new(Play {
            clock: clock.clone(),
            zero: clock.now(),
            board: board.clone(),
            manners: Mutex::new(manners),
            living: Mutex::default(),
            told: Mutex::default(),
            unstartable: Mutex::default(),
            overlapped: Mutex::default(),
            ready_at_term: Mutex::default(),
        });
        let (deliveries, delivered) = watch::channel(None);
        let (had, has) = watch::channel(Has::default());
        let links = Links {
            clock: clock.clone(),
            events: events.clone(),
            board: board.clone(),
            line: Line { deliveries: delivered, has: had },
            dice,
        };
        let (supervisor, handle) = Supervisor::new(Scripted(Arc::clone(&play)), exec, links);
        tokio::spawn(supervisor.run());
        Self { clock, events, handle, board, play, deliveries, has }
    }

    /// With `one` delivered at the beginning, and ten seconds gone since.
    pub(super) async fn running(exec: Exec, manners: Manners) -> Self {
        let scene = Self::waiting(exec, manners, Dice::seeded(1));
        scene.deliver("one");
        scene.pass(10).await;
        scene
    }

    /// Gives on a value, for which a restart need not be spread.
    pub(super) fn deliver(&self, value: &str) {
        self.deliver_over(value, Duration::ZERO);
    }

    pub(super) fn deliver_over(&self, value: &str, splay: Duration) {
        let value = SecretBytes::from_text(value.to_owned());
        self.deliveries.send_modify(|newest| {
            let number = newest.as_ref().map_or(1, |before| before.number + 1);
            *newest = Some(Delivery {
                number,
                generation: number,
                environment: Arc::new([("VALUE".to_owned(), value)].into()),
                changed: vec!["file".to_owned()],
                splay,
            });
        });
    }

    /// Lets so many seconds pass.
    pub(super) async fn pass(&self, seconds: u64) {
        self.clock.sleep(SECOND * u32::try_from(seconds).unwrap()).await;
        self.settle().await;
    }

    /// Lets everybody do what they can do without time.
    pub(super) async fn settle(&self) {
        // Paused time goes on only once nobody has anything to do.
        self.clock.sleep(Duration::from_millis(1)).await;
    }

    pub(super) fn behaves(&self, manners: Manners) {
        *locked(&self.play.manners) = manners;
    }

    /// From now on the program is not to be found.
    pub(super) fn loses_its_program(&self) {
        *locked(&self.play.unstartable) = true;
    }

    /// The command ends by itself.
    pub(super) fn ends(&self, status: Status) {
        assert!(self.play.end(status), "it had ended");
    }

    /// What happened to the command: the second, and what.
    pub(super) fn told(&self) -> Vec<String> {
        assert!(!*locked(&self.play.overlapped), "two at once: {:?}", locked(&self.play.told));
        locked(&self.play.told).clone()
    }

    /// The number of the delivery that the command is said to have.
    pub(super) fn has(&self) -> u64 {
        self.has.borrow().number
    }

    /// Whether it is said to be given nothing more.
    pub(super) fn is_given_up(&self) -> bool {
        self.has.borrow().ends
    }

    pub(super) fn command(&self) -> CommandState {
        self.board.snapshot().command.unwrap()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.board.snapshot().readiness(self.clock.now()) == Readiness::Ready
    }

    /// For each SIGTERM, whether `/readyz` said yes when it was sent.
    pub(super) fn ready_at_term(&self) -> Vec<bool> {
        locked(&self.play.ready_at_term).clone()
    }

    pub(super) fn end(&self) -> Option<End> {
        self.handle.end()
    }
}
