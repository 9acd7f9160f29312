//! A keeper, a publisher and an announcer over a mock store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{KeyKind, NoObserver, Provider, SecretRef};
use leasehold_mock::{Mock, Settings};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment};
use crate::config::model::{
    Acknowledge, Choice, Content, File, Files, Format, OnExpiry, OnFailure, Output, Overlap, RequireTmpfs,
    StateDirectory, session_value,
};
use crate::events::Events;
use crate::handover::{Entry, Handover};
use crate::hook::{Known, Surroundings};
use crate::keeper::{Charge, EndMode, Fatal, Keeper, Left, LimitedUses, Links, Order, Plan, Refreshed};
use crate::notify_app::{self, Announcements, Standing};
use crate::publisher::{self, Before, Check, NoSet, Publisher, ToPublisher};
use crate::render::Renderer;
use crate::schedule::{Dice, Policy, Room};
use crate::status::{Board, SecretState};
use crate::volume::Volume;

/// Half of the start's deadline.
pub(super) const FIRST_UNTIL: Duration = Duration::from_secs(150);

/// One process's worth of tasks.
pub(super) struct Rig {
    pub(super) mock: Mock,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) board: Board,
    pub(super) announcements: Announcements,
    pub(super) ready: watch::Receiver<bool>,
    pub(super) fatal: mpsc::UnboundedReceiver<Fatal>,
    _no_set: mpsc::UnboundedReceiver<NoSet>,
    pub(super) plans: BTreeMap<String, Plan>,
    orders: mpsc::Sender<Order>,
    publisher: mpsc::UnboundedSender<ToPublisher>,
    tasks: tokio::task::JoinSet<()>,
    output: Option<PathBuf>,
}

/// How a rig is set up.
pub(super) struct Setup {
    pub(super) yaml: &'static str,
    pub(super) secrets: Vec<(&'static str, &'static str)>,
    pub(super) generate_key: Option<KeyKind>,
    pub(super) policy: Policy,
    pub(super) on_expiry: OnExpiry,
    pub(super) required: bool,
    pub(super) acknowledge: Acknowledge,
    pub(super) state: Option<PathBuf>,
    pub(super) output: Option<PathBuf>,
    pub(super) limited_uses: LimitedUses,
    /// Whether the session is a file, too: `token`, beside what the setup has of others.
    pub(super) session_file: bool,
    /// `verify`, and what decides where it is not passed.
    pub(super) check: Option<(Arc<dyn Check>, OnFailure)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            yaml: "{}",
            secrets: vec![("db", "database/creds/web")],
            generate_key: None,
            policy: Policy {
                room: Overlap::Auto.into(),
                refresh: Duration::from_secs(300),
                lookup: None,
                heal_splay: Duration::from_secs(10),
                mints_per_minute: 6,
            },
            on_expiry: OnExpiry::Keep,
            required: true,
            acknowledge: Acknowledge::Auto,
            state: None,
            output: None,
            limited_uses: LimitedUses::Refused,
            session_file: false,
            check: None,
        }
    }
}

impl Setup {
    /// A rig over a store of its own.
    pub(super) fn start(self) -> Rig {
        let settings = Settings::from_yaml(self.yaml).expect("the rig's settings are valid");
        let (mock, _) = Mock::new(settings);
        self.start_on(mock, Clock::tokio())
    }

