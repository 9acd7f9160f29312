//! What `status`, `refresh` and `probe` find out, however broken a file is.

use super::super::endpoints::{Endpoints, endpoints};
use super::super::named_are_there;
use super::{Files, environment};

const SECTIONS: &str = "
output: { directory: /run/app/live }
admin:
  listen: unix:/run/app/admin.sock
telemetry:
  # a comment
  listen: \"${HOST:-127.0.0.1}:9555\"
";

fn found(text: &str) -> Endpoints {
    let files = Files::of(&[("leasehold.yaml", text)]);
    endpoints(&files.paths, &environment(&[]))
}

fn expected() -> Endpoints {
    Endpoints {
        admin: Some("/run/app/admin.sock".into()),
        telemetry: Some("127.0.0.1:9555".parse().unwrap()),
        acknowledge: "/run/app/live/..ack.sock".into(),
    }
}

#[test]
fn a_file_that_is_wrong_elsewhere_does_not_blind_them() {
    assert_eq!(found(SECTIONS), expected());
    assert_eq!(found(&format!("providers: 7\nunknown: ${{UNSET}}\n{SECTIONS}")), expected());
}

#[test]
fn a_file_that_does_not_parse_does_not_blind_them() {
    assert_eq!(found(&format!("{SECTIONS}secrets: {{ db: [\n")), expected());
    assert_eq!(found(&format!("secrets: {{ db: [\nfiles: x: y\n{SECTIONS}")), expected());
    assert_eq!(found(&format!("secrets:\n\t- x\n{SECTIONS}files:\n  a: \"open\n")), expected());
}

#[test]
fn what_makes_no_sense_is_as_if_it_were_not_written() {
    let defaults = Endpoints {
        admin: Some("/run/leasehold/admin.sock".into()),
        telemetry: Some("127.0.0.1:9441".parse().unwrap()),
        acknowledge: "/run/secrets/leasehold/live/..ack.sock".into(),
    };
    assert_eq!(found("admin: { listen: nowhere }\ntelemetry: [x]\noutput: { directory: here }\n"), defaults);
    assert_eq!(found(""), defaults);
    let off = found("admin: { listen: off }\ntelemetry: { listen: off }\n");
    assert_eq!((off.admin, off.telemetry), (None, None));
}

#[test]
fn several_files_are_looked_through() {
    let files = Files::of(&[
        ("broken.yaml", "secrets: {{{\ntelemetry: { listen: 127.0.0.1:9555 }\n"),
        ("team.yaml", "admin: { listen: unix:/run/app/admin.sock }\noutput: { directory: /run/app/live }\n"),
    ]);
    assert_eq!(endpoints(&files.paths, &environment(&[])), expected());
}

#[test]
fn a_file_that_is_named_has_to_be_there_whatever_stands_in_it() {
    let files = Files::of(&[("broken.yaml", "secrets: {{{\n")]);
    let missing = "/nowhere/at/all.yaml".into();
    let named = |given: &[std::path::PathBuf], variable: &[(&str, &str)]| {
        named_are_there(given, &environment(variable)).map_err(|report| report.first_line())
    };
    let variable = [("LEASEHOLD_CONFIG", "/nowhere/at/all.yaml")];
    let said = Err("the configuration /nowhere/at/all.yaml does not exist".to_owned());
    assert_eq!(named(&[], &[]), Ok(()), "the default places may be empty");
    assert_eq!(named(&files.paths, &variable), Ok(()), "a file that is given is read instead");
    assert_eq!(named(&[], &variable), said);
    assert_eq!(named(&[files.paths[0].clone(), missing], &[]), said);
}
