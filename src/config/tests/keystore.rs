//! Files that are keystores.

use super::Files;
#[cfg(feature = "keystore")]
use super::good;

/// A configuration with these files.
fn with(files: &str) -> String {
    format!(
        "providers:\n  mock: {{ type: mock }}\nsecrets:\n  cert: {{ provider: mock, path: pki/issue/web }}\n  \
         store: {{ provider: mock, path: kv/store }}\nfiles:\n{files}"
    )
}

fn report(files: &str) -> String {
    match Files::of(&[("leasehold.yaml", &with(files))]).load(&[]) {
        Ok(_) => panic!("nothing is said of {files}"),
        Err(report) => report.to_string(),
    }
}

#[cfg(feature = "keystore")]
#[test]
fn a_keystore_is_read_with_its_defaults() {
    use crate::config::model::{Content, Entries, Files as Wanted, Keystore, KeystoreKind};

    let config = good(&with(
        "  a.p12: { secret: cert, format: pkcs12, password: \"${X}{{ store.password }}\" }\n  \
         b.jks: { secret: cert, format: jks, password: literal, alias: Web, entries: trust }\n",
    ));
    let Wanted::Named(files) = &config.files else { panic!("files are named") };
    let keystore = |kind, entries, alias: &str, password: &str| {
        let (alias, password) = (alias.to_owned(), password.to_owned());
        Content::Keystore(Keystore { secret: "cert".to_owned(), kind, entries, alias, password })
    };
    let template = "${X}{{ store.password }}";
    assert_eq!(files["a.p12"].content, keystore(KeystoreKind::Pkcs12, Entries::Key, "cert", template));
    assert_eq!(files["b.jks"].content, keystore(KeystoreKind::Jks, Entries::Trust, "Web", "literal"));
}

#[cfg(feature = "keystore")]
#[test]
fn mistakes_about_keystores_are_said_at_their_key() {
    for (files, key, why) in [
        ("  a: { secret: cert, format: pkcs12 }\n", "files.a", "a keystore needs a `password`"),
        ("  a: { secret: cert, format: jks, password: \"\" }\n", "files.a.password", "empty"),
        (
            "  a: { secret: cert, format: jks, password: \"{{ stor.password }}\" }\n",
            "files.a.password",
            "uses \"stor\", which is no secret",
        ),
        (
            "  a: { secret: cert, format: jks, password: \"{{ store.password }\" }\n",
            "files.a.password",
            "no valid template",
        ),
        ("  a: { secret: cert, format: jks, password: x, alias: \"\" }\n", "files.a.alias", "empty"),
        (
            "  a: { secret: cert, format: jks, password: x, alias: \"a\\nb\" }\n",
            "files.a.alias",
            "no control",
        ),
        ("  a: { secret: cert, format: jks, password: x, entries: keys }\n", "files.a.entries", "\"key\""),
        (
            "  a: { secret: cert, format: json, password: x }\n",
            "files.a.password",
            "only a keystore has this",
        ),
        ("  a: { secret: cert, field: f, entries: key }\n", "files.a.entries", "only a keystore has this"),
        ("  a: { template: x, alias: y }\n", "files.a.alias", "only a keystore has this"),
        (
            "  a: { secret: cert, field: f, format: jks, password: x }\n",
            "files.a",
            "`field` is one value and `format` is all of them",
        ),
    ] {
        let report = report(files);
        assert!(report.contains(why) && report.contains(key), "{files}: {report}");
    }
}

#[cfg(not(feature = "keystore"))]
#[test]
fn a_build_without_keystores_says_so() {
    let report = report("  a: { secret: cert, format: pkcs12, password: \"{{ store.password }}\" }\n");
    assert!(
        report.contains("this build writes no keystores: take one with the feature `keystore`"),
        "{report}"
    );
}