    /// A rig over a store that is there already: another process.
    pub(super) fn start_on(self, mock: Mock, clock: Clock) -> Rig {
        let provider: Arc<dyn Provider> = Arc::from(mock.provider("mock", Arc::new(NoObserver)));
        let board = Board::default();
        let events = Events::recording(board.clone(), clock.clone());
        let (handover, entries) = match &self.state {
            None => (Handover::disabled(), Vec::new()),
            Some(path) => {
                let state = StateDirectory { path: path.clone(), choice: Choice::Configured };
                let opened = Handover::open(&state, &clock).expect("the rig's state directory is usable");
                (opened.handover, opened.entries)
            }
        };
        let before = entries
            .iter()
            .find_map(|entry| match entry {
                Entry::Announced { generation, acknowledged, answers, .. } => Some(Before {
                    generation: None,
                    standing: Standing {
                        announced: Some(*generation),
                        acknowledged: *acknowledged,
                        answers: answers.clone(),
                    },
                }),
                _ => None,
            })
            .unwrap_or_default();
        let plan = notify_app::Plan {
            actions: Vec::new(),
            acknowledge: self.acknowledge.clone(),
            directory: self.output.clone().unwrap_or_default(),
        };
        let surroundings = Surroundings::bare(clock.clone());
        let (announcements, announcer) =
            Announcements::new(plan, surroundings, board.clone(), events.clone());
        let (ready_sender, ready) = watch::channel(false);
        let (fatal_sender, fatal) = mpsc::unbounded_channel();
        let (no_set_sender, no_set) = mpsc::unbounded_channel();
        let (publisher, inbox) = mpsc::unbounded_channel();
        let output = Output {
            directory: self.output.clone().unwrap_or_default(),
            mode: 0o440,
            owner: None,
            group: None,
            require_tmpfs: RequireTmpfs::Yes,
        };
        let files = match &self.output {
            Some(_) if self.session_file => files_with_the_session(),
            Some(_) => Files::EveryField,
            None => Files::Named(BTreeMap::new()),
        };
        let volume = self
            .output
            .as_ref()
            .map(|_| Volume::open(&output).expect("the rig's output directory is usable"));
        let mut names: BTreeSet<String> = self.secrets.iter().map(|(name, _)| (*name).to_owned()).collect();
        if self.session_file {
            names.insert(session_value("mock"));
        }
        let mut publishing = Publisher::new(
            publisher::Links {
                clock: clock.clone(),
                events: events.clone(),
                board: board.clone(),
                handover: handover.clone(),
                announcements: announcements.clone(),
                known: Known::default(),
                ready: ready_sender,
                fatal: no_set_sender,
            },
            output,
            volume,
            Renderer::new(&files, &crate::render::Paths::default()).expect("no templates"),
            names,
            before,
        );
        if let Some((check, on_failure)) = self.check {
            publishing = publishing.with_check(check, on_failure, clock.now() + FIRST_UNTIL);
        }
        let plans: BTreeMap<String, Plan> = self
            .secrets
            .iter()
            .map(|(name, path)| {
                let plan = Plan {
                    reference: SecretRef {
                        name: (*name).to_owned(),
                        path: (*path).to_owned(),
                        data: self.generate_key.map(|_| serde_json::Map::new()),
                        generate_key: self.generate_key,
                        ..SecretRef::default()
                    },
                    required: self.required,
                    on_expiry: self.on_expiry,
                    policy: self.policy,
                    fingerprint: (*path).to_owned(),
                };
                ((*name).to_owned(), plan)
            })
            .collect();
        let mut charge = charge(plans.clone(), self.limited_uses);
        charge.session_file = self.session_file.then_some(self.policy.room.overlap);
        let links = Links {
            clock: clock.clone(),
            events: events.clone(),
            board: board.clone(),
            handover,
            publisher: publisher.clone(),
            fatal: fatal_sender,
            acknowledged: announcements.acknowledged(),
            known: Known::default(),
            ready: ready.clone(),
        };
        let (orders, order_inbox) = mpsc::channel(16);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(publishing.run(inbox));
        tasks.spawn(announcer.run(CancellationToken::new()));
        let keeper = Keeper::new(charge, provider, links, Dice::seeded(7));
        let entries = entries.into_iter().filter(|entry| !matches!(entry, Entry::Announced { .. })).collect();
        tasks.spawn(keeper.run(entries, order_inbox));
        Rig {
            mock,
            clock,
            events,
            board,
            announcements,
            ready,
            fatal,
            _no_set: no_set,
            plans,
            orders,
            publisher,
            tasks,
            output: self.output,
        }
    }
}

