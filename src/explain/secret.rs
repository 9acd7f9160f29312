//! A secret: what is asked for, how it lives, where it goes, who is told.

use std::time::Duration;

use leasehold_core::{Character, Nature};

use super::assumptions::Assumptions;
use super::course::Handle;
use super::drawing;
use super::page::{Page, counted, listed};
use super::uses::Uses;
use crate::app::Mode;
use crate::clock::Moment;
use crate::config::Config;
use crate::config::model::{Acknowledge, ExecChange, Files, OnExpiry, Overlap, Secret};
use crate::events::words::{human, one_line};
use crate::keeper::{Charge, Plan};
use crate::notify_app;
use crate::schedule::{self, Dice};

/// Everything that is known of one.
pub(super) struct About<'a> {
    pub(super) config: &'a Config,
    pub(super) charge: &'a Charge,
    pub(super) name: &'a str,
    pub(super) plan: &'a Plan,
    pub(super) mode: Mode,
    pub(super) uses: &'a Uses,
}

pub(super) fn write(page: &mut Page, about: &About<'_>, assumptions: &Assumptions) {
    let About { config, charge, name, .. } = about;
    let (Some(secret), Some(provider)) = (config.secrets.get(*name), config.providers.get(&charge.name))
    else {
        return;
    };
    let character = provider.settings.character(&secret.reference);
    page.heading("SECRET", name, &format!("{}.", character.words));
    page.row("Request", &request(secret));
    if let Some(kind) = secret.reference.generate_key {
        let text =
            format!("{kind}, made here for each request; it stays here, the store gets a request to sign.");
        page.row("Key", &text);
    }
    let needed = match secret.required {
        true => "required: the start waits for it, and readiness hangs on it.",
        false => {
            "not required: absent, or unreachable after the first try, it is left out with its files. One that \
                  is denied is still an error."
        }
    };
    page.row("Needed", needed);
    page.row("Life", &life(secret, &character));
    if !secret.settle.is_zero() {
        let text = format!(
            "a new value waits {} until it is tried and published (settle), of what has a TTL at most a quarter of \
             that; rotation is due that much earlier.",
            human(secret.settle)
        );
        page.row("Settling", &text);
    }
    let dies = matches!(character.nature, Nature::Leased | Nature::Issued | Nature::Open);
    if dies {
        page.row("Overlap", &overlap(about));
        if let Some(every) = secret.lookup {
            page.row(
                "Look-up",
                &format!("every {} the store is asked whether the lease still lives.", human(every)),
            );
        }
        page.row("Expiry", expiry(secret.on_expiry));
    } else {
        page.row(
            "Expiry",
            "never: while the store is away the last value stays, and the log and `status` say so.",
        );
    }
    goes(page, about);
    told(page, about);
    let drawn = match character.nature {
        Nature::Leased | Nature::Issued => true,
        Nature::Open => assumptions.names(name),
        Nature::Rotating | Nature::Kept => false,
    };
    if drawn {
        let handle = match (character.nature, secret.reference.revoke) {
            (Nature::Issued, false) => Handle::None,
            (Nature::Issued, true) => Handle::Revocable,
            _ => Handle::Lease,
        };
        drawing::write(page, about, assumptions, character.terms.as_ref(), handle);
    }
}

/// What is asked for; of what is written only the keys.
fn request(secret: &Secret) -> String {
    let reference = &secret.reference;
    let mut text = match &reference.data {
        None => format!("reads {}", one_line(&reference.path)),
        Some(data) if data.is_empty() && reference.generate_key.is_none() => {
            format!("writes {}, with empty data", one_line(&reference.path))
        }
        Some(data) => {
            let made_here = reference.generate_key.map(|_| "csr".to_owned());
            let keys: Vec<String> = data.keys().map(|key| one_line(key)).chain(made_here).collect();
            format!("writes {} with {} (values not shown)", one_line(&reference.path), listed(&keys))
        }
    };
    for (what, value) in [
        ("in namespace", &reference.namespace),
        ("version", &reference.version),
        ("stage", &reference.stage),
        ("of it only the key", &reference.key),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {}", one_line(value)));
        }
    }
    text.push('.');
    text
}

fn life(secret: &Secret, character: &Character) -> String {
    match character.nature {
        Nature::Leased => {
            "leased: renewed as long as the store grants that, then replaced by a successor before its \
                           end, and revoked."
                .to_owned()
        }
        Nature::Issued if secret.reference.revoke => {
            "cannot be renewed: replaced before its end, and then revoked (revoke: true).".to_owned()
        }
        Nature::Issued => {
            "cannot be renewed: replaced before its end. The old one stays valid to its own end, unless \
                           revoke: true says otherwise."
                .to_owned()
        }
        Nature::Rotating => {
            let at = |place: f64| {
                let zero = Moment::from_zero(Duration::ZERO);
                let at =
                    schedule::poll_at(secret.refresh, Some(Duration::ZERO), zero, &mut Dice::fixed(place));
                human(at.since(zero))
            };
            format!(
                "changed by the store, which says when: read again {} to {} after that, and {} where it does not say. \
                 There is no overlap: the old value ends when the new one begins.",
                at(0.0),
                at(1.0),
                polls(secret.refresh)
            )
        }
        Nature::Kept => {
            format!("polled {}. A changed value is in place within that time.", polls(secret.refresh))
        }
        Nature::Open => format!(
            "without a lease it is polled {}; with one it is renewed and replaced like a leased one, which `--ttl \
             {}=1h` draws.",
            polls(secret.refresh),
            secret.reference.name
        ),
    }
}

