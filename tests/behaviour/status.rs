//! `status --watch`: it ends when whoever watched has gone, when it is told to, and leaves the terminal as it
//! was. And the drills that the page on it shows are played.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use harness::leasehold::{Running, binary};
use harness::process::Exit;
use harness::{Signal, eventually};
use leasehold_harness as harness;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use rustix::termios::{Action, LocalModes, tcflow, tcgetattr};
use serde_json::{Value, json};

use crate::lifecycle::given::{Place, SOON, ask};
use crate::terminal::Terminal;

/// For the end of what has nothing to wait for.
const END: Duration = Duration::from_secs(10);

/// An instance to look at.
fn held() -> (Place, Running) {
    let place = Place::new();
    place.configure(json!({
        "providers": { "store": { "type": "mock", "ttl": "10m" } },
        "secrets": { "db": { "provider": "store", "path": "database/creds/web" } },
    }));
    let mut running = place.run();
    place.await_file("db/username", &mut running);
    (place, running)
}

/// Somebody who watches it at a terminal.
struct Watcher {
    process: OwnedFd,
}

impl Watcher {
    /// Starts it from the terminal's shell; `before` stands before the command.
    #[track_caller]
    fn start(place: &Place, terminal: &Terminal, before: &str) -> Self {
        let note = place.folder.join("watcher");
        let line = format!(
            "{before} sh -c 'echo $$ > {}; exec {} status --watch --socket {}'",
            note.display(),
            binary().display(),
            place.admin().display(),
        );
        terminal.prompts("outer$");
        terminal.keys(&[&line, "Enter"]);
        let pid = eventually("the watcher's pid", SOON, || {
            fs::read_to_string(&note).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok())
        });
        let process = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        terminal.shows("q leaves");
        terminal.shows("held");
        Self { process }
    }

    fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.process, signal).unwrap();
    }

    #[track_caller]
    fn ends(&self) {
        let wait = Timespec { tv_sec: i64::try_from(END.as_secs()).unwrap(), tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&wait)).unwrap();
        assert_eq!(ended, 1, "it goes on");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It has ended already, where all is well.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

