//! Several files → one tree. Mappings merge; whatever else two files set is a problem that names
//! both places. `version` is about the file that it stands in, so each may say it.

use super::report::{KeyPath, Problem};
use super::tree::{Entry, Kind, Node};

/// The trees as one, in the order given.
pub(super) fn merge(trees: Vec<Node>, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut trees = trees.into_iter();
    let mut merged = trees.next()?;
    for tree in trees {
        join(&mut merged, tree, &KeyPath::default(), problems);
    }
    Some(merged)
}

fn join(into: &mut Node, from: Node, path: &KeyPath, problems: &mut Vec<Problem>) {
    if from.is_null() {
        return;
    }
    if into.is_null() {
        *into = from;
        return;
    }
    match (&mut into.kind, from.kind) {
        (Kind::Map(known), Kind::Map(more)) => {
            for entry in more {
                add(known, entry, path, problems);
            }
        }
        // The top of a file that is no mapping: said by whoever looks at types.
        (Kind::Map(_), _) if path.segments().is_empty() => {
            problems.push(Problem::new(
                Some(from.place),
                path.clone(),
                "a configuration is a mapping of keys",
            ));
        }
        (_, _) => problems.push(
            Problem::new(
                Some(from.place),
                path.clone(),
                format!(
                    "this key is already set at {}; only mappings of several files are merged",
                    into.place
                ),
            )
            .help("set it in one of the files"),
        ),
    }
}

fn add(known: &mut Vec<Entry>, entry: Entry, path: &KeyPath, problems: &mut Vec<Problem>) {
    let path_of_key = path.key(&entry.key);
    match known.iter_mut().find(|candidate| candidate.key == entry.key) {
        None => known.push(entry),
        Some(first) if path.segments().is_empty() && entry.key == "version" => {
            if first.value.text() != entry.value.text() {
                let message = format!("another version of the format than at {}", first.place);
                problems.push(Problem::new(Some(entry.place), path_of_key, message));
            }
        }
        Some(first) => {
            let both_map = matches!((&first.value.kind, &entry.value.kind), (Kind::Map(_), Kind::Map(_)));
            if both_map || first.value.is_null() || entry.value.is_null() {
                join(&mut first.value, entry.value, &path_of_key, problems);
            } else {
                let message = format!(
                    "this key is already set at {}; only mappings of several files are merged",
                    first.place
                );
                problems.push(
                    Problem::new(Some(entry.place), path_of_key, message).help("set it in one of the files"),
                );
            }
        }
    }
}
