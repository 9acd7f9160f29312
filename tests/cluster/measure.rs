//! What a pod with leasehold costs, beside the same pod with the Vault agent and one with neither: memory of
//! twenty each, and the time from `kubectl apply` to the application's first instruction.
//! `tests/cluster/measure` brings the node and the agent's image, and runs this.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests start programs, wait on real clocks and write their own files"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]
#![allow(dead_code, reason = "node and stage are the scenarios', too")]

mod log;
mod machine;
mod node;
mod stage;

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use harness::{eventually, vault};
use leasehold_harness as harness;

use machine::memory_group;
use node::Pod;
use stage::{APPLICATION, Changes, Stage};

const SOON: Duration = Duration::from_secs(60);

const PODS: usize = 20;
const RUNS: usize = 5;
/// How old the youngest pod is when memory is read.
const SETTLED: Duration = Duration::from_secs(30);

/// What stands beside the application.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Leasehold,
    Agent,
}

/// What holds the application back until there are files.
#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Probe,
    Hook,
}

/// Both kinds of pods at once, so that what they can share with their like is shared.
#[test]
fn memory_of_twenty_pods_and_of_twenty_with_the_agent() {
    let kinds = [("leasehold", Beside::Leasehold), ("Vault agent", Beside::Agent)];
    let stages = kinds.map(|(name, beside)| {
        let stage = Stage::new("twenty", "30m", "1h");
        let manifest = manifest(&stage, beside, Gate::Probe, false, PODS);
        let applied = SystemTime::now();
        stage.space.apply(&manifest);
        eventually("all run", 5 * SOON, || {
            let pods = stage.space.get("deployment", "web").unwrap();
            let ready = pods["status"]["readyReplicas"].as_u64().unwrap_or(0);
            if ready == PODS as u64 { Ok(()) } else { Err(format!("{ready} of {PODS}")) }
        });
        println!(
            "{PODS} pods with {name}: ready {:.1} s after apply",
            applied.elapsed().unwrap().as_secs_f64()
        );
        stage
    });
    // The length of their lives is part of what is measured.
    std::thread::sleep(SETTLED);

    let mut table =
        format!("Memory of {PODS} pods each, in MiB: one (least, median, most), and all together.\n\n");
    let head = ["", "resident", "proportional", "private dirty", "charged"];
    let row = |table: &mut String, cells: [String; 5]| {
        let [name, rest @ ..] = cells;
        write!(table, "{name:<12}").unwrap();
        rest.iter().for_each(|cell| write!(table, "  {cell:<27}").unwrap());
        *table = format!("{}\n", table.trim_end());
    };
    row(&mut table, head.map(str::to_owned));
    for ((name, beside), stage) in kinds.iter().zip(&stages) {
        let container = container(*beside);
        let pods = stage.space.pods(APPLICATION);
        assert_eq!(pods.len(), PODS);
        let readings: Vec<[f64; 4]> =
            pods.iter().map(|name| reading(&stage.space.named(name), container)).collect();
        let column = |index: usize| {
            let one: Vec<f64> = readings.iter().map(|reading| reading[index]).collect();
            let all: f64 = one.iter().sum();
            format!("{}, {all:.0}", spread(one, 1))
        };
        row(&mut table, [(*name).to_owned(), column(0), column(1), column(2), column(3)]);
    }
    println!("\n{table}");
}

/// Of a container's own process: resident, proportional, private dirty; and what is charged to its memory group.
fn reading(pod: &Pod<'_>, container: &str) -> [f64; 4] {
    let pid = pod.process(container);
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib = |key: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap().trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    // Under version 1 and 2.
    let files = ["memory.usage_in_bytes", "memory.current"].map(|file| memory_group(pid).join(file));
    let charged = files.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap();
    let charged = charged.trim().parse::<f64>().unwrap() / (1024.0 * 1024.0);
    [kib("Rss"), kib("Pss"), kib("Private_Dirty"), charged]
}

/// One pod at a time, kind by kind in turn, so that a busy moment of the machine meets all kinds.
#[test]
fn time_until_the_application_starts_behind_each_gate() {
    let kinds = [
        ("no sidecar", Beside::Nothing, Gate::Probe, false),
        ("leasehold, probe", Beside::Leasehold, Gate::Probe, false),
        ("leasehold, hook", Beside::Leasehold, Gate::Hook, false),
        ("leasehold, probe, 100m", Beside::Leasehold, Gate::Probe, true),
        ("leasehold, hook, 100m", Beside::Leasehold, Gate::Hook, true),
        ("Vault agent, probe", Beside::Agent, Gate::Probe, false),
        ("Vault agent, hook", Beside::Agent, Gate::Hook, false),
    ];
    let stage = Stage::new("starts", "30m", "1h");
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); kinds.len()];
    for _ in 0..RUNS {
        for ((_, beside, gate, limited), times) in kinds.iter().zip(&mut times) {
            times.push(start(&stage, &manifest(&stage, *beside, *gate, *limited, 1)));
        }
    }
    let mut table = format!(
        "From `kubectl apply` to the application's first line, {RUNS} runs each, in seconds: least, median, \
         most.\n100m: with the manifests' limits of processor time, the others without any.\n\n"
    );
    for ((name, ..), times) in kinds.iter().zip(times) {
        writeln!(table, "{name:<24}{}", spread(times, 2)).unwrap();
    }
    println!("\n{table}");
}

