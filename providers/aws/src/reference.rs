//! What can be seen to be wrong with a secret before AWS is asked.

use leasehold_core::{Problem, SecretRef};

use crate::arn::{Arn, partition_of};
use crate::parameters::EVERYTHING;
use crate::regions::Place;

/// Every problem of a secret of Secrets Manager.
pub(crate) fn of_secrets_manager(reference: &SecretRef, places: &[Place]) -> Vec<Problem> {
    let mut problems = common(reference);
    let path = reference.path.as_str();
    if Arn::begins(path) {
        problems.extend(arn(path, "secretsmanager", "secret:", places));
    } else if path.len() > 512 || !path.bytes().all(|byte| is_word(byte) || b"/_+=.@-".contains(&byte)) {
        problems.push(Problem::new(
            "path",
            "is neither a secret's name (letters, digits and /_+=.@-, 512 at most) nor its ARN",
        ));
    }
    if reference.version.is_some() && reference.stage.is_some() {
        problems.push(Problem::new(
            "stage",
            "does not go with version: a stage moves, a version does not; name one",
        ));
    }
    if reference.version.as_deref().is_some_and(|version| !is_version_id(version)) {
        problems.push(Problem::new(
            "version",
            "is no version id (32 to 64 letters, digits and hyphens); AWSPREVIOUS and the like are a stage",
        ));
    }
    if reference.stage.as_deref().is_some_and(|stage| !is_label(stage, 256)) {
        problems.push(Problem::new("stage", "is no stage like AWSCURRENT, AWSPENDING or AWSPREVIOUS"));
    }
    problems
}

/// Every problem of a secret of Parameter Store.
pub(crate) fn of_parameter_store(reference: &SecretRef, places: &[Place]) -> Vec<Problem> {
    let mut problems = common(reference);
    let path = reference.path.as_str();
    let tree = path.ends_with('/');
    if Arn::begins(path) {
        problems.extend(arn(path, "ssm", "parameter/", places));
        if tree {
            problems.push(Problem::new("path", "all below a path is named by the path, not by an ARN"));
        }
    } else if path.len() > 2048 || !path.bytes().all(|byte| is_word(byte) || b"/_.-".contains(&byte)) {
        problems.push(Problem::new(
            "path",
            "is neither a parameter's name (letters, digits and /_.-, its version apart) nor its ARN nor, with a slash \
             at its end, a path above parameters",
        ));
    } else if tree && !path.starts_with('/') {
        problems.push(Problem::new("path", "a path above parameters begins with a slash"));
    } else if path.contains('/') && !path.starts_with('/') {
        problems.push(Problem::new("path", "a parameter's name with a slash in it begins with one"));
    }
    if path == "/" {
        problems.push(Problem::new("path", EVERYTHING));
    }
    if path.contains("//") {
        problems.push(Problem::new("path", "holds an empty part (//)"));
    }
    if reference.stage.is_some() {
        problems.push(Problem::new("stage", "is not known here: a label is written as version"));
    }
    if let Some(version) = &reference.version {
        if tree {
            problems.push(Problem::new(
                "version",
                "does not go with a path above parameters: name one parameter",
            ));
        } else if !is_label(version, 100) {
            problems.push(Problem::new("version", "is neither the number of a version nor a label"));
        }
    }
    if tree && reference.key.is_some() {
        problems.push(Problem::new("key", "does not go with a path above parameters: name one parameter"));
    }
    problems
}

fn common(reference: &SecretRef) -> Vec<Problem> {
    let mut problems = Vec::new();
    if reference.path.is_empty() {
        problems.push(Problem::new("path", "is empty"));
    }
    if reference.data.is_some() {
        problems.push(Problem::new("data", "is for what is written: secrets of this provider are read"));
    }
    if reference.namespace.is_some() {
        problems.push(Problem::new(
            "namespace",
            "is not known here: another account is named by an ARN, or is a \
            provider of its own with role_arn",
        ));
    }
    problems
}

