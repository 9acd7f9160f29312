//! The server's audit log: what was asked of it, counted where it arrived.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// The audit log of one server. Values in it are plain: the server holds nothing but a test's.
#[derive(Clone, Debug)]
pub struct Audit {
    file: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(u64);

/// One answered request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When the request was logged, since 1970: what the server needed for it is not in it.
    pub asked: Duration,
    /// When the answer was logged, since 1970.
    pub at: Duration,
    /// `read`, `update`, `list`, `delete`, …
    pub operation: String,
    /// Without `/v1/`.
    pub path: String,
    /// The server's whole line.
    pub line: Value,
}

impl Entry {
    /// The accessor of the token that asked.
    pub fn accessor(&self) -> Option<&str> {
        self.line["auth"]["accessor"].as_str()
    }

    /// Whether the server refused.
    pub fn refused(&self) -> bool {
        self.line["error"].is_string()
    }
}

impl Audit {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    /// The end of the log as it is now.
    pub fn mark(&self) -> Mark {
        Mark(std::fs::metadata(&self.file).map_or(0, |file| file.len()))
    }

    /// Every answered request since `mark`, in the order of the answers.
    #[track_caller]
    pub fn since(&self, mark: Mark) -> Vec<Entry> {
        let mut bytes = Vec::new();
        let mut file = File::open(&self.file).expect("the server writes it from its start on");
        // One byte earlier: a line that was half written at the mark is of before it.
        file.seek(SeekFrom::Start(mark.0.saturating_sub(1))).expect("a regular file");
        file.read_to_end(&mut bytes).expect("a regular file");
        let is_newline = |byte: &u8| *byte == b'\n';
        let start = match mark.0 {
            0 => 0,
            _ => bytes.iter().position(is_newline).map_or(bytes.len(), |newline| newline + 1),
        };
        // The last line may be half written, too.
        let end = bytes.iter().rposition(is_newline).map_or(start, |newline| newline.max(start));
        let whole = std::str::from_utf8(&bytes[start..end]).expect("the server writes UTF-8");
        let mut asked = HashMap::new();
        whole.lines().filter_map(|line| entry(line, &mut asked)).collect()
    }

    /// The answered requests since `mark` with that operation and a path that starts with `path`.
    #[track_caller]
    pub fn matching(&self, mark: Mark, operation: &str, path: &str) -> Vec<Entry> {
        let mut entries = self.since(mark);
        entries.retain(|entry| entry.operation == operation && entry.path.starts_with(path));
        entries
    }
}

/// Reads a line. A request is remembered in `asked`, by its id, until its answer comes.
fn entry(line: &str, asked: &mut HashMap<String, Duration>) -> Option<Entry> {
    let line: Value = serde_json::from_str(line).expect("the audit log holds JSON lines");
    let at = since_1970(line["time"].as_str()?)?;
    let id = line["request"]["id"].as_str().unwrap_or_default();
    match line["type"].as_str()? {
        "request" => {
            asked.insert(id.to_owned(), at);
            return None;
        }
        "response" => {}
        _ => return None,
    }
    Some(Entry {
        asked: asked.remove(id).unwrap_or(at),
        at,
        operation: line["request"]["operation"].as_str()?.to_owned(),
        path: line["request"]["path"].as_str()?.to_owned(),
        line,
    })
}

/// Reads `2026-01-02T03:04:05.678Z`: the server writes UTC, and so do a cluster's parts.
pub fn since_1970(time: &str) -> Option<Duration> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since 1970 in the Gregorian calendar, with years that start in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let day = Duration::from_secs(u64::try_from(days).ok()? * 86_400);
    Some(day + Duration::from_secs_f64(hours * 3600.0 + minutes * 60.0 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_servers_times() {
        let read = |time| since_1970(time).map(|since| since.as_millis());
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2024-02-29T12:00:00.25Z"), Some(1_709_208_000_250));
        assert_eq!(read("2024-03-01T00:00:00.5Z"), Some(1_709_251_200_500));
        assert_eq!(read("yesterday"), None);
    }

    #[test]
    fn the_time_of_a_request_is_that_of_its_own_line() {
        let line = |kind: &str, id: &str, second: u32| {
            format!(
                r#"{{"type":"{kind}","time":"1970-01-01T00:00:0{second}Z","request":{{"id":"{id}","operation":"read","path":"{id}"}}}}"#
            )
        };
        let lines = [("request", "a", 1), ("request", "b", 2), ("response", "b", 4), ("response", "a", 7)]
            .map(|(kind, id, second)| line(kind, id, second));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{}\n", lines.join("\n"))).unwrap();
        let audit = Audit::new(file.path());
        let times = |mark| {
            let entries = audit.since(mark);
            entries.iter().map(|entry| (entry.asked.as_secs(), entry.at.as_secs())).collect::<Vec<_>>()
        };
        assert_eq!(times(Mark(0)), [(2, 4), (1, 7)]);
        // Asked before the mark: its answer is all that is known.
        assert_eq!(times(Mark(lines[0].len() as u64 + 1)), [(2, 4), (7, 7)]);
    }

    #[test]
    fn a_mark_within_a_line_that_is_being_written_is_after_that_line() {
        let line = |path: &str| {
            format!(
                r#"{{"type":"response","time":"2026-01-02T03:04:05Z","request":{{"operation":"read","path":"{path}"}}}}"#
            )
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let audit = Audit::new(file.path());
        let whole = format!("{}\n{}\n{}\n", line("one"), line("two"), line("three"));
        let within = whole.find("two").unwrap();
        std::fs::write(file.path(), &whole[..within]).unwrap();
        let mark = audit.mark();
        std::fs::write(file.path(), format!("{whole}{}", &line("four")[..9])).unwrap();
        let paths = |mark| audit.since(mark).into_iter().map(|entry| entry.path).collect::<Vec<_>>();
        assert_eq!(paths(mark), ["three"]);
        assert_eq!(paths(Mark(0)), ["one", "two", "three"]);
        assert_eq!(paths(Mark(line("one").len() as u64 + 1)), ["two", "three"], "at the very end of a line");
    }
}
