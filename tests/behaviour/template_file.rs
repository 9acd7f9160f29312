//! `template_file`: a template beside the configuration, read again when it changes.

use std::fs;

use harness::leasehold::Running;
use harness::process::Exit;
use harness::{Signal, eventually};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::lifecycle::given::{Place, SOON};

/// The least that is too large.
const TOO_LARGE: usize = 1024 * 1024 + 1;

fn configuration() -> Value {
    json!({
        "providers": { "store": { "type": "mock", "ttl": "10m" } },
        "secrets": { "db": { "provider": "store", "path": "database/creds/web" } },
        // Relative: it begins where the configuration is.
        "files": { "app.conf": { "template_file": "templates/app.conf.j2" } },
    })
}

/// An instance whose template is this.
fn with(template: &str) -> Place {
    let place = Place::new();
    fs::create_dir(place.folder.join("templates")).unwrap();
    place.configure(configuration());
    place.file("templates/app.conf.j2", template);
    place
}

#[track_caller]
fn end(mut running: Running) {
    running.signal(Signal::INT);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
}

#[test]
fn it_is_found_beside_the_configuration_and_a_change_of_it_makes_the_next_generation() {
    let place = with("user={{ db.username }}\n");
    let mut running = place.run();
    let first = place.await_file("app.conf", &mut running);
    let user = first.strip_prefix("user=").unwrap().trim_end();
    assert_eq!(place.metric("leasehold_generation", &[]), 1.0);

    place.file("templates/app.conf.j2", "# of {{ db.username }}\n");
    let expected = format!("# of {user}\n");
    eventually("the changed template is in place", SOON, || match place.read("app.conf") {
        Some(text) if text == expected => Ok(()),
        other => Err(format!("{other:?}\n{}", running.stderr())),
    });
    eventually("as the next generation", SOON, || place.metric("leasehold_generation", &[]) == 2.0);
    end(running);
}

#[test]
fn one_that_goes_wrong_while_it_runs_keeps_the_files_and_what_is_mended_follows() {
    let place = with("user={{ db.username }}\n");
    let mut running = place.run();
    let first = place.await_file("app.conf", &mut running);
    let large = "x".repeat(TOO_LARGE);
    for (wrong, said) in [
        ("user={{ db.username ", "no valid template"),
        ("user={{ bd.username }}\n", "which is no secret"),
        (large.as_str(), "larger than 1 MiB"),
    ] {
        place.file("templates/app.conf.j2", wrong);
        eventually("it is refused, and said", SOON, || {
            let log = running.stderr();
            if log.contains(said) { Ok(()) } else { Err(log) }
        });
        assert_eq!(place.read("app.conf").as_ref(), Some(&first));
        assert_eq!((place.ready(), running.exit()), (200, None));
    }
    assert!(place.metric("leasehold_reload_failures_total", &[]) >= 3.0);
    assert_eq!(place.metric("leasehold_generation", &[]), 1.0);

    place.file("templates/app.conf.j2", &first.replace("user=", "name="));
    let expected = first.replace("user=", "name=");
    eventually("the mended one is in place", SOON, || place.read("app.conf").as_ref() == Some(&expected));
    end(running);
}

#[test]
fn one_of_more_than_a_mebibyte_is_refused_and_one_of_just_that_is_not() {
    let place = with(&"x".repeat(TOO_LARGE));
    for command in ["check", "init"] {
        let ended = place.finish(&[command]);
        assert_eq!(ended.exit, Exit::Code(78), "{}", ended.stderr);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("larger than 1 MiB"), "{said}");
    }
    place.file("templates/app.conf.j2", &"x".repeat(TOO_LARGE - 1));
    let ended = place.finish(&["init"]);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    assert_eq!(place.read("app.conf").unwrap().len(), TOO_LARGE - 1);
}