/// `every 4m to 5m, at random; at most 15 requests an hour`
fn polls(refresh: Duration) -> String {
    let at = |place: f64| {
        let zero = Moment::from_zero(Duration::ZERO);
        human(schedule::poll_at(refresh, None, zero, &mut Dice::fixed(place)).since(zero))
    };
    let requests = schedule::polls_per_hour(1, 1, refresh).ceil();
    let plural = if requests == 1.0 { "" } else { "s" };
    format!("every {} to {}, at random, at most {requests} request{plural} an hour", at(0.0), at(1.0))
}

fn overlap(about: &About<'_>) -> String {
    let room = &about.plan.policy.room;
    let mut text = match room.overlap {
        Overlap::Auto => {
            "a fifth of the granted TTL, at most 1h: so long the old one outlives the announcement of its \
                          successor."
                .to_owned()
        }
        Overlap::Fixed(length) => format!(
            "{}, at most a third of the granted TTL: so long the old one outlives the announcement of its successor.",
            human(length)
        ),
    };
    if about.mode == Mode::Exec && !room.lead.fixed.is_zero() {
        text.push_str(&format!(
            " A restart comes before that announcement, so rotation is due up to {} earlier, and the time over which \
             restarts are spread (exec.drain, grace, splay).",
            human(room.lead.fixed)
        ));
    }
    text
}

fn expiry(on_expiry: OnExpiry) -> &'static str {
    match on_expiry {
        OnExpiry::Keep => {
            "the files stay as they are (on_expiry: keep), /readyz turns false where it is required, and a successor \
             is fetched as soon as the store lets us."
        }
        OnExpiry::Delete => {
            "a set without the files that use it is published (on_expiry: delete), until there is a successor."
        }
        OnExpiry::Exit => {
            "leasehold ends with exit code 75 (on_expiry: exit); under `exec` the command ends first."
        }
    }
}

/// Files and variables.
fn goes(page: &mut Page, about: &About<'_>) {
    let About { config, name, uses, .. } = about;
    match uses.files(name) {
        None => page.row(
            "Files",
            &format!(
                "each of its fields, at {}/{name}/FIELD ({:04o}).",
                config.output.directory.display(),
                config.output.mode
            ),
        ),
        Some(files) if files.is_empty() => page.row("Files", "none."),
        Some(files) => {
            let shown: Vec<String> = files.iter().map(|file| with_mode(config, file)).collect();
            page.row("Files", &format!("{}, in {}.", listed(&shown), config.output.directory.display()));
        }
    }
    let variables = uses.variables(name);
    if !variables.is_empty() {
        page.row("Environment", &format!("{} (under `exec` and `dev`).", listed(&variables)));
    }
}

fn with_mode(config: &Config, name: &str) -> String {
    let Files::Named(files) = &config.files else { return name.to_owned() };
    let Some(file) = files.get(name) else { return name.to_owned() };
    let mut text = format!("{name} ({:04o}", file.mode.unwrap_or(config.output.mode));
    for (what, id) in
        [("owner", file.owner.or(config.output.owner)), ("group", file.group.or(config.output.group))]
    {
        if let Some(id) = id {
            text.push_str(&format!(", {what} {id}"));
        }
    }
    text.push(')');
    text
}

/// Who hears of a change, and whose answer counts.
fn told(page: &mut Page, about: &About<'_>) {
    let About { config, name, uses, .. } = about;
    let changed = uses.files(name).unwrap_or_else(|| {
        let named = config.on_change.iter().flat_map(|action| action.files.iter().flatten());
        let below = format!("{name}/");
        let mut files: Vec<String> = named.filter(|file| file.starts_with(&below)).cloned().collect();
        files.push(format!("{below}FIELD"));
        files
    });
    let labels = notify_app::labels(&config.on_change);
    let mut actions = Vec::new();
    for (action, label) in config.on_change.iter().zip(labels) {
        if !changed.iter().any(|file| notify_app::covers(&action.files, file)) {
            continue;
        }
        let says = match notify_app::acknowledges(&action.kind) {
            true => "its success acknowledges",
            false => "delivered, which acknowledges nothing",
        };
        let retries = counted(action.retries as usize, "retry").replace("retrys", "retries");
        actions.push(format!("{label}: {says} ({} a try, {retries}).", human(action.timeout)));
    }
    if about.mode == Mode::Exec {
        actions.extend(of_command(about));
    }
    match actions.as_slice() {
        [] => page.row("On change", "nobody is told: who reads the files sees the change."),
        [first, rest @ ..] => {
            page.row("On change", first);
            rest.iter().for_each(|action| page.more(action));
        }
    }
    if changed.is_empty()
        && let Acknowledge::Required | Acknowledge::From(_) = config.lifecycle.acknowledge
    {
        page.row(
            "Awaited",
            "nobody: no file changes with it, so lifecycle.acknowledge has nothing to ask for, and a replaced lease \
             is revoked after its overlap.",
        );
    }
    let expected = notify_app::expected_of(&config.lifecycle.acknowledge, &config.on_change, &changed);
    if !expected.is_empty() {
        page.row(
            "Awaited",
            &format!(
                "the acknowledgement of {}. Until it comes, a replaced lease is neither renewed nor revoked, and ends \
                 by itself.",
                listed(&expected)
            ),
        );
    }
}

fn of_command(about: &About<'_>) -> Option<String> {
    let uses = !about.uses.variables(about.name).is_empty();
    match about.config.exec.on_change {
        Some(ExecChange::Signal) => Some("the command gets a signal (exec.on_change: signal).".to_owned()),
        Some(ExecChange::None) => None,
        Some(ExecChange::Restart) => Some("the command is restarted (exec.on_change: restart).".to_owned()),
        None if uses => {
            Some("the command is restarted where the bytes of its environment changed.".to_owned())
        }
        None => None,
    }
}
