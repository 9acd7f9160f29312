//! As PID 1 of a PID namespace.

use rustix::process::Pid;

use super::terminal::{controls_jobs, ended_with, line, place, talker};
use super::*;
use crate::terminal::Terminal;

/// What starts a program as PID 1 of a namespace, in a process group that lies outside it.
pub(super) const UNSHARED: [&str; 5] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// As ours sees it, the PID 1 of the namespace that [`UNSHARED`] has made.
#[track_caller]
pub(super) fn first(unshare: &Running) -> Pid {
    let children = children(&unshare.pid().as_raw_nonzero().to_string());
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

fn children(pid: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
}

#[test]
fn as_pid_1_it_waits_for_orphans_and_passes_signals_on() {
    if !harness::tmpfs::root("a PID namespace") {
        return;
    }
    let place = Place::new();
    place.configure(quiet());
    // Each orphan becomes ours, and ends at once.
    let script = "
        trap 'exit 9' TERM
        for n in 1 2 3 4 5; do setsid sh -c '(sleep 0.1 &) ; exit 0'; done
        ps -o ppid= -p $$ > FOLDER/parent
        while :; do sleep 0.05; done";
    let mut running = sh(&place, script).under(UNSHARED).start();
    assert_eq!(written(&place, "parent", &mut running), "1");
    let init = first(&running);
    eventually("one child is left, and no zombie", SOON, || {
        let left = children(&init.as_raw_nonzero().to_string());
        let left: Vec<&str> = left.split_whitespace().collect();
        if left.len() == 1 { Ok(()) } else { Err(format!("{left:?}")) }
    });
    rustix::process::kill_process(init, Signal::TERM).unwrap();
    assert_eq!(running.wait(SOON), Exit::Code(9), "{}", running.stderr());
}

#[test]
fn as_pid_1_it_ends_with_the_commands_code_or_128_and_its_signal() {
    if !harness::tmpfs::root("a PID namespace") {
        return;
    }
    for (script, code) in ENDS {
        let place = Place::new();
        place.configure(quiet());
        let ended = sh(&place, script).under(UNSHARED).finish(SOON);
        assert_eq!(ended.exit, Exit::Code(code), "{script}: {}", ended.stderr);
    }
}

const SHELL: &str = "env PS1='inner$ ' bash --norc -i";

/// A shell at a terminal, outside of any namespace; `None` without root.
fn outside() -> Option<(Place, Terminal)> {
    if !harness::tmpfs::root("a PID namespace") {
        return None;
    }
    let place = place();
    let terminal = Terminal::open(&place.folder);
    terminal.prompts("outer$");
    Some((place, terminal))
}

/// The line that starts a command under leasehold as PID 1.
fn unshared(place: &Place, command: &str) -> String {
    format!("{} {}", UNSHARED.join(" "), line(place, command))
}

#[test]
fn as_pid_1_in_a_group_of_outside_the_terminal_is_usable_and_the_shell_outside_has_it_again() {
    let Some((place, terminal)) = outside() else { return };
    terminal.keys(&[&unshared(&place, SHELL), "Enter"]);
    controls_jobs(&terminal, &place);
    ended_with(&terminal, 4);

    terminal.keys(&["clear", "Enter"]);
    terminal.keys(&[&unshared(&place, "top"), "Enter"]);
    terminal.shows("load average");
    terminal.keys(&["q"]);
    ended_with(&terminal, 0);

    // Nobody could continue it: a stop is no end.
    terminal.keys(&["clear", "Enter"]);
    terminal.keys(&[&unshared(&place, &talker(&place)), "Enter"]);
    terminal.shows("\nbegun");
    terminal.keys(&["C-z"]);
    terminal.shows("goes on");
    terminal.keys(&["C-c"]);
    terminal.shows("interrupted");
    ended_with(&terminal, 6);
}

#[test]
fn as_pid_1_started_in_the_background_it_leaves_the_terminal_to_the_shell_outside() {
    let Some((place, terminal)) = outside() else { return };
    let (begun, ended) = (place.folder.join("begun"), place.folder.join("ended"));
    let script = format!(
        "trap 'exit 0' TERM\necho > {}\nwhile [ ! -e {} ]; do sleep 0.05; done\nexit 5\n",
        begun.display(),
        ended.display()
    );
    let command = format!("sh {}", place.file("quiet", &script).display());
    terminal.keys(&[&format!("{} &", unshared(&place, &command)), "Enter"]);
    eventually("it runs", SOON, || begun.exists());
    terminal.keys(&["clear; echo still-$((20 + 3))", "Enter"]);
    terminal.shows("still-23");
    fs::write(&ended, "").unwrap();
    terminal.keys(&["wait $!", "Enter"]);
    ended_with(&terminal, 5);
}

#[test]
fn not_pid_1_in_a_group_of_outside_it_shares_the_terminal() {
    let Some((place, terminal)) = outside() else { return };
    let reader = place.file("reader", "echo begun\nread -r word\necho \"it reads $word\"\nexit 6\n");
    let command = line(&place, &format!("sh {}", reader.display()));
    let script = format!("{command}\necho inside=$?\nread -r word\necho \"above reads $word\"\nexit 3\n");
    let above = format!("{} sh {}", UNSHARED.join(" "), place.file("above", &script).display());
    terminal.keys(&[&above, "Enter"]);
    terminal.shows("\nbegun");
    terminal.keys(&["one", "Enter"]);
    terminal.shows("it reads one");
    terminal.shows("inside=6");
    // Whoever is above it reads the terminal again.
    terminal.keys(&["two", "Enter"]);
    terminal.shows("above reads two");
    ended_with(&terminal, 3);
}

#[test]
fn as_pid_1_that_leads_its_session_the_terminal_is_usable() {
    if !harness::tmpfs::root("a PID namespace") {
        return;
    }
    let place = place();
    // As a container with a terminal has it: its end is the end of the terminal.
    let leading = |command: &str| {
        let script = format!(
            "trap '' HUP\n{} setsid --ctty {}\necho $? > {}\n",
            UNSHARED.join(" "),
            line(&place, command),
            place.folder.join("code").display()
        );
        let terminal = Terminal::open(&place.folder);
        terminal.prompts("outer$");
        terminal.keys(&[&format!("exec sh {}", place.file("leading", &script).display()), "Enter"]);
        terminal
    };
    let code = || fs::read_to_string(place.folder.join("code")).unwrap_or_default();

    let terminal = leading(SHELL);
    controls_jobs(&terminal, &place);
    eventually("the shell's code is ours", SOON, || if code() == "4\n" { Ok(()) } else { Err(code()) });
    drop(terminal);

    let terminal = leading("top");
    terminal.shows("load average");
    terminal.keys(&["q"]);
    eventually("its code is ours", SOON, || if code() == "0\n" { Ok(()) } else { Err(code()) });
}
