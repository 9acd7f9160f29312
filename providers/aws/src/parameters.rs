//! Parameter Store: `GetParameters` for parameters by name, `GetParametersByPath` for all below a path.
//!
//! The fields of a path are named by what follows it, slashes and all: `/prod/` with a parameter
//! `/prod/db/password` has a field `db/password`.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::types::Parameter;
use leasehold_core::{Fields, Kind, SecretRef, Wanted};

use crate::error::{About, Refusal, named, of_code, refusal};
use crate::service::{Asking, Outcome, fetched};
use crate::value;
use crate::wire::quietly;

/// The most that one request takes.
const BATCH: usize = 10;
/// Pages of ten: more would be no secret but a database.
const MOST_PAGES: usize = 500;
/// A longer list of versions is told by its sum.
const LONGEST_VERSION: usize = 128;
pub(crate) const GET: &str = "ssm:GetParameters";
pub(crate) const GET_TREE: &str = "ssm:GetParametersByPath";

/// Why `/` is refused.
pub(crate) const EVERYTHING: &str = "is above every parameter of the account: name a longer path";

pub(crate) struct Parameters;

/// One parameter as it is asked for.
struct Name {
    /// Name or ARN.
    bare: String,
    /// With the version or label.
    full: String,
}

impl Parameters {
    /// How many go into one request, and what is throttled together.
    pub(crate) fn batch(reference: &SecretRef) -> (usize, &'static str) {
        if is_tree(reference) { (1, "GetParametersByPath") } else { (BATCH, "GetParameters") }
    }

    pub(crate) async fn fetch(&self, asking: &Asking<'_>, wanted: &[Wanted<'_>]) -> Vec<Outcome> {
        let client = client(asking);
        let names: Vec<Name> = wanted.iter().map(|one| name(asking, one.reference)).collect();
        let mut outcomes: Vec<Option<Outcome>> = wanted.iter().map(|_| None).collect();
        for round in rounds(wanted, &names) {
            let found = match get(&client, asking, &full(&names, &round)).await {
                // What one of them lacks denies all of them.
                Err(refused)
                    if round.len() > 1 && matches!(refused.about, About::Rights | About::Request) =>
                {
                    None
                }
                found => Some(found),
            };
            for at in round {
                let alone;
                let found = match &found {
                    Some(found) => found,
                    None => {
                        alone = get(&client, asking, &full(&names, &[at])).await;
                        &alone
                    }
                };
                outcomes[at] = Some(match found {
                    Ok(found) => understand(asking, &wanted[at], &names[at], found),
                    Err(refused) => Err(refused.of(wanted[at].reference)),
                });
            }
        }
        let mut done = Vec::with_capacity(wanted.len());
        for (one, outcome) in wanted.iter().zip(outcomes) {
            done.push(match outcome {
                Some(outcome) => outcome,
                None => tree(&client, asking, one).await,
            });
        }
        done
    }
}

pub(crate) fn is_tree(reference: &SecretRef) -> bool {
    reference.path.ends_with('/')
}

