//! `docs/without-a-file.md`.

use serde_json::Value;

use super::*;

fn page() -> Page {
    Page::at("docs/without-a-file.md")
}

/// The lines that begin the page, with a token of somebody's own. `psql` is what stands after `--`.
fn first(creds: &str, url: &str, after: &str) -> String {
    let places = [("https://vault:8200", url), ("database/creds/web", creds), ("-- psql -h pg app", after)];
    replaced(page().block("sh", "-- psql"), &places)
}

#[test]
fn the_lines_at_its_head_ask_the_database_as_a_role_that_is_gone_afterwards() {
    let database = vault().database_mount("page-line");
    let creds = database.role("web", "2m", "10m");
    let policy = vault().policy("page-line").read(&creds).revoke_leases().create();
    let token = vault().token(json!({ "policies": [policy], "ttl": "10m" }));
    let address = postgres().address();
    let psql = format!(
        "-- {} -h {} -p {} postgres -XAtc 'select current_user'",
        program("psql").display(),
        address.ip(),
        address.port()
    );
    let lines = first(&creds, &vault().url(), &psql);
    let desk = Desk::new();
    let typed = desk.types(&lines).env("VAULT_TOKEN", token["client_token"].as_str().unwrap());
    let said = done(typed.finish(SOON * 2));
    assert!(said.starts_with(database.prefix()), "{said}");
    eventually("no lease and no role is left", SOON, || {
        let left = (database.leases(), database.roles());
        if left.0.is_empty() && left.1.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn the_file_that_it_shows_is_the_one_that_these_lines_print() {
    let lines = first("database/creds/web", "https://vault:8200", "--print-config");
    let printed = done(Desk::new().types(&lines).env("VAULT_TOKEN", "of-nobody").finish(SOON));
    assert_eq!(printed, page().block("yaml", "state_directory: \"off\""));
}

#[test]
fn a_line_beside_the_file_of_a_platform_gives_its_command_what_it_adds() {
    let kv = vault().kv_mount("page-line", 2);
    kv.put("api", json!({ "key": "of-the-api" }));
    let policy = vault().policy("page-line-kv").read(&kv.data("api")).read(&kv.metadata("api"));
    let token = vault().token(json!({ "policies": [policy.create()], "ttl": "10m" }));
    let desk = Desk::new();
    desk.write("token", token["client_token"].as_str().unwrap());
    let provider = json!({ "type": "vault", "address": vault().url(),
        "auth": { "method": "token", "token_file": desk.path("token") } });
    let platform = json!({
        "providers": { "vault": provider },
        "output": { "directory": desk.path("live") },
        "lifecycle": { "state_directory": "off" },
        "admin": { "listen": "off" },
        "telemetry": { "listen": "off" },
    });
    desk.write("platform.yaml", &platform.to_string());
    desk.stand_in("report", "echo key=$API_KEY");
    let line =
        replaced(page().block("sh", "-c platform.yaml"), &[("secret/data/api", kv.data("api").as_str())]);
    assert_eq!(done(desk.types(&line).finish(SOON * 2)), "key=of-the-api\n");
}

#[test]
fn the_line_that_begins_a_file_begins_one_that_works() {
    let desk = Desk::new();
    let line = page().block("sh", "> leasehold.yaml");
    let typed = |line: &str| desk.types(line).env("VAULT_ADDR", "http://127.0.0.1:1").env("VAULT_TOKEN", "x");
    assert_eq!(done(typed(&line).finish(SOON)), "");
    let text = fs::read_to_string(desk.folder.join("leasehold.yaml")).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    let template = file["files"]["db.env"]["template"].as_str().unwrap();
    assert!(line.contains(&format!("'db.env={template}'")), "{text}");
    assert!(done(typed("leasehold check -c leasehold.yaml").finish(SOON)).starts_with("ok: "));
    // And a file is written by it, on a laptop.
    let dev = typed("leasehold dev -c leasehold.yaml -- sh -c 'cat $LEASEHOLD_DIR/db.env'");
    let written = done(dev.env("XDG_RUNTIME_DIR", desk.folder.as_os_str()).finish(SOON));
    assert!(written.starts_with("DATABASE_URL=postgres://v-mock-web-"), "{written}");
}

#[test]
fn the_flags_are_those_of_the_commands_that_it_names_and_of_no_other() {
    let page = page();
    let sentence =
        page.text.split("## The flags").nth(1).and_then(|rest| rest.trim().lines().next()).unwrap();
    let named: Vec<&str> = sentence.split('`').skip(1).step_by(2).collect();
    let flags: Vec<&str> =
        page.text.lines().filter_map(|line| line.strip_prefix("| `--")?.split(['`', ' ']).next()).collect();
    assert_eq!(flags.len(), 5, "{flags:?}");
    for command in ["run", "init", "exec", "check", "explain", "dev", "status", "refresh", "schema"] {
        let help = done(Leasehold::command([command, "--help"]).finish(SOON));
        let takes = |flag: &&str| help.split_whitespace().any(|word| word == format!("--{flag}"));
        let taken = flags.iter().filter(|flag| takes(flag)).count();
        assert_eq!(taken, if named.contains(&command) { flags.len() } else { 0 }, "{command}: {help}");
    }
}
