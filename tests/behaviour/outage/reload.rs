//! Another configuration for a running process.

use std::fs;
use std::os::unix::fs::symlink;

use harness::Signal;
use harness::leasehold::Running;
use harness::process::Exit;
use harness::vault::DatabaseMount;

use super::super::bench::Bench;
use super::super::*;

/// A database with two roles, and a bench that may read both and revoke what it drops.
struct Scene {
    bench: Bench<'static>,
    database: DatabaseMount<'static>,
    web: String,
    other: String,
}

const ONE: &str = "
secrets:
  db: { provider: vault, path: WEB }
files:
  db.env: { template: \"{{ db.username }} {{ db.password }}\" }
";
const TWO: &str = "
secrets:
  db: { provider: vault, path: WEB }
  other: { provider: vault, path: OTHER }
files:
  db.env: { template: \"{{ db.username }} {{ db.password }}\" }
  other.env: { template: \"{{ other.username }} {{ other.password }}\" }
  user: { secret: db, field: username }
";

impl Scene {
    fn new(name: &str) -> Self {
        let database = vault().database_mount(name);
        let (web, other) = (database.role("web", "10m", "1h"), database.role("other", "10m", "1h"));
        let policy = vault().policy(name).read(&web).read(&other).revoke_leases();
        let bench = Bench::new(vault(), policy, json!({ "token_ttl": "10m" }));
        Self { bench, database, web, other }
    }

    fn config(&self, sections: &str) -> String {
        let sections = sections.replace("WEB", &self.web).replace("OTHER", &self.other);
        self.bench.config(&vault().url(), "revoke_delay: 0s, overlap: 1s", &sections)
    }

    /// From one secret to two and back again; `apply` puts a configuration in place and has it read.
    #[track_caller]
    fn adds_and_removes(&self, running: &mut Running, mut apply: impl FnMut(&mut Running, String)) {
        let (lease, pair) = (self.bench.lease("db"), self.bench.pair("db.env"));
        apply(running, self.config(TWO));
        eventually("the new files are there", SOON, || self.bench.read("other.env").is_some());
        assert_eq!(self.bench.login("other.env"), Ok(()));
        assert_eq!(self.bench.read("user"), Some(pair.0.clone()));
        let other = self.bench.lease("other");
        let mut leases = self.database.leases();
        leases.sort();
        let mut expected = [lease.clone(), other.clone()];
        expected.sort();
        assert_eq!(leases, expected, "nothing was minted twice, nothing lost");

        apply(running, self.config(ONE));
        eventually("what is gone is taken back", SOON, || self.database.leases() == [lease.clone()]);
        eventually("its files are gone", SOON, || {
            self.bench.read("other.env").is_none() && self.bench.read("user").is_none()
        });
        assert_eq!((self.bench.lease("db"), self.bench.pair("db.env")), (lease, pair));
        assert_eq!(self.bench.login("db.env"), Ok(()));
        assert_eq!(running.exit(), None);
    }

    #[track_caller]
    fn end(&self, mut running: Running) {
        running.signal(Signal::TERM);
        assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
        self.bench.nothing_is_left(&self.database);
    }
}

#[test]
fn a_changed_file_adds_and_removes_secrets_without_touching_the_others() {
    let scene = Scene::new("changed");
    scene.bench.configure(&scene.config(ONE));
    let mut running = scene.bench.run_until_ready();
    scene.adds_and_removes(&mut running, |_, config| scene.bench.configure(&config));
    scene.end(running);
}

#[test]
fn sighup_reads_the_file_again_where_only_a_signal_may() {
    let scene = Scene::new("signal");
    let by_signal = |config: String| config.replace("overlap: 1s", "overlap: 1s, reload: signal");
    scene.bench.configure(&by_signal(scene.config(ONE)));
    let mut running = scene.bench.run_until_ready();
    scene.adds_and_removes(&mut running, |running, config| {
        scene.bench.configure(&by_signal(config));
        running.signal(Signal::HUP);
    });
    scene.end(running);
}

#[test]
fn a_config_map_that_is_switched_is_a_changed_file() {
    let scene = Scene::new("switched");
    let map = scene.bench.folder.join("map");
    let mut version = 0;
    // As a kubelet does: a directory of its own, and one rename of `..data`.
    let mut switch = |config: String| {
        version += 1;
        let name = format!("..2026_{version}");
        fs::create_dir_all(map.join(&name)).unwrap();
        fs::write(map.join(&name).join("leasehold.yaml"), config).unwrap();
        symlink(&name, map.join("..data_tmp")).unwrap();
        fs::rename(map.join("..data_tmp"), map.join("..data")).unwrap();
        if version > 1 {
            fs::remove_dir_all(map.join(format!("..2026_{}", version - 1))).unwrap();
        }
    };
    switch(scene.config(ONE));
    symlink("..data/leasehold.yaml", map.join("leasehold.yaml")).unwrap();
    symlink(map.join("leasehold.yaml"), scene.bench.file()).unwrap();
    let mut running =
        harness::Leasehold::command(["run".as_ref(), "-c".as_ref(), map.join("leasehold.yaml").as_os_str()])
            .start();
    scene.bench.ready(&mut running);
    scene.adds_and_removes(&mut running, |_, config| switch(config));
    scene.end(running);
}

#[test]
fn a_broken_file_keeps_the_old_plan_and_a_changed_provider_waits_for_a_restart() {
    let scene = Scene::new("broken");
    let bench = &scene.bench;
    bench.configure(&scene.config(ONE));
    let mut running = bench.run_until_ready();
    let held = (bench.lease("db"), bench.pair("db.env"));
    let refused = || bench.metric("leasehold_reload_failures_total");
    let mut failures = 0.0;
    for broken in [
        &scene.config("\nsecrets: ["),
        &scene.config(&TWO.replace("other: { provider: vault", "other: { provider: valut")),
        &scene.config(&TWO.replace("{{ other.password }}", "{{ other.password ")),
    ] {
        bench.configure(broken);
        running.signal(Signal::HUP);
        failures += 1.0;
        eventually("it is refused, and said", SOON, || match refused() {
            Some(count) if count >= failures => Ok(()),
            other => Err(format!("{broken}: {other:?}: {}", running.stderr())),
        });
        failures = refused().unwrap();
        assert_eq!((bench.lease("db"), bench.pair("db.env")), held);
        assert_eq!((scene.database.leases().len(), running.exit()), (1, None));
        assert!(bench.is_ready());
    }
    let log = running.stderr();
    for words in ["leasehold.yaml:9:", "did you mean \"vault\"", "files[\"other.env\"].template"] {
        assert!(log.contains(words), "{words}: {log}");
    }

    // Whoever can edit the file must not be able to send our credentials elsewhere.
    let elsewhere = harness::Proxy::to(vault().address());
    bench.configure(&scene.config(TWO).replace(&vault().url(), &elsewhere.url()));
    eventually("status says what waits", SOON, || {
        bench.status()["needs_restart"]
            .as_array()
            .is_some_and(|list| list.iter().any(|it| it == "providers.vault"))
    });
    eventually("what a reload may change is in place", SOON, || bench.read("other.env").is_some());
    assert!(running.stderr().contains("providers.vault"), "{}", running.stderr());
    assert_eq!((bench.lease("db"), bench.pair("db.env")), held);
    assert!(elsewhere.requests("").is_empty(), "{:?}", elsewhere.requests(""));
    bench.configure(&scene.config(TWO));
    eventually("nothing waits any more", SOON, || bench.status()["needs_restart"] == json!([]));
    scene.end(running);
}

#[test]
fn a_secret_that_stands_for_something_else_is_replaced_before_the_old_lease_goes() {
    let scene = Scene::new("moved");
    let bench = &scene.bench;
    let proxy = harness::Proxy::to(vault().address());
    let config = |sections: &str| scene.config(sections).replace(&vault().url(), &proxy.url());
    bench.configure(&config(ONE));
    let mut running = bench.run_until_ready();
    let (lease, pair) = (bench.lease("db"), bench.pair("db.env"));

    let rule = proxy.withhold(&format!("/v1/{}", scene.other));
    bench.configure(&config(&ONE.replace("WEB", "OTHER")));
    eventually("the new one is on its way", SOON, || rule.waiting() == 1);
    assert_eq!((bench.lease("db"), bench.pair("db.env")), (lease.clone(), pair.clone()));
    assert_eq!(bench.login("db.env"), Ok(()));
    rule.release();
    eventually("the new one is in place", SOON, || bench.pair("db.env") != pair);
    assert_eq!(bench.login("db.env"), Ok(()));
    eventually("the old one is taken back", SOON, || !scene.database.leases().contains(&lease));
    assert_eq!(scene.database.leases(), [bench.lease("db")]);
    assert!(bench.lease("db").starts_with(&scene.other));
    assert_eq!(running.exit(), None);
    scene.end(running);
}
