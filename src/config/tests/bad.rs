//! Wrong files: each ends in a report that a tired person can act on. The snapshots are the
//! messages; read them as such a person.

use std::fmt::Write as _;

use super::super::Flags;
use super::Files;

/// A snapshot without the expression that made it.
macro_rules! snapshot {
    ($text:expr $(,)?) => {{
        let text: String = $text;
        insta::assert_snapshot!(text);
    }};
}

mod hooks;
#[cfg(feature = "generate-key")]
mod keys;

/// The reports of several files, each under its name. What each file says beside its mistake is
/// right.
fn reports(cases: &[(&str, &str)]) -> String {
    reports_with(cases, &[])
}

fn reports_with(cases: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, file) in cases {
        let files = Files::of(&[("leasehold.yaml", file)]);
        let report = match files.load(variables) {
            Ok(_) => panic!("{name}: nothing is said"),
            Err(report) => report.to_string(),
        };
        // Whatever this build holds.
        let kinds = crate::registry::kinds().join(", ");
        let report = match kinds.rsplit_once(", ") {
            Some((before, last)) => report.replace(&format!("{before} or {last}"), "KINDS"),
            None => report,
        };
        let report = report.replace(&kinds, "KINDS");
        let _ = writeln!(text, "=== {name}\n{}", files.shown(&report));
    }
    text
}

const PROVIDERS: &str = "providers:
  vault: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }
";

const BOTH: &str = "providers:
  vault: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }
secrets:
  db: { provider: vault, path: database/creds/web }
  cert: { provider: vault, path: pki/issue/web, data: { common_name: web } }
";

/// Cases that follow after good providers.
fn after_providers(cases: &[(&str, &str)]) -> String {
    let cases: Vec<(&str, String)> =
        cases.iter().map(|(name, text)| (*name, format!("{PROVIDERS}{text}"))).collect();
    reports(&cases.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>())
}

/// Cases that follow after good providers and secrets.
fn after_secrets(cases: &[(&str, &str)]) -> String {
    let cases: Vec<(&str, String)> =
        cases.iter().map(|(name, text)| (*name, format!("{BOTH}{text}"))).collect();
    reports(&cases.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>())
}

#[test]
fn yaml_that_does_not_parse_is_named_by_line() {
    snapshot!(reports(&[
        ("empty", ""),
        ("only comments", "# nothing\n"),
        ("a list", "- providers\n- secrets\n"),
        ("a word", "providers\n"),
        ("tab", "providers:\n\tvault: {}\n"),
        ("indentation", "providers:\n  vault:\n    type: vault\n   address: x\n"),
        ("open brace", "providers: { vault: { type: vault }\nsecrets: {}\n"),
        ("open quote", "providers:\n  vault:\n    type: \"vault\n"),
        ("variable in flow", "providers: { vault: { type: vault, address: ${ADDRESS} } }\n"),
        ("template without a block", "files:\n  a:\n    template: {{ db.username }}\n"),
        ("colon in text", "files:\n  a:\n    template: user: name\n"),
        ("key without colon", "providers:\n  vault\n  type: x\n"),
        ("escape", "log: { level: \"\\q\" }\n"),
        ("alias without anchor", "secrets: *common\n"),
        ("text that begins with an at", "log: { level: @info }\n"),
        ("duplicate key", "log: { level: info }\nadmin: {}\nlog: { format: json }\n"),
        ("two documents", "log: { level: info }\n---\nlog: { level: warn }\n"),
        ("tag", "log: !Sub { level: info }\n"),
        ("key that is a list", "[a, b]: c\n"),
        ("merge of text", "log: { <<: info }\n"),
    ]));
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", "));
    }
    let deep = format!("log: {}1{}", "[".repeat(100), "]".repeat(100));
    snapshot!(reports(&[("aliases of aliases", &bomb), ("nesting", &deep)]));
}

