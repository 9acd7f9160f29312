//! The node, as a person with `kubectl` and a root shell on it sees it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::process::Group;
use harness::vault::{since_1970, unique};
use harness::{eventually, program};
use leasehold_harness as harness;
use serde_json::Value;

use crate::SOON;
use crate::log::{Followed, Lines};

/// Everything of the node, as `tests/cluster/env` says.
pub(crate) const PLACE: &str = "/var/lib/leasehold-cluster";
/// The API server, as the host sees it.
pub(crate) const API_SERVER: &str = "https://10.99.0.2:6443";

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `kubectl` as the cluster's administrator.
#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) -> Said {
    kubectl_with(arguments, "")
}

/// The same with something on its standard input.
#[track_caller]
pub(crate) fn kubectl_with(arguments: &[&str], input: &str) -> Said {
    let configuration = Path::new(PLACE).join("admin.conf");
    assert!(configuration.exists(), "no node is up: tests/cluster/run brings it");
    let mut command = Command::new(program("kubectl"));
    command.args(arguments).env("KUBECONFIG", configuration).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl starts");
    // It may end without having read it.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("kubectl ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Said {
    /// What it printed.
    ///
    /// # Panics
    /// Where it failed, with what it said.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert!(self.success, "it failed: {}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// A certificate or key that the node was made with.
#[track_caller]
pub(crate) fn pki(file: &str) -> String {
    std::fs::read_to_string(Path::new(PLACE).join("pki").join(file)).expect("`up` made it")
}

/// A namespace of one test, in which Pod Security *restricted* is enforced. Dropped, it goes away with all in it.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) name: String,
}

impl Space {
    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        Self::under(name, "restricted")
    }

    /// Under another Pod Security Standard.
    #[track_caller]
    pub(crate) fn under(name: &str, standard: &str) -> Self {
        let name = format!("{}-{}", unique(name), std::process::id());
        kubectl(&["create", "namespace", &name]).done();
        let label = format!("pod-security.kubernetes.io/enforce={standard}");
        kubectl(&["label", "namespace", &name, &label]).done();
        let space = Self { name };
        eventually("its default service account", SOON, || space.kubectl(&["get", "sa", "default"]).success);
        space
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Said {
        kubectl(&[&["-n", &self.name], arguments].concat())
    }

    /// Creates what the YAML says, at the server: what it answered.
    #[track_caller]
    pub(crate) fn create(&self, yaml: &str) -> Said {
        kubectl_with(&["-n", &self.name, "create", "-f", "-"], yaml)
    }

    /// Applies what the YAML says.
    #[track_caller]
    pub(crate) fn apply(&self, yaml: &str) {
        kubectl_with(&["-n", &self.name, "apply", "-f", "-"], yaml).done();
    }

    /// One object; `None` where it does not exist.
    #[track_caller]
    pub(crate) fn get(&self, what: &str, name: &str) -> Option<Value> {
        let said = self.kubectl(&["get", what, name, "-o", "json"]);
        if !said.success && said.stderr.contains("NotFound") {
            return None;
        }
        Some(serde_json::from_str(&said.done()).expect("kubectl prints JSON"))
    }

    /// The names of the pods with that label, those that are ending included, oldest first.
    #[track_caller]
    pub(crate) fn pods(&self, label: &str) -> Vec<String> {
        let sorted = "--sort-by=.metadata.creationTimestamp";
        let printed = self.kubectl(&["get", "pods", "-l", label, sorted, "-o", "name"]).done();
        printed.lines().map(|line| line.trim_start_matches("pod/").to_owned()).collect()
    }

    /// The pod of that name.
    pub(crate) fn named(&self, name: &str) -> Pod<'_> {
        Pod { space: self, name: name.to_owned() }
    }

    /// The one pod with that label, once there is one.
    #[track_caller]
    pub(crate) fn pod(&self, label: &str) -> Pod<'_> {
        let name = eventually("a pod", SOON, || match &self.pods(label)[..] {
            [only] => Ok(only.clone()),
            others => Err(format!("{others:?}")),
        });
        self.named(&name)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // What a failed test leaves is looked at by a person who runs it alone.
        if std::thread::panicking() {
            println!("{}", self.story());
        }
        let _ = Command::new(program("kubectl"))
            .args(["delete", "namespace", &self.name, "--wait=false", "--grace-period=1"])
            .env("KUBECONFIG", Path::new(PLACE).join("admin.conf"))
            .output();
    }
}

