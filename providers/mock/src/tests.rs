//! The store as its users see it: through the contract and the handle.
#![allow(clippy::disallowed_methods, reason = "a test saves the values file as a person does")]

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Bound, Effect, Environment, Error, Fetched, Kind, Lease, Login, NoObserver, Operation, Origin, Provider,
    ProviderSettings, SecretRef, Session, Surroundings, Target, Wanted,
};

use crate::{Fault, Mock, Raw, Settings};

const WEB: &str = "database/creds/web";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn store(yaml: &str) -> (Mock, Box<dyn Provider>) {
    Mock::new(Settings::from_yaml(yaml).unwrap())
}

fn at(path: &str) -> SecretRef {
    SecretRef { name: "db".to_owned(), path: path.to_owned(), ..SecretRef::default() }
}

async fn login(provider: &dyn Provider) -> Session {
    match provider.login(None).await.unwrap() {
        Login::Session(session) => session,
        Login::Keep(_) => panic!("the mock has nothing to keep"),
    }
}

async fn fetch(provider: &dyn Provider, session: &Session, reference: &SecretRef) -> Result<Fetched, Error> {
    let wanted = [Wanted { reference, known_version: None }];
    provider.fetch(session, &wanted).await?.remove(0)
}

fn text(fetched: &Fetched, field: &str) -> String {
    fetched.fields.as_ref().unwrap().get(field).unwrap().bytes.expose_text().unwrap().to_owned()
}

fn kind<T>(result: Result<T, Error>) -> Option<Kind> {
    result.err().map(|error| error.kind)
}

struct Taken {
    lease: Lease,
    reference: SecretRef,
}

impl Taken {
    fn target(&self) -> Target<'_> {
        Target::Lease { lease: &self.lease, reference: &self.reference }
    }
}

