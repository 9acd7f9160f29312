//! Building the house: locks, hand-over, volume, providers, tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Provider, Spawn};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::command::{self, Commanded};
use super::{App, Failure, HandedOver, House, Mode, Signals, Successor};
use crate::clock::{Clock, Moment};
use crate::config::Config;
use crate::config::model::{Choice, session_value};
use crate::drill::Drills;
use crate::events::{Event, Events};
use crate::handover::{self, Entry, EntryId, Handover};
use crate::hook::{HookCheck, Known, Surroundings};
use crate::keeper::{self, Charge, Keeper, LimitedUses, Plan};
use crate::notify_app::{self, Announcements, Standing};
use crate::process::Programs;
use crate::publisher::{self, Before, Publisher};
use crate::render::{Paths, Renderer};
use crate::schedule::{Dice, Policy, Room};
use crate::status::Board;
use crate::supervisor::{self, Supervisor};
use crate::systemd::ServiceManager;
use crate::volume::{self, Volume};
use crate::{admin, telemetry, watch as files};

/// How often a lock that another process holds is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(200);

/// Everything built and started.
pub(super) async fn house(app: App, mut signals: Signals, manager: ServiceManager) -> Result<House, Failure> {
    let App { mut config, environment, clock, mode, command, listener } = app;
    let started = clock.now();
    let deadline = started + config.lifecycle.startup_deadline;
    let board = Board::default();
    let events = Events::heard_by(listener, board.clone(), clock.clone());

    let renderer = Renderer::new(&config.files, &Paths::new(&config.files, &config.output))
        .map_err(|error| Failure::Render(publisher::all_words(&error)))?;
    let drills = (mode != Mode::Init && config.admin.drills)
        .then(|| Drills::new(clock.clone(), events.clone(), board.clone()));
    let mut providers: BTreeMap<String, Arc<dyn Provider>> = BTreeMap::new();
    let (programs, reaper) = Programs::new(clock.unhurried())
        .map_err(|error| Failure::Internal(format!("cannot wait for children: {error}")))?;
    let programs = Arc::new(programs);
    let command = command.map(|line| command::prepare(line, &mut config, &programs)).transpose()?;
    let spawn: Arc<dyn Spawn> = programs;
    for (name, provider) in &config.providers {
        let built = provider.settings.build(name, events.observer(name), &spawn).map_err(Failure::Store)?;
        let built: Arc<dyn Provider> = Arc::from(built);
        let provider =
            drills.as_ref().map_or_else(|| built.clone(), |drills| drills.before(name, built.clone()));
        providers.insert(name.clone(), provider);
    }
    let mut patience =
        Patience { clock: &clock, deadline, events: &events, signals: &mut signals, said: false };
    let opened = patience.wait(|| open_state(&config, &clock)).await?;
    if let Some(warning) = &opened.warning {
        events.emit(&Event::Warning { text: warning });
    }
    let no_handover = no_handover(&opened, &config);
    let volume = match config.files.is_empty() {
        true => None,
        false => Some(patience.wait(|| open_volume(&config)).await?),
    };
    // After `init` nobody is told anyway.
    let in_vain = if mode == Mode::Init { Vec::new() } else { notify_app::in_vain(&config) };
    for (key, why) in in_vain {
        events.emit(&Event::Warning { text: &format!("{key}: {why}") });
    }
    let private = volume.as_ref().and_then(Volume::private);
    // The command of `exec` is of our uid.
    let private = private.filter(|_| mode != Mode::Exec);
    for warning in volume.iter().flat_map(Volume::warnings).map(String::as_str).chain(private) {
        events.emit(&Event::Warning { text: warning });
    }

    let handover = opened.handover;
    let (before, mut adopted) = sort_entries(opened.entries, &config, &handover);
    let cancel = CancellationToken::new();
    let mut serving = JoinSet::new();
    serving.spawn(reaper.run(cancel.clone()));
    if let Some(drills) = &drills {
        serving.spawn(drills.clone().run(cancel.clone()));
    }
    let known = Known::default();
    let surroundings = Surroundings::new(spawn, clock.unhurried(), known.clone(), &environment);
    let plan = notify_app::Plan {
        actions: config.on_change.clone(),
        acknowledge: config.lifecycle.acknowledge.clone(),
        directory: config.output.directory.clone(),
    };
    let check = config
        .verify
        .as_ref()
        .map(|verify| (HookCheck::new(verify.hook.clone(), surroundings.clone()), verify.on_failure));
    let (announcements, announcer) = Announcements::new(plan, surroundings, board.clone(), events.clone());
    serving.spawn(announcer.run(cancel.clone()));

    let (ready_sender, ready) = watch::channel(false);
    let (fatal_sender, fatal) = mpsc::unbounded_channel();
    let (no_set_sender, no_set) = mpsc::unbounded_channel();
    let (publisher_sender, inbox) = mpsc::unbounded_channel();
    let mut publisher = Publisher::new(
        publisher::Links {
            clock: clock.clone(),
            events: events.clone(),
            board: board.clone(),
            handover: handover.clone(),
            announcements: announcements.clone(),
            known: known.clone(),
            ready: ready_sender,
            fatal: no_set_sender,
        },
        config.output.clone(),
        volume,
        renderer,
        names(&config),
        before,
    );
    if let Some((check, on_failure)) = check {
        if let Some(obstacle) = check.obstacle() {
            events.emit(&Event::Warning { text: &obstacle });
        }
        let first_until = started + config.lifecycle.startup_deadline / 2;
        publisher = publisher.with_check(Arc::new(check), on_failure, first_until);
    }
    let command = command.map(|prepared| {
        let command::Prepared { foreground, name, child, line } = prepared;
        let links = supervisor::Links {
            clock: clock.clone(),
            events: events.clone(),
            board: board.clone(),
            line,
            dice: Dice::new(),
        };
        let at_a_terminal = foreground.is_at_a_terminal();
        let (supervisor, handle) = Supervisor::new(foreground, config.exec.clone(), links);
        (supervisor, child, Commanded { handle, name, at_a_terminal })
    });
    let command = match command {
        Some((supervisor, child, command)) => {
            serving.spawn(supervisor.run());
            publisher = publisher.with_child(child);
            Some(command)
        }
        None => None,
    };
    serving.spawn(publisher.run(inbox));

    let links = keeper::Links {
        clock: clock.clone(),
        events: events.clone(),
        board: board.clone(),
        handover: handover.clone(),
        publisher: publisher_sender.clone(),
        fatal: fatal_sender,
        acknowledged: announcements.acknowledged(),
        known,
        ready: ready.clone(),
    };
    let mut keepers = BTreeMap::new();
    let mut keeping = JoinSet::new();
    let mut watched = Vec::new();
    for (charge, provider) in charges(&config, mode).into_iter().zip(providers.values()) {
        let (orders, inbox) = mpsc::channel(64);
        let name = charge.name.clone();
        watched.push((name.clone(), provider.watched()));
        let entries = adopted.remove(&name).unwrap_or_default();
        let keeper = Keeper::new(charge, provider.clone(), links.clone(), Dice::new());
        keeping.spawn(keeper.run(entries, inbox));
        keepers.insert(name, orders);
    }

    if let Some(drills) = &drills {
        drills.tell(keepers.clone());
    }

    let (commands_sender, commands) = mpsc::channel(16);
    let (provider_files_sender, provider_files) = mpsc::unbounded_channel();
    let (config_files_sender, config_files) = mpsc::unbounded_channel();
    let (watched_files, configuration) = watch::channel(super::reload::watched(&config));
    if mode != Mode::Init {
        let house = admin::House {
            board: board.clone(),
            clock: clock.clone(),
            events: events.clone(),
            commands: commands_sender,
            drills: drills.clone(),
        };
        admin::start(&config, &house, &cancel, &mut serving);
        telemetry::start(&config.telemetry, &house, &cancel, &mut serving);
        files::start(
            files::Watched { providers: watched, configuration },
            files::Heard { providers: provider_files_sender, configuration: config_files_sender },
            (clock.clone(), events.clone()),
            &cancel,
            &mut serving,
        );
    }
    let kept_by =
        config.secrets.iter().map(|(name, secret)| (name.clone(), secret.provider.clone())).collect();
    let handed_over = if handover.is_enabled() { HandedOver::Yes } else { HandedOver::No };
    Ok(House {
        config,
        environment,
        mode,
        clock,
        events,
        board,
        announcements,
        handover,
        keepers,
        kept_by,
        publisher: publisher_sender,
        command,
        ready,
        fatal,
        no_set,
        commands,
        provider_files,
        config_files,
        watched_files,
        signals,
        manager,
        started,
        keeping,
        serving,
        cancel,
        handed_over,
        no_handover,
        successor: Successor::Nobody,
        drills,
        reloading: None,
    })
}

