//! What the flags of a command line stand for.

use super::super::flags::{Form, SecretFlag, TemplateFlag};
use super::super::model::{Choice, Content, Files as Wanted, LogLevel};
use super::super::{Config, Flags, printed};
use super::Files;
use super::good::SMALL;

const VAULT: [(&str, &str); 2] = [("VAULT_ADDR", "https://vault:8200"), ("VAULT_TOKEN", "hvs.canary")];

/// Colons belong to the path.
const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:web-AbCdEf";

fn secrets(given: &[&str]) -> Vec<SecretFlag> {
    given.iter().map(|text| SecretFlag::parse(text).unwrap()).collect()
}

fn templates(given: &[&str]) -> Vec<TemplateFlag> {
    given.iter().map(|text| TemplateFlag::parse(text).unwrap()).collect()
}

/// Those of the README.
fn psql(form: Form) -> Flags {
    Flags {
        secrets: secrets(&["db=vault:database/creds/web"]),
        env: templates(&["PGUSER={{ db.username }}", "PGPASSWORD={{ db.password }}"]),
        form,
        ..Flags::default()
    }
}

fn alone(flags: &Flags, variables: &[(&str, &str)]) -> Result<Config, String> {
    Files::of(&[]).load_with(flags, variables).map_err(|report| report.to_string())
}

/// Without what tells the two sources apart.
fn meaning(mut config: Config) -> Config {
    config.sources.clear();
    config.flags = Flags::default();
    if let Wanted::Named(files) = &mut config.files {
        files.values_mut().for_each(|file| file.place.clear());
    }
    config
}

#[test]
fn a_command_on_a_terminal_needs_no_directory_no_socket_and_no_port() {
    let config = alone(&psql(Form::Command), &VAULT).unwrap();
    assert_eq!(config.secrets["db"].provider, "vault");
    assert_eq!(config.secrets["db"].reference.path, "database/creds/web");
    assert_eq!(config.env["PGUSER"].template, "{{ db.username }}");
    assert_eq!(config.env["PGPASSWORD"].template, "{{ db.password }}");
    assert_eq!(config.files, Wanted::Named([].into()));
    assert_eq!(config.lifecycle.state_directory.choice, Choice::Off);
    assert_eq!((config.admin.listen, config.telemetry.listen), (None, None));
    assert_eq!(config.log.level, LogLevel::Warn);
}

#[test]
fn a_pod_gets_the_defaults_of_a_file() {
    let flags = Flags { secrets: secrets(&["db=vault:database/creds/web"]), ..Flags::default() };
    let config = alone(&flags, &VAULT).unwrap();
    assert_eq!(config.files, Wanted::EveryField);
    assert_eq!(config.lifecycle.state_directory.choice, Choice::Default);
    assert!(config.admin.listen.is_some() && config.telemetry.listen.is_some());

    let flags = Flags {
        files: templates(&["db.env=USER={{ db.username }}\nPASSWORD={{ db.password }}\n"]),
        directory: Some("/run/app/live".into()),
        ..flags
    };
    let config = alone(&flags, &VAULT).unwrap();
    let Wanted::Named(files) = &config.files else { panic!("{:?}", config.files) };
    let text = "USER={{ db.username }}\nPASSWORD={{ db.password }}\n";
    assert_eq!(files["db.env"].content, Content::Template(text.into()));
    assert_eq!(files["db.env"].place, "--file db.env");
    assert_eq!(config.output.directory.to_str(), Some("/run/app/live"));
}

#[test]
fn the_printed_file_means_the_same() {
    let nasty = [
        "A={{ db.username }}: \"#&*!|>'%@`\\",
        "B= leading, trailing \t",
        "C=two\nlines\r\n\u{85}\u{2028}\u{feff}{{ db.password }}",
        "D=",
        "E=null",
        "F=1e3",
        "NO=on ünïcode 🔑",
    ];
    let every = Flags {
        secrets: secrets(&["db=vault:database/creds/web", "api=vault:secret/data/a b/ü", "no=vault:true"]),
        env: templates(&nasty),
        files: templates(&["conf.d/db.env={{ db.username }}", "~=x", "true=- {{ api.key }}: y"]),
        directory: Some("/run/app/live".into()),
        form: Form::Pod,
    };
    for flags in [psql(Form::Command), psql(Form::Pod), every.clone(), Flags { form: Form::Command, ..every }]
    {
        let text = printed(&[], &flags).unwrap();
        let from_file = Files::of(&[("leasehold.yaml", &text)]).load(&VAULT);
        let from_file = from_file.unwrap_or_else(|report| panic!("{report}\n{text}"));
        assert_eq!(meaning(from_file), meaning(alone(&flags, &VAULT).unwrap()), "{text}");
    }
    // As the documentation shows it.
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/without-a-file.md")).unwrap();
    let shown = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(&*printed(&[], &psql(Form::Command)).unwrap()));
}