#[test]
fn what_is_missing_unknown_or_of_another_type_is_said_with_what_is_allowed() {
    snapshot!(reports(&[
        ("nothing of what is needed", "log: { level: info }\n"),
        (
            "no secrets",
            "providers:\n  vault: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }\nsecrets: {}\n"
        ),
        ("misspelt sections", &BOTH.replace("secrets:", "secerts:").replace("providers:", "provider:")),
        ("misspelt section", &format!("{BOTH}lifecyle: {{ overlap: 1m }}\n")),
        ("unknown section", &format!("{BOTH}injector: {{ enabled: true }}\n")),
        ("version", &format!("version: 2\n{BOTH}")),
        (
            "sections of a wrong type",
            &format!("{BOTH}files: [a]\noutput: /run/x\non_change: {{ signal: HUP }}\nlog: info\n")
        ),
        ("sections without a value", &format!("{BOTH}files:\nlog:\n")),
        (
            "scalars of a wrong type",
            &format!(
                "{BOTH}limits: {{ mints_per_minute: many }}\nlifecycle: {{ revoke_on_shutdown: yes, startup_deadline: [5m] }}\n"
            )
        ),
        ("a number in quotes", &format!("{BOTH}limits: {{ mints_per_minute: \"6\" }}\n")),
        ("a word in quotes", &format!("{BOTH}output: {{ require_tmpfs: \"true\" }}\n")),
        ("out of range", &format!("{BOTH}limits: {{ mints_per_minute: 0 }}\n")),
        (
            "words",
            &format!(
                "{BOTH}log: {{ level: INFO, format: jsno }}\nlifecycle: {{ on_expiry: stop, reload: false, acknowledge: always }}\noutput: {{ require_tmpfs: maybe }}\n"
            )
        ),
    ]));
}

#[test]
fn mistakes_about_providers_are_said() {
    let provider = |text: &str| {
        format!(
            "providers:\n  vault: {text}\nsecrets:\n  db: {{ provider: vault, path: database/creds/web }}\n"
        )
    };
    snapshot!(reports(&[
        ("no type", &provider("{ address: https://vault:8200 }")),
        ("misspelt type", &provider("{ tpye: vault, address: https://vault:8200 }")),
        ("unknown type", &provider("{ type: valut }")),
        (
            "a list of providers",
            "providers:\n  - { type: vault }\nsecrets:\n  db: { provider: vault, path: x }\n"
        ),
        ("a word", &provider("vault")),
        (
            "misspelt key",
            &provider("{ type: vault, adress: https://vault:8200, auth: { method: kubernetes, role: web } }")
        ),
        ("no method", &provider("{ type: vault, address: https://vault:8200, auth: { role: web } }")),
        (
            "unknown method",
            &provider("{ type: vault, address: https://vault:8200, auth: { method: kubernets, role: web } }")
        ),
        (
            "key of another method",
            &provider(
                "{ type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web, secret_id: x } }"
            )
        ),
        ("no role", &provider("{ type: vault, address: https://vault:8200, auth: { method: kubernetes } }")),
        ("nothing but its type", &provider("{ type: vault }")),
        (
            "address without scheme",
            &provider("{ type: vault, address: vault, auth: { method: kubernetes, role: web } }")
        ),
        (
            "name",
            "providers:\n  my vault: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } }\nsecrets:\n  db: { provider: my vault, path: x }\n"
        ),
    ]));
}