/// What each provider's keeper keeps, in the order of the providers' names.
pub(crate) fn charges(config: &Config, mode: Mode) -> Vec<Charge> {
    let lead = command::lead(config, mode);
    let sessions = config.files.sessions();
    config
        .providers
        .iter()
        .map(|(name, provider)| {
            let identity = provider.settings.identity();
            let plans: BTreeMap<String, Plan> = config
                .secrets
                .iter()
                .filter(|(_, secret)| secret.provider == *name)
                .map(|(name, secret)| {
                    let plan = Plan {
                        reference: secret.reference.clone(),
                        required: secret.required,
                        on_expiry: secret.on_expiry,
                        policy: Policy {
                            room: Room { overlap: secret.overlap, lead: lead(Some(name)) },
                            refresh: secret.refresh,
                            lookup: secret.lookup,
                            heal_splay: config.lifecycle.heal_splay,
                            mints_per_minute: config.limits.mints_per_minute,
                        },
                        fingerprint: fingerprint(&identity, secret),
                    };
                    (name.clone(), plan)
                })
                .collect();
            let mut session_rooms: Vec<_> = plans.values().map(|plan| plan.policy.room).collect();
            session_rooms.push(Room { overlap: config.lifecycle.overlap, lead: lead(None) });
            session_rooms.dedup();
            let limited_uses = match mode {
                Mode::Init => LimitedUses::StaticReads,
                Mode::Run | Mode::Exec => LimitedUses::Refused,
            };
            let session_file = sessions.contains(name).then_some(config.lifecycle.overlap);
            Charge { name: name.clone(), identity, plans, session_rooms, session_file, limited_uses }
        })
        .collect()
}

