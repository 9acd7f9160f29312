//! `docs/dev.md`.

use super::*;

/// The configuration of production whose files the page lists.
const PRODUCTION: &str = include_str!("../dev/most_keys.yaml");
/// What the page calls a directory for once.
const SCRATCH: &str = "/run/user/1000/leasehold-dev-kqvbnwxe";

fn page() -> Page {
    Page::at("docs/dev.md")
}

/// A block in `sh` of this one line.
fn line(line: &str) -> String {
    let page = page().text;
    assert!(page.contains(&format!("```sh\n{line}\n```")), "the page no longer shows {line}");
    line.to_owned()
}

fn laptop() -> Desk {
    let desk = Desk::new();
    desk.write("leasehold.yaml", PRODUCTION);
    fs::create_dir(desk.folder.join("session")).unwrap();
    desk
}

fn types(desk: &Desk, line: &str) -> Leasehold {
    desk.types(line).env("XDG_RUNTIME_DIR", desk.path("session"))
}

/// Without what is another each time: the directory, and every number.
fn masked(text: &str, scratch: &str) -> Vec<String> {
    let text = text.replace(scratch, "DIRECTORY");
    let line = |line: &str| {
        let mut masked = String::new();
        for letter in line.chars() {
            match letter.is_ascii_digit() {
                true if masked.ends_with('0') => {}
                true => masked.push('0'),
                false => masked.push(letter),
            }
        }
        masked
    };
    text.lines().map(line).collect()
}

#[test]
fn its_line_says_what_is_shown_and_the_socket_that_it_names_answers() {
    let shown = page().block("text", "LEASEHOLD_DIR=");
    let desk = laptop();
    let mut running = types(&desk, &line("leasehold dev -c leasehold.yaml")).start();
    let said = |what: &str| {
        eventually(what, SOON, || {
            let all = running.stderr();
            let found = all.lines().find_map(|line| line.split_once(what)).map(|(_, rest)| rest.to_owned());
            found.ok_or(all)
        })
    };
    said("first files after ");
    let directory = said("LEASEHOLD_DIR=");
    let scratch = directory.strip_suffix("/live").expect("the directory of the files");
    let look = said("look inside with: ");
    assert!(done(desk.types(&look).finish(SOON)).contains("generation 1"));
    done(desk.types(&look.replace("status", "refresh db")).finish(SOON * 2));
    let shown = masked(&shown, SCRATCH);
    assert_eq!(shown.len(), 4);
    eventually("it says what the page shows", SOON, || {
        let said = masked(&running.stderr(), scratch);
        let mut rest = said.iter();
        if shown.iter().all(|line| rest.any(|said| said == line)) { Ok(()) } else { Err(said.join("\n")) }
    });
    running.signal(Signal::INT);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    assert_eq!(fs::read_dir(desk.folder.join("session")).unwrap().count(), 0, "nothing is left");
}

#[test]
fn its_line_with_a_command_starts_that_with_its_environment() {
    let desk = laptop();
    // As a laptop has one.
    desk.stand_in("bin/npm", "echo $1 $DB_USER; head -c 22 $LEASEHOLD_DIR/db.env; exit 3");
    let end = types(&desk, &line("leasehold dev -c leasehold.yaml -- npm start")).finish(SOON * 2);
    assert_eq!(end.exit, Exit::Code(3), "{}", end.stderr);
    assert!(end.stdout.starts_with("start v-mock-web-"), "{}", end.stdout);
    assert!(end.stdout.ends_with("\nDATABASE_URL=postgres:"), "{}", end.stdout);
}
