//! Which names a file may have.

use std::collections::BTreeMap;

use super::Rendered;

/// The longest name of a file or directory, in bytes.
const LONGEST_COMPONENT: usize = 255;
/// The longest path of a file below the output directory, in bytes.
const LONGEST_PATH: usize = 1024;
/// How many directories deep a file may lie: each costs two open files while it is written.
const DEEPEST: usize = 16;

/// Why this is no name for a file or directory inside another; `None`: it is one. The reasons
/// read well of a path too.
pub fn problem_of_component(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("a name in it is empty"),
        "." | ".." => Some("`.` and `..` are no names of their own"),
        _ if name.contains('/') => Some("it contains `/`"),
        _ if name.contains('\0') => Some("it contains NUL"),
        _ if name.len() > LONGEST_COMPONENT => Some("a name in it is longer than 255 bytes"),
        _ => None,
    }
}

/// Why this is no path for a file below the output directory; `None`: it is one.
pub fn problem_of_path(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("it is absolute: it has to be relative to output.directory");
    }
    if path.starts_with("..") {
        return Some("names that begin with `..` are leasehold's own");
    }
    if path.len() > LONGEST_PATH {
        return Some("it is longer than 1024 bytes");
    }
    if path.split('/').count() > DEEPEST {
        return Some("it lies more than 16 directories deep");
    }
    path.split('/').find_map(problem_of_component)
}

/// The files of one directory and the directories in it.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    pub(super) files: BTreeMap<&'a str, &'a Rendered>,
    pub(super) directories: BTreeMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    /// Sorts files into their directories; `Err`: the path that cannot be, and why.
    pub(super) fn new(files: &'a BTreeMap<String, Rendered>) -> Result<Self, (&'a str, String)> {
        let mut root = Self::default();
        for (path, file) in files {
            if let Some(problem) = problem_of_path(path) {
                return Err((path, problem.to_owned()));
            }
            let mut tree = &mut root;
            let mut rest = path.as_str();
            while let Some((directory, below)) = rest.split_once('/') {
                if tree.files.contains_key(directory) {
                    let above = path.strip_suffix(below).unwrap_or(path).trim_end_matches('/');
                    return Err((path, format!("{above:?} would be a file and a directory at once")));
                }
                tree = tree.directories.entry(directory).or_default();
                rest = below;
            }
            if tree.directories.contains_key(rest) {
                return Err((path, "it would be a file and a directory at once".to_owned()));
            }
            tree.files.insert(rest, file);
        }
        Ok(root)
    }

    /// The names directly in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.files.keys().chain(self.directories.keys()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::SecretBytes;

    #[test]
    fn names_that_leave_the_directory_or_are_ours_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "..data",
            "..data/x",
            "..lock",
            "nul\0",
            "..x",
        ] {
            assert!(problem_of_path(bad).is_some(), "{bad:?}");
        }
        assert!(problem_of_path(&"a".repeat(256)).is_some());
        assert!(problem_of_path(&format!("d/{}", "a".repeat(256))).is_some());
        assert!(problem_of_path(&"a/".repeat(17)).is_some());
        for good in ["a", ".env", "...", "tls/tls.crt", "d/..x", "d/...", "ü/ñ", &"a".repeat(255)] {
            let expected = if good == "..." { Some(()) } else { None };
            assert_eq!(problem_of_path(good).map(|_| ()), expected, "{good:?}");
        }
    }

    #[test]
    fn a_name_cannot_be_a_file_and_a_directory() {
        let file = || Rendered { bytes: SecretBytes::new(Vec::new()), mode: 0o440, owner: None, group: None };
        for names in [["a", "a/b"], ["x/a", "x/a/b"], ["a/b", "a"], ["a-", "a"]] {
            let files = names.iter().map(|name| ((*name).to_owned(), file())).collect();
            let conflict = names != ["a-", "a"];
            assert_eq!(Tree::new(&files).is_err(), conflict, "{names:?}");
        }
        let files = [("a", file()), ("a!", file()), ("a/b", file())]
            .into_iter()
            .map(|(name, file)| (name.to_owned(), file))
            .collect();
        let (path, why) = Tree::new(&files).unwrap_err();
        assert_eq!((path, why.as_str()), ("a/b", "\"a\" would be a file and a directory at once"));
    }
}