/// What a held value has to match to be adopted: what it was fetched with.
fn fingerprint(identity: &str, secret: &crate::config::model::Secret) -> String {
    let reference = &secret.reference;
    let mut parts = vec![
        serde_json::json!(identity),
        serde_json::json!(reference.path),
        serde_json::json!(reference.data),
        serde_json::json!(reference.version),
        serde_json::json!(reference.stage),
        serde_json::json!(reference.key),
        serde_json::json!(reference.namespace),
        serde_json::json!(reference.revoke),
    ];
    // Only where there is one: what was written before there were such keys still matches.
    parts.extend(reference.generate_key.map(|kind| serde_json::json!(kind.as_str())));
    serde_json::Value::Array(parts).to_string()
}

/// The newest announcement, and each provider's entries. What belongs to nobody is removed.
fn sort_entries(
    entries: Vec<Entry>,
    config: &Config,
    handover: &Handover,
) -> (Before, BTreeMap<String, Vec<Entry>>) {
    let mut before = Before::default();
    let mut sorted: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    let by_session: BTreeMap<String, String> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Session { provider, held, .. } => Some((held.session.id.clone(), provider.clone())),
            _ => None,
        })
        .collect();
    for entry in entries {
        let of_secret = |secret: &str| config.secrets.get(secret).map(|secret| secret.provider.clone());
        let provider = match &entry {
            Entry::Announced { generation, acknowledged, answers, .. } => {
                let (acknowledged, answers) = (*acknowledged, answers.clone());
                let standing = Standing { announced: Some(*generation), acknowledged, answers };
                before = Before { generation: None, standing };
                continue;
            }
            Entry::Session { provider, .. } | Entry::Kept { provider, .. } => Some(provider.clone()),
            Entry::Held { secret, held, .. } => {
                by_session.get(&held.session).cloned().or_else(|| of_secret(secret))
            }
            Entry::Secret { secret, .. } => of_secret(secret),
        };
        match provider.filter(|provider| config.providers.contains_key(provider)) {
            Some(provider) => sorted.entry(provider).or_default().push(entry),
            // What cannot be removed now is found by the next start.
            None => drop(handover.remove(&EntryId::from(&entry))),
        }
    }
    (before, sorted)
}

fn open_state(config: &Config, clock: &Clock) -> Result<handover::Opened, Locked> {
    Handover::open(&config.lifecycle.state_directory, clock).map_err(|error| match error.is_busy() {
        true => Locked::Busy(error.to_string()),
        false => Locked::For(error.to_string()),
    })
}

/// Why nothing is left to a next process, where that is so.
fn no_handover(opened: &handover::Opened, config: &Config) -> Option<String> {
    if opened.handover.is_enabled() {
        return None;
    }
    let unwanted = "no hand-over: lifecycle.state_directory is off";
    if config.lifecycle.state_directory.choice == Choice::Off {
        tracing::debug!(target: "leasehold", "{unwanted}; what is held ends with this process");
    }
    Some(opened.warning.clone().unwrap_or_else(|| unwanted.to_owned()))
}

fn open_volume(config: &Config) -> Result<Volume, Locked> {
    Volume::open(&config.output).map_err(|error| match error.kind() {
        volume::ErrorKind::Busy(_) => Locked::Busy(error.to_string()),
        _ => Locked::For(error.to_string()),
    })
}

/// Why a directory cannot be had.
enum Locked {
    /// Another process holds it; it may end.
    Busy(String),
    /// For good.
    For(String),
}

/// Waiting for another process's end.
struct Patience<'a> {
    clock: &'a Clock,
    deadline: Moment,
    events: &'a Events,
    signals: &'a mut Signals,
    said: bool,
}

impl Patience<'_> {
    async fn wait<T>(&mut self, mut open: impl FnMut() -> Result<T, Locked>) -> Result<T, Failure> {
        loop {
            let why = match open() {
                Ok(opened) => return Ok(opened),
                Err(Locked::For(why)) => return Err(Failure::Output(why)),
                Err(Locked::Busy(why)) => why,
            };
            if self.clock.now() >= self.deadline {
                return Err(Failure::Output(why));
            }
            if !self.said {
                self.said = true;
                self.events.emit(&Event::Note { text: &format!("{why}; waiting for it") });
            }
            tokio::select! {
                () = self.clock.sleep(LOCK_RETRY) => {}
                _ = self.signals.end() => return Err(Failure::Interrupted),
            }
        }
    }
}

/// The names of all values that the set is made of: the secrets, and the sessions that are files.
pub(super) fn names(config: &Config) -> BTreeSet<String> {
    let sessions = config.files.sessions();
    config.secrets.keys().cloned().chain(sessions.iter().map(|provider| session_value(provider))).collect()
}