async fn take(provider: &dyn Provider, session: &Session, path: &str) -> Taken {
    let reference = at(path);
    let lease = fetch(provider, session, &reference).await.unwrap().lease.unwrap();
    Taken { lease, reference }
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_with_its_own_term_unless_it_is_renewed_and_never_past_its_max_ttl() {
    let (mock, provider) = store("{ ttl: 10s, max_ttl: 25s }");
    let session = login(&*provider).await;
    let taken = take(&*provider, &session, WEB).await;
    tokio::time::advance(seconds(8)).await;
    let granted = provider.renew(&session, taken.target(), seconds(10)).await.unwrap().unwrap();
    assert_eq!((granted.ttl, granted.renewable), (seconds(10), true));
    tokio::time::advance(seconds(9)).await;
    let granted = provider.renew(&session, taken.target(), seconds(10)).await.unwrap().unwrap();
    assert_eq!(granted.ttl, seconds(8), "at 17 s of 25 s");
    assert_eq!(mock.leases_at(WEB)[0].ends_in, seconds(8));
    tokio::time::advance(seconds(8)).await;
    assert_eq!(kind(provider.lookup(&session, taken.target()).await), Some(Kind::LeaseGone));
    assert_eq!(kind(provider.renew(&session, taken.target(), seconds(10)).await), Some(Kind::LeaseGone));
    assert!(mock.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_says_its_own_term_and_dies_with_its_session_all_the_same() {
    let (mock, provider) = store("{ ttl: 60s, session: { ttl: 8s } }");
    let session = login(&*provider).await;
    let fetched = fetch(&*provider, &session, &at(WEB)).await.unwrap();
    assert_eq!(fetched.term.unwrap().ttl, seconds(60));
    assert_eq!(mock.leases()[0].ends_in, seconds(8));
    tokio::time::advance(seconds(8)).await;
    assert!(mock.leases().is_empty() && mock.sessions().is_empty());
    assert_eq!(kind(provider.lookup(&session, Target::Session).await), Some(Kind::SessionEnded));
    assert_eq!(kind(fetch(&*provider, &session, &at(WEB)).await), Some(Kind::SessionEnded));
}

#[tokio::test(start_paused = true)]
async fn revoking_a_session_ends_its_leases_and_no_others() {
    let (mock, provider) = store("{}");
    let (first, second) = (login(&*provider).await, login(&*provider).await);
    take(&*provider, &first, WEB).await;
    let other = take(&*provider, &second, WEB).await;
    provider.revoke(&first, Target::Session).await.unwrap();
    let left: Vec<String> = mock.leases().into_iter().map(|lease| lease.id).collect();
    assert_eq!(left, std::slice::from_ref(&other.lease.id));
    provider.revoke(&first, Target::Session).await.unwrap();
    provider.revoke(&second, other.target()).await.unwrap();
    provider.revoke(&second, other.target()).await.unwrap();
    assert!(mock.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_given_session_is_the_same_at_every_login_and_cannot_be_revoked() {
    let (mock, provider) = store("session: { given: true, kind: periodic, ttl: 20s }");
    let session = login(&*provider).await;
    assert_eq!(session.origin, Origin::Given);
    assert_eq!(login(&*provider).await.id, session.id);
    assert_eq!(kind(provider.revoke(&session, Target::Session).await), Some(Kind::Denied));
    assert_eq!(mock.sessions().len(), 1);
    tokio::time::advance(seconds(20)).await;
    assert_eq!(kind(provider.login(None).await), Some(Kind::Denied));
    mock.give_another_session();
    assert_ne!(login(&*provider).await.id, session.id);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_session_lives_as_its_name_says() {
    let (_, provider) = store("session: { kind: service, ttl: 10s, max_ttl: 15s }");
    let session = login(&*provider).await;
    tokio::time::advance(seconds(9)).await;
    let granted = provider.renew(&session, Target::Session, seconds(10)).await.unwrap().unwrap();
    assert_eq!(granted.ttl, seconds(6), "service: at 9 s of 15 s");

    let (_, provider) = store("session: { kind: periodic, ttl: 10s }");
    let session = login(&*provider).await;
    for _ in 0..50 {
        tokio::time::advance(seconds(9)).await;
        let granted = provider.renew(&session, Target::Session, seconds(1)).await.unwrap().unwrap();
        assert_eq!(granted.ttl, seconds(10), "periodic: the period, whatever is asked");
    }

    let (_, provider) = store("session: { kind: root }");
    let session = login(&*provider).await;
    tokio::time::advance(seconds(1_000_000)).await;
    assert_eq!(provider.lookup(&session, Target::Session).await.unwrap(), None);

    let (_, provider) = store("{ ttl: 60s, session: { kind: batch, ttl: 10s } }");
    let session = login(&*provider).await;
    assert!(!session.revocable && !session.term.unwrap().renewable);
    let fetched = fetch(&*provider, &session, &at(WEB)).await.unwrap();
    assert_eq!(fetched.term.unwrap().ttl, seconds(10), "batch: leases are capped");
    assert_eq!(kind(provider.revoke(&session, Target::Session).await), Some(Kind::Invalid));
    assert_eq!(kind(provider.renew(&session, Target::Session, seconds(1)).await), Some(Kind::Invalid));

    let (mock, provider) = store("session: { uses: 2 }");
    let session = login(&*provider).await;
    assert_eq!(session.uses_left, Some(2));
    take(&*provider, &session, WEB).await;
    assert_eq!(mock.leases().len(), 1);
    provider.lookup(&session, Target::Session).await.unwrap();
    assert!(mock.leases().is_empty(), "use-limited: its leases end with the last use");
    assert_eq!(kind(provider.lookup(&session, Target::Session).await), Some(Kind::SessionEnded));

    let (mock, provider) = store("{ ttl: 10s, session: { kind: ambient } }");
    let session = login(&*provider).await;
    let taken = take(&*provider, &session, WEB).await;
    assert_eq!((session.origin, taken.lease.bound), (Origin::Ambient, Bound::Itself));
    assert!(provider.renew(&session, taken.target(), seconds(10)).await.unwrap().is_some());
    provider.revoke(&session, taken.target()).await.unwrap();
    assert!(mock.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_requests_give_the_same_values_whatever_happens_between() {
    async fn values(yaml: &str, others: usize) -> Vec<String> {
        let (_, provider) = store(yaml);
        let session = login(&*provider).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            for _ in 0..others {
                take(&*provider, &session, "database/creds/other").await;
            }
            let minted = fetch(&*provider, &session, &at(WEB)).await.unwrap();
            seen.extend([text(&minted, "username"), text(&minted, "password"), minted.lease.unwrap().id]);
        }
        seen.push(text(&fetch(&*provider, &session, &at("kv/app")).await.unwrap(), "value"));
        seen
    }
    let first = values("seed: 7", 0).await;
    assert_eq!(first, values("seed: 7", 2).await);
    let second = values("seed: 8", 0).await;
    assert!(first.iter().zip(&second).all(|(a, b)| a != b), "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn what_one_process_took_is_unknown_to_the_next_one_on_the_same_seed() {
    let settings = Settings::default();
    let first = settings.clone().build("mock", Surroundings::observed(Arc::new(NoObserver))).unwrap();
    let second = settings.build("mock", Surroundings::observed(Arc::new(NoObserver))).unwrap();
    let session = login(&*first).await;
    let taken = take(&*first, &session, WEB).await;
    assert_eq!(kind(second.lookup(&session, Target::Session).await), Some(Kind::SessionEnded));
    let own = login(&*second).await;
    assert_ne!(own.id, session.id);
    assert_ne!(take(&*second, &own, WEB).await.lease.id, taken.lease.id);
    assert_eq!(kind(second.lookup(&own, taken.target()).await), Some(Kind::LeaseGone));
}

#[tokio::test(start_paused = true)]
async fn two_providers_over_one_store_share_sessions_and_leases() {
    let (mock, provider) = store("{}");
    let session = login(&*provider).await;
    let taken = take(&*provider, &session, WEB).await;
    let successor = mock.provider("mock", Arc::new(NoObserver));
    assert!(successor.lookup(&session, taken.target()).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_static_secret_is_unchanged_until_it_is_rotated_and_keeps_old_versions() {
    let (mock, provider) = store("secrets: { kv/app: { fields: { user: app, port: 5432 } } }");
    let session = login(&*provider).await;
    let mut reference = at("kv/app");
    let first = fetch(&*provider, &session, &reference).await.unwrap();
    assert_eq!((text(&first, "user"), text(&first, "port")), ("app".to_owned(), "5432".to_owned()));
    assert!(first.lease.is_none() && first.term.is_none() && first.changes_in.is_none());
    let known = |version| [Wanted { reference: &reference, known_version: version }];
    let again = provider.fetch(&session, &known(Some("1"))).await.unwrap().remove(0).unwrap();
    assert!(again.fields.is_none());
    mock.set_fields("kv/app", [("user", "renamed")]);
    let changed = provider.fetch(&session, &known(Some("1"))).await.unwrap().remove(0).unwrap();
    assert_eq!((text(&changed, "user"), changed.version.as_deref()), ("renamed".to_owned(), Some("2")));
    reference.version = Some("1".to_owned());
    assert_eq!(text(&fetch(&*provider, &session, &reference).await.unwrap(), "user"), "app");
    reference.version = Some("9".to_owned());
    assert_eq!(kind(fetch(&*provider, &session, &reference).await), Some(Kind::Absent));
    mock.remove("kv/app");
    assert_eq!(kind(fetch(&*provider, &session, &at("kv/app")).await), Some(Kind::Absent));
}

#[tokio::test(start_paused = true)]
async fn a_static_role_changes_when_it_said() {
    let (mock, provider) = store("ttl: 30s");
    let session = login(&*provider).await;
    let role = at("database/static-creds/app");
    let first = fetch(&*provider, &session, &role).await.unwrap();
    assert_eq!(first.changes_in, Some(seconds(30)));
    tokio::time::advance(seconds(29)).await;
    assert_eq!(
        text(&fetch(&*provider, &session, &role).await.unwrap(), "password"),
        text(&first, "password")
    );
    tokio::time::advance(seconds(1)).await;
    let second = fetch(&*provider, &session, &role).await.unwrap();
    assert_ne!(text(&second, "password"), text(&first, "password"));
    assert_eq!(text(&second, "username"), text(&first, "username"));
    mock.jump(seconds(65));
    let later = fetch(&*provider, &session, &role).await.unwrap();
    assert_eq!((later.version.as_deref(), later.changes_in), (Some("4"), Some(seconds(25))));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_has_an_end_and_a_handle_only_where_it_is_to_be_revoked() {
    let (mock, provider) = store("ttl: 30s");
    let session = login(&*provider).await;
    let mut reference = at("pki/issue/web");
    let plain = fetch(&*provider, &session, &reference).await.unwrap();
    assert!(plain.lease.is_none());
    assert_eq!(plain.term.map(|term| (term.ttl, term.renewable)), Some((seconds(30), false)));
    reference.revoke = true;
    let fetched = fetch(&*provider, &session, &reference).await.unwrap();
    let lease = fetched.lease.clone().unwrap();
    assert_eq!((lease.bound, &lease.id), (Bound::Itself, &text(&fetched, "serial_number")));
    let target = Target::Lease { lease: &lease, reference: &reference };
    assert!(provider.lookup(&session, target).await.unwrap().is_some());
    assert_eq!(kind(provider.renew(&session, target, seconds(1)).await), Some(Kind::Invalid));
    provider.revoke(&session, target).await.unwrap();
    assert_eq!(mock.revoked_certificates(), std::slice::from_ref(&lease.id));
    assert_eq!(kind(provider.lookup(&session, target).await), Some(Kind::LeaseGone));
}

#[tokio::test(start_paused = true)]
async fn static_secrets_are_read_together_and_each_has_its_own_answer() {
    let (mock, provider) = store("secrets: { kv/none: { kind: absent } }");
    let session = login(&*provider).await;
    let references = [at("kv/one"), at("kv/none"), at("kv/denied")];
    let traits = provider.describe(&references[0]);
    assert_eq!((traits.effect, traits.group.as_str()), (Effect::Reads, "kv"));
    assert!(traits.batch >= references.len());
    assert_eq!(provider.describe(&at(WEB)).effect, Effect::Mints);
    mock.deny(Operation::Fetch, "kv/denied");
    let wanted: Vec<Wanted<'_>> =
        references.iter().map(|reference| Wanted { reference, known_version: None }).collect();
    let kinds: Vec<Option<Kind>> =
        provider.fetch(&session, &wanted).await.unwrap().into_iter().map(kind).collect();
    assert_eq!(kinds, [None, Some(Kind::Absent), Some(Kind::Denied)]);
    assert_eq!(mock.requests(Operation::Fetch), 1);
    assert_eq!(mock.history().last().unwrap().paths, ["kv/one", "kv/none", "kv/denied"]);
}

#[tokio::test(start_paused = true)]
async fn the_script_plays_outages_throttling_denials_and_revocations_when_it_says() {
    let (mock, provider) = store(
        "ttl: 60s
script:
  - { at: 10s, for: 5s, outage: true }
  - { at: 20s, for: 5s, throttle: 2s, operation: fetch }
  - { at: 30s, deny: fetch, path: database/creds/* }
  - { at: 40s, revoke: database/creds/web }
  - { every: 10s, rotate: kv/app }
  - { every: 100s, for: 1s, delay: 3s, operation: lookup }
  - { at: 50s, expire_session: true }",
    );
    let session = login(&*provider).await;
    take(&*provider, &session, WEB).await;
    let version = async |expected: &str| {
        let fetched = fetch(&*provider, &session, &at("kv/app")).await.unwrap();
        assert_eq!(fetched.version.as_deref(), Some(expected), "at {:?}", mock.now());
    };
    version("1").await;
    tokio::time::advance(seconds(10)).await;
    assert_eq!(kind(provider.lookup(&session, Target::Session).await), Some(Kind::Unavailable));
    assert_eq!(kind(provider.login(None).await), Some(Kind::Unavailable));
    tokio::time::advance(seconds(5)).await;
    version("2").await;
    tokio::time::advance(seconds(5)).await;
    let refused = fetch(&*provider, &session, &at("kv/app")).await.unwrap_err();
    assert_eq!((refused.kind, refused.retry_after), (Kind::Throttled, Some(seconds(2))));
    assert!(provider.lookup(&session, Target::Session).await.is_ok(), "only fetches are throttled");
    tokio::time::advance(seconds(10)).await;
    assert_eq!(kind(fetch(&*provider, &session, &at(WEB)).await), Some(Kind::Denied));
    assert_eq!(provider.check(&session, &at(WEB)).await.unwrap().len(), 1);
    version("4").await;
    assert_eq!(mock.leases().len(), 1);
    tokio::time::advance(seconds(10)).await;
    assert!(mock.leases().is_empty() && !mock.sessions().is_empty());
    tokio::time::advance(seconds(10)).await;
    assert!(mock.sessions().is_empty());
    let session = login(&*provider).await;
    tokio::time::advance(seconds(50)).await;
    let before = mock.now();
    provider.lookup(&session, Target::Session).await.unwrap();
    assert_eq!(mock.now() - before, seconds(3));
}

#[tokio::test(start_paused = true)]
async fn faults_touch_what_they_name_and_end_when_healed() {
    let (mock, provider) = store("{}");
    let (first, second) = (login(&*provider).await, login(&*provider).await);
    let taken = take(&*provider, &first, WEB).await;
    mock.fail(Fault::new(Kind::Denied).under(&first.id).on(Operation::Renew));
    assert_eq!(kind(provider.renew(&first, taken.target(), seconds(9)).await), Some(Kind::Denied));
    assert!(provider.renew(&second, taken.target(), seconds(9)).await.is_ok());
    mock.fail(Fault::new(Kind::Denied).on(Operation::Login).passing(Some(3)).times(1));
    let refused = provider.login(None).await.unwrap_err();
    assert_eq!((refused.passing, refused.tries), (true, Some(3)));
    assert!(provider.login(None).await.is_ok(), "once only");
    mock.outage();
    assert_eq!(kind(provider.lookup(&second, Target::Session).await), Some(Kind::Unavailable));
    mock.heal();
    assert!(provider.renew(&first, taken.target(), seconds(9)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_what_was_minted_at_the_store() {
    let (mock, provider) = store("{}");
    let session = login(&*provider).await;
    mock.fail(Fault::new(Kind::Unavailable).on(Operation::Fetch).answer_lost().times(1));
    assert_eq!(kind(fetch(&*provider, &session, &at(WEB)).await), Some(Kind::Unavailable));
    assert_eq!((mock.mints(WEB), mock.leases_at(WEB).len()), (1, 1));
    assert!(fetch(&*provider, &session, &at(WEB)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_withheld_answer_comes_once_it_is_released_and_its_mint_outlives_who_asked() {
    let (mock, provider) = store("{}");
    let provider: Arc<dyn Provider> = Arc::from(provider);
    let session = login(&*provider).await;
    let mut hold = mock.hold_at(Operation::Fetch, WEB);
    let ask = || {
        let (provider, session) = (Arc::clone(&provider), session.clone());
        tokio::spawn(async move { fetch(&*provider, &session, &at(WEB)).await })
    };
    let (waits, leaves) = (ask(), ask());
    hold.reached(2).await;
    mock.arrived(Operation::Fetch, 2).await;
    assert!(fetch(&*provider, &session, &at("kv/app")).await.is_ok(), "only that path is held");
    leaves.abort();
    assert!(leaves.await.is_err());
    assert!(!waits.is_finished());
    hold.release();
    assert!(waits.await.unwrap().is_ok());
    assert_eq!(mock.leases_at(WEB).len(), 2);
    assert!(fetch(&*provider, &session, &at(WEB)).await.is_ok(), "nothing is held any more");
}

#[tokio::test(start_paused = true)]
async fn changed_terms_bound_what_lives_already() {
    let (mock, provider) = store("{ ttl: 60s, max_ttl: 10m }");
    let session = login(&*provider).await;
    let taken = take(&*provider, &session, WEB).await;
    mock.set_ttl(WEB, seconds(20), seconds(20));
    assert_eq!(mock.leases()[0].ends_in, seconds(20));
    tokio::time::advance(seconds(15)).await;
    let granted = provider.renew(&session, taken.target(), seconds(60)).await.unwrap().unwrap();
    assert_eq!(granted.ttl, seconds(5));
    mock.set_session_ttl(seconds(3), seconds(3));
    assert_eq!(mock.leases()[0].ends_in, seconds(3));
    mock.jump(seconds(3));
    assert!(mock.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_values_file_takes_effect_when_it_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, "db: { username: dev, password: one }\nkv/gone:\nkv/plain: just text\n").unwrap();
    let raw = Raw { values: Some(file.clone()), ..Raw::default() };
    let (_, provider) = Mock::new(Settings::parse("mock", raw, &Environment::default()).unwrap());
    assert_eq!(provider.watched(), std::slice::from_ref(&file));
    let session = login(&*provider).await;
    let by_name = at("kv/app");
    let by_path = |path: &str| SecretRef { name: "other".to_owned(), ..at(path) };
    let first = fetch(&*provider, &session, &by_name).await.unwrap();
    assert_eq!((text(&first, "password"), first.version.as_deref()), ("one".to_owned(), Some("1")));
    assert_eq!(text(&fetch(&*provider, &session, &by_path("kv/plain")).await.unwrap(), "value"), "just text");
    assert_eq!(kind(fetch(&*provider, &session, &by_path("kv/gone")).await), Some(Kind::Absent));
    assert!(fetch(&*provider, &session, &by_path("kv/made-up")).await.is_ok());

    std::fs::write(&file, r#"{ "db": { "username": "dev", "password": "two" } }"#).unwrap();
    let second = fetch(&*provider, &session, &by_name).await.unwrap();
    assert_eq!((text(&second, "password"), second.version.as_deref()), ("two".to_owned(), Some("2")));

    std::fs::write(&file, "db: { password: canary-plaintext\nx: [").unwrap();
    let refused = fetch(&*provider, &session, &by_name).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Invalid);
    assert!(!refused.to_string().contains("canary"), "{refused}");
    assert!(refused.to_string().contains("line"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_key_picks_one_field() {
    let (_, provider) = store("secrets: { kv/app: { fields: { user: app, pass: word } } }");
    let session = login(&*provider).await;
    let reference = SecretRef { key: Some("user".to_owned()), ..at("kv/app") };
    let fetched = fetch(&*provider, &session, &reference).await.unwrap();
    assert_eq!(fetched.fields.unwrap().names().collect::<Vec<_>>(), ["user"]);
    let reference = SecretRef { key: Some("none".to_owned()), ..at("kv/app") };
    assert_eq!(kind(fetch(&*provider, &session, &reference).await), Some(Kind::Absent));
}

#[test]
fn every_problem_of_a_configuration_is_reported_at_once_by_key() {
    let wrong = "ttl: soon
max_ttl: 0s
session: { kind: root, ttl: 5m }
secrets: { database/creds/web: { ttl: 5m, max_ttl: 1m } }
script:
  - { at: 10s }
  - { at: 10s, outage: true, throttle: 2s }
  - { at: 10s, deny: everything }
  - { rotate: database/creds/web }
  - { every: 5s, for: 9s, outage: true }
  - { every: 0s, rotate: kv/app }
  - { revoke: database/*, for: 5s }";
    let problems = Settings::from_yaml(wrong).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "ttl",
            "max_ttl",
            "session.ttl",
            "secrets.database/creds/web.max_ttl",
            "script[0]",
            "script[1]",
            "script[2].deny",
            "script[3].rotate",
            "script[4].for",
            "script[5].every",
            "script[6].for",
        ]
    );
}

#[test]
fn debug_of_settings_shows_no_value() {
    let settings =
        Settings::from_yaml("secrets: { kv/app: { fields: { user: canary-plaintext } } }").unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("user") && !shown.contains("canary"), "{shown}");
}