#[test]
fn mistakes_about_secrets_are_said() {
    snapshot!(after_providers(&[
        ("no provider, no path", "secrets:\n  db: {}\n"),
        ("unknown provider", "secrets:\n  db: { provider: valt, path: database/creds/web }\n"),
        (
            "names",
            "secrets:\n  my-db: { provider: vault, path: a/b }\n  DB: { provider: vault, path: a/b }\n  1st: { provider: vault, path: a/b }\n  range: { provider: vault, path: a/b }\n"
        ),
        ("a path instead of a mapping", "secrets:\n  db: database/creds/web\n"),
        (
            "paths",
            "secrets:\n  a: { provider: vault, path: /v1/database/creds/web }\n  b: { provider: vault, path: v1/kv/x }\n  c: { provider: vault, path: kv/ }\n  d: { provider: vault, path: kv/../x }\n  e: { provider: vault, path: \"kv/x?version=2\" }\n  f: { provider: vault, path: \"\" }\n  g: { provider: vault, path: \" kv/x\" }\n  h: { provider: vault, path: kv//x }\n"
        ),
        (
            "durations",
            "secrets:\n  a: { provider: vault, path: kv/a, refresh: 30 }\n  b: { provider: vault, path: kv/b, refresh: 100ms }\n  c: { provider: vault, path: kv/c, refresh: 5 minuten }\n  d: { provider: vault, path: kv/d, refresh: -5s }\n  e: { provider: vault, path: kv/e, refresh: 5S }\n  f: { provider: vault, path: kv/f, lookup: 0s }\n  g: { provider: vault, path: kv/g, refresh: 100000h }\n  h: { provider: vault, path: kv/h, refresh: \"\" }\n  i: { provider: vault, path: kv/i, overlap: 0s }\n  j: { provider: vault, path: kv/j, overlap: atuo }\n"
        ),
        (
            "version and others",
            "secrets:\n  a: { provider: vault, path: kv/a, version: 3, data: { x: y } }\n  b: { provider: vault, path: kv/b, version: 3, stage: AWSCURRENT }\n  c: { provider: vault, path: kv/c, data: [x] }\n"
        ),
        (
            "misspelt keys",
            "secrets:\n  a: { provider: vault, path: kv/a, refesh: 5m, ttl: 5m, requried: false }\n"
        ),
    ]));
}

#[test]
fn mistakes_about_files_are_said() {
    snapshot!(after_secrets(&[
        ("nothing in it", "files:\n  a: {}\n"),
        ("a word", "files:\n  a: db\n"),
        ("secret alone", "files:\n  a: { secret: db }\n"),
        ("field and format", "files:\n  a: { secret: db, field: username, format: json }\n"),
        ("template and secret", "files:\n  a: { template: x, secret: db }\n"),
        ("decode without field", "files:\n  a: { secret: db, format: json, decode: base64 }\n"),
        ("field alone", "files:\n  a: { field: username }\n"),
        ("unknown secret", "files:\n  a: { secret: bd, field: username }\n"),
        ("unknown format", "files:\n  a: { secret: db, format: yml }\n"),
        (
            "names",
            "files:\n  ../a: { secret: db, format: json }\n  /etc/a: { secret: db, format: json }\n  ..data: { secret: db, format: json }\n  a/../b: { secret: db, format: json }\n  a//b: { secret: db, format: json }\n  dir/: { secret: db, format: json }\n  ./c: { secret: db, format: json }\n  \"\": { secret: db, format: json }\n  \"a\\0b\": { secret: db, format: json }\n  \"a\\nb\": { secret: db, format: json }\n"
        ),
        ("a long name", &format!("files:\n  {}: {{ secret: db, format: json }}\n", "n".repeat(256))),
        (
            "a file and a directory",
            "files:\n  tls: { secret: cert, format: json }\n  tls/tls.crt: { secret: cert, field: certificate }\n"
        ),
        (
            "modes",
            "files:\n  a: { secret: db, format: json, mode: 0440 }\n  b: { secret: db, format: json, mode: 288 }\n  c: { secret: db, format: json, mode: rw-r----- }\n  d: { secret: db, format: json, mode: \"4440\" }\n  e: { secret: db, format: json, mode: \"0770\" }\n  f: { secret: db, format: json, mode: \"0666\" }\n  g: { secret: db, format: json, mode: \"0040\" }\n"
        ),
        (
            "owners",
            "files:\n  a: { secret: db, format: json, owner: wbe }\n  b: { secret: db, format: json, group: nobody-here }\n  c: { secret: db, format: json, owner: -1 }\n  d: { secret: db, format: json, owner: 4294967295 }\n"
        ),
    ]));
}

