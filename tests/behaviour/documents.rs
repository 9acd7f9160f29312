//! The configurations that the documentation shows are valid as they stand there, and where a page shows what
//! comes of them, that comes of them.

mod examples;
mod page;

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::process::Exit;
use harness::{Leasehold, tmpfs};
use leasehold_harness as harness;

/// The blocks of a page that are a configuration.
fn configurations(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole = |block: &&str| block.starts_with("providers:") && block.contains("\nsecrets:");
    blocks.filter(whole).map(str::to_owned).collect()
}

#[test]
fn every_example_of_a_provider_passes_the_check() {
    for (page, least) in [
        ("docs/providers.md", 6),
        ("README.md", 1),
        ("docs/exec-provider.md", 1),
        ("docs/exec.md", 1),
        ("docs/telling-the-application.md", 1),
        ("docs/verify.md", 2),
        ("docs/explain.md", 1),
    ] {
        let examples = configurations(page);
        assert!(examples.len() >= least, "{page} shows {} configurations", examples.len());
        for example in examples {
            let folder = tmpfs();
            let file = folder.join("leasehold.yaml");
            fs::write(&file, &example).unwrap();
            let end = Leasehold::command(["check".as_ref(), "-c".as_ref(), file.as_os_str()])
                .finish(Duration::from_secs(30));
            assert_eq!(end.exit, Exit::Code(0), "{page}:\n{example}\n{}", end.stderr);
        }
    }
}
