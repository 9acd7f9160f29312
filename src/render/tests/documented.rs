//! The tables of `docs/templates.md` name what there is.

use std::path::Path;

use super::*;
use crate::render::paths::FUNCTION;

/// The names in the first column of the table under this heading of its first column, in order.
fn named(heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/templates.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once(&format!("\n| {heading} | ")).expect("the table is there");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let mut names: Vec<String> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// The filters that `helpers.rs` gives to the engine: it cannot be asked for all that it has.
fn registered() -> Vec<&'static str> {
    let source = include_str!("../helpers.rs");
    let calls = source.split("add_filter(\"").skip(1);
    let mut names: Vec<&str> = calls.filter_map(|rest| rest.split('"').next()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_table_of_helpers_has_each_that_there_is_and_no_other() {
    assert_eq!(registered(), FILTERS, "`FILTERS` and what is registered");
    let mut there: Vec<&str> = FILTERS.into_iter().chain([FUNCTION]).collect();
    there.sort_unstable();
    assert_eq!(named("helper"), there);
}

#[test]
fn the_filters_of_the_language_that_are_shown_exist_and_are_not_ours() {
    let environment = environment(&Paths::default());
    let named = named("filter");
    assert!(named.len() >= 10, "{named:?}");
    for name in named {
        assert!(knows_filter(&environment, &name), "{name}");
        assert!(!FILTERS.contains(&name.as_str()), "{name} belongs into the other table");
    }
}
