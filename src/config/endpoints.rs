//! What `status`, `refresh`, `probe`, `ack` and `stale` need of a configuration: where the running
//! process listens. Read leniently: whatever else is wrong with a file must not blind them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_core::Environment;

use super::parse::{listen_address, unix_socket};
use super::tree::Node;
use super::{expand, tree};

/// Where a process with this configuration listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// `admin.listen`; `None`: off.
    pub admin: Option<PathBuf>,
    /// `telemetry.listen`; `None`: off.
    pub telemetry: Option<SocketAddr>,
    /// The application's socket, in the output directory.
    pub acknowledge: PathBuf,
}

/// Reads `admin`, `telemetry` and `output.directory` of these files. What cannot be read or made
/// sense of is as if it were not written; where several files say it, the first counts.
pub fn endpoints(paths: &[PathBuf], environment: &Environment) -> Endpoints {
    let trees: Vec<Node> = paths.iter().flat_map(|path| sections(path, environment)).collect();
    let text = |section: &str, key: &str| {
        trees.iter().find_map(|tree| tree.at(section)?.at(key)?.text()).map(str::to_owned)
    };
    let admin = text("admin", "listen").and_then(|text| unix_socket(&text).ok());
    let telemetry = text("telemetry", "listen").and_then(|text| listen_address(&text).ok());
    let directory = text("output", "directory").filter(|text| Path::new(text).is_absolute());
    let directory = directory.unwrap_or_else(|| super::parse::DIRECTORY.to_owned());
    Endpoints {
        admin: admin.unwrap_or_else(|| Some(super::parse::ADMIN.into())),
        telemetry: telemetry.unwrap_or_else(|| listen_address(super::parse::TELEMETRY).unwrap_or(None)),
        acknowledge: Path::new(&directory).join(crate::admin::ACK_SOCKET),
    }
}

/// The sections of a file: the whole of it where it parses, else each section that does.
fn sections(path: &Path, environment: &Environment) -> Vec<Node> {
    let Ok(bytes) = super::bytes(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let file: Arc<str> = path.display().to_string().into();
    let whole = tree::parse(&text, &file, 0);
    let mut trees = match whole.root {
        Some(root) if whole.problems.is_empty() => vec![root],
        _ => blocks(&text)
            .iter()
            .filter_map(|block| {
                let parsed = tree::parse(block, &file, 0);
                parsed.root.filter(|_| parsed.problems.is_empty())
            })
            .collect(),
    };
    for tree in &mut trees {
        expand::expand(tree, environment, &mut Vec::new());
    }
    trees
}

/// The text cut before every line of the three sections and before every other line that begins
/// in the first column.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let begins = line.starts_with(|c: char| !c.is_whitespace() && c != '#' && c != '}');
        if begins {
            inside = ["admin:", "telemetry:", "output:"].iter().any(|key| line.starts_with(key));
            if inside {
                blocks.push(String::new());
            }
        }
        if let (true, Some(block)) = (inside, blocks.last_mut()) {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}
