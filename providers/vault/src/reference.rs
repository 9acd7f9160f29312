//! What can be seen to be wrong with a path before the store is asked.

use leasehold_core::{Problem, SecretRef};

/// Every problem of a secret's keys.
pub(crate) fn problems(reference: &SecretRef) -> Vec<Problem> {
    let mut problems = Vec::new();
    let path = reference.path.as_str();
    if let Some(rest) = path.strip_prefix('/') {
        let also = if rest.starts_with("v1/") { ", nor with `v1/`" } else { "" };
        problems.push(Problem::new("path", format!("a path does not begin with a slash{also}")));
    } else if path.starts_with("v1/") {
        problems.push(Problem::new("path", "a path begins with its mount, not with `v1/`"));
    }
    if path.ends_with('/') {
        problems.push(Problem::new("path", "a path that ends with a slash is a folder, not a secret"));
    }
    if path.contains(['?', '#']) {
        problems.push(Problem::new("path", "a path holds no `?` and no `#`; parameters belong into `data`"));
    }
    if path.split('/').any(|part| part == ".." || part == ".") {
        problems.push(Problem::new("path", "a path holds no `.` and no `..`"));
    }
    if path.trim_matches('/').contains("//") {
        problems.push(Problem::new("path", "a path holds no empty part (`//`)"));
    }
    if let (Some(_), Some((mount, role))) = (reference.generate_key, issues(path)) {
        let signs = format!(
            "this path makes a key at the store; with `generate_key` the key is made here, and a path that signs is \
             wanted: `{mount}/sign/{role}`"
        );
        problems.push(Problem::new("path", signs));
    }
    if reference.stage.is_some() {
        problems.push(Problem::new("stage", "Vault knows no stages; `version` pins a version"));
    }
    problems
}

/// Mount and role, where a PKI hands out a certificate with a key of its own.
fn issues(path: &str) -> Option<(&str, &str)> {
    let (rest, role) = path.rsplit_once('/')?;
    let (mount, verb) = rest.rsplit_once('/')?;
    (verb == "issue").then_some((mount, role))
}
