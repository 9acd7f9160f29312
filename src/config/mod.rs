//! The configuration: YAML files → one merged, expanded tree → valid types, or one report of
//! every problem.
//!
//! The steps: [`tree`] reads each file and keeps places, [`flags`] makes one more of what the
//! command line says, [`merge`] makes one of several, [`expand`] puts the environment in, [`check`]
//! holds the result against the schema of [`raw`], and [`parse`] turns what decodes into [`model`].
//! Each step goes on past what is wrong, so that the report is whole. Nothing is opened but the
//! files themselves, the templates that they name and, for names of users and groups, `/etc/passwd`
//! and `/etc/group`.

mod check;
#[cfg(feature = "mock")]
mod development;
mod endpoints;
mod expand;
pub mod flags;
mod merge;
pub mod model;
mod parse;
mod raw;
mod reading;
mod reload;
mod report;
mod schema;
mod tree;
#[cfg(feature = "mock")]
mod wanted;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_core::Environment;

#[cfg(feature = "mock")]
pub use development::{Actions, Development};
pub use endpoints::{Endpoints, endpoints};
pub use flags::Flags;
pub use model::Config;
pub use reading::Reading;
pub use reload::{Diff, reload_diff, reloaded};
pub use report::{KeyPath, Place, Problem, Report, Segment};
pub use schema::schema;

/// The variable that names the configuration where `-c` does not.
pub const VARIABLE: &str = "LEASEHOLD_CONFIG";
/// Where else it is looked for, in this order.
pub const DEFAULT_PATHS: [&str; 2] = ["leasehold.yaml", "/etc/leasehold/leasehold.yaml"];
/// A configuration is smaller.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The files to read: those given, else the one that `LEASEHOLD_CONFIG` names, else the first of
/// [`DEFAULT_PATHS`] that is there. Empty where there is none, which [`Config::load`] explains.
pub fn locate(given: Vec<PathBuf>, environment: &Environment) -> Vec<PathBuf> {
    if !given.is_empty() {
        return given;
    }
    if let Some(path) = environment.value(VARIABLE) {
        return vec![path.into()];
    }
    DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.exists()).into_iter().collect()
}

/// What is wrong where somebody names a file, by `-c` or `LEASEHOLD_CONFIG`, that is not there or cannot be
/// read. What stands in it is not looked at.
///
/// # Errors
/// Why, for each such file.
pub fn named_are_there(given: &[PathBuf], environment: &Environment) -> Result<(), Report> {
    let variable = environment.value(VARIABLE).filter(|_| given.is_empty()).map(PathBuf::from);
    let problems: Vec<_> = given.iter().chain(&variable).filter_map(|path| bytes(path).err()).collect();
    if problems.is_empty() { Ok(()) } else { Err(Report::new(problems)) }
}

/// The environment's variables that these files put where a credential may stand: to be
/// overwritten once they have been read. Files that cannot be read name none.
pub fn secret_variables(paths: &[PathBuf]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in paths {
        let Ok(text) = read(path) else { continue };
        if let Some(root) = tree::parse(&text, &"".into(), 0).root {
            names.extend(expand::secret_variables(&root));
        }
    }
    names
}

impl Config {
    /// Reads, merges and parses these files.
    ///
    /// # Errors
    /// Everything that is wrong with them, a file that is missing included. No value of a file or
    /// of the environment is in it.
    pub fn load(paths: &[PathBuf], environment: &Environment) -> Result<Self, Report> {
        Self::load_with(paths, &Flags::default(), environment)
    }

    /// The same with what the command line says beside the files, or in place of one.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(paths: &[PathBuf], flags: &Flags, environment: &Environment) -> Result<Self, Report> {
        Self::load_for(&Reading::Production, paths, flags, environment)
    }

    /// The same for a purpose of its own.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for(
        reading: &Reading,
        paths: &[PathBuf],
        flags: &Flags,
        environment: &Environment,
    ) -> Result<Self, Report> {
        load(reading, paths, flags, environment, parse::Accounts::default())
    }
}

/// The configuration that these flags stand for, as a file. Given beside the same other files, it
/// means the same.
///
/// # Errors
/// What is wrong with the flags themselves, and with files that cannot be read. Whether the whole
/// makes sense is `check`'s to say.
pub fn printed(paths: &[PathBuf], flags: &Flags) -> Result<String, Report> {
    let mut problems = Vec::new();
    let trees = trees(paths, &mut problems);
    let beside = beside(&trees, paths, &problems);
    match flags::tree(flags, &beside, &mut problems) {
        Some(tree) if problems.is_empty() => Ok(flags::yaml(&tree)),
        None if problems.is_empty() => Ok(String::new()),
        _ => Err(Report::new(problems)),
    }
}

