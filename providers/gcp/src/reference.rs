//! From a secret's `path` and `version` to what it is called at the store, and what can be seen to be
//! wrong with them before the store is asked.

use leasehold_core::{Problem, SecretRef};

const FORMS: &str = "write it as NAME, projects/PROJECT/secrets/NAME or \
                     projects/PROJECT/locations/LOCATION/secrets/NAME";

/// A secret at the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) project: String,
    pub(crate) location: Option<String>,
    pub(crate) secret: String,
}

/// What a path says.
struct Path<'a> {
    project: Option<&'a str>,
    location: Option<&'a str>,
    secret: &'a str,
}

impl<'a> Path<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        let found = match parts.as_slice() {
            [secret] => Self { project: None, location: None, secret },
            ["projects", project, "secrets", secret] => {
                Self { project: Some(project), location: None, secret }
            }
            ["projects", project, "locations", location, "secrets", secret] => {
                Self { project: Some(project), location: Some(location), secret }
            }
            _ => return None,
        };
        let sound = is_secret(found.secret)
            && found.project.is_none_or(is_project)
            && found.location.is_none_or(is_location);
        sound.then_some(found)
    }
}

impl Resource {
    /// What a path means where project and location of the provider are these. A path that names a
    /// project and no location is a global secret, wherever the provider is. `None`: it is no path,
    /// or there is no project.
    pub(crate) fn parse(path: &str, project: Option<&str>, location: Option<&str>) -> Option<Self> {
        let path = Path::parse(path)?;
        let (project, location) = match path.project {
            Some(project) => (project, path.location),
            None => (project?, location),
        };
        Some(Self {
            project: project.to_owned(),
            location: location.map(str::to_owned),
            secret: path.secret.to_owned(),
        })
    }

    /// `projects/…/secrets/…`.
    pub(crate) fn name(&self) -> String {
        match &self.location {
            None => format!("projects/{}/secrets/{}", self.project, self.secret),
            Some(location) => {
                format!("projects/{}/locations/{location}/secrets/{}", self.project, self.secret)
            }
        }
    }

    /// What gcloud wants to hear of it after its name.
    pub(crate) fn flags(&self) -> String {
        let location = self.location.as_ref().map(|location| format!(" --location={location}"));
        format!("--project={}{}", self.project, location.unwrap_or_default())
    }
}

/// Whether a path names its project.
pub(crate) fn project_of(path: &str) -> Option<&str> {
    Path::parse(path)?.project
}

/// Whether a path is one.
pub(crate) fn is_path(path: &str) -> bool {
    Path::parse(path).is_some()
}

/// Every problem of a secret's keys.
pub(crate) fn problems(reference: &SecretRef) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |key: &str, message: String| problems.push(Problem::new(key, message));
    if reference.path.contains("/versions/") {
        say("path", "a path names a secret: put what follows /versions/ into `version`".to_owned());
    } else if !is_path(&reference.path) {
        say("path", format!("is no secret of Google Secret Manager: {FORMS}"));
    }
    if reference.version.as_deref().is_some_and(|version| !is_version(version)) {
        say("version", "is neither a number, nor `latest`, nor an alias".to_owned());
    }
    if reference.stage.is_some() {
        say("stage", "there are no stages at Google: `version` takes a number or an alias".to_owned());
    }
    if reference.data.is_some() {
        say("data", "secrets of Google are read, never written: leave it out".to_owned());
    }
    if reference.namespace.is_some() {
        say("namespace", "there are no namespaces at Google: name the project in `path`".to_owned());
    }
    problems
}

fn is_secret(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(is_word)
}

/// A number, `latest`, or an alias.
pub(crate) fn is_version(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(is_word)
}

/// An id, a number, or the old form with a domain in front (`example.com:app`).
pub(crate) fn is_project(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':'))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

pub(crate) fn is_location(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str, location: Option<&str>) -> Option<String> {
        Resource::parse(path, Some("p"), location).map(|resource| resource.name())
    }

    #[test]
    fn a_path_is_a_name_or_the_whole_of_it() {
        for (path, location, expected) in [
            ("db", None, Some("projects/p/secrets/db")),
            ("db", Some("eu"), Some("projects/p/locations/eu/secrets/db")),
            ("projects/q/secrets/db", Some("eu"), Some("projects/q/secrets/db")),
            ("projects/q/locations/us/secrets/db", Some("eu"), Some("projects/q/locations/us/secrets/db")),
            ("projects/example.com:q/secrets/db", None, Some("projects/example.com:q/secrets/db")),
            ("", None, None),
            ("a/b", None, None),
            ("../db", None, None),
            ("db?x", None, None),
            ("projects//secrets/db", None, None),
            ("projects/../secrets/db", None, None),
            ("projects/q/secrets/db/versions/3", None, None),
        ] {
            assert_eq!(name(path, location).as_deref(), expected, "{path}");
        }
        assert_eq!(Resource::parse("db", None, None), None);
    }

    #[test]
    fn what_google_does_not_know_is_a_problem_before_it_is_asked() {
        let reference = SecretRef {
            path: "projects/p/secrets/db/versions/3".to_owned(),
            version: Some("3/../4".to_owned()),
            stage: Some("AWSCURRENT".to_owned()),
            namespace: Some("team".to_owned()),
            data: Some(serde_json::Map::new()),
            ..SecretRef::default()
        };
        let keys: Vec<String> = problems(&reference).into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["path", "version", "stage", "data", "namespace"]);
        let sound = SecretRef {
            path: "db".to_owned(),
            version: Some("production".to_owned()),
            ..SecretRef::default()
        };
        assert_eq!(problems(&sound), []);
    }
}
