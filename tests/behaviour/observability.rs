//! Dashboard and alerts of `deploy/observability`, held against what a running leasehold exports: a name or a
//! label that it does not export would be an empty panel, or an alert that never fires.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::http::{self, Request};
use harness::{Signal, program};
use leasehold_core::{Kind, Operation};
use serde_json::Value;

use super::*;

/// Rotates every few seconds, is denied one read, tells an application that is not there.
const CONFIG: &str = r#"
providers:
  store:
    type: mock
    seed: 1
    ttl: 4s
    max_ttl: 6s
    script: [ { at: 4s, for: 5s, deny: fetch, path: kv/app } ]
secrets:
  db: { provider: store, path: database/creds/web }
  app: { provider: store, path: kv/app, refresh: 1s }
output: { directory: FOLDER/live }
on_change: [ { signal: HUP, process: no-such-application } ]
verify: { command: ["true"] }
lifecycle: { state_directory: FOLDER/state, revoke_delay: 0s, reload: signal }
admin: { listen: off }
telemetry: { listen: "TELEMETRY" }
"#;

/// The contract, as the documentation has it.
const CONTRACT: [&str; 17] = [
    "leasehold_ack_pending_seconds",
    "leasehold_actions_total",
    "leasehold_build_info",
    "leasehold_generation",
    "leasehold_generation_timestamp_seconds",
    "leasehold_mints_ceiling",
    "leasehold_mints_total",
    "leasehold_polls_per_hour",
    "leasehold_reload_failures_total",
    "leasehold_request_duration_seconds",
    "leasehold_requests_total",
    "leasehold_retiring_leases",
    "leasehold_revocations_total",
    "leasehold_secret_expiry_timestamp_seconds",
    "leasehold_secret_failures_total",
    "leasehold_secret_last_success_timestamp_seconds",
    "leasehold_verify_total",
];

/// How `verify` may come out.
const OF_A_CHECK: [&str; 3] = ["good", "refused", "unknown"];

/// What Prometheus adds to every series.
const OF_THE_TARGET: [&str; 2] = ["instance", "job"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/observability").join(name)
}

fn scrape(address: SocketAddr) -> Option<String> {
    let request = Request { method: "GET".into(), path: "/metrics".into(), ..Request::default() };
    String::from_utf8(http::send(address, &request).ok()?.body).ok()
}

/// What a real run exports, once everything has happened to it.
fn exported() -> String {
    let folder = harness::tmpfs();
    fs::create_dir(folder.join("state")).unwrap();
    let telemetry = harness::ports::free();
    let text = CONFIG.replace("FOLDER", &folder.display().to_string());
    let config = folder.join("leasehold.yaml");
    fs::write(&config, text.replace("TELEMETRY", &telemetry.to_string())).unwrap();
    let mut running = stage::run(&config);
    eventually("the first set", SOON, || folder.join("live/db/username").exists());
    fs::write(&config, "nothing: of this\n").unwrap();
    running.signal(Signal::HUP);
    let wanted = |line: &str| {
        line.starts_with("leasehold_actions_total{")
            || line.starts_with("leasehold_revocations_total{secret=")
            || line.starts_with("leasehold_secret_failures_total{")
            || line.starts_with("leasehold_verify_total{")
            || line == "leasehold_reload_failures_total 1"
    };
    eventually("a rotation, a denial, a check, a failed action and a refused reload", SOON * 2, || {
        let text = scrape(telemetry).unwrap_or_default();
        let kinds: BTreeSet<_> =
            text.lines().filter(|line| wanted(line)).map(|line| line.split(['{', ' ']).next()).collect();
        if kinds.len() == 5 { Ok(text) } else { Err(format!("{text}\n{}", running.stderr())) }
    })
}

/// Names of families → names of their labels.
fn labels(exposition: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = found.entry(name.to_owned()).or_default();
        if let Some(inner) = rest.strip_prefix('{') {
            labels.extend(selectors(inner).into_iter().map(|selector| selector.label));
        }
    }
    found
}

/// `outcome="ok"`.
struct Selector {
    label: String,
    operator: String,
    value: String,
}

/// All that stands before the closing brace.
fn selectors(text: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) =
        rest.find(|c: char| c != ',' && c != ' ').filter(|at| !rest[*at..].starts_with('}'))
    {
        rest = &rest[start..];
        let name_end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap();
        let value_start = rest.find('"').unwrap() + 1;
        let value_end = value_start + rest[value_start..].find('"').unwrap();
        let (name, operator) = (&rest[..name_end], &rest[name_end..value_start - 1]);
        let [label, operator, value] =
            [name, operator.trim(), &rest[value_start..value_end]].map(ToOwned::to_owned);
        found.push(Selector { label, operator, value });
        rest = &rest[value_end + 1..];
    }
    found
}

