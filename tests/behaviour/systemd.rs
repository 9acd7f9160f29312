//! What a service manager hears over `NOTIFY_SOCKET`, from the first word to the last: the test binds the
//! socket, as systemd does, and keeps every message.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;

use harness::leasehold::Running;
use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::{Leasehold, Signal};

use super::*;

/// The store is away for the first two seconds: nothing can be in place before.
const CONFIG: &str = r#"
providers:
  store: { type: mock, seed: 1, ttl: 10m, script: [ SCRIPT ] }
secrets:
  db: { provider: store, path: database/creds/web }
output: { directory: FOLDER/live }
lifecycle: { state_directory: FOLDER/state, revoke_delay: 1s, startup_deadline: 40s, reload: RELOAD }
admin: { listen: "unix:FOLDER/admin.sock" }
telemetry: { listen: off }
"#;
const AWAY: &str = "{ at: 0s, for: 2s, outage: true }";

/// The socket of a manager, and a configuration beside it.
struct Manager {
    folder: Folder,
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn at_a_path() -> Self {
        let folder = harness::tmpfs();
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::listening(folder, socket, path.to_str().unwrap().to_owned())
    }

    fn at_an_abstract_name() -> Self {
        let folder = harness::tmpfs();
        let name = format!("leasehold{}/notify", folder.display());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self::listening(folder, socket, format!("@{name}"))
    }

    fn listening(folder: Folder, socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(SOON)).unwrap();
        fs::create_dir(folder.join("state")).unwrap();
        Self { folder, socket, name }
    }

    fn config(&self, script: &str, reload: &str) -> PathBuf {
        let file = self.folder.join("leasehold.yaml");
        let text = CONFIG.replace("FOLDER", &self.folder.display().to_string());
        fs::write(&file, text.replace("SCRIPT", script).replace("RELOAD", reload)).unwrap();
        file
    }

    fn start(&self, command: &str, config: PathBuf) -> Running {
        Leasehold::command([command.as_ref(), "-c".as_ref(), config.as_os_str()])
            .env("NOTIFY_SOCKET", &self.name)
            .start()
    }

    /// The next message, its figures of the moment as `N`.
    #[track_caller]
    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message within 15 s");
        let text = std::str::from_utf8(&buffer[..length]).unwrap().trim_end();
        let word = |line: &str| match line.split_once('=') {
            Some(("MONOTONIC_USEC", at)) => {
                let (at, now) = (at.parse::<i64>().unwrap(), now_usec());
                assert!((0..10_000_000).contains(&(now - at)), "{at} is not just before {now}");
                "MONOTONIC_USEC=N".to_owned()
            }
            _ => line.to_owned(),
        };
        text.lines().map(word).collect::<Vec<_>>().join(" ")
    }

    /// That there is no further message: whoever would send one has ended.
    #[track_caller]
    fn hears_nothing_more(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let more = self.socket.recv(&mut buffer);
        assert!(more.is_err(), "{}", String::from_utf8_lossy(&buffer));
    }

    #[track_caller]
    fn asks(&self, words: &[&str]) {
        let file = self.folder.join("leasehold.yaml");
        let words = words.iter().map(AsRef::as_ref).chain(["-c".as_ref(), file.as_os_str()]);
        let finished = Leasehold::command(words.collect::<Vec<_>>()).finish(SOON);
        assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    }
}

fn now_usec() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

const WAITING: &str =
    "EXTEND_TIMEOUT_USEC=51000000 STATUS=waiting for the first set of secrets, for at most 40s";
const READY: &str = "READY=1 STATUS=the set is in place; `leasehold status` says what is held and until when";
const RELOADING: &str = "RELOADING=1 MONOTONIC_USEC=N STATUS=reading the configuration again";
const STOPPING: &str = "STOPPING=1 EXTEND_TIMEOUT_USEC=12000000 STATUS=told to end; waiting for 1s \
                        (lifecycle.revoke_delay)";
const TAKING_BACK: &str = "EXTEND_TIMEOUT_USEC=11000000 STATUS=ending; taking back what is held";

