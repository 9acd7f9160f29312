//! The end of the process, what it leaves to the next one, and where it listens.

use std::time::Duration;

use super::page::Page;
use crate::config::Config;
use crate::config::model::{Choice, OnCrash, Reload, Uid};
use crate::events::words::human;

pub(super) fn write(page: &mut Page, config: &Config) {
    let lifecycle = &config.lifecycle;
    page.heading("THE END", "", "");
    page.row("SIGTERM", &wait(config));
    let taken_back = match lifecycle.revoke_on_shutdown {
        true => format!(
            "Then, within {}, everything that we took is revoked: sessions that we logged in for with one call each, \
             under a session that was given each lease by its id. What may be left is named.",
            human(lifecycle.revoke_timeout)
        ),
        false => "Then nothing is revoked (revoke_on_shutdown: false): leases end by themselves.".to_owned(),
    };
    page.more(&taken_back);
    page.more("A second signal skips the wait, a third ends at once. SIGKILL revokes nothing.");
    if !config.env.is_empty() && config.exec.on_crash == OnCrash::Keep {
        page.more("Where the command crashes, what is held is left to the next start (exec.on_crash: keep).");
    }
    let state = &lifecycle.state_directory;
    let left = match state.choice {
        Choice::Off => "none: what is held ends with the process".to_owned(),
        Choice::Configured => format!(
            "{}, which has to be in memory: the next process goes on with the sessions and leases of this one",
            state.path.display()
        ),
        Choice::Default => format!(
            "{}, where that is there and in memory (else none, with one warning): the next process goes on with the \
             sessions and leases of this one",
            state.path.display()
        ),
    };
    page.row("Hand-over", &left);
    let reload = match lifecycle.reload {
        Reload::Auto => {
            "a changed file or SIGHUP brings new secrets, files, templates of `env`, lifecycle, limits and \
                         log; providers, log-ins, actions and commands need a restart"
        }
        Reload::Signal => {
            "SIGHUP brings new secrets, files, templates of `env`, lifecycle, limits and log; the rest needs a \
             restart"
        }
        Reload::Off => "never: a change needs a restart",
    };
    page.row("Reload", reload);
    page.row("Admin", &admin(config));
    let telemetry = match config.telemetry.listen {
        None => "off".to_owned(),
        Some(address) => format!("{address}: /livez, /readyz and /metrics, without a value"),
    };
    page.row("Telemetry", &telemetry);
}

fn wait(config: &Config) -> String {
    let lifecycle = &config.lifecycle;
    if !config.env.is_empty() {
        return format!(
            "under exec the command gets it, and has all the time that it takes (exec.grace of {} holds for \
             restarts); renewals go on until it has ended.",
            human(config.exec.grace)
        );
    }
    match &lifecycle.application {
        Some(name) => format!("renewals go on until process {name} has ended (lifecycle.application)."),
        None if lifecycle.revoke_delay == Duration::ZERO => "there is no wait (revoke_delay: 0s).".to_owned(),
        None => format!(
            "renewals go on for {} more (revoke_delay), so that the application can end first.",
            human(lifecycle.revoke_delay)
        ),
    }
}

fn admin(config: &Config) -> String {
    let Some(socket) = &config.admin.listen else { return "off".to_owned() };
    let uids: Vec<String> = config
        .admin
        .uids
        .iter()
        .map(|uid| match uid {
            Uid::Own => "our own uid and root".to_owned(),
            Uid::Number(number) => format!("uid {number}"),
        })
        .collect();
    let drills = if config.admin.drills { "; failures may be played (drills: true)" } else { "" };
    format!("{}: status, refresh and their like, for {}; no value{drills}", socket.display(), uids.join(", "))
}
