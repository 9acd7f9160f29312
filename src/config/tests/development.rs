//! The files of production, read for development.

use std::path::PathBuf;
use std::time::Duration;

use super::super::model::{Files as Wanted, RequireTmpfs};
use super::super::{Actions, Config, Development, Reading, Report};
use super::Files;
use crate::registry::{self, Settings};

fn reading() -> Reading {
    Reading::Development(Box::new(Development {
        root: PathBuf::from("/dev/shm/leasehold-dev-test"),
        stores: registry::Development::default(),
        actions: Actions::Name,
        left_out: Vec::new(),
        notes: Vec::new(),
    }))
}

fn read(text: &str) -> Result<Config, Report> {
    Files::of(&[("leasehold.yaml", text)]).load_for(&reading(), &[])
}

const PRODUCTION: &str = r#"
providers:
  vault: { type: vault, address: "${VAULT_ADDR}", tls: { ca_file: "${CA}" }, auth: { method: approle, role_id: "${ROLE}" } }
  cloud: { type: azure-key-vault, vault_url: "${AZURE_VAULT}" }
  own: { type: mock, ttl: 6s, max_ttl: 12s }
secrets:
  db: { provider: vault, path: database/creds/web, overlap: 20m, settle: 1m }
  api: { provider: cloud, path: api, version: abc, key: live.key }
  app: { provider: own, path: kv/app }
files:
  db.env: { template: "{{ db.username }}{{ api.value }}", owner: nobody-here, mode: "0444" }
env: { APP: "{{ app['my-key'] }}" }
output: { directory: "${OUT}", owner: nobody-here, group: nobody-here, require_tmpfs: strict }
lifecycle: { state_directory: "${STATE}", application: { process: java } }
admin: { listen: "unix:${SOCKET}", uids: [7] }
telemetry: { listen: "${PORT}" }
on_change: [{ signal: HUP, process: nginx }]
verify: { command: [/usr/bin/try, me] }
"#;

#[test]
fn nothing_that_a_store_or_a_pod_needs_is_read() {
    let config = read(PRODUCTION).unwrap_or_else(|report| panic!("{report}"));
    let root = PathBuf::from("/dev/shm/leasehold-dev-test");
    assert!(config.providers.values().all(|provider| matches!(provider.settings, Settings::Mock(_))));
    assert_eq!(config.output.directory, root.join("live"));
    assert_eq!((config.output.owner, config.output.require_tmpfs), (None, RequireTmpfs::No));
    assert_eq!(config.lifecycle.state_directory.path, root.join("state"));
    assert_eq!(config.lifecycle.application, None);
    assert_eq!(config.admin.listen, Some(root.join("admin.sock")));
    assert_eq!(config.telemetry.listen, None);
    assert!(config.on_change.is_empty());
    let Wanted::Named(files) = &config.files else { panic!("files are named") };
    assert_eq!((files["db.env"].owner, files["db.env"].mode), (None, Some(0o444)));
    let api = &config.secrets["api"].reference;
    assert_eq!((api.path.as_str(), &api.key, &api.version), ("api#live.key", &None, &None));
    let Reading::Development(development) = &config.reading else { panic!("it is remembered") };
    assert_eq!((development.left_out.len(), development.notes.len()), (1, 2));
    assert!(development.notes[1].contains("verify (command /usr/bin/try) is not run here"));
    assert_eq!((&config.verify, config.secrets["db"].settle), (&None, Duration::ZERO));
}

#[test]
fn what_is_wrong_elsewhere_is_wrong_here_too() {
    let wrong =
        PRODUCTION.replace("db.username", "bd.username").replace("path: kv/app", "path: kv/app, refesh: 1m");
    let report = read(&wrong).unwrap_err().to_string();
    assert!(report.contains("\"bd\"") && report.contains("refesh"), "{report}");
    let report = read(&PRODUCTION.replace("azure-key-vault", "azure-vault-key")).unwrap_err().to_string();
    assert!(report.contains("no such type of provider"), "{report}");
}

#[test]
fn read_again_it_is_the_same() {
    let files = Files::of(&[("leasehold.yaml", PRODUCTION)]);
    let first = files.load_for(&reading(), &[]).unwrap();
    let second = files.load_for(&first.reading, &[]).unwrap();
    let diff = super::super::reload_diff(&first, &second);
    assert_eq!((diff.changes, diff.needs_restart), (vec![], vec![]));
}
