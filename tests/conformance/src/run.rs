//! One case with one subject: run, judged, and said.

use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

use crate::cases;
use crate::stage::Stage;
use crate::subject::{Cannot, Subject, Verdict};

/// A case that is run on a stage.
type Played<'a> = Pin<Box<dyn Future<Output = Result<(), Cannot>> + 'a>>;

/// One case: what it is called, and what it does.
struct Case {
    name: &'static str,
    play: for<'a> fn(&'a Stage<'a>) -> Played<'a>,
}

macro_rules! table {
    ($($case:ident)*) => {
        const CASES: &[Case] =
            &[$(Case { name: stringify!($case), play: |stage| Box::pin(cases::$case(stage)) },)*];
    };
}
crate::every_case!(table);

/// The names of all cases, in the order of the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}

/// Runs the case of this name, says how it went, and panics where it failed.
///
/// One line goes to standard output, and to the file that `LEASEHOLD_CONFORMANCE` names.
pub fn run(name: &str, subject: &dyn Subject) {
    let verdict = judge(name, subject);
    let said = match &verdict {
        Verdict::Passed => "passed\t".to_owned(),
        Verdict::CouldNot(why) => format!("could not\t{why}"),
        Verdict::Failed(why) => {
            format!("failed\t{}", why.lines().next().unwrap_or_default().replace('\t', " "))
        }
    };
    report(&format!("conformance\t{}\t{name}\t{said}", subject.name()));
    if let Verdict::Failed(why) = verdict {
        panic!("{}, {name}: {why}", subject.name());
    }
}

/// Runs the case of this name, and says nothing of it: for whoever tests the suite itself.
pub fn judge(name: &str, subject: &dyn Subject) -> Verdict {
    let case = CASES.iter().find(|case| case.name == name).expect("it is one of the cases");
    match catch_unwind(AssertUnwindSafe(|| play(case, subject))) {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Cannot(why))) => Verdict::CouldNot(why),
        Err(panic) => Verdict::Failed(reason(panic.as_ref())),
    }
}

fn play(case: &Case, subject: &dyn Subject) -> Result<(), Cannot> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stage = Stage::new(subject);
    let played = runtime.block_on((case.play)(&stage));
    stage.close();
    played
}

#[allow(clippy::print_stdout, reason = "the reader of the tests' output is who it is for")]
fn report(line: &str) {
    println!("{}", line.replace('\t', " · ").trim_end_matches(" · "));
    let Some(file) = std::env::var_os("LEASEHOLD_CONFORMANCE").filter(|file| !file.is_empty()) else {
        return;
    };
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("LEASEHOLD_CONFORMANCE cannot be written to: {error}"));
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
    text.to_owned()
}