fn arn(path: &str, service: &str, resource: &str, places: &[Place]) -> Option<Problem> {
    let what = match Arn::parse(path) {
        Some(arn) if arn.service == service && arn.resource.starts_with(resource) && arn.has_account() => arn,
        _ => {
            return Some(Problem::new(
                "path",
                format!("is no ARN like arn:aws:{service}:eu-west-1:123456789012:{resource}…"),
            ));
        }
    };
    if partition_of(what.region) != what.partition {
        return Some(Problem::new("path", "the ARN's partition is not that of its region"));
    }
    misplaced(path, places).map(|why| Problem::new("path", why))
}

/// An ARN of a region that is not asked.
pub(crate) fn misplaced(path: &str, places: &[Place]) -> Option<String> {
    let region = Arn::parse(path)?.region;
    let asked: Vec<&str> = places.iter().map(|place| place.region.as_deref()).collect::<Option<_>>()?;
    (!asked.contains(&region)).then(|| {
        format!(
            "the ARN is of region {region}, and this provider asks {}: correct one of them, or add a provider for {region}",
            asked.join(", ")
        )
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_label(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(|byte| is_word(byte) || b"_.-/".contains(&byte))
}

fn is_version_id(text: &str) -> bool {
    (32..=64).contains(&text.len()) && text.bytes().all(|byte| is_word(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Place> {
        vec![Place { region: Some("eu-west-1".to_owned()), endpoint: None }]
    }

    fn at(path: &str) -> SecretRef {
        SecretRef { name: "s".to_owned(), path: path.to_owned(), ..SecretRef::default() }
    }

    fn keys(problems: Vec<Problem>) -> Vec<String> {
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn names_and_arns_of_secrets_are_told_from_what_is_neither() {
        for good in [
            "prod/api",
            "a+b=c.d@e-f_g",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/api-AbCdEf",
        ] {
            assert_eq!(of_secrets_manager(&at(good), &places()), [], "{good}");
        }
        for bad in [
            "",
            "prod api",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/x",
            "arn:aws:secretsmanager:eu-west-1:1:secret:x",
            "arn:aws-cn:secretsmanager:eu-west-1:123456789012:secret:x",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:x",
        ] {
            assert_eq!(keys(of_secrets_manager(&at(bad), &places())), ["path"], "{bad}");
        }
        let unknown = [Place { region: None, endpoint: None }];
        let abroad = at("arn:aws:secretsmanager:us-east-1:123456789012:secret:x");
        assert_eq!(of_secrets_manager(&abroad, &unknown), [], "the region is not known yet");
    }

    #[test]
    fn a_version_is_an_id_and_a_stage_a_name_and_not_both() {
        let mut reference = at("x");
        reference.version = Some("AWSPREVIOUS".to_owned());
        assert_eq!(keys(of_secrets_manager(&reference, &places())), ["version"]);
        reference.version = Some("a1b2c3d4-5678-90ab-cdef-EXAMPLE11111".to_owned());
        assert_eq!(of_secrets_manager(&reference, &places()), []);
        reference.stage = Some("AWSPENDING".to_owned());
        assert_eq!(keys(of_secrets_manager(&reference, &places())), ["stage"]);
        reference.data = Some(serde_json::Map::new());
        reference.namespace = Some("team".to_owned());
        assert_eq!(keys(of_secrets_manager(&reference, &places())), ["data", "namespace", "stage"]);
    }

    #[test]
    fn a_parameter_is_a_name_an_arn_or_a_path_with_a_slash_at_its_end() {
        for good in ["plain", "/prod/db", "/prod/", "arn:aws:ssm:eu-west-1:123456789012:parameter/prod/db"] {
            assert_eq!(of_parameter_store(&at(good), &places()), [], "{good}");
        }
        for bad in [
            "prod/",
            "prod/db",
            "/prod//db",
            "/prod/db:3",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/prod/",
        ] {
            assert_eq!(keys(of_parameter_store(&at(bad), &places())), ["path"], "{bad}");
        }
        let mut tree = at("/prod/");
        tree.version = Some("3".to_owned());
        tree.key = Some("a".to_owned());
        tree.stage = Some("x".to_owned());
        assert_eq!(keys(of_parameter_store(&tree, &places())), ["stage", "version", "key"]);
    }
}
