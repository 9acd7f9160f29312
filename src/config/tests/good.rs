//! What a good file means.

use std::time::Duration;

use super::super::model::{
    Acknowledge, Action, ActionKind, Choice, Content, Files as Wanted, Format, HookKind, OnExpiry, OnFailure,
    Overlap, Reload, RequireTmpfs, Signal, Target, Uid,
};
use super::super::{Diff, reload_diff, reloaded};
use super::{Files, good};

pub(super) const SMALL: &str = "
providers:
  vault: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }
secrets:
  db: { provider: vault, path: database/creds/web }
";

#[test]
fn a_small_file_gets_the_documented_defaults() {
    let config = good(SMALL);
    assert_eq!(config.files, Wanted::EveryField);
    assert_eq!(config.output.directory.to_str(), Some("/run/secrets/leasehold/live"));
    assert_eq!((config.output.mode, config.output.owner, config.output.group), (0o440, None, None));
    assert_eq!(config.output.require_tmpfs, RequireTmpfs::Yes);
    assert_eq!(config.lifecycle.startup_deadline, Duration::from_secs(300));
    assert_eq!(config.lifecycle.overlap, Overlap::Auto);
    assert_eq!(config.lifecycle.acknowledge, Acknowledge::Auto);
    assert!(config.lifecycle.revoke_on_shutdown);
    assert_eq!(config.lifecycle.revoke_delay, Duration::from_secs(20));
    assert_eq!(config.lifecycle.revoke_timeout, Duration::from_secs(5));
    assert_eq!(config.lifecycle.application, None);
    assert_eq!(config.lifecycle.heal_splay, Duration::from_secs(10));
    assert_eq!(config.lifecycle.reload, Reload::Auto);
    assert_eq!(config.lifecycle.state_directory.path.to_str(), Some("/run/leasehold"));
    assert_eq!(config.lifecycle.state_directory.choice, Choice::Default);
    assert_eq!(config.limits.mints_per_minute, 6);
    assert_eq!(config.admin.listen.as_deref(), Some("/run/leasehold/admin.sock".as_ref()));
    assert_eq!(config.admin.uids, [Uid::Own]);
    assert_eq!(config.telemetry.listen, Some("127.0.0.1:9441".parse().unwrap()));
    let db = &config.secrets["db"];
    assert_eq!(db.reference.path, "database/creds/web");
    assert_eq!((db.refresh, db.required, db.lookup), (Duration::from_secs(300), true, None));
    assert_eq!((db.settle, &config.verify), (Duration::ZERO, &None));
    assert_eq!((db.overlap, db.on_expiry), (Overlap::Auto, OnExpiry::Keep));
}

