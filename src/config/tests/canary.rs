//! No value of a file or of the environment gets into a report, whatever is wrong.

use super::{Files, good};

const CANARY: &str = "c4n4ryV4lu3";

/// Every scalar of this file is a canary where it may be, and wrong wherever it can be.
const EVERYWHERE: &str = r#"
version: "CANARY"
unknown: CANARY
providers:
  vault: { type: CANARY, address: CANARY, auth: { method: CANARY, role: CANARY }, tls: CANARY, unknown: CANARY }
  second: { type: vault, address: "CANARY", auth: { method: userpass, username: "CANARY/x", password: "CANARY" }, proxy: "CANARY://", redirect_to: ["CANARY/:x"], namespace: "CANARY//x" }
  third: { type: vault, address: "https://CANARY:CANARY@vault", auth: { method: approle, role_id: "CANARY", secret_id: "CANARY\n", wrapped: "CANARY" } }
  fourth: { type: mock, seed: CANARY, ttl: CANARY, script: [CANARY, { at: CANARY, outage: CANARY, deny: CANARY }], secrets: { x: { kind: CANARY, ttl: "CANARY" } } }
  fifth: { type: mock, ttl: "CANARY", max_ttl: "CANARY", session: { ttl: "CANARY" }, script: [{ at: "CANARY", throttle: "CANARY" }] }
secrets:
  a: { provider: CANARY, path: " CANARY", data: CANARY, refresh: CANARY, required: CANARY, overlap: CANARY, on_expiry: CANARY, lookup: CANARY, namespace: "CANARY\n", stage: " CANARY", key: "CANARY ", revoke: CANARY }
  b: { provider: second, path: "/CANARY/", version: [CANARY] }
files:
  a: { template: "CANARY {{ CANARY", mode: CANARY, owner: CANARY, group: CANARY }
  b: { secret: CANARY, field: [CANARY], format: CANARY }
  c: { template: "CANARY {{ 'CANARY' | nofilter }}" }
  d: { template: "CANARY {% CANARY %}" }
  e: { template: "CANARY {{ 'CANARY }}" }
  f: { template: "{{ 'CANARY' 'CANARY' }}" }
env: { X: "CANARY {{ 'CANARY' + }}", Y: [CANARY] }
exec: { on_change: CANARY, signal: CANARY, drain: CANARY, grace: CANARY, splay: CANARY }
output: { directory: CANARY, mode: CANARY, owner: CANARY, group: CANARY, require_tmpfs: CANARY }
on_change:
  - CANARY
  - { signal: CANARY, process: "/CANARY", files: [CANARY] }
  - { signal: HUP, pid_file: CANARY, files: [CANARY] }
  - { command: CANARY }
  - { http: { url: CANARY, method: "CANARY x", body: CANARY } }
lifecycle: { startup_deadline: CANARY, overlap: CANARY, acknowledge: CANARY, revoke_on_shutdown: CANARY, revoke_delay: CANARY, application: CANARY, on_expiry: CANARY, reload: CANARY, state_directory: CANARY }
limits: { mints_per_minute: CANARY }
admin: { listen: CANARY, uids: [CANARY], drills: CANARY }
telemetry: { listen: CANARY }
log: { level: CANARY, format: CANARY }
"#;

#[test]
fn no_value_of_a_file_is_repeated() {
    let text = EVERYWHERE.replace("CANARY", CANARY);
    let report = Files::of(&[("leasehold.yaml", &text)]).load(&[]).unwrap_err();
    assert!(report.problems().len() > 40, "{report}");
    assert_silent(&format!("{report}\n{report:?}\n{}", report.first_line()));
    // Each section alone, so that no earlier problem hides a later one.
    let mut sections: Vec<String> = Vec::new();
    for line in text.lines().skip(1) {
        if line.starts_with(' ') {
            let section = sections.last_mut().unwrap();
            section.push_str(line);
            section.push('\n');
        } else {
            sections.push(format!("{line}\n"));
        }
    }
    for section in sections {
        if let Err(report) = Files::of(&[("leasehold.yaml", &section)]).load(&[]) {
            assert_silent(&format!("{report}\n{report:?}"));
        }
        // And with one section twice, which cannot be merged.
        if let Err(report) = Files::of(&[("a.yaml", &section), ("b.yaml", &section)]).load(&[]) {
            assert_silent(&format!("{report}\n{report:?}"));
        }
    }
}