#[test]
fn mistakes_in_templates_are_said_without_their_text() {
    snapshot!(after_secrets(&[
        (
            "unknown secret",
            "files:\n  a:\n    template: |\n      user={{ db.username }}\n      pass={{ bd.password }}\n"
        ),
        ("open expression", "files:\n  a:\n    template: |\n      user={{ db.username }\n"),
        ("open statement", "files:\n  a:\n    template: |\n      {% if db %}x\n"),
        ("unknown statement", "files:\n  a:\n    template: |\n      {% iff db %}x{% endif %}\n"),
        (
            "go template",
            "files:\n  a:\n    template: '{{ with secret \"db\" }}{{ .Data.username }}{{ end }}'\n"
        ),
        ("unknown filter", "files:\n  a:\n    template: '{{ db.username | urlencod }}'\n"),
        ("unknown test", "files:\n  a:\n    template: '{{ db.username is emptyy }}'\n"),
        ("unknown function", "files:\n  a:\n    template: '{{ env(\"HOME\") }}'\n"),
        (
            "unknown filter in a branch",
            "files:\n  a:\n    template: |\n      {% if not db %}\n      {{ db.username | shell }}{% endif %}\n"
        ),
        (
            "path of no file",
            "files:\n  ab: { template: \"{{ path('ac') }}\" }\nenv:\n  X_FILE: \"{{ path('ab') }}{{ path('nope') }}\"\n"
        ),
        ("path without files", "env:\n  X_FILE: \"{{ path('db/username') }}{{ path('bd/username') }}\"\n"),
        ("two templates", "files:\n  a: { template: x, template_file: y }\n"),
        ("template file that is not there", "files:\n  a: { template_file: nope.tmpl }\n"),
        ("template file that is a directory", "files:\n  a: { template_file: . }\n"),
        ("session of nobody", "files:\n  token: { session: valut }\n"),
        (
            "session with keys of other files",
            "files:\n  token: { session: vault, decode: base64, password: x, alias: a, entries: key }\n",
        ),
        ("session with a template", "files:\n  token: { session: vault, template: x, field: y }\n"),
        ("in env", "env:\n  USER: '{{ bd.username }}'\n  1X: a\n"),
    ]));
}

#[test]
fn mistakes_about_the_rest_are_said() {
    snapshot!(after_secrets(&[
        ("directory", "output: { directory: run/secrets }\n"),
        ("directory that is the root", "output: { directory: / }\n"),
        ("directory with a detour", "output: { directory: /run/../etc }\n"),
        (
            "state inside the output",
            "output: { directory: /run/app }\nlifecycle: { state_directory: /run/app/state }\n"
        ),
        (
            "admin inside the output",
            "output: { directory: /run/app }\nadmin: { listen: 'unix:/run/app/admin.sock' }\n"
        ),
        ("admin on a port", "admin: { listen: '127.0.0.1:9000' }\n"),
        ("admin on a relative path", "admin: { listen: 'unix:admin.sock' }\n"),
        ("admin on a long path", &format!("admin: {{ listen: 'unix:/{}' }}\n", "x".repeat(108))),
        ("uids", "admin: { uids: [onw, -1, root] }\n"),
        ("telemetry without an address", "telemetry: { listen: ':9441' }\n"),
        ("telemetry without a port", "telemetry: { listen: 127.0.0.1 }\n"),
        ("telemetry by name", "telemetry: { listen: 'localhost:9441' }\n"),
        ("telemetry on a socket", "telemetry: { listen: 'unix:/run/x' }\n"),
        ("telemetry on anything", "telemetry: { listen: 9441 }\n"),
        (
            "lifecycle",
            "lifecycle: { startup_deadline: 0s, revoke_timeout: 0s, revoke_delay: 20, application: nginx }\n"
        ),
        ("application", "lifecycle: { application: { process: /usr/bin/web } }\n"),
        ("exec", "exec: { on_change: reload, signal: HUPP, grace: soon }\n"),
    ]));
}

