use serde_json::{Value, json};

use super::*;

fn parse(raw: Value, environment: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let given = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::parse(serde_json::from_value(raw).unwrap(), &Environment::new(given))
}

fn keys(raw: Value) -> Vec<String> {
    parse(raw, &[]).unwrap_err().into_iter().map(|problem| problem.key).collect()
}

fn regions(settings: &Settings) -> Vec<Option<&str>> {
    settings.places.iter().map(|place| place.region.as_deref()).collect()
}

#[test]
fn the_region_comes_from_the_file_before_the_environment() {
    let environment = [("AWS_REGION", "eu-north-1"), ("AWS_DEFAULT_REGION", "eu-south-1")];
    let settings = parse(json!({ "region": "eu-west-1" }), &environment).unwrap();
    assert_eq!(regions(&settings), [Some("eu-west-1")]);
    assert_eq!(regions(&parse(json!({}), &environment).unwrap()), [Some("eu-north-1")]);
    assert_eq!(regions(&parse(json!({}), &environment[1..]).unwrap()), [Some("eu-south-1")]);
    assert_eq!(regions(&parse(json!({}), &[]).unwrap()), [None]);
}

#[test]
fn regions_follow_the_first_in_their_order() {
    let raw = json!({
        "region": "eu-west-1",
        "endpoint": "https://one.example",
        "regions": ["eu-central-1", { "region": "us-east-1", "endpoint": "https://two.example" }],
    });
    let settings = parse(raw, &[]).unwrap();
    assert_eq!(regions(&settings), [Some("eu-west-1"), Some("eu-central-1"), Some("us-east-1")]);
    let endpoints: Vec<_> = settings.places.iter().map(|place| place.endpoint.as_deref()).collect();
    assert_eq!(endpoints, [Some("https://one.example"), None, Some("https://two.example")]);
    let alone = parse(json!({ "regions": ["eu-central-1"] }), &[("AWS_REGION", "eu-west-1")]).unwrap();
    assert_eq!(regions(&alone), [Some("eu-central-1")], "the file wins");
}

#[test]
fn all_problems_are_said_with_their_keys() {
    assert_eq!(
        keys(json!({
            "region": "Europe",
            "endpoint": "ftp://user@x",
            "fips": true,
            "role_arn": "web",
            "session_name": "a b",
            "profile": "",
            "tls": { "ca_file": "" },
        })),
        ["region", "endpoint", "fips", "role_arn", "session_name", "profile", "tls.ca_file"]
    );
    assert_eq!(keys(json!({ "external_id": "x" })), ["external_id"]);
    assert_eq!(keys(json!({ "region": "eu-west-1", "regions": ["eu-west-1"] })), ["regions.0"]);
    assert_eq!(keys(json!({ "endpoint": "https://x", "regions": ["eu-west-1"] })), ["endpoint"]);
}

#[test]
fn no_value_is_repeated() {
    let canary = "canary-7d41";
    let raw = json!({
        "region": canary, "regions": [canary], "endpoint": canary, "role_arn": canary, "external_id": "canary-7d41\n",
        "session_name": "canary-7d41 ", "profile": "canary-7d41\n", "proxy": canary,
    });
    let problems = parse(raw, &[]).unwrap_err();
    assert!(problems.len() >= 7, "{problems:?}");
    assert!(!format!("{problems:?}").contains(canary), "{problems:?}");
    let settings = parse(json!({}), &[("AWS_SECRET_ACCESS_KEY", canary)]).unwrap();
    assert!(!format!("{settings:?} {}", settings.identity()).contains(canary));
}