/// The files as trees; what is wrong with them goes to `problems`.
fn trees(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<tree::Node> {
    let mut trees = Vec::new();
    for (order, path) in paths.iter().enumerate() {
        if paths[..order].contains(path) {
            let message = format!("{} is given twice", path.display());
            problems.push(Problem::new(None, KeyPath::default(), message));
            continue;
        }
        match read(path) {
            Ok(text) => {
                let file: Arc<str> = path.display().to_string().into();
                let parsed = tree::parse(&text, &file, order);
                let whole = parsed.problems.is_empty();
                problems.extend(parsed.problems);
                match parsed.root {
                    Some(root) => trees.push(root),
                    None if whole => {
                        let message = format!("{file} is empty");
                        problems.push(Problem::new(None, KeyPath::default(), message));
                    }
                    None => {}
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    trees
}

/// What flags may refer to.
fn beside(trees: &[tree::Node], paths: &[PathBuf], problems: &[Problem]) -> flags::Beside {
    let sections = trees.iter().filter_map(|tree| tree.at("providers"));
    let names = sections.flat_map(|section| section.entries().iter().map(|entry| entry.key.clone()));
    flags::Beside { files: paths.len(), providers: problems.is_empty().then(|| names.collect()) }
}

fn load(
    reading: &Reading,
    paths: &[PathBuf],
    flags: &Flags,
    environment: &Environment,
    accounts: parse::Accounts,
) -> Result<Config, Report> {
    if paths.is_empty() && !flags.stand_alone() {
        return Err(Report::new(vec![nothing_found()]));
    }
    let mut problems = Vec::new();
    let mut trees = trees(paths, &mut problems);
    let beside = beside(&trees, paths, &problems);
    trees.extend(flags::tree(flags, &beside, &mut problems));
    // What is missing in the rest of a file that does not parse, or in one that cannot be read, is
    // not known to be missing.
    let partial = !problems.is_empty();
    let Some(mut tree) = merge::merge(trees, &mut problems) else { return Err(Report::new(problems)) };
    let before = reading.prepare(&mut tree);
    expand::expand(&mut tree, environment, &mut problems);
    if !matches!(tree.kind, tree::Kind::Map(_)) {
        let message = "a configuration is a mapping of keys: `providers:`, `secrets:`, …";
        problems.push(Problem::new(Some(tree.place.clone()), KeyPath::default(), message));
        return Err(Report::new(problems));
    }
    if partial {
        return Err(Report::new(problems));
    }
    let schema = schema();
    let checked = check::check(&tree, &schema, &mut problems);
    let raw = checked.value.and_then(|value| serde_json::from_value::<raw::Raw>(value).ok());
    let Some(raw) = raw else {
        if problems.is_empty() {
            // The schema let through what the types do not take. No text of serde: it may quote.
            problems.push(Problem::new(None, KeyPath::default(), "the configuration does not decode"));
        }
        return Err(Report::new(problems));
    };
    let known = parse::Known { problems: &problems, meant: &checked.meant };
    match parse::parse(raw, &tree, paths.to_vec(), environment, accounts, known) {
        Ok(config) if problems.is_empty() => {
            Ok(reading.settle(Config { flags: flags.clone(), ..config }, before))
        }
        Ok(_) => Err(Report::new(problems)),
        Err(more) => {
            problems.extend(more);
            Err(Report::new(problems))
        }
    }
}

fn nothing_found() -> Problem {
    let here = std::env::current_dir().unwrap_or_default();
    let message = format!(
        "no configuration was found: {VARIABLE} is not set, and there is neither {} nor {}",
        here.join(DEFAULT_PATHS[0]).display(),
        DEFAULT_PATHS[1],
    );
    Problem::new(None, KeyPath::default(), message).help("name the file with `-c FILE`, or a secret with `--secret NAME=PROVIDER:PATH`, where the command takes it")
}

/// The text of a file, or why it cannot be had.
fn read(path: &Path) -> Result<String, Problem> {
    String::from_utf8(bytes(path)?).map_err(|_| wrong(path, "is not UTF-8 text"))
}

fn wrong(path: &Path, why: &str) -> Problem {
    Problem::new(None, KeyPath::default(), format!("the configuration {} {why}", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Problem> {
    let wrong = |why: &str| wrong(path, why);
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => wrong("does not exist"),
        std::io::ErrorKind::PermissionDenied => {
            wrong(&format!("may not be read by us (uid {})", rustix::process::getuid().as_raw()))
        }
        kind => wrong(&format!("cannot be read: {kind}")),
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(wrong("is a directory; name a file in it"));
    }
    if metadata.len() > LARGEST {
        return Err(wrong("is larger than 4 MiB"));
    }
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests;
