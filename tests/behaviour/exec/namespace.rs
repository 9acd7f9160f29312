//! As PID 1 of a PID namespace.

use super::*;

#[test]
fn as_pid_1_it_waits_for_orphans_and_passes_signals_and_codes_on() {
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
    let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut running = sh(&place, script).under(words).start();
    assert_eq!(written(&place, "parent", &mut running), "1");
    let children =
        |pid: &str| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let init = children(&running.pid().as_raw_nonzero().to_string()).trim().to_owned();
    eventually("one child is left, and no zombie", SOON, || {
        let left = children(&init);
        let left: Vec<&str> = left.split_whitespace().collect();
        if left.len() == 1 { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let pid = rustix::process::Pid::from_raw(init.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(running.wait(SOON), Exit::Code(9), "{}", running.stderr());
}
