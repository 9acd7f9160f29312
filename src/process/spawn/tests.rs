//! Real children. (Those that leave a group behind, or that change the whole process, say so.)

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use leasehold_core::{SecretBytes, Status};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::process::{child, harden};

const SOON: Duration = Duration::from_secs(20);

/// Programs, with the reaper at work in the background.
struct House {
    programs: Programs,
    _reaper: JoinSet<()>,
}

impl House {
    fn new(reach: Reach) -> Self {
        Self::on(reach, Clock::boot())
    }

    fn on(reach: Reach, clock: Clock) -> Self {
        let (programs, reaper) = Programs::reaping(reach, clock).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(reaper.run(CancellationToken::new()));
        Self { programs, _reaper: tasks }
    }

    fn started() -> Self {
        Self::new(Reach::Started)
    }

    async fn sh(&self, script: &str) -> Result<Ran, Failed> {
        self.programs.run(sh(script)).await
    }
}

fn sh(script: &str) -> Program {
    Program {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        environment: BTreeMap::from([("PATH".to_owned(), text("/usr/bin:/bin"))]),
        directory: None,
        input: text(""),
        time_limit: SOON,
        output_limit: 4 << 20,
        error_limit: 1_000,
    }
}

fn text(text: &str) -> SecretBytes {
    SecretBytes::from_text(text.to_owned())
}

fn said(ran: &Ran) -> &str {
    ran.output.expose_text().unwrap()
}

/// Waits until there is no such process, or only its remains, which another init has to see to.
async fn gone(pid: &str) {
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z')))
    };
    eventually(&format!("process {pid} is gone"), || !lives()).await;
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let clock = Clock::boot();
    let waited = async {
        while !condition() {
            clock.sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(clock.within(SOON, waited).await.is_some(), "{what}");
}

/// What a script wrote into a file, once it is whole.
async fn written(path: &Path) -> String {
    eventually("it is written", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))).await;
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn it_reads_its_input_and_its_output_and_code_come_back() {
    let house = House::started();
    let mut program = sh("cat; echo oops >&2; exit 7");
    program.input = text("from us");
    let ran = house.programs.run(program).await.unwrap();
    assert_eq!((said(&ran), ran.status), ("from us", Status::Exited(7)));
    assert_eq!(ran.errors.expose(), b"oops\n");
    let ran = house.sh("kill -TERM $$; sleep 60").await.unwrap();
    assert_eq!(ran.status, Status::Signalled(libc::SIGTERM));
}

#[tokio::test]
async fn much_goes_in_and_out_at_once_and_who_does_not_read_fails_nothing() {
    let house = House::started();
    let mut program = sh("cat");
    program.input = SecretBytes::new(vec![b'x'; 3 << 20]);
    let ran = house.programs.run(program).await.unwrap();
    assert_eq!((ran.output.len(), ran.status), (3 << 20, Status::Exited(0)));
    let mut deaf = sh("exec true");
    deaf.input = SecretBytes::new(vec![b'x'; 3 << 20]);
    assert_eq!(house.programs.run(deaf).await.unwrap().status, Status::Exited(0));
}

#[tokio::test]
async fn its_environment_is_what_was_given_and_nothing_else() {
    let house = House::started();
    let mut program = sh("");
    program.command = vec!["env".to_owned()];
    program.environment.insert("GIVEN".to_owned(), text("as it is"));
    let ran = house.programs.run(program).await.unwrap();
    let mut lines: Vec<&str> = said(&ran).lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["GIVEN=as it is", "PATH=/usr/bin:/bin"]);
}

#[tokio::test]
async fn no_descriptor_of_ours_is_open_in_it() {
    let house = House::started();
    let open = fs::File::open("/dev/null").unwrap();
    // Inherited from who started us, say: it does not close by itself.
    let kept = rustix::io::fcntl_dupfd_cloexec(&open, 900).unwrap();
    rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty()).unwrap();
    let ran = house.sh("for n in 0 1 2 900; do test -e /proc/$$/fd/$n && echo $n; done").await.unwrap();
    assert_eq!(said(&ran), "0\n1\n2\n");
}

#[tokio::test]
async fn it_runs_where_it_was_told() {
    let house = House::started();
    let temp = tempfile::tempdir().unwrap();
    let mut program = sh("pwd -P");
    program.directory = Some(temp.path().to_owned());
    let ran = house.programs.run(program).await.unwrap();
    assert_eq!(Path::new(said(&ran).trim()), temp.path().canonicalize().unwrap());
}

