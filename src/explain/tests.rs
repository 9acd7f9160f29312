//! The page as its readers see it, and the courses behind its time lines.

use leasehold_core::Environment;

use super::*;
use crate::client::{Colours, Glyphs};
use crate::config::Flags;

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leasehold.yaml");
    std::fs::write(&file, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match Config::load_with(&[file], &Flags::default(), &Environment::new(variables)) {
        Ok(config) => config,
        Err(report) => panic!("{report}"),
    }
}

fn page(config: &Config, assumptions: &Assumptions, view: View) -> String {
    let mut text = Vec::new();
    let lines = explain(config, assumptions, view).unwrap();
    crate::client::write_lines(lines, &view, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn assumed(ttl: &[&str], max_ttl: &[&str]) -> Assumptions {
    let parsed = |given: &[&str]| given.iter().map(|given| TermFlag::parse(given).unwrap()).collect();
    Assumptions { ttl: parsed(ttl), max_ttl: parsed(max_ttl) }
}

const QUICKSTART: &str = include_str!("../../examples/quickstart/leasehold.yaml");

/// The configuration of the public face, with an address that needs no variable.
#[cfg(all(feature = "vault", feature = "aws"))]
const PUBLIC: &str = r#"
providers:
  vault:
    type: vault
    address: https://vault:8200
    namespace: team
    auth: { method: kubernetes, role: web }
  aws: { type: aws-secrets-manager, region: eu-west-1 }
secrets:
  db:   { provider: vault, path: database/creds/web }
  cert: { provider: vault, path: pki/issue/web, data: { common_name: canary.svc, ttl: 24h }, revoke: true }
  app:  { provider: vault, path: secret/data/app, required: false }
  api:  { provider: aws, path: prod/api-key, refresh: 1m }
  key:  { provider: aws, path: prod/other-key, on_expiry: exit }
files:
  db.env: { template: "DATABASE_URL=postgres://{{ db.username }}:{{ db.password | urlencode }}@pg:5432/app" }
  tls/tls.crt: { secret: cert, field: certificate }
  tls/tls.key: { secret: cert, field: private_key, mode: "0400" }
  api.json: { secret: api, format: json }
on_change:
  - { signal: HUP, process: nginx, files: [tls/tls.crt, tls/tls.key] }
  - { http: { url: "http://127.0.0.1:8080/-/reload", method: POST }, files: [db.env] }
"#;

#[cfg(all(feature = "vault", feature = "aws"))]
#[test]
fn a_configuration_of_two_stores_in_words_and_time_lines() {
    let config = config(PUBLIC, &[]);
    let text = page(&config, &Assumptions::default(), View::PLAIN);
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_quick_start_with_the_ttls_of_its_own_mock() {
    let config = config(QUICKSTART, &[]);
    insta::assert_snapshot!(page(&config, &Assumptions::default(), View::PLAIN));
}

#[cfg(feature = "vault")]
#[test]
fn one_secret_under_exec_with_a_session_that_ends_sooner() {
    let text = r#"
providers:
  vault: { type: vault, address: "https://vault:8200", auth: { method: approle, role_id: canary, secret_id_file: /s } }
secrets:
  db: { provider: vault, path: database/creds/web, overlap: 2m, lookup: 30s }
files: {}
env: { PGUSER: "{{ db.username }}" }
"#;
    let config = config(text, &[]);
    let view = View { columns: Some(80), glyphs: Glyphs::Unicode, colours: Colours::Off };
    let text = page(&config, &assumed(&["db=1h", "vault=20m"], &["vault=1h"]), view);
    assert!(!text.contains("canary"), "{text}");
    insta::assert_snapshot!(text);
}

#[cfg(feature = "vault")]
#[test]
fn an_acknowledgement_that_nobody_can_give_is_not_awaited_and_that_is_said() {
    let text = r#"
providers:
  vault: { type: vault, address: "https://vault:8200", auth: { method: kubernetes, role: web } }
secrets:
  db: { provider: vault, path: database/creds/web }
FILES
env: { PGUSER: "{{ db.username }}" }
lifecycle: { acknowledge: required }
"#;
    let awaited = |files: &str| {
        let text = page(&config(&text.replace("FILES", files), &[]), &Assumptions::default(), View::PLAIN);
        let of_it = text.lines().find(|line| line.trim_start().starts_with("Awaited"));
        of_it.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert!(awaited("files: {}").contains("nobody: no file changes with it"), "{}", awaited("files: {}"));
    let named = awaited("files: { user: { secret: db, field: username } }");
    assert!(named.contains("the acknowledgement of the application"), "{named}");
}

#[cfg(all(feature = "vault", feature = "generate-key"))]
#[test]
fn a_check_a_settling_time_a_key_made_here_and_a_session_file_are_named() {
    let text = r#"
providers:
  vault: { type: vault, address: "https://vault:8200", auth: { method: kubernetes, role: web } }
  other: { type: vault, address: "https://vault:8200", auth: { method: kubernetes, role: other } }
secrets:
  db:   { provider: vault, path: database/creds/web, settle: 5s }
  cert: { provider: vault, path: pki/sign/web, data: { common_name: web.svc }, generate_key: ec-p256 }
files:
  all: { template: "{{ db.username }} {{ cert.certificate }}" }
  token: { session: other, mode: "0400" }
verify: { command: [/bin/try, canary], timeout: 20s, on_failure: publish }
"#;
    let text = page(&config(text, &[]), &Assumptions::default(), View::PLAIN);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "it is tried by command /bin/try (20s a try)",
        "is published all the same (on_failure: publish)",
        "a new value waits 5s until it is tried and published (settle)",
        "ec-p256, made here for each request",
        "writes pki/sign/web with common_name and csr (values not shown)",
        "the session itself is written for the application: token.",
    ] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
    assert!(!text.contains("canary") && !text.contains("never logged in to"), "{text}");
}

#[test]
fn every_line_keeps_to_the_columns_and_colours_are_only_on_a_terminal() {
    let config = config(QUICKSTART, &[]);
    for columns in 60..200 {
        let view = View { columns: Some(columns), glyphs: Glyphs::Unicode, colours: Colours::Off };
        for line in page(&config, &Assumptions::default(), view).lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
    let plain = page(&config, &Assumptions::default(), View::PLAIN);
    assert!(!plain.contains('\x1b') && plain.is_ascii(), "{plain}");
    let view = View { columns: Some(80), glyphs: Glyphs::Unicode, colours: Colours::On };
    assert!(page(&config, &Assumptions::default(), view).contains("\x1b[32m"));
}

#[test]
fn what_is_assumed_has_to_fit_the_configuration() {
    let config = config(QUICKSTART, &[]);
    let refused = |assumptions: &Assumptions| explain(&config, assumptions, View::PLAIN).unwrap_err();
    let unknown = refused(&assumed(&["web=1h"], &[]));
    assert!(
        unknown.contains("--ttl") && unknown.contains("app, db") && unknown.contains("store"),
        "{unknown}"
    );
    let short = refused(&assumed(&["db=2h"], &["1h"]));
    assert!(short.contains("db: a max TTL of 1h is shorter than a TTL of 2h"), "{short}");
    for nonsense in ["", "soon", "db=", "db=0s", "1", "db=1h=2", "=1"] {
        assert!(TermFlag::parse(nonsense).is_err(), "{nonsense:?}");
    }
    assert!(policy(&config, "vault").unwrap_err().contains("there are: store"));
}