/// The terminal's own name, opened without becoming anybody's.
fn other_end(terminal: &Terminal) -> OwnedFd {
    let name = terminal.tmux(&["display-message", "-p", "#{pane_tty}"]);
    rustix::fs::open(name.trim(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap()
}

#[test]
fn whoever_watches_leaves_by_a_key_or_a_signal_and_the_terminal_is_as_it_was() {
    let (place, _running) = held();
    let terminal = Terminal::open(&place.folder);
    let tty = other_end(&terminal);
    let leaving = [("q", None), ("C-c", None)].into_iter();
    let told = [Signal::TERM, Signal::HUP, Signal::INT].map(|signal| ("", Some(signal)));
    for (key, signal) in leaving.chain(told) {
        terminal.keys(&["clear", "Enter"]);
        let watcher = Watcher::start(&place, &terminal, "");
        let of_keys = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert!(!tcgetattr(&tty).unwrap().local_modes.intersects(of_keys), "keys come one by one");
        match signal {
            Some(signal) => watcher.signal(signal),
            None => terminal.keys(&[key]),
        }
        watcher.ends();
        terminal.prompts("outer$");
        assert!(!terminal.tmux(&["capture-pane", "-p"]).contains("q leaves"), "the usual screen is back");
        terminal.keys(&["stty -a; echo code=$?-", "Enter"]);
        terminal.shows("code=0-");
        let modes = terminal.tmux(&["capture-pane", "-p"]);
        let has = |mode| modes.split_whitespace().any(|word| word == mode);
        assert!(["isig", "icanon", "echo", "ixon"].into_iter().all(has), "{modes}");
        terminal.keys(&["clear", "Enter"]);
        fs::remove_file(place.folder.join("watcher")).unwrap();
    }
}

#[test]
fn stopped_by_a_key_it_lends_the_shell_its_terminal_and_continued_it_has_its_screen_again() {
    let (place, _running) = held();
    let terminal = Terminal::open(&place.folder);
    let tty = other_end(&terminal);
    let of_keys = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    terminal.prompts("outer$");
    terminal.keys(&["echo before", "Enter"]);
    terminal.shows("\nbefore");
    let watcher = Watcher::start(&place, &terminal, "");
    // Twice: what was put back once is put back again.
    for round in ["one", "two"] {
        terminal.keys(&["C-z"]);
        terminal.shows("Stopped");
        terminal.prompts("outer$");
        let screen = terminal.tmux(&["capture-pane", "-p"]);
        assert!(screen.contains("\nbefore") && !screen.contains("q leaves"), "the usual screen: {screen}");
        terminal.keys(&[&format!("stty -a; echo between-{round}"), "Enter"]);
        terminal.shows(&format!("\nbetween-{round}"));
        let said = terminal.tmux(&["capture-pane", "-p"]);
        let has = |mode| said.split_whitespace().any(|word| word == mode);
        assert!(["isig", "icanon", "echo"].into_iter().all(has), "{said}");
        terminal.keys(&["fg", "Enter"]);
        terminal.shows("q leaves");
        assert!(!terminal.tmux(&["capture-pane", "-p"]).contains("between"), "its own screen");
        eventually("keys come one by one", SOON, || {
            !tcgetattr(&tty).unwrap().local_modes.intersects(of_keys)
        });
    }
    terminal.keys(&["q"]);
    watcher.ends();
    terminal.prompts("outer$");
    assert!(!terminal.tmux(&["capture-pane", "-p"]).contains("q leaves"), "the usual screen is back");
}

/// The line by which the page looks into a pod, without the way there.
fn line_of_the_page(binary: &Path) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status.md")).unwrap();
    let line = page.split("```sh\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    let way = "kubectl exec -it web-0 -c leasehold -- /leasehold ";
    let words = line.strip_prefix(way).unwrap_or_else(|| panic!("the page shows another line: {line}"));
    format!("{} {words}", binary.display())
}

#[test]
fn it_fits_a_terminal_of_80_and_of_200_columns_and_its_colours_any_background() {
    let place = Place::new();
    let config = place.configure(json!({
        "providers": {
            "store": { "type": "mock", "ttl": "10m" },
            "other": { "type": "mock", "script": [{ "at": "1s", "for": "1h", "deny": "fetch" }] },
        },
        "secrets": {
            "orders_of_the_last_quarter": { "provider": "store", "path": "database/creds/orders-readwrite-eu-west" },
            "app": { "provider": "other", "path": "kv/of/an/application", "refresh": "1s" },
        },
    }));
    let mut running = place.run();
    place.await_file("app/value", &mut running);
    let status = || -> Value { serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap() };
    let error = eventually("a secret that fails", SOON, || {
        status()["secrets"]["app"]["error"]["text"].as_str().map(str::to_owned)
    });
    let lease = status()["secrets"]["orders_of_the_last_quarter"]["lease"].as_str().unwrap().to_owned();
    for columns in [80, 200] {
        let folder = harness::tmpfs();
        let terminal = Terminal::sized(&folder, (columns, 24));
        terminal.prompts("outer$");
        let line = line_of_the_page(&binary());
        terminal.keys(&[&format!("LANG=C LEASEHOLD_CONFIG={} {line}", config.display()), "Enter"]);
        terminal.shows("q leaves");
        let screen = terminal.tmux(&["capture-pane", "-p"]);
        let rows: Vec<&str> = screen.lines().collect();
        let width = usize::from(columns);
        // To the last column, and no further: what is longer would be cut off there.
        assert!(rows[0].starts_with("leasehold status ") && rows[0].len() == width, "{screen}");
        assert!(rows[0].ends_with(env!("CARGO_PKG_VERSION")), "{screen}");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&screen).contains(&words(&error)), "{error} in {screen}");
        let row = rows.iter().find(|row| row.starts_with("orders_")).unwrap();
        let heading = rows.iter().find(|row| row.starts_with("SECRET ")).unwrap();
        for column in ["STATE", "REMAINING", "NEXT"] {
            assert!(heading.contains(column), "{screen}");
        }
        let bar = row.split(['[', ']']).nth(1).unwrap();
        assert!(bar.trim_matches(['#', '-']).is_empty(), "{screen}");
        if width == 80 {
            assert!(!row.contains(&lease), "{screen}");
        } else {
            assert!(row.contains("orders_of_the_last_quarter ") && row.contains(&lease), "{screen}");
            assert!(heading.contains("PROVIDER") && heading.contains("AGE"), "{screen}");
        }
        // Bold, faint, red, green, yellow, and back: none of black, of white, or of a background.
        let painted = terminal.tmux(&["capture-pane", "-e", "-p"]);
        let codes = painted.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m'));
        let codes: Vec<&str> = codes.flat_map(|(codes, _)| codes.split(';')).collect();
        let ours = ["0", "", "1", "2", "22", "31", "32", "33", "39", "49"];
        assert!(codes.contains(&"32") && codes.iter().all(|code| ours.contains(code)), "{codes:?}");
    }
}