#[tokio::test]
async fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
    let clock = Clock::tokio();
    let house = House::on(Reach::Started, clock.clone());
    let temp = tempfile::tempdir().unwrap();
    let pids = temp.path().join("pids");
    let program = sh(&format!("sleep 300 & echo $$ $! > {}; sleep 300", pids.display()));
    // Its time is over once it is under way, however long the machine takes to start it.
    let until_its_end = async {
        let pids = written(&pids).await;
        clock.jump(SOON);
        pids
    };
    let (ran, pids) = tokio::join!(house.programs.run(program), until_its_end);
    assert_eq!(ran.unwrap_err(), Failed::TimedOut(SOON));
    let (leader, other) = pids.trim().split_once(' ').unwrap();
    // Waited for already, and not only dead.
    assert!(!fs::exists(format!("/proc/{leader}")).unwrap(), "the caller comes back when it is gone");
    gone(other).await;
}

#[tokio::test]
async fn one_that_writes_too_much_is_killed_and_just_enough_is_enough() {
    let house = House::started();
    let mut program = sh("echo $$ >&2; exec yes");
    program.output_limit = 100_000;
    assert_eq!(house.programs.run(program).await.unwrap_err(), Failed::TooMuchOutput(100_000));
    let mut program = sh("head -c 100000 /dev/zero");
    program.output_limit = 100_000;
    assert_eq!(house.programs.run(program).await.unwrap().output.len(), 100_000);
    let mut program = sh("head -c 100001 /dev/zero");
    program.output_limit = 100_000;
    assert_eq!(house.programs.run(program).await.unwrap_err(), Failed::TooMuchOutput(100_000));
}

#[tokio::test]
async fn the_beginning_of_its_complaints_is_kept_and_the_rest_holds_nobody_up() {
    let house = House::started();
    let ran = house.sh("echo first >&2; head -c 2000000 /dev/zero >&2; echo done").await.unwrap();
    assert_eq!((said(&ran), ran.errors.len()), ("done\n", 1_000));
    assert!(ran.errors.expose().starts_with(b"first\n"));
}

#[tokio::test]
async fn what_it_leaves_behind_holds_nobody_up_and_ends_with_it() {
    let house = House::started();
    // It keeps our pipes open.
    let ran = house.sh("sleep 300 & echo $!").await.unwrap();
    assert_eq!(ran.status, Status::Exited(0));
    gone(said(&ran)).await;
}

#[tokio::test]
async fn a_dropped_call_kills_its_group() {
    let house = House::started();
    let temp = tempfile::tempdir().unwrap();
    let pids = temp.path().join("pids");
    let program = sh(&format!("sleep 300 & echo $! > {}; sleep 300", pids.display()));
    let other = {
        let call = house.programs.run(program);
        tokio::pin!(call);
        tokio::select! {
            _ = &mut call => panic!("it runs for long"),
            pid = written(&pids) => pid,
        }
    };
    gone(&other).await;
    eventually("the program is waited for", || house.programs.children.count() == 0).await;
}

#[tokio::test]
async fn who_cannot_be_started_is_said_why() {
    let house = House::started();
    let temp = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: &str| {
        let path = temp.path().join(name).display().to_string();
        // Not with a descriptor of ours: a child that another test starts at this moment would
        // hold it open for writing, and what is open for writing cannot be started.
        let script = "echo '#!/no/such/interpreter' > \"$1\" && chmod \"$2\" \"$1\"";
        let made = std::process::Command::new("/bin/sh").args(["-c", script, "sh", &path, mode]).status();
        assert!(made.unwrap().success());
        path
    };
    let named = |name: String| Program { command: vec![name], ..sh("") };
    let cases = [
        (named("no-such-program".to_owned()), Failed::NotFound),
        (named("/no/such/program".to_owned()), Failed::NotFound),
        (named(file("plain", "644")), Failed::NotExecutable),
        (named("/tmp".to_owned()), Failed::NotExecutable),
        (named(file("script", "755")), Failed::NoInterpreter),
        (Program { command: Vec::new(), ..sh("") }, Failed::NotFound),
        (Program { directory: Some("/no/such/place".into()), ..sh("true") }, Failed::NoDirectory),
        (
            Program { environment: BTreeMap::from([("A".to_owned(), text("a\0b"))]), ..sh("true") },
            Failed::NotStarted("a NUL byte stands in its command or environment"),
        ),
    ];
    for (program, failed) in cases {
        let what = format!("{:?} in {:?}", program.command, program.directory);
        assert_eq!(house.programs.run(program).await.unwrap_err(), failed, "{what}");
    }
    assert_eq!(house.programs.children.count(), 0);
}

