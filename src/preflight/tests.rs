//! Against the mock, which denies, ends and counts on request.

use leasehold_core::Operation;
use leasehold_mock::Mock;

use super::*;

/// What is found, and the store that was asked.
async fn found(text: &str, request: &Request, prepare: impl FnOnce(&Mock)) -> (Findings, Mock) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leasehold.yaml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&[path], &leasehold_core::Environment::default())
        .unwrap_or_else(|report| panic!("{report}"));
    let Settings::Mock(settings) = &config.providers["store"].settings else { panic!("it is a mock") };
    let (mock, _) = Mock::new(settings.clone());
    prepare(&mock);
    let findings =
        preflight_with(&config, request, |name, _| Ok(mock.provider(name, Arc::new(NoObserver)))).await;
    (findings, mock)
}

/// Without the directory, which differs from run to run, and without accessors.
fn shown(findings: &Findings) -> String {
    let words = findings.to_string();
    let word = |word: &str| match word.contains("/leasehold.yaml:") {
        true => format!("leasehold.yaml:{}", word.rsplit("leasehold.yaml:").next().unwrap_or_default()),
        false => word.to_owned(),
    };
    words.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n").collect()
}

const CONFIG: &str = "
providers:
  store: { type: mock, ttl: 1m, session: { ttl: 10m, max_ttl: 1h } }
secrets:
  db: { provider: store, path: database/creds/web }
  api: { provider: store, path: kv/api }
files:
  db.env: { template: '{{ db.username }}' }
  api.json: { secret: api, format: json }
";

#[tokio::test(start_paused = true)]
async fn all_is_well_and_nothing_was_minted_or_left() {
    let (findings, mock) = found(CONFIG, &Request::default(), |_| {}).await;
    insta::assert_snapshot!(shown(&findings));
    assert_eq!(findings.problem_kind(), None);
    assert_eq!(mock.mints("database/creds/web"), 0);
    assert!(mock.sessions().is_empty(), "the session was revoked");
}

#[tokio::test(start_paused = true)]
async fn on_request_it_mints_and_gives_back() {
    let request = Request { mint: Mint::GiveBack, jwt: None };
    let (findings, mock) = found(CONFIG, &request, |_| {}).await;
    insta::assert_snapshot!(shown(&findings));
    assert_eq!(mock.mints("database/creds/web"), 1);
    assert!(mock.leases().is_empty() && mock.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_we_may_not_do_is_said_with_the_policy_that_grants_it() {
    let (findings, mock) = found(CONFIG, &Request::default(), |mock| {
        mock.deny(Operation::Fetch, "database/creds/web");
        mock.deny(Operation::Revoke, "database/creds/web");
        mock.deny(Operation::Fetch, "kv/api");
    })
    .await;
    insta::assert_snapshot!(shown(&findings));
    assert_eq!(findings.problem_kind(), Some(Kind::Denied));
    assert_eq!(mock.mints("database/creds/web"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_field_that_a_file_wants_and_the_store_does_not_have_is_said() {
    let text = CONFIG.replace("{ secret: api, format: json }", "{ secret: api, field: tokne }");
    let (findings, _) = found(&text, &Request::default(), |mock| {
        mock.set_fields("kv/api", [("token", "c4n4ry")]);
    })
    .await;
    let text = shown(&findings);
    assert!(!text.contains("c4n4ry"), "{text}");
    insta::assert_snapshot!(text);
    assert_eq!(findings.problem_kind(), Some(Kind::Invalid));
}

#[tokio::test(start_paused = true)]
async fn an_absent_secret_is_a_problem_only_where_it_is_required() {
    let absent = |mock: &Mock| mock.remove("kv/api");
    let (findings, _) = found(CONFIG, &Request::default(), absent).await;
    assert_eq!(findings.problem_kind(), Some(Kind::Absent), "{findings}");
    let text = CONFIG.replace("path: kv/api", "path: kv/api, required: false");
    let (findings, _) = found(&text, &Request::default(), absent).await;
    assert_eq!(findings.problem_kind(), None, "{findings}");
    insta::assert_snapshot!(shown(&findings));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_said_once() {
    let (findings, _) = found(CONFIG, &Request::default(), Mock::outage).await;
    assert_eq!(findings.problem_kind(), Some(Kind::Unavailable), "{findings}");
    assert_eq!(findings.found().len(), 1, "{findings}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_before_its_leases_is_warned_of() {
    let text = CONFIG.replace("{ ttl: 10m, max_ttl: 1h }", "{ ttl: 15s, max_ttl: 15s }");
    let request = Request { mint: Mint::GiveBack, jwt: None };
    let (findings, _) = found(&text, &request, |_| {}).await;
    assert!(
        findings.found().iter().any(|f| f.weight == Weight::Warning && f.about == "secret db"),
        "{findings}"
    );
    insta::assert_snapshot!(shown(&findings));
}

#[tokio::test(start_paused = true)]
async fn a_session_with_few_uses_is_not_used_up() {
    let text = CONFIG.replace("{ ttl: 10m, max_ttl: 1h }", "{ uses: 3 }");
    let (findings, mock) = found(&text, &Request::default(), |_| {}).await;
    assert_eq!(mock.requests(Operation::Fetch) + mock.requests(Operation::Check), 0, "{findings}");
    insta::assert_snapshot!(shown(&findings));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_given_is_left_alone() {
    let text = CONFIG.replace("{ ttl: 10m, max_ttl: 1h }", "{ given: true }");
    let (findings, mock) = found(&text, &Request::default(), |_| {}).await;
    assert_eq!(findings.problem_kind(), None, "{findings}");
    assert_eq!(mock.requests(Operation::Revoke) + mock.requests(Operation::Renew), 0);
    assert_eq!(mock.sessions().len(), 1);
}
