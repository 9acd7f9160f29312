//! The configurations and the lines of the shell that pages of the documentation show are run as they stand
//! there: each is read from its page. Only names of places are replaced, and each has to be there.

mod dev;
mod one_line;
mod telling;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use harness::leasehold::{Finished, binary};
use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::vault::unique;
use harness::{Leasehold, Signal, eventually, postgres, program, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::applications::{Page, replaced};
use crate::bench::Bench;

/// A folder in which a page's lines are typed: `leasehold` is on the PATH.
struct Desk {
    folder: Folder,
    /// What else is on it, before the usual places.
    programs: Vec<PathBuf>,
}

impl Desk {
    fn new() -> Self {
        let folder = harness::tmpfs();
        fs::create_dir(folder.join("bin")).unwrap();
        std::os::unix::fs::symlink(binary(), folder.join("bin/leasehold")).unwrap();
        let programs = vec![folder.join("bin")];
        Self { folder, programs }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    /// A program that the page names and that is not there.
    fn stand_in(&self, name: &str, script: &str) {
        self.write(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Lines of the shell, typed here; what is piped counts as well.
    fn types(&self, lines: &str) -> Leasehold {
        let script = format!("set -euo pipefail\n{lines}");
        let usual = std::env::var("PATH").unwrap();
        let path: Vec<String> = self.programs.iter().map(|path| path.display().to_string()).collect();
        // The shell is given the binary as its name, and takes it from the PATH.
        Leasehold::command([""; 0])
            .under(["bash", "-c", &script])
            .env("PATH", format!("{}:{usual}", path.join(":")))
            .current_dir(&*self.folder)
    }
}

/// It ended well.
#[track_caller]
fn done(finished: Finished) -> String {
    assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
    finished.stdout
}

/// The sections of a page's configuration that follow its provider: that is the test's own.
#[track_caller]
fn sections(block: &str) -> String {
    block[block.find("secrets:").expect("a configuration")..].to_owned()
}

#[test]
fn the_command_of_the_page_on_exec_gets_a_credential_and_nothing_is_left() {
    let page = Page::at("docs/exec.md");
    let database = vault().database_mount("page-exec");
    let creds = database.role("web", "2m", "10m");
    let policy = vault().policy("page-exec").read(&creds).revoke_leases();
    let bench = Bench::new(vault(), policy, json!({}));
    let own = sections(&page.block("yaml", "PGPASSWORD:"));
    let own = replaced(own, &[("database/creds/web", &creds)]);
    bench.configure(&bench.config(&vault().url(), "revoke_delay: 0s", &own));
    let address = postgres().address();
    let words = ["exec", "-c", bench.file().to_str().unwrap(), "--"].map(str::to_owned);
    let (psql, host, port) =
        (program("psql").display().to_string(), address.ip().to_string(), address.port().to_string());
    let psql = [&psql, "-h", &host, "-p", &port, "-d", "postgres", "-XAtc", "select current_user"];
    let end = Leasehold::command(words.iter().map(String::as_str).chain(psql)).finish(SOON * 2);
    assert!(done(end).starts_with(database.prefix()), "psql is who was minted for it");
    bench.nothing_is_left(&database);
}

#[test]
fn without_files_each_line_of_the_page_on_exec_says_that_a_credential_was_refused() {
    let page = Page::at("docs/exec.md");
    let desk = Desk::new();
    let (config, socket) = (desk.path("leasehold.yaml"), desk.path("admin.sock"));
    let own = json!({
        "providers": { "store": { "type": "mock", "ttl": "10m" } },
        "secrets": { "db": { "provider": "store", "path": "database/creds/web" } },
        "files": {},
        "env": { "PGUSER": "{{ db.username }}" },
        "admin": { "listen": format!("unix:{socket}") },
        "telemetry": { "listen": "off" },
    });
    desk.write("leasehold.yaml", &own.to_string());
    let script = format!("echo ready > {}; exec sleep 600", desk.path("ready"));
    let mut running = Leasehold::command(["exec", "-c", &config, "--", "/bin/sh", "-c", &script]).start();
    eventually("the command runs", SOON, || {
        let ready = desk.folder.join("ready").exists();
        if ready { Ok(()) } else { Err(running.stderr()) }
    });
    let places = [("/etc/leasehold/leasehold.yaml", config.as_str()), ("/run/leasehold/admin.sock", &socket)];
    let lines = replaced(page.block("sh", "leasehold stale"), &places);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for line in lines.lines() {
        let said = done(desk.types(line).finish(SOON));
        assert!(!said.trim().is_empty() && !said.contains("error"), "{line}: {said}");
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 15), "{}", running.stderr());
}

#[test]
fn the_policy_of_the_page_on_explain_is_taken_by_the_store() {
    let page = Page::at("docs/explain.md");
    let mut desk = Desk::new();
    desk.programs.push(program("vault").parent().unwrap().to_owned());
    desk.write("leasehold.yaml", &page.block("yaml", "auth: { method: kubernetes"));
    let name = unique("page-explain");
    let line = replaced(page.block("sh", "vault policy write"), &[("write web", &format!("write {name}"))]);
    let typed =
        || desk.types(&line).env("VAULT_ADDR", vault().url()).env("VAULT_TOKEN", vault().root_token());
    done(typed().finish(SOON * 2));
    let kept = vault().read(&format!("sys/policies/acl/{name}")).expect("the policy is there");
    vault().delete(&format!("sys/policies/acl/{name}"));
    let printed = done(desk.types("leasehold explain -c leasehold.yaml --policy vault").finish(SOON));
    assert_eq!(kept["data"]["policy"].as_str().map(str::trim), Some(printed.trim()));
    assert!(printed.contains("path \"database/creds/web\""), "{printed}");
}

#[test]
fn a_block_that_no_test_reads_is_noticed() {
    // Here, and where the pages' other blocks are read: `dev`, `explain`, `status`.
    for (page, read) in [
        ("docs/exec.md", 2),
        ("docs/telling-the-application.md", 2),
        ("docs/dev.md", 4),
        ("docs/without-a-file.md", 4),
        ("docs/explain.md", 3),
        ("docs/status.md", 2),
    ] {
        let there = Page::at(page).text.lines().filter(|line| line.starts_with("```")).count() / 2;
        assert_eq!(there, read, "{page}: run what is new, and count it here");
    }
}
