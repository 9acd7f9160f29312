//! Keys that are to be made here.

use super::*;

#[cfg(feature = "generate-key")]
#[test]
fn keys_that_cannot_be_made_here_are_said_with_what_can() {
    snapshot!(after_providers(&[
        (
            "unknown kind",
            "secrets: { cert: { provider: vault, path: pki/sign/web, generate_key: ec-p265 } }\n",
        ),
        (
            "no kind at all",
            "secrets: { cert: { provider: vault, path: pki/sign/web, generate_key: true } }\n",
        ),
        (
            "a request of one's own",
            "secrets: { cert: { provider: vault, path: pki/sign/web, data: { csr: canary }, generate_key: ec-p256 } }\n",
        ),
        (
            "a path that issues",
            "secrets: { cert: { provider: vault, path: team/pki/issue/web, data: { common_name: web }, generate_key: ed25519 } }\n",
        ),
        (
            "part of an answer",
            "secrets: { cert: { provider: vault, path: pki/sign/web, key: certificate, generate_key: rsa-2048 } }\n",
        ),
        (
            "names that no request holds",
            "secrets: { cert: { provider: vault, path: pki/sign/web, data: { alt_names: canäry, ip_sans: canary, uri_sans: canary, other_sans: canary }, generate_key: ec-p384 } }\n",
        ),
    ]));
}

#[cfg(all(feature = "generate-key", feature = "file"))]
#[test]
fn a_key_for_a_store_that_nothing_is_written_to_is_an_error() {
    snapshot!(reports(&[(
        "a store that is only read",
        "providers:\n  here: { type: file, path: /etc/secrets }\nsecrets: { cert: { provider: here, path: tls, generate_key: ec-p256 } }\n",
    )]));
}
