//! Clients of PostgreSQL and the pooler between them and the server.

mod timing;

use harness::{postgres, program, vault};
use leasehold_harness as harness;

use super::{Page, Scene, database, replaced};

#[test]
fn whoever_is_built_on_libpq_takes_the_current_credential_from_a_service_file() {
    let page = Page::read("postgresql.md");
    let (database, creds) = database("service");
    let scene = Scene::new("service", vault().policy("service").read(&creds).revoke_leases());
    let (host, port) = address();
    let places = [
        ("database/creds/web", creds.as_str()),
        ("host=pg", &host),
        ("port=5432", &port),
        ("dbname=app", "dbname=postgres"),
    ];
    let sidecar = scene.start(page.block("yaml", "pg_service.conf:"), &places);
    let psql = format!("{} service", program("psql").display());
    let script = replaced(
        page.block("sh", "psql service=app"),
        &[("/run/secrets/leasehold/live", &scene.live()), ("psql service", &psql)],
    );
    for _ in 0..3 {
        let output = scene.shell(&script);
        let newest = database.newest();
        assert!(output.contains(&newest), "{newest} in {output}");
        sidecar.refresh("db");
    }
    sidecar.end();
}

/// The shared server, as a connection string names it.
pub(super) fn address() -> (String, String) {
    let address = postgres().address();
    (format!("host={}", address.ip()), format!("port={}", address.port()))
}