/// A whole life: not one message more than there are facts.
#[track_caller]
fn whole_life(manager: &Manager) {
    let mut running = manager.start("run", manager.config(AWAY, "signal"));
    let live = manager.folder.join("live");

    assert_eq!(manager.hears(), WAITING);
    assert!(!live.join("db/username").exists());
    assert_eq!(manager.hears(), READY);
    assert!(live.join("db/username").exists(), "ready means that the files are there");

    // What others start must not speak in its name.
    let environ = fs::read(format!("/proc/{}/environ", running.pid().as_raw_nonzero())).unwrap();
    assert!(!environ.windows(6).any(|window| window == b"notify"), "{}", String::from_utf8_lossy(&environ));

    // A new credential is no news to a manager.
    manager.asks(&["refresh", "db"]);
    running.signal(Signal::HUP);
    assert_eq!([manager.hears(), manager.hears()], [RELOADING, READY]);

    let broken = fs::read_to_string(manager.folder.join("leasehold.yaml")).unwrap().replace("path:", "pth:");
    fs::write(manager.folder.join("leasehold.yaml"), broken).unwrap();
    running.signal(Signal::HUP);
    assert_eq!(manager.hears(), RELOADING);
    let refused = manager.hears();
    assert!(
        refused.starts_with("READY=1 STATUS=the set is in place; the changed configuration was refused: ")
            && refused.contains("pth"),
        "{refused}"
    );

    running.signal(Signal::TERM);
    assert_eq!(manager.hears(), STOPPING);
    assert!(live.join("db/username").exists(), "while the application may still read");
    assert_eq!(manager.hears(), TAKING_BACK);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    manager.hears_nothing_more();
}

#[test]
fn a_manager_at_a_path_hears_of_the_first_set_of_reloads_and_of_the_end() {
    whole_life(&Manager::at_a_path());
}

#[test]
fn a_manager_at_an_abstract_name_hears_the_same() {
    whole_life(&Manager::at_an_abstract_name());
}

#[test]
fn a_start_that_fails_says_why_and_is_never_ready() {
    let manager = Manager::at_a_path();
    let mut running = manager.start("run", manager.config("{ at: 0s, deny: fetch, path: '*' }", "auto"));
    assert_eq!(running.wait(SOON), Exit::Code(77), "{}", running.stderr());
    assert_eq!([manager.hears(), manager.hears()], [WAITING, &format!("STOPPING=1 {TAKING_BACK}")]);
    let why = manager.hears();
    assert!(why.starts_with("STATUS=") && why.contains("secret \"db\""), "{why}");
    manager.hears_nothing_more();
}

#[test]
fn a_start_that_another_process_is_in_the_way_of_says_so() {
    let manager = Manager::at_a_path();
    let config = manager.config("", "off");
    let first = stage::run(&config);
    stage::ready(&first, &config);
    let short = fs::read_to_string(&config).unwrap().replace("startup_deadline: 40s", "startup_deadline: 1s");
    fs::write(&config, short).unwrap();
    let mut second = manager.start("run", config);
    assert_eq!(second.wait(SOON), Exit::Code(73), "{}", second.stderr());
    assert!(manager.hears().ends_with("STATUS=waiting for the first set of secrets, for at most 1s"));
    let why = manager.hears();
    let state = manager.folder.join("state").display().to_string();
    assert!(why.starts_with("STATUS=") && why.contains(&state), "{why}");
    manager.hears_nothing_more();
}

#[test]
fn a_reload_that_a_file_brings_is_announced_too_and_one_before_the_first_set_is_not() {
    let manager = Manager::at_a_path();
    let mut running = manager.start("run", manager.config(AWAY, "auto"));
    assert_eq!(manager.hears(), WAITING);
    running.signal(Signal::HUP);
    assert_eq!(manager.hears(), READY);
    let file = manager.folder.join("leasehold.yaml");
    let text = fs::read_to_string(&file).unwrap().replace("ttl: 10m", "ttl: 20m");
    fs::write(&file, text).unwrap();
    assert_eq!(manager.hears(), RELOADING);
    let restart = manager.hears();
    assert!(
        restart.starts_with("READY=1 STATUS=the set is in place; what waits for a restart: ")
            && restart.contains("store"),
        "{restart}"
    );
    running.signal(Signal::INT);
    assert_eq!(manager.hears(), format!("STOPPING=1 {TAKING_BACK}"), "an interrupt waits for nobody");
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    manager.hears_nothing_more();
}

#[test]
fn a_reload_that_is_switched_off_is_answered_all_the_same() {
    let manager = Manager::at_a_path();
    let mut running = manager.start("run", manager.config("", "off"));
    assert_eq!([manager.hears(), manager.hears()], [WAITING, READY]);
    running.signal(Signal::HUP);
    assert_eq!([manager.hears(), manager.hears()], [RELOADING, READY]);
}

#[test]
fn one_set_and_no_more_is_said_by_its_exit_alone() {
    let manager = Manager::at_a_path();
    let mut running = manager.start("init", manager.config("", "auto"));
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    manager.hears_nothing_more();
}

#[test]
fn a_manager_that_is_not_there_costs_one_warning() {
    let manager = Manager::at_a_path();
    fs::remove_file(&manager.name).unwrap();
    let config = manager.config("", "auto");
    let mut running = manager.start("run", config.clone());
    stage::ready(&running, &config);
    running.signal(Signal::HUP);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    let said = running.stderr();
    assert_eq!(said.matches("the service manager cannot be told").count(), 1, "{said}");
}