fn charge(plans: BTreeMap<String, Plan>, limited_uses: LimitedUses) -> Charge {
    let mut session_rooms: Vec<Room> = plans.values().map(|plan| plan.policy.room).collect();
    session_rooms.push(Overlap::Auto.into());
    let (name, identity) = ("mock".to_owned(), "mock".to_owned());
    Charge { name, identity, plans, session_rooms, session_file: None, limited_uses }
}

impl Rig {
    /// Waits for the first whole generation.
    pub(super) async fn is_ready(&mut self) {
        self.until("the first generation", |rig| *rig.ready.borrow()).await;
    }

    /// Waits until something holds; time moves in small steps, at most an hour of it.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..72_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited an hour for {what}; events:\n{}", self.events.recorded().join("\n"));
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, length: Duration) {
        let end = self.clock.now() + length;
        while self.clock.now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The machine sleeps for a while.
    pub(super) fn suspend(&self, length: Duration) {
        self.mock.jump(length);
        self.clock.jump(length);
    }

    pub(super) fn secret(&self, name: &str) -> SecretState {
        self.board.snapshot().secrets.get(name).cloned().unwrap_or_default()
    }

    /// The user name that the application reads now.
    pub(super) fn published_user(&self) -> Option<String> {
        let path = self.output.as_ref()?.join("db/username");
        std::fs::read_to_string(path).ok()
    }

    pub(super) fn output(&self) -> Option<&std::path::Path> {
        self.output.as_deref()
    }

    pub(super) fn generation(&self) -> u64 {
        self.board.snapshot().generation.map_or(0, |generation| generation.number)
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) async fn refresh(&self, secret: &str) -> Refreshed {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Refresh { secret: secret.to_owned(), reply }).await;
        answer.await.expect("the keeper answers")
    }

    pub(super) async fn stale(&self, secret: &str) -> String {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Stale { secret: secret.to_owned(), reply }).await;
        answer.await.expect("the keeper answers")
    }

    pub(super) async fn reload(&self, plans: BTreeMap<String, Plan>) {
        self.order(Order::Reload(Box::new(charge(plans, LimitedUses::Refused)))).await;
    }

    /// Other files from now on, for the secrets that there are.
    pub(super) async fn replan(&self, files: Files) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let plan = ToPublisher::Plan {
            files,
            env: BTreeMap::new(),
            secrets: self.plans.keys().cloned().collect(),
            reply,
        };
        self.publisher.send(plan).unwrap_or_else(|_| panic!("the publisher has ended"));
        answer.await.expect("the publisher answers")
    }

    pub(super) async fn order(&self, order: Order) {
        self.orders.send(order).await.unwrap_or_else(|_| panic!("the keeper has ended"));
    }

    pub(super) async fn end(&self, mode: EndMode) -> Left {
        let (reply, answer) = oneshot::channel();
        self.order(Order::End { mode, timeout: Duration::from_secs(5), reply }).await;
        answer.await.expect("the keeper answers")
    }

    /// As `kill -9` does.
    pub(super) async fn kill(mut self) -> (Mock, Clock) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        (self.mock.clone(), self.clock.clone())
    }

    pub(super) fn said(&self, words: &str) -> bool {
        self.events.recorded().iter().any(|line| line.contains(words))
    }
}

/// `db.json` and `token`.
fn files_with_the_session() -> Files {
    let file = |content| File { content, mode: None, owner: None, group: None, place: String::new() };
    let db = Content::Format { secret: "db".to_owned(), format: Format::Json };
    Files::Named(BTreeMap::from([
        ("db.json".to_owned(), file(db)),
        ("token".to_owned(), file(Content::Session { provider: "mock".to_owned() })),
    ]))
}

/// A directory on tmpfs.
pub(super) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("leasehold-").tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs")
}