#[test]
fn every_key_of_a_full_file_arrives() {
    let config = good(
        r#"
version: 1
providers:
  vault:
    type: vault
    address: https://vault:8200
    namespace: team
    auth: { method: approle, role_id: web, secret_id_file: /run/secret-id, mount: approle-web }
    redirect_to: [vault-1]
    tls: { ca_file: /etc/ca.pem }
    proxy: none
secrets:
  db: { provider: vault, path: database/creds/web, overlap: 90s, on_expiry: exit, lookup: 5s, settle: 3s }
  cert:
    provider: vault
    path: pki/issue/web
    data: { common_name: web.svc, ttl: 24h, bits: 2048, wild: false, list: [a, 1] }
    revoke: true
  api: { provider: vault, path: kv/api, refresh: 1m, required: false, version: 3, key: token, namespace: other }
files:
  db.env:
    template: |
      DATABASE_URL=postgres://{{ db.username }}:{{ db.password | urlencode }}@pg:5432/app
      {% if api %}API={{ api["my-key"] }}{% endif %}
  tls/tls.crt: { secret: cert, field: certificate }
  tls/tls.key: { secret: cert, field: private_key, mode: "0400", owner: web, group: 12 }
  api.json: { secret: api, format: json }
env:
  DB_USER: "{{ db.username }}"
exec: { on_change: signal, signal: USR1, drain: 1s, grace: 2s, splay: 3s }
output: { directory: /run/app/live, mode: "0640", owner: 7, group: app, require_tmpfs: strict }
on_change:
  - { signal: HUP, process: nginx, files: [tls/tls.crt] }
  - { signal: USR2, pid_file: /run/app.pid }
verify: { command: [/bin/try, it], environment: { MODE: "${MODE:-soft}" }, timeout: 9s, on_failure: publish }
lifecycle:
  startup_deadline: 1m
  overlap: 2m
  acknowledge: required
  revoke_on_shutdown: false
  revoke_delay: 0s
  revoke_timeout: 7s
  application: { process: web }
  on_expiry: delete
  heal_splay: 1s
  reload: off
  state_directory: /run/state
limits: { mints_per_minute: 12 }
admin: { listen: "unix:/run/a.sock", uids: [own, 1000], drills: true }
telemetry: { listen: "[::]:9442" }
log: { level: debug, format: json }
"#,
    );
    let cert = &config.secrets["cert"];
    assert_eq!(cert.on_expiry, OnExpiry::Delete, "the default of lifecycle");
    assert_eq!(cert.overlap, Overlap::Fixed(Duration::from_secs(120)), "the default of lifecycle");
    assert!(cert.reference.revoke);
    assert_eq!(
        serde_json::Value::Object(cert.reference.data.clone().unwrap()),
        serde_json::json!({ "common_name": "web.svc", "ttl": "24h", "bits": 2048, "wild": false, "list": ["a", 1] })
    );
    let db = &config.secrets["db"];
    assert_eq!((db.overlap, db.on_expiry), (Overlap::Fixed(Duration::from_secs(90)), OnExpiry::Exit));
    assert_eq!(db.lookup, Some(Duration::from_secs(5)));
    assert_eq!(db.settle, Duration::from_secs(3));
    let api = &config.secrets["api"];
    assert_eq!((api.refresh, api.required), (Duration::from_secs(60), false));
    assert_eq!(api.reference.version.as_deref(), Some("3"));
    assert_eq!(api.reference.key.as_deref(), Some("token"));
    assert_eq!(api.reference.namespace.as_deref(), Some("other"));
    let Wanted::Named(files) = &config.files else { panic!("files are named") };
    assert_eq!(files["api.json"].content, Content::Format { secret: "api".into(), format: Format::Json });
    let key = &files["tls/tls.key"];
    assert_eq!((key.mode, key.owner, key.group), (Some(0o400), Some(1234), Some(12)));
    assert!(key.place.ends_with("leasehold.yaml:26"), "{}", key.place);
    assert_eq!((config.output.owner, config.output.group), (Some(7), Some(4321)));
    assert_eq!(
        config.on_change[0],
        Action {
            name: None,
            kind: ActionKind::Signal { signal: Signal::Hup, target: Target::Process("nginx".into()) },
            files: Some(vec!["tls/tls.crt".into()]),
            debounce: Duration::ZERO,
            timeout: Duration::from_secs(10),
            retries: 3,
        }
    );
    let verify = config.verify.unwrap();
    assert_eq!((verify.hook.timeout, verify.on_failure), (Duration::from_secs(9), OnFailure::Publish));
    let HookKind::Command { command, environment } = &verify.hook.kind else { panic!("it is a command") };
    assert_eq!(command, &["/bin/try", "it"]);
    assert_eq!(environment["MODE"].expose(), b"soft");
    assert_eq!(config.lifecycle.application.as_deref(), Some("web"));
    assert_eq!(config.lifecycle.reload, Reload::Off);
    assert_eq!(config.lifecycle.state_directory.choice, Choice::Configured);
    assert_eq!(config.admin.uids, [Uid::Own, Uid::Number(1000)]);
    assert_eq!(config.env["DB_USER"].template, "{{ db.username }}");
}

#[test]
fn a_platform_file_and_a_team_file_become_one() {
    let files = Files::of(&[
        (
            "platform.yaml",
            "version: 1\nproviders:\n  vault: { type: vault, address: https://vault:8200 }\nlog: { format: json }\n",
        ),
        (
            "team.yaml",
            "version: 1\nproviders:\n  vault: { auth: { method: kubernetes, role: web } }\nlog: { level: warn }\n\
             secrets:\n  db: { provider: vault, path: database/creds/web }\n",
        ),
    ]);
    let config = files.load(&[]).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.sources, files.paths);
    assert_eq!(config.providers.len(), 1);
    assert_eq!(format!("{:?}", config.log), "Log { level: Warn, format: Json }");
}