#[test]
fn beside_a_file_the_flags_are_one_more_of_them() {
    let files = Files::of(&[("leasehold.yaml", SMALL)]);
    let flags = Flags {
        secrets: secrets(&["api=vault:secret/data/api", &format!("blob=aws:{ARN}")]),
        env: templates(&["KEY={{ api.key }}{{ db.password }}"]),
        form: Form::Command,
        ..Flags::default()
    };
    let config =
        files.load_with(&flags, &[("AWS_REGION", "eu-west-1")]).unwrap_or_else(|report| panic!("{report}"));
    // The file's own provider: no VAULT_ADDR is needed.
    assert_eq!(config.secrets["api"].provider, "vault");
    assert_eq!(config.secrets["blob"].reference.path, ARN);
    assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["aws", "vault"]);
    // What the file leaves out has the file's defaults.
    assert_eq!(config.files, Wanted::EveryField);
    assert_eq!(config.lifecycle.state_directory.choice, Choice::Default);

    let text = printed(&files.paths, &flags).unwrap();
    let both = Files::of(&[("leasehold.yaml", SMALL), ("more.yaml", &text)]);
    let from_file = both.load(&[("AWS_REGION", "eu-west-1")]).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(meaning(from_file), meaning(config));
}

#[test]
fn what_is_wrong_names_the_flag() {
    let said = |flags: &Flags, variables: &[(&str, &str)]| alone(flags, variables).unwrap_err();
    let mut text = String::new();
    let mut case = |what: &str, report: String| text.push_str(&format!("=== {what}\n{report}\n\n"));

    case("no variables", said(&psql(Form::Command), &[]));
    case(
        "an unknown provider",
        said(&Flags { secrets: secrets(&["db=vualt:x"]), ..Flags::default() }, &VAULT),
    );
    case(
        "one that needs a file",
        said(&Flags { secrets: secrets(&["db=exec:x"]), ..Flags::default() }, &VAULT),
    );
    case("a bad name", said(&Flags { secrets: secrets(&["DB=vault:x"]), ..Flags::default() }, &VAULT));
    let twice = Flags {
        secrets: secrets(&["db=vault:a", "db=vault:b"]),
        env: templates(&["A={{ db.a }}", "A=b"]),
        files: templates(&["f=a", "f=b"]),
        ..Flags::default()
    };
    case("given twice", said(&twice, &VAULT));
    let nothing = Flags { directory: Some("/run/app/live".into()), ..psql(Form::Command) };
    case("a directory for nothing", said(&nothing, &VAULT));
    let broken = Flags {
        env: templates(&["PGUSER={{ db.username", "1A=x", "B={{ dbb.username }}"]),
        files: templates(&["/etc/x=x"]),
        ..psql(Form::Pod)
    };
    case("broken templates and names", said(&broken, &VAULT));
    let files = Files::of(&[("leasehold.yaml", SMALL)]);
    let report = files.load_with(&Flags { secrets: secrets(&["db=vault:x"]), ..Flags::default() }, &[]);
    case("set by a file, too", files.shown(&report.unwrap_err().to_string()));
    insta::assert_snapshot!(text);
    assert!(!text.contains("canary"));
}

#[test]
fn what_is_no_flag_at_all_says_what_is_expected() {
    for text in ["db", "db=", "db=vault", "db=vault:", "=vault:x", "db=:x", "vault:x"] {
        assert!(SecretFlag::parse(text).unwrap_err().starts_with("expected NAME=PROVIDER:PATH"), "{text}");
    }
    for text in ["db=vault:secret/data/web#password", "db=vault:secret/data/web?version=2"] {
        assert!(SecretFlag::parse(text).unwrap_err().contains("{{ db.password }}"), "{text}");
    }
    for text in ["PGUSER", "=x", ""] {
        assert!(TemplateFlag::parse(text).unwrap_err().starts_with("expected NAME=TEMPLATE"), "{text}");
    }
}
