//! Values made up on a seed, in the shape that the path promises.

use fastrand::Rng;
use leasehold_core::Fields;

use crate::config::SecretKind;
use crate::shape::Shape;

/// A path without slashes at its ends.
pub(crate) fn normal(path: &str) -> &str {
    path.trim_matches('/')
}

/// How a secret at this path behaves in a store that is set up as usual.
pub(crate) fn kind(path: &str) -> SecretKind {
    let mut inner = path.split('/').rev().skip(1);
    inner
        .find_map(|segment| match segment {
            "creds" | "sts" => Some(SecretKind::Dynamic),
            "static-creds" => Some(SecretKind::Rotating),
            "issue" | "sign" => Some(SecretKind::Certificate),
            _ => None,
        })
        .unwrap_or(SecretKind::Static)
}

/// The `turn`th value of the secret at this path. A certificate is made by its authority, and what
/// is to have other fields is left to them ([`Shape::complete`]).
pub(crate) fn fields(kind: SecretKind, seed: u64, path: &str, turn: u64, shape: &Shape) -> Fields {
    let mut dice = dice(seed, "value", path, turn);
    let role = path.rsplit('/').next().unwrap_or(path);
    let mut fields = Fields::new();
    match kind {
        SecretKind::Dynamic => {
            fields.insert_text("username", username(role, seed, path, turn));
            fields.insert_text("password", password(&mut dice));
        }
        SecretKind::Rotating => {
            fields.insert_text("username", format!("mock-{role}"));
            fields.insert_text("password", password(&mut dice));
        }
        SecretKind::Static | SecretKind::Absent if shape.is_empty() => {
            fields.insert_text("value", text(&mut dice, 32));
        }
        SecretKind::Static | SecretKind::Absent | SecretKind::Certificate => {}
    }
    fields
}

/// As Vault makes them: who logged in, the role, something random, a time.
fn username(role: &str, seed: u64, path: &str, turn: u64) -> String {
    let role: String = role.chars().take(8).collect();
    let random = text(&mut dice(seed, "username", path, turn), 14);
    format!("v-mock-{role}-{random}{:06x}-{}", mark(seed, path, turn), 1_700_000_000 + turn)
}

/// As Vault's default policy wants them: 20 letters, digits and a hyphen.
fn password(dice: &mut Rng) -> String {
    let (first, second) = (text(dice, 9), text(dice, 8));
    format!("A{first}-{second}1")
}

/// The serial number of the `turn`th certificate at this path: positive, and of full length.
pub(crate) fn serial(seed: u64, path: &str, turn: u64) -> [u8; 20] {
    let mut dice = dice(seed, "serial", path, turn);
    let mut serial = [0; 20];
    dice.fill(&mut serial);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
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
            ("pki/sign/web", SecretKind::Certificate),
            ("aws/sts/deploy", SecretKind::Dynamic),
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
            let fields = fields(SecretKind::Dynamic, seed, "database/creds/web", turn, &Shape::default());
            fields.get("username").unwrap().bytes.expose_text().unwrap().to_owned()
        };
        let names: std::collections::BTreeSet<String> = (0..5_000).map(|turn| name(7, turn)).collect();
        assert_eq!(names.len(), 5_000);
        assert_eq!(name(7, 3), name(7, 3));
        assert_ne!(name(7, 3), name(8, 3));
        assert!(name(7, 0).starts_with("v-mock-web-"), "{}", name(7, 0));
    }

    #[test]
    fn serial_numbers_are_positive_and_differ_by_turn_and_seed() {
        let serials: std::collections::BTreeSet<_> = (0..1_000)
            .flat_map(|turn| [serial(1, "pki/issue/web", turn), serial(2, "pki/issue/web", turn)])
            .collect();
        assert_eq!(serials.len(), 2_000);
        assert!(serials.iter().all(|serial| (0x40..0x80).contains(&serial[0])));
        assert_eq!(serial(1, "pki/issue/web", 4), serial(1, "pki/issue/web", 4));
    }

    #[test]
    fn a_username_fits_where_databases_cut_them() {
        let fields =
            fields(SecretKind::Dynamic, 1, "database/creds/a-very-long-role-name", 0, &Shape::default());
        let name = fields.get("username").unwrap().bytes.expose_text().unwrap().to_owned();
        assert!(name.len() <= 63 && name.starts_with("v-mock-a-very-l-"), "{name}");
    }
}
