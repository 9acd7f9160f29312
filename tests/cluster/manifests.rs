//! Every manifest of `deploy/kustomize`, admitted where Pod Security *restricted* is enforced.

use std::path::Path;
use std::process::Command;

use crate::node::PLACE;

#[test]
fn every_manifest_and_the_pod_that_it_makes_is_created_under_restricted_and_a_broken_one_is_refused() {
    let admit = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/admit");
    let mut command = Command::new(admit);
    command.env("KUBECONFIG", Path::new(PLACE).join("admin.conf"));
    let output = command.output().expect("it is a script of this repository");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
