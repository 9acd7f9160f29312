//! Values made up on a seed, in the shape that the path promises.

use fastrand::Rng;
use leasehold_core::Fields;
use serde_json::json;

use crate::config::SecretKind;

/// A path without slashes at its ends.
pub(crate) fn normal(path: &str) -> &str {
    path.trim_matches('/')
}

/// How a secret at this path behaves in a store that is set up as usual.
pub(crate) fn kind(path: &str) -> SecretKind {
    let mut inner = path.split('/').rev().skip(1);
    inner
        .find_map(|segment| match segment {
            "creds" => Some(SecretKind::Dynamic),
            "static-creds" => Some(SecretKind::Rotating),
            "issue" => Some(SecretKind::Certificate),
            _ => None,
        })
        .unwrap_or(SecretKind::Static)
}

/// The `turn`th value of the secret at this path, and the number of its certificate if it is one.
pub(crate) fn fields(
    kind: SecretKind,
    seed: u64,
    path: &str,
    turn: u64,
    common_name: Option<&str>,
) -> Fields {
    let mut dice = dice(seed, "value", path, turn);
    let role = path.rsplit('/').next().unwrap_or(path);
    let mut fields = Fields::new();
    match kind {
        SecretKind::Dynamic => {
            fields.insert_text("username", format!("v-mock-{role}-{:06x}", mark(seed, path, turn)));
            fields.insert_text("password", text(&mut dice, 20));
        }
        SecretKind::Rotating => {
            fields.insert_text("username", format!("mock-{role}"));
            fields.insert_text("password", text(&mut dice, 20));
        }
        SecretKind::Certificate => certificate(&mut fields, &mut dice, common_name.unwrap_or(role)),
        SecretKind::Static | SecretKind::Absent => fields.insert_text("value", text(&mut dice, 32)),
    }
    fields
}

/// Random letters and digits.
pub(crate) fn text(dice: &mut Rng, length: usize) -> String {
    (0..length).map(|_| dice.alphanumeric()).collect()
}

/// Dice that fall the same for the same seed, purpose, path and turn, whatever was thrown elsewhere.
pub(crate) fn dice(seed: u64, purpose: &str, path: &str, turn: u64) -> Rng {
    // FNV-1a: stable between versions of Rust, unlike the standard library's hasher.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let parts = [&seed.to_le_bytes()[..], purpose.as_bytes(), &[0], path.as_bytes(), &turn.to_le_bytes()];
    for byte in parts.into_iter().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Rng::with_seed(hash)
}

/// 24 bits that differ for every turn of a path (an odd step visits them all).
fn mark(seed: u64, path: &str, turn: u64) -> u64 {
    let start = dice(seed, "mark", path, 0).u64(..);
    start.wrapping_add(turn.wrapping_mul(0x9e_3779)) & 0xff_ffff
}

/// Certificate and key say the same serial number above their blocks, so that a torn pair shows.
fn certificate(fields: &mut Fields, dice: &mut Rng, common_name: &str) {
    let serial = (0..20).map(|_| format!("{:02x}", dice.u8(..))).collect::<Vec<_>>().join(":");
    let mut block = |label: &str| {
        let lines: String = (0..4).map(|_| text(dice, 64) + "\n").collect();
        format!(
            "mock {common_name}, serial {serial}\n-----BEGIN {label}-----\n{lines}-----END {label}-----\n"
        )
    };
    let authority = block("CERTIFICATE");
    fields.insert_text("certificate", block("CERTIFICATE"));
    fields.insert_text("private_key", block("PRIVATE KEY"));
    fields.insert_text("issuing_ca", authority.clone());
    fields.insert_json("ca_chain", json!([authority]));
    fields.insert_text("private_key_type", "ec".to_owned());
    fields.insert_text("serial_number", serial.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_decides_the_shape() {
        let shapes = [
            ("database/creds/web", SecretKind::Dynamic),
            ("team/db/creds/web", SecretKind::Dynamic),
            ("database/static-creds/web", SecretKind::Rotating),
            ("pki/issue/web", SecretKind::Certificate),
            ("kv/creds", SecretKind::Static),
            ("prod/api-key", SecretKind::Static),
        ];
        for (path, expected) in shapes {
            assert_eq!(kind(path), expected, "{path}");
        }
    }

    #[test]
    fn usernames_never_repeat_and_depend_on_the_seed_alone() {
        let name = |seed, turn| {
            let fields = fields(SecretKind::Dynamic, seed, "database/creds/web", turn, None);
            fields.get("username").unwrap().bytes.expose_text().unwrap().to_owned()
        };
        let names: std::collections::BTreeSet<String> = (0..5_000).map(|turn| name(7, turn)).collect();
        assert_eq!(names.len(), 5_000);
        assert_eq!(name(7, 3), name(7, 3));
        assert_ne!(name(7, 3), name(8, 3));
        assert!(name(7, 0).starts_with("v-mock-web-"), "{}", name(7, 0));
    }

    #[test]
    fn certificate_and_key_of_one_issue_say_the_same_serial_number() {
        let issue = |turn| fields(SecretKind::Certificate, 1, "pki/issue/web", turn, Some("web.svc"));
        let shown =
            |fields: &Fields, name: &str| fields.get(name).unwrap().bytes.expose_text().unwrap().to_owned();
        let (first, second) = (issue(0), issue(1));
        let serial = shown(&first, "serial_number");
        assert!(shown(&first, "certificate").contains(&serial));
        assert!(shown(&first, "private_key").contains(&serial));
        assert!(!shown(&second, "certificate").contains(&serial));
        assert!(shown(&first, "certificate").contains("-----BEGIN CERTIFICATE-----\n"));
    }
}