#[test]
fn it_ends_with_its_terminal() {
    // The last has the terminal without being told of its end by a signal.
    for before in ["", "exec", "setsid"] {
        let (place, _running) = held();
        let terminal = Terminal::open(&place.folder);
        let watcher = Watcher::start(&place, &terminal, before);
        drop(terminal);
        watcher.ends();
    }
}

#[test]
fn a_terminal_that_takes_nothing_does_not_keep_it_from_ending() {
    let (place, _running) = held();
    let terminal = Terminal::open(&place.folder);
    let watcher = Watcher::start(&place, &terminal, "");
    let tty = other_end(&terminal);
    tcflow(&tty, Action::OOff).unwrap();
    watcher.signal(Signal::TERM);
    watcher.ends();
    tcflow(&tty, Action::OOn).unwrap();
}

#[test]
fn elsewhere_it_ends_by_a_signal_or_when_nobody_reads_on() {
    let (place, _running) = held();
    let socket = place.admin().display().to_string();
    let mut watcher =
        harness::Leasehold::command(["status", "--watch", "--json", "--socket", &socket]).start();
    let reports = eventually("two reports", SOON, || {
        let said = watcher.stdout();
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        (lines.len() >= 2).then_some(lines)
    });
    for report in reports {
        let report: Value = serde_json::from_str(&report).expect("one object a line");
        assert_eq!(report["secrets"]["db"]["state"], "held", "{report}");
    }
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait(END), Exit::Signal(Signal::TERM.as_raw()));

    let script = "exec \"$0\" status --watch --json --socket \"$1\" | head -n 1";
    let binary = binary().display().to_string();
    let ended = std::process::Command::new("timeout")
        .args(["20", "sh", "-c", script, &binary, &socket])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn an_instance_that_goes_away_is_a_line_of_json_with_nothing_but_why() {
    let (place, running) = held();
    let socket = place.admin().display().to_string();
    let watcher = harness::Leasehold::command(["status", "--watch", "--json", "--socket", &socket]).start();
    eventually("a report", SOON, || watcher.stdout().contains('\n'));
    drop(running);
    let line = eventually("it is away", SOON, || {
        let said = watcher.stdout();
        said.split_inclusive('\n')
            .find(|line| line.starts_with("{\"error\"") && line.ends_with('\n'))
            .map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    let fields = line.as_object().unwrap();
    assert!(fields.len() == 1 && fields["error"].as_str().unwrap().contains("nothing listens"), "{line}");
}

#[test]
fn every_drill_of_the_page_is_played_shown_and_stopped() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status.md")).unwrap();
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example: Value = serde_saphyr::from_str(example).unwrap();
    let row = |line: &str| line.strip_prefix("| `leasehold ")?.split('`').next().map(str::to_owned);
    let commands: Vec<String> =
        page.lines().filter_map(row).filter(|row| row.starts_with("drill ")).collect();
    assert_eq!(commands.len(), 5, "{commands:?}");

    let place = Place::new();
    let mut config = json!({
        "providers": { "store": { "type": "mock", "ttl": "10m" } },
        "secrets": { "db": { "provider": "store", "path": "database/creds/web" } },
    });
    config.as_object_mut().unwrap().extend(example.as_object().unwrap().clone());
    place.configure(config);
    let mut running = place.run();
    place.await_file("db/username", &mut running);
    let ask = |command: &str| place.command(&command.split(' ').collect::<Vec<_>>()).finish(SOON);
    let played = || serde_json::from_str::<Value>(&ask("status --json").stdout).unwrap()["drill"].clone();
    for command in commands {
        if command == "drill stop" {
            assert_eq!(ask("drill outage db").exit, Exit::Code(0));
        }
        let before = place.read("db/username");
        let told = ask(&command);
        assert_eq!(told.exit, Exit::Code(0), "{command}: {told:?}");
        let denied = ["drill outage", "drill deny"].iter().any(|drill| command.starts_with(drill));
        if denied {
            assert_eq!(ask("refresh db").exit, Exit::Code(75), "{command}");
            assert_eq!(place.read("db/username"), before, "{command}: what is held stays");
        } else if command != "drill stop" {
            eventually(&format!("a new value by {command}"), SOON, || place.read("db/username") != before);
        }
        if command.contains("--for") {
            assert!(played().is_object(), "{command}");
            assert_eq!(ask("drill stop").exit, Exit::Code(0), "{command}");
        }
        assert!(played().is_null(), "{command}");
    }
    assert_eq!(ask("refresh db").exit, Exit::Code(0), "all is as before");
}

#[test]
fn a_refresh_of_all_while_the_store_is_away_names_each_and_ends_with_75() {
    let place = Place::new();
    place.configure(json!({
        "providers": { "store": { "type": "mock", "ttl": "10m" } },
        "secrets": {
            "api": { "provider": "store", "path": "kv/api" },
            "db": { "provider": "store", "path": "database/creds/web" },
        },
        "admin": { "drills": true },
    }));
    let mut running = place.run();
    place.await_file("db/username", &mut running);
    let told = |command: &[&str]| place.command(command).finish(SOON);
    assert_eq!(told(&["drill", "outage", "db"]).exit, Exit::Code(0));
    // From the second time on one thing at a time is tried, and each failure makes the pauses longer.
    for _ in 0..7 {
        let told = told(&["refresh"]);
        assert_eq!(told.exit, Exit::Code(75), "{told:?}");
        let lines: Vec<&str> = told.stdout.lines().collect();
        let failed = |name: &str| lines.iter().any(|line| line.starts_with(&format!("{name}: failed: ")));
        assert!(lines.len() == 2 && failed("api") && failed("db"), "{told:?}");
    }
}

#[test]
fn drills_are_refused_unless_the_configuration_says_so() {
    let (place, _running) = held();
    for command in [&["drill", "outage", "db"][..], &["drill", "rotate", "db"], &["drill", "stop"]] {
        let told = place.command(command).finish(SOON);
        assert_eq!(told.exit, Exit::Code(78), "{told:?}");
        assert!(told.stderr.contains("drills are off: set `admin.drills: true`"), "{told:?}");
    }
    let body = r#"{"drill": "outage", "secret": "db", "seconds": 60}"#;
    let answer = ask(&place.admin(), "POST", "/v1/drill", body);
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("drills are off"), "{answer}");
    let status = place.command(&["status", "--json"]).finish(SOON).stdout;
    assert!(serde_json::from_str::<Value>(&status).unwrap()["drill"].is_null(), "{status}");
}

