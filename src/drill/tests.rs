use async_trait::async_trait;
use leasehold_core::{
    Effect, Error, Fetched, Fields, Kind, Login, MissingRight, SecretBytes, Term, Traits, Wanted,
};

use super::*;
use crate::status::SecretState;

/// A store that says yes and keeps what it was asked.
#[derive(Default)]
struct Store(Mutex<Vec<String>>);

impl Store {
    fn note(&self, what: impl Into<String>) {
        locked(&self.0).push(what.into());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.0))
    }
}

const TERM: Term = Term { ttl: Duration::from_secs(60), renewable: true };

#[async_trait]
impl Provider for Store {
    fn describe(&self, _: &SecretRef) -> Traits {
        Traits { effect: Effect::Reads, batch: 8, group: String::new() }
    }
    async fn login(&self, _: Option<&SecretBytes>) -> Result<Login, Error> {
        self.note("login");
        Ok(Login::Session(Session::ambient()))
    }
    async fn fetch(&self, _: &Session, wanted: &[Wanted<'_>]) -> Result<Vec<Result<Fetched, Error>>, Error> {
        Ok(wanted
            .iter()
            .map(|wanted| {
                self.note(format!("fetch {}", wanted.reference.name));
                Ok(Fetched { fields: Some(Arc::new(Fields::default())), ..Fetched::unchanged(None) })
            })
            .collect())
    }
    async fn lookup(&self, _: &Session, _: Target<'_>) -> Result<Option<Term>, Error> {
        self.note("lookup");
        Ok(Some(TERM))
    }
    async fn renew(&self, _: &Session, _: Target<'_>, _: Duration) -> Result<Option<Term>, Error> {
        self.note("renew");
        Ok(Some(TERM))
    }
    async fn revoke(&self, _: &Session, what: Target<'_>) -> Result<(), Error> {
        match what {
            Target::Session => self.note("revoke session"),
            Target::Lease { lease, .. } => self.note(format!("revoke {}", lease.id)),
        }
        Ok(())
    }
    async fn check(&self, _: &Session, _: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        Ok(Vec::new())
    }
}

struct Rig {
    drills: Drills,
    clock: Clock,
    events: Events,
    board: Board,
    store: Arc<Store>,
    drilled: Arc<dyn Provider>,
    session: Session,
    db: SecretRef,
    api: SecretRef,
    lease: Lease,
}

fn rig() -> Rig {
    let (board, clock) = (Board::default(), Clock::tokio());
    let events = Events::recording(board.clone(), clock.clone());
    let drills = Drills::new(clock.clone(), events.clone(), board.clone());
    let store = Arc::new(Store::default());
    let drilled = drills.before("vault", store.clone());
    board.write(|board| {
        let state = SecretState { provider: "vault".to_owned(), held: true, ..SecretState::default() };
        board.secrets.insert("api".to_owned(), state.clone());
        board.secrets.insert("db".to_owned(), SecretState { lease: Some("lease/1".to_owned()), ..state });
    });
    let named = |name: &str| SecretRef {
        name: name.to_owned(),
        path: format!("path/of/{name}"),
        ..SecretRef::default()
    };
    let lease = Lease { id: "lease/1".to_owned(), bound: leasehold_core::Bound::Session, namespace: None };
    let session = Session::ambient();
    let (db, api) = (named("db"), named("api"));
    Rig { drills, clock, events, board, store, drilled, session, db, api, lease }
}

impl Rig {
    fn target(&self) -> Target<'_> {
        Target::Lease { lease: &self.lease, reference: &self.db }
    }

