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
    if reference.stage.is_some() {
        problems.push(Problem::new("stage", "Vault knows no stages; `version` pins a version"));
    }
    problems
}