fn client(asking: &Asking<'_>) -> Client {
    let mut config = Builder::from(asking.config).http_client(asking.wire.clone());
    if let Some(endpoint) = asking.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

fn name(asking: &Asking<'_>, reference: &SecretRef) -> Name {
    let bare = asking.id(reference).into_owned();
    let full = match &reference.version {
        Some(version) => format!("{bare}:{version}"),
        None => bare.clone(),
    };
    Name { bare, full }
}

/// What is asked for together: ten names at most, and of one parameter only one version, since the store
/// refuses a name that comes twice.
fn rounds(wanted: &[Wanted<'_>], names: &[Name]) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (at, one) in wanted.iter().enumerate() {
        if is_tree(one.reference) {
            continue;
        }
        let fits = |round: &&mut Vec<usize>| {
            let same = |other: &&usize| names[**other].bare == names[at].bare;
            full(names, round).len() < BATCH
                && round.iter().filter(same).all(|other| names[*other].full == names[at].full)
        };
        match rounds.iter_mut().find(fits) {
            Some(round) => round.push(at),
            None => rounds.push(vec![at]),
        }
    }
    rounds
}

/// The different names of a round.
fn full(names: &[Name], round: &[usize]) -> Vec<String> {
    let mut full: Vec<String> = round.iter().map(|at| names[*at].full.clone()).collect();
    full.sort_unstable();
    full.dedup();
    full
}

/// Parameters by name. What does not exist is not among them.
async fn get(client: &Client, asking: &Asking<'_>, names: &[String]) -> Result<Vec<Parameter>, Refusal> {
    let asked = client.get_parameters().set_names(Some(names.to_vec())).with_decryption(true);
    quietly(asked.send())
        .await
        .map(|answer| answer.parameters.unwrap_or_default())
        .map_err(|error| refusal(&asking.site(""), &asking.about_several(GET), &error))
}

fn understand(asking: &Asking<'_>, wanted: &Wanted<'_>, name: &Name, found: &[Parameter]) -> Outcome {
    let reference = wanted.reference;
    let on = named(reference);
    let site = asking.site(&on);
    let is_it = |parameter: &&Parameter| {
        let named = parameter.name() == Some(&name.bare) || parameter.arn() == Some(&name.bare);
        named && is_version(parameter, reference.version.as_deref())
    };
    let Some(parameter) = found.iter().find(is_it) else {
        return Err(of_code(&site, &asking.about(GET, reference), 0, Some("ParameterNotFound"), None));
    };
    fetched(Some(parameter.version().to_string()), wanted.known_version, || match parameter.value() {
        Some(text) => value::of_text(text.to_owned(), reference.key.as_deref(), &site),
        None => Err(site.error(Kind::Malformed, "the answer holds a parameter without a value")),
    })
}

/// Whether it is the version, or has the label, that was asked for. AWS repeats it as `:3` or `:label`. Where
/// that is left out, the number has to do: of one parameter only one version is in a request.
fn is_version(parameter: &Parameter, asked: Option<&str>) -> bool {
    let selector = parameter.selector().map(|selector| selector.trim_start_matches(':'));
    match (asked, selector.filter(|selector| !selector.is_empty())) {
        (asked, Some(selector)) => asked == Some(selector),
        (None, None) => true,
        (Some(asked), None) => asked.parse::<i64>().map_or(true, |number| number == parameter.version()),
    }
}

/// All parameters below a path, in one secret.
async fn tree(client: &Client, asking: &Asking<'_>, wanted: &Wanted<'_>) -> Outcome {
    let reference = wanted.reference;
    let on = named(reference);
    let site = asking.site(&on);
    let above = reference.path.trim_end_matches('/');
    if above.is_empty() {
        let error = site.error(Kind::Invalid, format!("the path {EVERYTHING}"));
        return Err(Refusal { error, about: About::Request });
    }
    let mut found: Vec<Parameter> = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let asked = client.get_parameters_by_path().path(above).recursive(true).with_decryption(true);
        let answer = quietly(asked.set_next_token(token.take()).send())
            .await
            .map_err(|error| refusal(&site, &asking.about(GET_TREE, reference), &error))?;
        found.extend(answer.parameters.unwrap_or_default());
        token = answer.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    if token.is_some() {
        let detail =
            format!("there are more than {} parameters below it: name a longer path", MOST_PAGES * BATCH);
        return Err(Refusal { error: site.error(Kind::Invalid, detail), about: About::Request });
    }
    if found.is_empty() {
        return Err(of_code(&site, &asking.about(GET_TREE, reference), 0, Some("ParameterNotFound"), None));
    }
    found.sort_by(|one, other| one.name().cmp(&other.name()));
    let rest = |parameter: &Parameter| {
        let name = parameter.name().unwrap_or_default();
        name.strip_prefix(reference.path.as_str()).unwrap_or(name).to_owned()
    };
    let versions: Vec<String> =
        found.iter().map(|parameter| format!("{}:{}", rest(parameter), parameter.version())).collect();
    fetched(Some(short(versions.join(","))), wanted.known_version, || {
        let mut fields = Fields::new();
        for parameter in &found {
            let value = parameter
                .value()
                .ok_or_else(|| site.error(Kind::Malformed, "the answer holds a parameter without a value"))?;
            fields.insert_text(rest(parameter), value.to_owned());
        }
        Ok(fields)
    })
}

/// Names and versions as they stand, or the sum of them (FNV-1a).
fn short(versions: String) -> String {
    if versions.len() <= LONGEST_VERSION {
        return versions;
    }
    let sum = versions
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_names_go_together_and_two_versions_of_one_do_not() {
        let of = |path: &str, version: Option<&str>| SecretRef {
            path: path.to_owned(),
            version: version.map(str::to_owned),
            ..SecretRef::default()
        };
        let mut references: Vec<SecretRef> = (0..11).map(|nth| of(&format!("/p/{nth}"), None)).collect();
        references.push(of("/p/0", Some("1")));
        references.push(of("/p/0", None));
        references.push(of("/p/", None));
        let wanted: Vec<Wanted<'_>> =
            references.iter().map(|reference| Wanted { reference, known_version: None }).collect();
        let names: Vec<Name> = references
            .iter()
            .map(|one| Name {
                bare: one.path.clone(),
                full: format!(
                    "{}{}",
                    one.path,
                    one.version.as_deref().map(|v| format!(":{v}")).unwrap_or_default()
                ),
            })
            .collect();
        let rounds = rounds(&wanted, &names);
        assert_eq!(rounds, [vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9], vec![10, 11], vec![12]]);
    }

    #[test]
    fn many_versions_are_told_by_their_sum() {
        assert_eq!(short("a:1,b:2".to_owned()), "a:1,b:2");
        let long = |last: &str| short(format!("{}{last}", "a:1,".repeat(40)));
        assert_eq!(long("b:1").len(), 16);
        assert_ne!(long("b:1"), long("b:2"));
    }
}