#[tokio::test]
async fn many_run_at_once_and_each_gets_its_own_answer() {
    let house = House::started();
    let mut running = JoinSet::new();
    let programs = Arc::new(house.programs);
    for number in 0..40 {
        let programs = Arc::clone(&programs);
        running.spawn(async move {
            let ran = programs.run(sh(&format!("echo {number}; exit {number}"))).await.unwrap();
            assert_eq!((said(&ran).trim(), ran.status), (&*number.to_string(), Status::Exited(number)));
        });
    }
    assert_eq!(running.join_all().await.len(), 40);
}

#[test]
fn it_gets_umask_limits_and_signals_as_we_found_them() {
    child::passes("process::spawn::tests::child_that_puts_back", &[]);
}

#[tokio::test]
#[ignore = "the child of the test above it"]
async fn child_that_puts_back() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
    umask(rustix::fs::Mode::from_bits_truncate(0o027));
    let maximum = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: Some(4_096), maximum }).unwrap();
    harden().unwrap();
    // SAFETY: to ignore a signal runs nothing; a set of signals is plain data and lives for the calls.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGUSR1);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
    let house = House::new(Reach::Every);
    let ran = house
        .sh("umask; grep core /proc/self/limits; exec grep -E 'SigBlk|SigIgn' /proc/self/status")
        .await
        .unwrap();
    let words: Vec<&str> = said(&ran).split_whitespace().collect();
    assert_eq!((words[0], words[5]), ("0027", "4096"), "{words:?}");
    let masks = &words[words.len() - 4..];
    assert_eq!(masks, ["SigBlk:", "0000000000000000", "SigIgn:", "0000000000000000"]);
}

#[test]
fn orphans_that_become_ours_are_waited_for() {
    child::passes("process::spawn::tests::child_that_adopts", &[]);
}

#[tokio::test]
#[ignore = "the child of the test above it"]
async fn child_that_adopts() {
    // As PID 1 is without asking.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let house = House::new(Reach::Every);
    let temp = tempfile::tempdir().unwrap();
    let flag = temp.path().join("flag");
    // It leaves the group, so that it outlives the program that started it.
    let script = format!(
        "setsid sh -c 'echo > {0}; exec sleep 300' & until test -e {0}; do sleep 0.01; done; echo $!",
        flag.display()
    );
    let ran = house.sh(&script).await.unwrap();
    let orphan = format!("/proc/{}", said(&ran).trim());
    let parent = fs::read_to_string(format!("{orphan}/status")).unwrap();
    // It ends now, and not before it was looked at.
    let pid = rustix::process::Pid::from_raw(said(&ran).trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(parent.contains(&format!("PPid:\t{}\n", std::process::id())), "it is ours now: {parent}");
    eventually("it is waited for", || !fs::exists(&orphan).unwrap()).await;
}

#[test]
fn it_ends_when_we_are_killed() {
    let output = child::run("process::spawn::tests::child_that_is_killed", &[]);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(libc::SIGKILL));
    let said = String::from_utf8(output.stdout).unwrap();
    let pid = said.lines().find_map(|line| line.split_once("its pid: ")).expect(&said).1;
    let clock = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    clock.block_on(gone(pid));
}

#[tokio::test]
#[ignore = "the child of the test above it"]
async fn child_that_is_killed() {
    let house = House::new(Reach::Every);
    let temp = tempfile::tempdir().unwrap();
    let pid = temp.path().join("pid");
    let call = house.programs.run(sh(&format!("echo $$ > {}; exec sleep 300", pid.display())));
    tokio::pin!(call);
    tokio::select! {
        _ = &mut call => panic!("it runs for long"),
        number = written(&pid) => println!("\nits pid: {number}"),
    }
    drop(temp);
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_pid_file_with_the_number_of_a_program_is_refused() {
    let house = House::started();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.pid");
    let script = format!("echo $$ > {0}.part; mv {0}.part {0}; sleep 60", path.display());
    let looked = async {
        written(&path).await;
        crate::process::Process::by_pid_file(&path).map(|found| found.pid())
    };
    let found = tokio::select! {
        _ = house.sh(&script) => panic!("it has ended"),
        found = looked => found,
    };
    let said = found.unwrap_err().to_string();
    assert!(said.contains("which is a program of ours here"), "{said}");
}