#[test]
fn the_environment_fills_in_scalars_and_leaves_templates_alone() {
    let files = Files::of(&[(
        "leasehold.yaml",
        r#"
providers:
  vault: { type: vault, address: "https://${HOST}:${PORT:-8200}", auth: { method: kubernetes, role: "${ROLE}" } }
secrets:
  db: { provider: vault, path: "database/creds/$${ROLE}", required: "${REQUIRED}", data: { pin: "${PIN}" } }
files:
  db.env: { template: "${HOST} {{ db.username }}" }
env: { X: "${HOST}" }
limits: { mints_per_minute: "${MINTS:-9}" }
"#,
    )]);
    let config = files
        .load(&[("HOST", "vault.example"), ("ROLE", "007"), ("REQUIRED", "false"), ("PIN", "0123")])
        .unwrap_or_else(|report| panic!("{report}"));
    assert!(config.providers["vault"].settings.identity().contains("vault.example:8200"));
    let db = &config.secrets["db"];
    assert_eq!(db.reference.path, "database/creds/${ROLE}");
    assert!(!db.required);
    assert_eq!(db.reference.data.as_ref().unwrap()["pin"], "0123", "what a variable brings stays text");
    let Wanted::Named(files) = &config.files else { panic!("files are named") };
    assert_eq!(files["db.env"].content, Content::Template("${HOST} {{ db.username }}".into()));
    assert_eq!(config.env["X"].template, "${HOST}");
    assert_eq!(config.limits.mints_per_minute, 9);
}

#[test]
fn files_may_be_none_at_all() {
    let config = good(&format!("{SMALL}files: {{}}\n"));
    assert_eq!(config.files, Wanted::Named(std::collections::BTreeMap::new()));
}

#[test]
fn anchors_and_merge_keys_work_as_in_other_yaml() {
    let config = good(
        "
providers:
  vault: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }
secrets:
  a: &common { provider: vault, path: kv/a, refresh: 7s }
  b: { <<: *common, path: kv/b }
",
    );
    assert_eq!(config.secrets["b"].reference.path, "kv/b");
    assert_eq!(config.secrets["b"].refresh, Duration::from_secs(7));
}

#[test]
fn a_reload_takes_secrets_and_leaves_providers_and_actions() {
    let old = good(SMALL);
    let new = good(
        "
providers:
  vault: { type: vault, address: https://elsewhere:8200, auth: { method: kubernetes, role: web } }
secrets:
  db: { provider: vault, path: database/creds/other }
  more: { provider: vault, path: kv/more }
on_change: [{ signal: HUP, process: app }]
verify: { command: [/bin/sh] }
lifecycle: { overlap: 3s, state_directory: /run/other }
output: { directory: /run/other/live }
log: { level: debug }
",
    );
    let diff = reload_diff(&old, &new);
    assert_eq!(diff.changes, ["secrets.db", "secrets.more (new)", "lifecycle.overlap", "log.level"]);
    assert_eq!(
        diff.needs_restart,
        ["providers.vault", "output.directory", "on_change", "verify", "lifecycle.state_directory"]
    );
    let running = reloaded(&old, &new).unwrap();
    assert_eq!(running.secrets, new.secrets);
    assert_eq!(running.providers, old.providers);
    assert_eq!(running.on_change, old.on_change);
    assert_eq!(running.verify, None);
    assert_eq!(running.output, old.output);
    assert_eq!(running.lifecycle.overlap, Overlap::Fixed(Duration::from_secs(3)));
    assert_eq!(running.lifecycle.state_directory, old.lifecycle.state_directory);
    assert_eq!(reload_diff(&new, &new), Diff::default());
}

#[test]
fn a_reload_takes_the_templates_of_env_and_no_name_that_is_new_or_says_which_code_runs() {
    let with = |env: &str, exec: &str| good(&format!("{SMALL}env: {{ {env} }}\nexec: {{ {exec} }}\n"));
    let old = with("A: one, B: one, C: one, PATH: /bin, PYTHONPATH: /lib", "");
    let new = with("A: one, B: two, D: new, PATH: /tmp, LD_PRELOAD: /tmp/x.so", "");
    let diff = reload_diff(&old, &new);
    assert_eq!(diff.changes, ["env.B", "env.C (removed)"]);
    let waiting = ["env.PATH", "env.PYTHONPATH (removed)", "env.D (new)", "env.LD_PRELOAD (new)"];
    assert_eq!(diff.needs_restart, waiting);
    let running = reloaded(&old, &new).unwrap();
    assert_eq!(running.env, with("A: one, B: two, PATH: /bin, PYTHONPATH: /lib", "").env);
    // What waits is said again as long as it does.
    assert_eq!(reload_diff(&running, &new).needs_restart, waiting);
    assert!(reload_diff(&running, &new).changes.is_empty());
}

#[test]
fn a_command_that_is_never_started_again_keeps_its_env_over_a_reload() {
    for on_change in ["signal", "none"] {
        let with =
            |env: &str| good(&format!("{SMALL}env: {{ {env} }}\nexec: {{ on_change: {on_change} }}\n"));
        let (old, new) = (with("A: one, B: one"), with("A: two"));
        let diff = reload_diff(&old, &new);
        assert!(diff.changes.is_empty(), "{diff:?}");
        assert_eq!(diff.needs_restart, ["env.A", "env.B (removed)"]);
        assert_eq!(reloaded(&old, &new).unwrap().env, old.env);
    }
}

#[test]
fn a_reload_that_moves_a_file_to_another_line_changes_nothing() {
    let files = "files:\n  a: { secret: db, field: username }\n";
    let old = good(&format!("{SMALL}{files}"));
    let new = good(&format!("{SMALL}\n# a comment\n{files}"));
    assert_eq!(reload_diff(&old, &new), Diff::default());
}

#[test]
fn a_reload_that_needs_a_new_provider_is_refused() {
    let old = good(SMALL);
    let new = good(
        "
providers:
  other: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }
secrets:
  db: { provider: other, path: database/creds/web }
",
    );
    let refused = reloaded(&old, &new).unwrap_err();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].contains("secrets.db") && refused[0].contains("restart"), "{refused:?}");
}

