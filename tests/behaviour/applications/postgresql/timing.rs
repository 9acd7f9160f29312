use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::postgres::Connection;
use harness::{PgBouncer, eventually, postgres, vault};
use leasehold_harness as harness;
use serde_json::json;

use super::super::{Page, Scene, database, replaced};
use super::address;
use crate::SOON;

const ROTATIONS: usize = 20;
const PACE: Duration = Duration::from_millis(10);
const PASSWORD: &str = "the-pool-s own";

/// What the clients of a pooler went through.
#[derive(Debug, Default)]
struct Life {
    queries: usize,
    failures: Vec<String>,
    /// Every role that the server was asked as, in their order.
    roles: Vec<String>,
}

impl Life {
    fn note(&mut self, outcome: Result<String, String>) {
        self.queries += 1;
        match outcome {
            Err(why) => self.failures.push(why),
            Ok(role) if self.roles.contains(&role) => {}
            Ok(role) => self.roles.push(role),
        }
    }
}

/// One of the ways in which an application uses a pooler.
type Use = fn(SocketAddr, &mut Option<Connection>) -> Result<String, String>;

fn open(pooler: SocketAddr) -> Result<Connection, String> {
    Connection::open_database(pooler, "app", "app", PASSWORD)
}

/// Who it is served as. It takes a moment: so all clients are served at once, each by a connection of its own.
fn role(connection: &mut Connection) -> Result<String, String> {
    let rows = connection.query("SELECT current_user, pg_sleep(0.01)")?;
    rows.into_iter().flatten().flatten().next().ok_or_else(|| "no row".to_owned())
}

/// A connection that stays for good.
fn stay(pooler: SocketAddr, kept: &mut Option<Connection>) -> Result<String, String> {
    if kept.is_none() {
        *kept = Some(open(pooler)?);
    }
    kept.as_mut().map_or_else(|| Err("no connection".to_owned()), role)
}

/// A connection for each query.
fn come_and_go(pooler: SocketAddr, _: &mut Option<Connection>) -> Result<String, String> {
    role(&mut open(pooler)?)
}

/// A connection that stays, with transactions that take a while.
fn transact(pooler: SocketAddr, kept: &mut Option<Connection>) -> Result<String, String> {
    if kept.is_none() {
        *kept = Some(open(pooler)?);
    }
    let connection = kept.as_mut().ok_or("no connection")?;
    connection.query("BEGIN")?;
    let first = role(connection)?;
    connection.query("SELECT pg_sleep(0.1)")?;
    let last = role(connection)?;
    connection.query("COMMIT")?;
    if first == last { Ok(last) } else { Err(format!("one transaction as {first} and {last}")) }
}

fn live(pooler: SocketAddr, used: Use, life: &Mutex<Life>, stop: &AtomicBool) {
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let outcome = used(pooler, &mut kept);
        life.lock().unwrap().note(outcome);
        std::thread::sleep(PACE.saturating_sub(start.elapsed()));
    }
}

/// How many connections to the server are logged in as this role.
fn sessions_of(role: &str) -> usize {
    let text = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
    let rows = postgres().execute(&text);
    rows.into_iter().flatten().flatten().next().and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[test]
fn no_query_through_pgbouncer_fails_over_twenty_rotations() {
    let page = Page::read("postgresql.md");
    let (database, creds) = database("pgbouncer");
    let kv = vault().kv_mount("pool", 2);
    kv.put("pool", json!({ "password": PASSWORD }));
    let policy = vault().policy("pgbouncer").read(&creds).read(&kv.data("pool")).revoke_leases();
    let scene = Scene::new("pgbouncer", policy);
    let place = PgBouncer::new();
    let (host, port) = address();
    let process = format!("process: {}", place.name());
    let places = [
        ("database/creds/web", creds.as_str()),
        ("secret/pool", &format!("{}/pool", kv.path())),
        // A role is gone while the next ones come.
        ("overlap: 20m", "overlap: 2s"),
        ("host=pg", &host),
        ("port=5432", &port),
        ("dbname=app", "dbname=postgres"),
        ("process: pgbouncer", &process),
    ];
    let sidecar = scene.start(page.block("yaml", "userlist.txt:"), &places);
    let (host, port) = (place.address().ip().to_string(), place.address().port().to_string());
    let ini = replaced(
        page.block("ini", "[pgbouncer]"),
        &[("/run/secrets/leasehold/live", scene.live().as_str()), ("127.0.0.1", &host), ("6432", &port)],
    );
    let pgbouncer = place.start(&format!("{ini}\nunix_socket_dir =\n"));

    let pooler = pgbouncer.address();
    let lives = [(); 3].map(|()| Mutex::new(Life::default()));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (used, life) in [stay as Use, come_and_go, transact].into_iter().zip(&lives) {
            scope.spawn({
                let stop = &stop;
                move || live(pooler, used, life, stop)
            });
        }
        let until = |what: &str, condition: &dyn Fn() -> bool| {
            eventually(what, SOON, || {
                let failed = lives.iter().any(|life| !life.lock().unwrap().failures.is_empty());
                if failed || condition() { Ok(()) } else { Err(format!("{lives:?}\n{}", pgbouncer.log())) }
            });
        };
        for rotation in 0..=ROTATIONS {
            until("all clients are served by the role in place", &|| {
                lives.iter().all(|life| life.lock().unwrap().roles.len() > rotation)
            });
            // PgBouncer takes a log-in that a reload breaks off for a failed one (see the page): a rotation
            // finds a pool that has as many connections as it needs.
            until("each client has its connection to the server", &|| {
                let last = |life: &Mutex<Life>| life.lock().unwrap().roles.last().cloned();
                last(&lives[0]).is_some_and(|role| sessions_of(&role) == lives.len())
            });
            if rotation < ROTATIONS {
                sidecar.refresh("db");
            }
        }
        // From here on only the last role can serve.
        until("the roles of before are gone", &|| database.roles().len() == 1);
        let served: Vec<usize> = lives.iter().map(|life| life.lock().unwrap().queries).collect();
        until("all clients are still served", &|| {
            lives.iter().zip(&served).all(|(life, served)| life.lock().unwrap().queries > served + 3)
        });
        stop.store(true, Ordering::Relaxed);
    });
    for life in lives {
        let life = life.into_inner().unwrap();
        println!("{} queries, {} failed, as {} roles", life.queries, life.failures.len(), life.roles.len());
        assert_eq!(life.failures, [""; 0], "{}\n{}", sidecar.log(), pgbouncer.log());
        assert_eq!(life.roles.len(), ROTATIONS + 1, "{:?}", life.roles);
    }
    sidecar.end();
}