#[test]
fn how_long_a_drill_lasts_is_refused_or_said_where_it_makes_no_sense() {
    let (place, _running) = held();
    for length in ["500ms", "0s", "1500ms", "2h"] {
        let told = place.command(&["drill", "outage", "db", "--for", length]).finish(SOON);
        assert_eq!(told.exit, Exit::Code(2), "{length}: {told:?}");
        assert!(told.stderr.contains("a drill lasts whole seconds, 1s to 1h"), "{length}: {told:?}");
    }
    let told = place.command(&["drill", "rotate", "db", "--for", "2m"]).finish(SOON);
    assert!(told.stderr.contains("`drill rotate` lasts no time, so `--for` changes nothing"), "{told:?}");
}

#[test]
fn a_configuration_that_is_named_and_not_there_is_said_and_nobody_is_asked() {
    let place = Place::new();
    let nowhere = place.folder.join("nowhere.yaml").display().to_string();
    for command in
        [&["status"][..], &["refresh"], &["probe", "live"], &["ack"], &["stale", "db"], &["handover"]]
    {
        let told = harness::Leasehold::command(command.iter().copied().chain(["-c", &nowhere])).finish(SOON);
        assert_eq!(told.exit, Exit::Code(78), "{told:?}");
        assert!(told.stderr.contains(&format!("the configuration {nowhere} does not exist")), "{told:?}");
    }
}