#[test]
fn a_reload_cannot_hand_our_session_to_the_application() {
    let token = "files:\n  token: { session: vault, mode: \"0400\" }\n";
    let (old, new) = (good(SMALL), good(&format!("{SMALL}{token}")));
    assert_eq!(new.files.sessions().into_iter().collect::<Vec<_>>(), ["vault"]);
    let refused = reloaded(&old, &new).unwrap_err();
    assert!(refused.len() == 1 && refused[0].contains("\"vault\""), "{refused:?}");
    assert!(reloaded(&new, &old).is_ok() && reloaded(&new, &new).is_ok());
}

#[test]
fn the_session_of_a_provider_without_a_log_in_is_no_file() {
    let text = SMALL.replace("secrets:", "  local: { type: file, path: /run/x }\nsecrets:");
    let files = Files::of(&[("leasehold.yaml", &format!("{text}files:\n  token: {{ session: local }}\n"))]);
    let report = files.load(&[]).unwrap_err().to_string();
    assert!(report.contains("files.token.session") && report.contains("no session of its own"), "{report}");
    assert!(report.contains("\"local\" (type file)"), "{report}");
}

#[test]
fn the_variables_that_may_hold_a_credential_are_known() {
    let files = Files::of(&[(
        "leasehold.yaml",
        r#"
providers:
  vault:
    address: "${ADDRESS}"
    auth: { method: userpass, username: "${NAME:-web}", password: "a${PASSWORD}b" }
secrets:
  db: { path: "${ROLE}", data: { list: ["${OTP}", "$${NOT_ONE}"] } }
"#,
    )]);
    let names: Vec<String> = super::super::secret_variables(&files.paths).into_iter().collect();
    assert_eq!(names, ["NAME", "OTP", "PASSWORD"]);
}

#[cfg(all(feature = "generate-key", feature = "vault"))]
#[test]
fn a_key_of_each_kind_is_made_with_data_or_without() {
    use crate::config::model::KeyKind;
    for (word, kind) in [
        ("ec-p256", KeyKind::EcP256),
        ("ec-p384", KeyKind::EcP384),
        ("ed25519", KeyKind::Ed25519),
        ("rsa-2048", KeyKind::Rsa2048),
        ("rsa-3072", KeyKind::Rsa3072),
        ("rsa-4096", KeyKind::Rsa4096),
    ] {
        let config = good(&format!(
            "providers: {{ vault: {{ type: vault, address: https://vault:8200, auth: {{ method: kubernetes, role: web }} }} }}\n\
             secrets: {{ cert: {{ provider: vault, path: pki/sign/web, generate_key: {word} }} }}\n"
        ));
        let reference = &config.secrets["cert"].reference;
        assert_eq!(reference.generate_key, Some(kind));
        assert_eq!(kind.to_string(), word);
        assert!(reference.data.is_some(), "it is a write: the request is sent");
    }
}