impl Space {
    /// What a person would look at: pods, their events, and the logs of their containers.
    fn story(&self) -> String {
        let mut story = format!("---- namespace {}\n", self.name);
        let mut add = |arguments: &[&str]| {
            let said = self.kubectl(arguments);
            let _ = writeln!(story, "$ kubectl {}\n{}{}", arguments.join(" "), said.stdout, said.stderr);
        };
        add(&["get", "pods", "-o", "wide"]);
        add(&["get", "events", "--sort-by=.lastTimestamp"]);
        // Not `pods`: a second panic would end the whole run.
        for pod in self.kubectl(&["get", "pods", "-o", "name"]).stdout.lines() {
            add(&["logs", pod, "--all-containers", "--prefix", "--tail=40"]);
        }
        story
    }
}

/// How a container ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: i64,
    /// What it said of it, in the pod's status.
    pub(crate) message: String,
    /// How long it had run, in whole seconds.
    pub(crate) lasted: Duration,
}

/// One pod.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    space: &'a Space,
    pub(crate) name: String,
}

impl Pod<'_> {
    /// As the API server shows it; `None` once it is gone.
    #[track_caller]
    pub(crate) fn get(&self) -> Option<Value> {
        self.space.get("pod", &self.name)
    }

    /// The status of one container, of whatever kind.
    #[track_caller]
    pub(crate) fn container(&self, name: &str) -> Option<Value> {
        let status = self.get()?["status"].take();
        let of_kind = |kind: &str| status[kind].as_array().cloned().unwrap_or_default();
        let kinds = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
        kinds.into_iter().flat_map(of_kind).find(|container| container["name"] == name)
    }

    /// How often a container was started again.
    #[track_caller]
    pub(crate) fn restarts(&self, container: &str) -> u64 {
        self.container(container).and_then(|status| status["restartCount"].as_u64()).unwrap_or_default()
    }

    /// How a container ended last: the `terminated` object of its present or last state.
    #[track_caller]
    pub(crate) fn ended(&self, container: &str) -> Option<Value> {
        let mut status = self.container(container)?;
        let (now, last) = (status["state"]["terminated"].take(), status["lastState"]["terminated"].take());
        [now, last].into_iter().find(|state| !state.is_null())
    }

    /// Waits until a container has ended: what `kubectl describe pod` shows of its end.
    #[track_caller]
    pub(crate) fn end_of(&self, container: &str) -> End {
        let state = eventually(&format!("the end of {container}"), 2 * SOON, || self.ended(container));
        let at = |key: &str| state[key].as_str().and_then(since_1970).expect("a time");
        End {
            code: state["exitCode"].as_i64().expect("a code"),
            message: state["message"].as_str().unwrap_or_default().trim().to_owned(),
            // The runtime notes the start of what ends at once only after its end.
            lasted: at("finishedAt").saturating_sub(at("startedAt")),
        }
    }

    /// What `kubectl describe pod` prints.
    #[track_caller]
    pub(crate) fn described(&self) -> String {
        self.space.kubectl(&["describe", "pod", &self.name]).done()
    }

    /// Prints what a person sees of a symptom: for the documentation, which quotes it.
    pub(crate) fn show(&self, symptom: &str) {
        let status = self.exec("leasehold", &["/leasehold", "status"]);
        for (part, text) in [
            ("describe", self.described()),
            ("log", self.log("leasehold")),
            ("status", format!("{}{}", status.stdout, status.stderr)),
        ] {
            println!("==== {symptom}: {part}\n{text}");
        }
    }

    /// Waits until a container runs and, where it has a startup or readiness probe, passed it.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self, container: &str) {
        eventually(&format!("{container} of {} is ready", self.name), SOON, || {
            let status = self.container(container).ok_or("no status yet")?;
            if status["ready"] == true { Ok(()) } else { Err(status["state"].to_string()) }
        });
    }

    /// What a container has printed since its last start.
    #[track_caller]
    pub(crate) fn log(&self, container: &str) -> String {
        self.space.kubectl(&["logs", &self.name, "-c", container]).stdout
    }

    /// Runs a command in a container.
    #[track_caller]
    pub(crate) fn exec(&self, container: &str, command: &[&str]) -> Said {
        self.space.kubectl(&[&["exec", &self.name, "-c", container, "--"], command].concat())
    }

    /// What a container has printed since its last start, and when.
    #[track_caller]
    pub(crate) fn lines(&self, container: &str) -> Lines {
        Lines::read(&self.space.kubectl(&["logs", &self.name, "-c", container, "--timestamps"]).done())
    }

    /// Reads on what a container prints until it ends: for what is printed while the pod goes away.
    #[track_caller]
    pub(crate) fn follow(&self, container: &str) -> Followed {
        let file = scratch().join(unique(&format!("{}-{container}.log", self.space.name)));
        let mut command = Command::new(program("kubectl"));
        command.args(["-n", &self.space.name, "logs", &self.name, "-c", container, "--timestamps", "-f"]);
        command.env("KUBECONFIG", Path::new(PLACE).join("admin.conf")).stdin(Stdio::null());
        command.stdout(File::create(&file).expect("a folder of ours")).stderr(Stdio::null());
        let followed = Followed { process: Group::spawn(&mut command), file };
        eventually("its log is read", SOON, || {
            std::fs::metadata(&followed.file).is_ok_and(|file| file.len() > 0)
        });
        followed
    }

    /// Deletes the pod by the eviction API, as a drain does: disruption budgets are asked, and it ends gracefully.
    #[track_caller]
    pub(crate) fn evict(&self) {
        let (space, name) = (&self.space.name, &self.name);
        let eviction = serde_json::json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": name, "namespace": space },
        });
        let path = format!("/api/v1/namespaces/{space}/pods/{name}/eviction");
        kubectl_with(&["create", "--raw", &path, "-f", "-"], &eviction.to_string()).done();
    }

    /// What `leasehold status --json` prints, asked with `kubectl exec`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let printed = self.exec("leasehold", &["/leasehold", "status", "--json"]).done();
        serde_json::from_str(&printed).expect("it prints JSON")
    }

    /// The machine's process id of a container's own process: the first in it. What was run in it by `exec` or a
    /// probe came later.
    #[track_caller]
    pub(crate) fn process(&self, container: &str) -> u32 {
        let start = |pid: &u32| -> Option<u64> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name before it may hold blanks and brackets. The 22nd field, and the third comes next.
            stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
        };
        let processes = self.processes(container).into_iter();
        let oldest = processes.filter_map(|pid| Some((start(&pid)?, pid))).min();
        oldest.unwrap_or_else(|| panic!("no process in {container} of {}", self.name)).1
    }

    /// The machine's process ids of what runs in a container.
    #[track_caller]
    pub(crate) fn processes(&self, container: &str) -> Vec<u32> {
        let id = self.container(container).and_then(|status| {
            let id = status["containerID"].as_str()?;
            Some(id.trim_start_matches("containerd://").to_owned())
        });
        let Some(id) = id else { return Vec::new() };
        let entries = std::fs::read_dir("/proc").expect("it is mounted").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            groups.contains(&id)
        })
        .collect()
    }

    #[track_caller]
    pub(crate) fn wait_until_gone(&self) {
        eventually("the pod is gone", SOON, || self.get().is_none());
    }
}

/// Where a test writes what it needs on the machine.
pub(crate) fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    std::fs::create_dir_all(&folder).expect("a folder of ours");
    folder
}
