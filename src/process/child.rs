//! For tests: what changes the whole process runs in a process of its own, as a test that nothing
//! else runs.

use std::process::{Command, Output};

/// Runs one ignored test of this binary to its end.
pub(super) fn run(test: &str, environment: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", test])
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// Runs one ignored test, which has to pass.
pub(super) fn passes(test: &str, environment: &[(&str, &str)]) {
    let output = run(test, environment);
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // A misspelt name would run nothing, and nothing fails.
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