fn start(stage: &Stage, manifest: &str) -> f64 {
    let applied = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    stage.space.apply(manifest);
    let pod = stage.pod();
    eventually("the application runs", 2 * SOON, || pod.log("application").contains("started"));
    let started = pod.lines("application").at("started");
    stage.end();
    eventually("the pod is gone", 2 * SOON, || stage.space.pods(APPLICATION).is_empty());
    started.saturating_sub(applied).as_secs_f64()
}

fn container(beside: Beside) -> &'static str {
    if beside == Beside::Agent { "agent" } else { "leasehold" }
}

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    format!("{least:.digits$} {median:.digits$} {most:.digits$}")
}

/// The native mode as it is, and what differs: what stands beside the application, the gate, limits of processor
/// time, how many. The application reads its files; it asks no database, so that only sidecars work here.
fn manifest(stage: &Stage, beside: Beside, gate: Gate, limited: bool, pods: usize) -> String {
    let pod = "/spec/template/spec";
    let mut patch = format!("- {{ op: add, path: /spec/replicas, value: {pods} }}\n");
    writeln!(patch, "- {{ op: remove, path: {pod}/containers/0/env }}").unwrap();
    if !limited {
        for container in ["containers", "initContainers"] {
            writeln!(patch, "- {{ op: remove, path: {pod}/{container}/0/resources/limits/cpu }}").unwrap();
            writeln!(
                patch,
                "- {{ op: replace, path: {pod}/{container}/0/resources/requests/cpu, value: 5m }}"
            )
            .unwrap();
        }
    }
    let mut changes = Changes::default();
    match beside {
        Beside::Nothing => writeln!(patch, "- {{ op: remove, path: {pod}/initContainers }}").unwrap(),
        Beside::Leasehold if gate == Gate::Hook => changes = changes.component("fast-start"),
        Beside::Leasehold => {}
        Beside::Agent => {
            stage.space.apply(&agent_configuration(stage));
            patch += &agent(gate);
        }
    }
    stage.render("native", &changes.patch("Deployment", &patch))
}

/// The agent in leasehold's place: the same rights and volumes, and a gate that looks for the file.
fn agent(gate: Gate) -> String {
    let file = "/run/secrets/leasehold/live/db.env";
    let (gate, probe) = match gate {
        Gate::Probe => (
            "startupProbe",
            format!(
                "{{ exec: {{ command: [/busybox, test, -e, {file}] }}, failureThreshold: 330, periodSeconds: 1 }}"
            ),
        ),
        Gate::Hook => {
            let wait = format!("until test -e {file}; do /busybox sleep 0.02; done");
            ("lifecycle", format!("{{ postStart: {{ exec: {{ command: [/busybox, sh, -c, {wait:?}] }} }} }}"))
        }
    };
    let container = "/spec/template/spec/initContainers/0";
    format!(
        "- {{ op: replace, path: {container}/name, value: agent }}\n\
         - {{ op: replace, path: {container}/image, value: localhost/agent:measure }}\n\
         - {{ op: replace, path: {container}/args, value: [agent, -config=/etc/leasehold/agent.hcl] }}\n\
         - {{ op: replace, path: {container}/resources/limits/memory, value: 256Mi }}\n\
         - {{ op: replace, path: {container}/resources/requests/memory, value: 256Mi }}\n\
         - {{ op: remove, path: {container}/startupProbe }}\n\
         - {{ op: add, path: {container}/{gate}, value: {probe} }}\n\
         - {{ op: replace, path: /spec/template/spec/volumes/0/configMap/name, value: agent }}\n"
    )
}

fn agent_configuration(stage: &Stage) -> String {
    let url = vault().url();
    let configuration = format!(
        r#"vault {{ address = "{url}" }}
auto_auth {{
  method "kubernetes" {{
    config = {{ role = "{role}", token_path = "/var/run/secrets/tokens/vault" }}
  }}
}}
template {{
  destination = "/run/secrets/leasehold/live/db.env"
  contents = "{{{{ with secret \"{creds}\" }}}}DATABASE_URL=postgres://{{{{ .Data.username }}}}:{{{{ .Data.password }}}}@postgres:5432/web{{{{ end }}}}"
}}
"#,
        role = stage.role,
        creds = stage.creds,
    );
    let map = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "agent" },
        "data": { "agent.hcl": configuration },
    });
    map.to_string()
}