    async fn fetch(&self) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let wanted = [&self.api, &self.db].map(|reference| Wanted { reference, known_version: None });
        self.drilled.fetch(&self.session, &wanted).await
    }

    async fn renew(&self) -> Result<Option<Term>, Error> {
        self.drilled.renew(&self.session, self.target(), TERM.ttl).await
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn during_an_outage_nothing_is_sent_and_after_it_everything_is() {
    let rig = rig();
    rig.drills.begin(Failure::Outage, "db", MINUTE).unwrap();
    assert_eq!(rig.fetch().await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(rig.renew().await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(rig.drilled.login(None).await.unwrap_err().kind, Kind::Unavailable);
    assert!(rig.store.asked().is_empty());
    assert_eq!(rig.board.snapshot().drill.unwrap().what, "outage of provider vault");

    let cancel = CancellationToken::new();
    let task = tokio::spawn(rig.drills.clone().run(cancel.clone()));
    rig.clock.sleep(MINUTE + Duration::from_millis(1)).await;
    assert!(rig.fetch().await.is_ok() && rig.renew().await.is_ok());
    assert_eq!(rig.store.asked(), ["fetch api", "fetch db", "renew"]);
    assert_eq!(rig.board.snapshot().drill, None);
    let said = rig.events.recorded().join("\n");
    assert!(said.contains("drill begins: outage of provider vault, for 1m"), "{said}");
    assert!(said.contains("drill ends: outage of provider vault"), "{said}");
    cancel.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_denied_secret_is_not_asked_for_and_its_neighbours_are() {
    let rig = rig();
    rig.drills.begin(Failure::Deny, "db", MINUTE).unwrap();
    let answers = rig.fetch().await.unwrap();
    assert!(answers[0].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err().kind, Kind::Denied);
    assert_eq!(rig.renew().await.unwrap_err().kind, Kind::Denied);
    assert_eq!(rig.store.asked(), ["fetch api"]);
    assert_eq!(rig.drills.stop().as_deref(), Some("secret db is denied"));
    assert!(rig.fetch().await.unwrap()[1].is_ok());
    assert_eq!(rig.drills.stop(), None);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_said_to_be_lost_is_revoked_once_its_successor_came_and_the_drill_is_over() {
    let rig = rig();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(rig.drills.clone().run(cancel.clone()));
    rig.drills.begin(Failure::Expire, "db", MINUTE).unwrap();
    assert_eq!(rig.renew().await.unwrap_err().kind, Kind::Invalid);
    let gone = rig.drilled.lookup(&rig.session, rig.target()).await.unwrap_err();
    assert_eq!(gone.kind, Kind::LeaseGone);
    assert!(rig.store.asked().is_empty());
    rig.fetch().await.unwrap();
    rig.clock.sleep(MINUTE / 2).await;
    assert_eq!(rig.store.asked(), ["fetch api", "fetch db"], "the application may still use it");
    rig.clock.sleep(MINUTE).await;
    assert_eq!(rig.store.asked(), ["revoke lease/1"]);
    cancel.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_keeper_is_told_to_look_at_once_and_at_the_end_what_may_be_tried_again() {
    let rig = rig();
    let (keeper, mut orders) = mpsc::channel(64);
    rig.drills.tell([("vault".to_owned(), keeper)].into());
    for _ in 0..2 {
        let said = rig.drills.begin(Failure::Expire, "db", MINUTE).unwrap();
        assert!(said.ends_with("for 1m; it is looked up now, and replaced"), "{said}");
        assert!(matches!(orders.try_recv(), Ok(Order::LookUp { secret }) if secret == "db"));
        rig.drills.stop();
        assert!(orders.try_recv().is_err(), "nothing failed because of it");
    }
    for (failure, about) in [(Failure::Deny, Some("db")), (Failure::Outage, None)] {
        rig.drills.begin(failure, "db", MINUTE).unwrap();
        assert!(orders.try_recv().is_err());
        rig.drills.stop();
        assert!(
            matches!(orders.try_recv(), Ok(Order::TryAgain { secret }) if secret.as_deref() == about),
            "{failure:?}"
        );
    }
    drop(orders);
    let said = rig.drills.begin(Failure::Expire, "db", MINUTE).unwrap();
    assert!(said.ends_with("noticed at the next renewal"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_in_words() {
    let rig = rig();
    let refused = |failure, secret, lasts| rig.drills.begin(failure, secret, lasts).unwrap_err();
    assert_eq!(refused(Failure::Deny, "nonsense", MINUTE), "there is no secret \"nonsense\"");
    let bounds = "a drill lasts more than nothing and at most 1h";
    assert_eq!(refused(Failure::Deny, "db", Duration::ZERO), bounds);
    assert_eq!(refused(Failure::Deny, "db", LONGEST + Duration::from_secs(1)), bounds);
    assert_eq!(
        refused(Failure::Expire, "api", MINUTE),
        "secret \"api\" has no lease that the store could lose"
    );
    rig.drills.begin(Failure::Deny, "db", MINUTE).unwrap();
    assert_eq!(
        refused(Failure::Outage, "db", MINUTE),
        "a drill is played already (secret db is denied); end it with `leasehold drill stop`"
    );
}