#[test]
fn no_value_of_the_environment_is_repeated() {
    let text = EVERYWHERE
        .replace("CANARY", "${SECRET}")
        .replace("{ template: \"${SECRET} {{ ${SECRET}\"", "{ template: \"x\"");
    let report = Files::of(&[("leasehold.yaml", &quoted(&text))]).load(&[("SECRET", CANARY)]).unwrap_err();
    assert!(report.problems().len() > 30, "{report}");
    assert_silent(&format!("{report}\n{report:?}"));
}

/// In quotes wherever a bare `${SECRET}` would open a mapping.
fn quoted(text: &str) -> String {
    text.replace(": ${SECRET}", ": \"${SECRET}\"")
        .replace("[${SECRET}", "[\"${SECRET}\"")
        .replace("- ${SECRET}", "- \"${SECRET}\"")
}

#[test]
fn no_value_stands_in_the_error_of_a_file_that_does_not_parse() {
    for broken in [
        "log: { level: \"CANARY }",
        "log: [CANARY, {CANARY",
        "log: CANARY: CANARY",
        "log: @CANARY",
        "log: \"\\CANARY\"",
        "log: *CANARY",
        "log: !CANARY x",
        "log: %CANARY",
        "a: CANARY\n\tb: CANARY",
        "- CANARY\n- CANARY",
        "CANARY",
        "a: |\n CANARY\nCANARY",
        "? [CANARY]\n: CANARY",
        "log: 'CANARY' CANARY",
        "%CANARY 1\n---\nlog: x",
    ] {
        let text = broken.replace("CANARY", CANARY);
        let report = Files::of(&[("leasehold.yaml", &text)]).load(&[]).unwrap_err();
        assert_silent(&format!("{report}\n{report:?}"));
    }
}

#[test]
fn a_configuration_shows_no_credential_when_it_is_debugged() {
    let config = good(&format!(
        "providers:\n  vault: {{ type: vault, address: https://vault:8200, auth: {{ method: userpass, username: web, password: {CANARY} }} }}\n\
         secrets:\n  db: {{ provider: vault, path: pki/issue/web, data: {{ password: {CANARY} }} }}\n"
    ));
    assert_silent(&format!("{config:?}"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// However a file is cut and stirred, there is an answer, and no value in it.
    #[test]
    fn a_damaged_file_gets_a_silent_report(
        cuts in proptest::collection::vec((0usize..4_000, 0usize..40, "[-{}\\[\\]:,&*!|>'\"%@`#? \n\ta<]{0,3}"), 1..4),
    ) {
        let mut text = EVERYWHERE.replace("CANARY", CANARY);
        for (at, length, instead) in cuts {
            let from = at.min(text.len());
            let to = (from + length).min(text.len());
            // A piece of the canary is no canary: only whole ones are looked for.
            text.replace_range(from..to, &instead);
        }
        if let Err(report) = Files::of(&[("leasehold.yaml", &text)]).load(&[]) {
            // A cut can make a key of a value, and a name of a template of a text. The names of providers,
            // secrets and files are listed without quotes.
            let about_keys = |line: &str| !line.contains("leasehold.yaml:") && !line.contains('"');
            let before_names = |line: &str| line.split("defined under `").next().unwrap_or_default().to_owned();
            let shown = format!("{report}");
            let shown: Vec<String> =
                shown.lines().filter(|line| about_keys(line.trim_start())).map(before_names).collect();
            assert_silent(&shown.join("\n"));
        }
    }
}

fn assert_silent(text: &str) {
    assert!(!text.contains(CANARY), "a value is repeated:\n{text}");
}
