//! Arguments → exit code.

use std::process::ExitCode;

/// Wipes what it frees: parsers, templates and clients copy plaintext where no type of ours
/// reaches.
#[global_allocator]
static ALLOCATOR: leasehold::process::Allocator = leasehold::process::ALLOCATOR;

fn main() -> ExitCode {
    leasehold::cli::main()
}
