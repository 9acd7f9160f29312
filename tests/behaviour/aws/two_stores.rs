//! A database credential from Vault and an API key from AWS in one file: one set, and neither waits for the other.

use harness::vault::DatabaseMount;
use harness::{postgres, vault};

use super::*;
use crate::lifecycle::given::{provider, reader};

mod timing;

/// Both stores behind a proxy each, and one file with something of each.
struct Both {
    site: Site,
    vault_proxy: Proxy,
    database: DatabaseMount<'static>,
    key: String,
}

impl Both {
    fn new(name: &str, ttl: &str, max_ttl: &str) -> Self {
        let database = vault().database_mount(name);
        let creds = database.role("web", ttl, max_ttl);
        let role = reader(name, &[&creds], json!({}));
        let vault_proxy = Proxy::to(vault().address());
        let key = unique("app/api-key");
        moto().create_secret(&key, "key-1");
        let site = Site::new(moto(), &[]);
        let providers = json!({
            "aws": { "type": "aws-secrets-manager", "region": Moto::REGION },
            "vault": provider(&vault_proxy.url(), &role),
        });
        let more = json!({
            "providers": providers,
            "secrets": {
                "db": { "provider": "vault", "path": creds, "overlap": "500ms" },
                "api": { "provider": "aws", "path": key, "refresh": "1s" },
            },
            "files": { "app.env": { "template": "{{ db.username }} {{ db.password }} {{ api.value }}" } },
        });
        site.configure(&[], more);
        Self { site, vault_proxy, database, key }
    }

    /// User, password and key, of one generation.
    fn read(&self) -> [String; 3] {
        let text = self.site.place.read("app.env").unwrap();
        let mut words = text.split(' ').map(str::to_owned);
        std::array::from_fn(|_| words.next().expect("three words"))
    }

    fn generation(&self) -> f64 {
        self.site.place.metric("leasehold_generation", &[])
    }

    fn login(&self) -> Result<(), String> {
        let [user, password, _] = self.read();
        postgres().login(&user, &password)
    }
}

#[test]
fn rotating_either_makes_one_new_generation_of_both() {
    let both = Both::new("both", "10m", "1h");
    let mut running = both.site.run();
    both.site.place.await_file("app.env", &mut running);
    assert_eq!(both.generation(), 1.0);
    let [user, password, key] = both.read();
    assert_eq!(key, "key-1");
    assert_eq!(postgres().login(&user, &password), Ok(()));

    moto().put_secret(&both.key, "key-2");
    eventually("the key follows", SOON, || both.read()[2] == "key-2");
    assert_eq!(both.read(), [user.clone(), password, "key-2".to_owned()]);
    assert_eq!(both.generation(), 2.0);

    let asked = both.site.place.finish(&["refresh", "db"]);
    assert_eq!(asked.exit, harness::process::Exit::Code(0), "{}", asked.stderr);
    eventually("the credential is another", SOON, || both.read()[0] != user);
    assert_eq!(both.read()[2], "key-2");
    assert_eq!(both.login(), Ok(()));
    assert_eq!(both.generation(), 3.0);
    let status = both.site.place.finish(&["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert!(status["secrets"]["db"]["state"] == "held" && status["secrets"]["api"]["state"] == "held");
    stop(running);
    eventually("nothing is left at the database", SOON, || both.database.roles().is_empty());
}

#[test]
fn the_first_set_waits_for_both() {
    let both = Both::new("both", "10m", "1h");
    let refusing = both.site.proxy.refuse();
    let mut running = both.site.run();
    eventually("vault has given its part", SOON, || both.database.roles().len() == 1);
    assert_eq!(both.site.place.read("app.env"), None);
    assert_eq!(both.site.place.ready(), 503);
    drop(refusing);
    both.site.place.await_file("app.env", &mut running);
    assert_eq!(both.database.roles().len(), 1, "one mint was enough");
    stop(running);
}