/// Every metric of ours that a query names, with what stands in its braces.
fn metrics(query: &str) -> Vec<(String, Vec<Selector>)> {
    let mut found = Vec::new();
    for (at, _) in query.match_indices("leasehold_") {
        let rest = &query[at..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
        let inner = rest[end..].strip_prefix('{').map(selectors).unwrap_or_default();
        found.push((rest[..end].to_owned(), inner));
    }
    found
}

/// The labels that aggregations, joins and templates name.
fn named(query: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in ["by (", "without (", "ignoring (", "on (", "group_left ("] {
        for (at, _) in query.match_indices(word) {
            let inner = query[at + word.len()..].split(')').next().unwrap();
            // `… by (…)` and a parenthesis that opens an expression look alike; labels are plain words.
            let words = inner.split(',').map(str::trim).filter(|label| {
                !label.is_empty() && label.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            });
            found.extend(words.map(ToOwned::to_owned));
        }
    }
    for (at, _) in query.match_indices("$labels.") {
        let rest = &query[at + "$labels.".len()..];
        found.insert(rest[..rest.find(|c: char| !c.is_ascii_lowercase()).unwrap()].to_owned());
    }
    for (at, _) in query.match_indices("{{") {
        let inner = query[at + 2..].split("}}").next().unwrap().trim();
        if inner.chars().all(|c| c.is_ascii_lowercase()) && inner != "end" {
            found.insert(inner.to_owned());
        }
    }
    found.retain(|label| label != "else");
    found
}

/// Every query of a dashboard: those of panels, and those of variables.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("expr" | "query" | "definition" | "legendFormat", Value::String(text)) => {
                        found.push(text.clone());
                    }
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(file("leasehold.dashboard.json")).unwrap()).unwrap()
}

/// Runs promtool, which has to be content.
#[track_caller]
fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new(program("promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn alerts_and_dashboard_name_only_what_a_real_run_exports_and_promtool_takes_all_of_it() {
    let exposition = exported();
    promtool(&["check", "metrics"], &exposition);
    let exported = labels(&exposition);
    let family = |name: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        base.filter(|base| CONTRACT.contains(base)).unwrap_or(name).to_owned()
    };
    let families: BTreeSet<String> = exported.keys().map(|name| family(name)).collect();
    assert_eq!(families, CONTRACT.map(ToOwned::to_owned).into(), "what is exported is the contract");

    let mut all = Vec::new();
    queries(&dashboard(), &mut all);
    let shown: BTreeSet<String> =
        all.iter().flat_map(|q| metrics(q)).map(|(name, _)| family(&name)).collect();
    assert_eq!(shown, families, "the dashboard shows all of it");
    let rules = fs::read_to_string(file("leasehold.rules.yaml")).unwrap();
    assert!(metrics(&rules).len() > 20, "the alerts are found");
    all.push(rules);

    let kinds = [
        Kind::Denied,
        Kind::Absent,
        Kind::Invalid,
        Kind::SessionEnded,
        Kind::LeaseGone,
        Kind::Throttled,
        Kind::Unavailable,
        Kind::Malformed,
        Kind::Internal,
    ];
    let outcomes: BTreeSet<&str> =
        kinds.into_iter().map(Kind::as_str).chain(["ok", "failed"]).chain(OF_A_CHECK).collect();
    let operations =
        [Operation::Login, Operation::Fetch, Operation::Lookup, Operation::Renew, Operation::Revoke];
    let operations: BTreeSet<&str> = operations.into_iter().map(Operation::as_str).collect();
    let any: BTreeSet<&str> = exported.values().flatten().map(String::as_str).chain(OF_THE_TARGET).collect();
    for query in &all {
        for (name, selectors) in metrics(query) {
            let Some(labels) = exported.get(&name) else { panic!("{name} is not exported: {query}") };
            for Selector { label, operator, value } in selectors {
                let known = labels.contains(&label) || OF_THE_TARGET.contains(&label.as_str());
                assert!(known, "{name} has no label {label}: {query}");
                let values = match label.as_str() {
                    "outcome" => &outcomes,
                    "operation" => &operations,
                    _ => continue,
                };
                for value in value.split('|') {
                    assert!(values.contains(value), "{label}{operator}\"{value}\" never comes: {query}");
                }
            }
        }
        for label in named(query) {
            assert!(any.contains(label.as_str()), "no metric has a label {label}: {query}");
        }
    }
}

#[test]
fn each_alert_says_for_how_long_how_severe_and_what_to_do_and_each_is_tested() {
    let (rules, tests) = (file("leasehold.rules.yaml"), file("leasehold.rules.test.yaml"));
    promtool(&["check", "rules", rules.to_str().unwrap()], "");
    promtool(&["test", "rules", tests.to_str().unwrap()], "");
    let rules = fs::read_to_string(rules).unwrap();
    let tests = fs::read_to_string(tests).unwrap();
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert_eq!(alerts.len(), 13);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for part in [
            "\n        for: ",
            "\n          severity: ",
            "\n          summary: ",
            "\n          description: ",
        ] {
            assert!(alert.contains(part), "{name} lacks {}", part.trim());
        }
        let fires = format!("alertname: {name}\n        exp_alerts:");
        assert!(tests.contains(&fires), "no test sees {name} fire");
    }
}

#[test]
fn the_dashboard_has_what_grafana_wants_to_import_it() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "leasehold");
    assert!(dashboard["schemaVersion"].as_u64().is_some());
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let mut taken: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for panel in panels {
        let (id, place) = (panel["id"].as_u64().unwrap(), &panel["gridPos"]);
        let number = |key: &str| place[key].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "panel {id} is too wide");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert_eq!(taken.insert((x, y), id), None, "panel {id} lies on another");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && panel["description"].as_str().is_some_and(|text| !text.is_empty()));
        for source in targets.iter().chain([panel]).map(|part| &part["datasource"]["uid"]) {
            assert_eq!(source, "${datasource}", "panel {id} asks the data source that was chosen");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!((&variables[0]["name"], &variables[0]["type"]), (&json!("datasource"), &json!("datasource")));
}