#[test]
fn variables_that_are_not_there_are_named_with_their_key() {
    snapshot!(reports_with(
        &[
            ("unset", &BOTH.replace("https://vault:8200", "\"https://${VAULT_HOST}:8200\"")),
            ("empty", &BOTH.replace("https://vault:8200", "\"https://${EMPTY}:8200\"")),
            ("no name", &format!("{BOTH}log: {{ level: \"${{log level}}\" }}\n")),
            ("open", &format!("{BOTH}log: {{ level: \"${{LEVEL\" }}\n")),
            ("nested", &format!("{BOTH}log: {{ level: \"${{A:-${{B}}}}\" }}\n")),
            (
                "of a wrong type",
                &format!(
                    "{BOTH}limits: {{ mints_per_minute: \"${{CANARY}}\" }}\nlog: {{ level: \"${{CANARY}}\" }}\n"
                )
            ),
        ],
        &[("EMPTY", ""), ("CANARY", "canary-of-the-environment")],
    ));
}

#[test]
fn a_key_that_two_files_set_names_both_places() {
    let files = Files::of(&[
        (
            "platform.yaml",
            &format!(
                "version: 1\n{PROVIDERS}log: {{ level: info }}\non_change: [{{ signal: HUP, process: a }}]\nlimits:\n"
            ),
        ),
        (
            "team.yaml",
            "version: 1\nsecrets:\n  db: { provider: vault, path: database/creds/web }\nlog: { level: warn, format: json }\non_change: [{ signal: HUP, process: b }]\nlimits: { mints_per_minute: 7 }\nproviders:\n  vault: { address: https://elsewhere:8200 }\n",
        ),
    ]);
    snapshot!(files.shown(&files.load(&[]).unwrap_err().to_string()));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut files = Files::of(&[("leasehold.yaml", BOTH), ("binary.yaml", "")]);
    std::fs::write(&files.paths[1], [0xff, 0xfe, 0x00]).unwrap();
    files.paths.push(files.directory.path().join("missing.yaml"));
    files.paths.push(files.directory.path().to_owned());
    files.paths.push(files.paths[0].clone());
    snapshot!(files.shown(&files.load(&[]).unwrap_err().to_string()));
}

#[test]
fn without_any_file_it_says_where_it_looked() {
    let report = super::load(
        &super::Reading::Production,
        &[],
        &Flags::default(),
        &super::environment(&[]),
        super::parse::Accounts::default(),
    )
    .unwrap_err();
    let here = std::env::current_dir().unwrap();
    snapshot!(report.to_string().replace(&here.display().to_string(), "/here"));
}

#[test]
fn a_file_with_many_mistakes_gives_one_report() {
    let text = r#"version: 1
providers:
  vault:
    type: vault
    adress: https://vault:8200
    auth: { method: kubernets, role: web }
  aws: { type: mokc, region: eu-west-1 }
secrets:
  db: { provider: valt, path: database/creds/web, refresh: 30 }
  my-cert: { provider: vault, path: /pki/issue/web, data: { common_name: "${COMMON_NAME}" } }
  api: { provider: aws, path: prod/api-key, on_expiry: stop }
files:
  db.env:
    template: |
      DATABASE_URL=postgres://{{ dbb.username }}:{{ db.password }}@pg:5432/app
  ../tls.crt: { secret: cert, field: certificate }
  tls/tls.key: { secret: my-cert, field: private_key, mode: 400 }
  api.json: { secret: api, format: jsn }
output: { directory: run/secrets, require_tmpfs: maybe }
on_change:
  - { signal: SIGHUP, process: nginx, files: [tls.crt] }
  - { command: [/bin/reload] }
lifecycle: { overlap: 10, startup_deadline: 5 min, statedirectory: /run/leasehold }
telemetry: { listen: ":9441" }
log: { level: verbose }
"#;
    snapshot!(reports(&[("many", text)]));
}

#[test]
fn the_first_problem_fits_into_one_line() {
    let files = Files::of(&[("leasehold.yaml", "log: { level: verbose, format: jsno }\n")]);
    let report = files.load(&[]).unwrap_err();
    snapshot!(files.shown(&report.first_line()));
}
