//! Mounts, roles and policies of one test.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Vault, unique};
use crate::postgres;
use crate::slapd::{Slapd, slapd};

/// What the server knows of a lease.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Its whole id.
    pub id: String,
    /// In seconds; 0 or less where it has ended and awaits its revocation.
    pub ttl: i64,
    /// Whether it may be renewed.
    pub renewable: bool,
}

impl Lease {
    /// Whether it has time left.
    pub fn lives(&self) -> bool {
        self.ttl > 0
    }
}

/// A database engine over the shared PostgreSQL.
#[derive(Debug)]
pub struct DatabaseMount<'a> {
    vault: &'a Vault,
    path: String,
    prefix: String,
}

/// A user name and its password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name of the role in PostgreSQL.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The lease it hangs on.
    pub lease: String,
}

/// A key-value engine.
#[derive(Debug)]
pub struct KvMount<'a> {
    vault: &'a Vault,
    path: String,
    version: u8,
}

/// A PKI engine with a root certificate of its own.
#[derive(Debug)]
pub struct PkiMount<'a> {
    vault: &'a Vault,
    path: String,
    /// The root's certificate, PEM.
    pub ca: String,
}

/// An AppRole log-in.
#[derive(Debug)]
pub struct AppRoleMount<'a> {
    vault: &'a Vault,
    path: String,
}

/// One role of it, with a secret id.
#[derive(Clone, Debug)]
pub struct AppRole {
    /// The mount, without `auth/`.
    pub mount: String,
    /// The role's name.
    pub role: String,
    /// What it logs in as.
    pub role_id: String,
    /// What it logs in with.
    pub secret_id: String,
}

/// A policy in the making: path → capabilities.
#[derive(Debug)]
#[must_use = "nothing is written before `create`"]
pub struct Policy<'a> {
    pub(super) vault: &'a Vault,
    pub(super) name: String,
    pub(super) rules: BTreeMap<String, Vec<&'static str>>,
}

impl Vault {
    /// Mounts any engine at a fresh path made from `name`, and returns that path.
    #[track_caller]
    pub fn mount(&self, kind: &str, name: &str, options: Value) -> String {
        let path = unique(name);
        self.write(&format!("sys/mounts/{path}"), merged(json!({ "type": kind }), options));
        path
    }

    /// Enables any log-in method at a fresh path made from `name`, and returns that path (without `auth/`).
    #[track_caller]
    pub fn auth_mount(&self, kind: &str, name: &str) -> String {
        let path = unique(name);
        self.write(&format!("sys/auth/{path}"), json!({ "type": kind }));
        path
    }

    /// A database engine over the shared PostgreSQL. The roles it makes start with [`DatabaseMount::prefix`].
    #[track_caller]
    pub fn database_mount(&self, name: &str) -> DatabaseMount<'_> {
        let path = self.mount("database", name, json!({}));
        let prefix = format!("{path}_");
        let data = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": postgres().connection_url(),
            "username": postgres::SUPERUSER,
            "password": postgres().password(),
            "max_open_connections": 2,
            "username_template": format!("{{{{ printf \"{prefix}%s_%s\" .RoleName (random 16) | truncate 63 }}}}"),
        });
        self.write(&format!("{path}/config/postgres"), data);
        DatabaseMount { vault: self, path, prefix }
    }

    /// A key-value engine of version 1 or 2.
    #[track_caller]
    pub fn kv_mount(&self, name: &str, version: u8) -> KvMount<'_> {
        let options = json!({ "options": { "version": version.to_string() } });
        let path = self.mount("kv", name, options);
        let mount = KvMount { vault: self, path, version };
        if version == 2 {
            // A fresh one answers 400 until its upgrade is through.
            let config = format!("{}/config", mount.path);
            crate::eventually("kv version 2 is ready", crate::wait::SHORTEST, || self.root().read(&config));
        }
        mount
    }

    /// A PKI engine with a root of its own, valid for 10 years.
    #[track_caller]
    pub fn pki_mount(&self, name: &str) -> PkiMount<'_> {
        let path = self.mount("pki", name, json!({ "config": { "max_lease_ttl": "87600h" } }));
        let root = json!({ "common_name": path, "ttl": "87600h", "key_type": "ec", "key_bits": 256 });
        let made = self.write(&format!("{path}/root/generate/internal"), root);
        let ca = made["data"]["certificate"].as_str().expect("it answers with the root").to_owned();
        PkiMount { vault: self, path, ca }
    }

    /// A log-in by `ldap` against the shared [`crate::slapd()`]. Returns its path (without `auth/`).
    #[track_caller]
    pub fn ldap_mount(&self, name: &str) -> String {
        let path = self.auth_mount("ldap", name);
        let data = json!({ "url": slapd().url(), "userdn": Slapd::USERS, "userattr": "uid" });
        self.write(&format!("auth/{path}/config"), data);
        path
    }

    /// An AppRole log-in.
    #[track_caller]
    pub fn approle_mount(&self, name: &str) -> AppRoleMount<'_> {
        AppRoleMount { vault: self, path: self.auth_mount("approle", name) }
    }
}

impl DatabaseMount<'_> {
    /// Where it is mounted.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What every role that it makes in PostgreSQL starts with: for [`crate::postgres::Postgres::roles`].
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A role with these TTLs (`2s`, `1m`). Returns the path to read: `MOUNT/creds/ROLE`.
    #[track_caller]
    pub fn role(&self, role: &str, default_ttl: &str, max_ttl: &str) -> String {
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        self.vault.write(
            &format!("{}/roles/{role}", self.path),
            json!({
                "db_name": "postgres",
                "default_ttl": default_ttl,
                "max_ttl": max_ttl,
                "creation_statements": create,
                "renew_statements": "ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'",
                // The plugin's own way also takes grants away table by table; these roles have none.
                "revocation_statements": "DROP ROLE IF EXISTS \"{{name}}\"",
            }),
        );
        format!("{}/creds/{role}", self.path)
    }

    /// A static role over a fresh user of PostgreSQL, rotated at that period. Returns `MOUNT/static-creds/ROLE`.
    #[track_caller]
    pub fn static_role(&self, role: &str, rotation_period: &str) -> String {
        let username = format!("{}{role}", self.prefix);
        postgres().execute(&format!("CREATE ROLE \"{username}\" LOGIN PASSWORD 'before-the-first-rotation'"));
        let data = json!({ "db_name": "postgres", "username": username, "rotation_period": rotation_period });
        self.vault.write(&format!("{}/static-roles/{role}", self.path), data);
        format!("{}/static-creds/{role}", self.path)
    }

    /// Mints credentials as root: what a test does from beside.
    #[track_caller]
    pub fn mint(&self, role: &str) -> Credentials {
        let made = self.vault.read(&format!("{}/creds/{role}", self.path)).expect("the role exists");
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        Credentials {
            username: text(&made["data"]["username"]),
            password: text(&made["data"]["password"]),
            lease: text(&made["lease_id"]),
        }
    }

    /// The ids of all its leases.
    #[track_caller]
    pub fn leases(&self) -> Vec<String> {
        self.vault.leases(&format!("{}/creds", self.path))
    }

    /// The names of all its roles that PostgreSQL has.
    #[track_caller]
    pub fn roles(&self) -> Vec<String> {
        postgres().roles(&self.prefix)
    }
}

impl KvMount<'_> {
    /// Where it is mounted.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The API path of a key's data: what a policy must allow to be read.
    pub fn data(&self, key: &str) -> String {
        if self.version == 2 { format!("{}/data/{key}", self.path) } else { format!("{}/{key}", self.path) }
    }

    /// The API path of a key's metadata (version 2).
    pub fn metadata(&self, key: &str) -> String {
        format!("{}/metadata/{key}", self.path)
    }

    /// Writes all fields of a key.
    #[track_caller]
    pub fn put(&self, key: &str, fields: Value) {
        let body = if self.version == 2 { json!({ "data": fields }) } else { fields };
        self.vault.write(&self.data(key), body);
    }
}

impl PkiMount<'_> {
    /// Where it is mounted.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A role that allows any name and address, for servers and clients, with EC keys. `options` as for
    /// `pki/roles/:name`. Returns the path to write: `MOUNT/issue/ROLE`.
    #[track_caller]
    pub fn role(&self, role: &str, options: Value) -> String {
        let data = json!({
            "allow_any_name": true,
            "enforce_hostnames": false,
            "allow_ip_sans": true,
            "key_type": "ec",
            "key_bits": 256,
            "max_ttl": "87600h",
        });
        self.vault.write(&format!("{}/roles/{role}", self.path), merged(data, options));
        format!("{}/issue/{role}", self.path)
    }

    /// The serial numbers that it has revoked.
    #[track_caller]
    pub fn revoked(&self) -> Vec<String> {
        self.vault.list(&format!("{}/certs/revoked", self.path))
    }
}

impl AppRoleMount<'_> {
    /// Where it is mounted, without `auth/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A role, and a secret id for it. `options` as for `auth/approle/role/:name`: `token_policies`,
    /// `token_ttl`, `token_max_ttl`, `token_type`, …
    #[track_caller]
    pub fn role(&self, role: &str, options: Value) -> AppRole {
        let path = format!("auth/{}/role/{role}", self.path);
        self.vault.write(&path, options);
        let id = self.vault.read(&format!("{path}/role-id")).expect("the role was just written");
        let role_id = id["data"]["role_id"].as_str().expect("it is text").to_owned();
        let (mount, role) = (self.path.clone(), role.to_owned());
        AppRole { mount, role, role_id, secret_id: self.secret_id(&path) }
    }

    /// One more secret id for a role.
    #[track_caller]
    pub fn another_secret_id(&self, role: &str) -> String {
        self.secret_id(&format!("auth/{}/role/{role}", self.path))
    }

    /// A response-wrapped secret id for a role: the wrapping token.
    #[track_caller]
    pub fn wrapped_secret_id(&self, role: &str, ttl: &str) -> String {
        let path = format!("auth/{}/role/{role}/secret-id", self.path);
        let answer = self
            .vault
            .root()
            .with_headers("POST", &path, Some(&json!({})), &[("X-Vault-Wrap-TTL", ttl)])
            .unwrap_or_else(|refusal| panic!("wrapping a secret id: {refusal}"));
        answer["wrap_info"]["token"].as_str().expect("it is wrapped").to_owned()
    }

    #[track_caller]
    fn secret_id(&self, role: &str) -> String {
        let made = self.vault.write(&format!("{role}/secret-id"), json!({}));
        made["data"]["secret_id"].as_str().expect("it is text").to_owned()
    }
}

impl Policy<'_> {
    /// Allows to read a path.
    pub fn read(self, path: &str) -> Self {
        self.allow(path, "read")
    }

    /// Allows to write to a path.
    pub fn update(self, path: &str) -> Self {
        self.allow(path, "update")
    }

    /// Allows to revoke one lease by its id, which Vault's default policy does not.
    pub fn revoke_leases(self) -> Self {
        self.update("sys/leases/revoke")
    }

    /// Allows any capability on a path.
    pub fn allow(mut self, path: &str, capability: &'static str) -> Self {
        self.rules.entry(path.to_owned()).or_default().push(capability);
        self
    }

    /// Writes it, and returns its name. Written again with other rules, it changes for every token that has it.
    #[track_caller]
    pub fn create(self) -> String {
        let rule =
            |(path, may): (&String, &Vec<&str>)| format!("path {path:?} {{ capabilities = {may:?} }}\n");
        let text: String = self.rules.iter().map(rule).collect();
        self.vault.write(&format!("sys/policies/acl/{}", self.name), json!({ "policy": text }));
        self.name
    }
}

fn merged(mut base: Value, more: Value) -> Value {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault;

    #[test]
    fn a_static_role_logs_in_with_the_password_of_the_store() {
        let database = vault().database_mount("static");
        let read = vault().read(&database.static_role("app", "1h")).unwrap();
        let field = |name: &str| read["data"][name].as_str().unwrap().to_owned();
        assert_eq!(postgres().login(&field("username"), &field("password")), Ok(()));
        assert!(postgres().login(&field("username"), "before-the-first-rotation").is_err());
    }

    #[test]
    fn both_versions_of_kv_give_back_what_was_put() {
        for version in [1, 2] {
            let kv = vault().kv_mount("kv", version);
            kv.put("a/b", json!({ "field": "value" }));
            let read = vault().read(&kv.data("a/b")).unwrap();
            let fields = if version == 2 { &read["data"]["data"] } else { &read["data"] };
            assert_eq!(fields, &json!({ "field": "value" }));
        }
    }

    #[test]
    fn a_certificate_is_listed_once_it_is_revoked() {
        let pki = vault().pki_mount("pki");
        let made =
            vault().write(&pki.role("web", json!({})), json!({ "common_name": "web.test", "ttl": "1h" }));
        let serial = made["data"]["serial_number"].as_str().unwrap();
        assert!(pki.revoked().is_empty());
        vault().write(&format!("{}/revoke", pki.path()), json!({ "serial_number": serial }));
        assert_eq!(pki.revoked(), [serial]);
    }

    #[test]
    fn an_approle_logs_in_under_its_policy_alone() {
        let kv = vault().kv_mount("allowed", 1);
        kv.put("mine", json!({ "field": "value" }));
        kv.put("other", json!({ "field": "value" }));
        let policy = vault().policy("mine").read(&kv.data("mine")).create();
        let mount = vault().approle_mount("apps");
        let role = mount.role("web", json!({ "token_policies": [policy], "token_ttl": "1m" }));

        let unwrapped =
            vault().client(&mount.wrapped_secret_id("web", "1m")).write("sys/wrapping/unwrap", &json!({}));
        let unwrapped = unwrapped.unwrap()["data"]["secret_id"].clone();
        for secret_id in [json!(role.secret_id), json!(mount.another_secret_id("web")), unwrapped] {
            let login = json!({ "role_id": role.role_id, "secret_id": secret_id });
            let auth = vault().client("").write(&format!("auth/{}/login", role.mount), &login).unwrap();
            let client = vault().client(auth["auth"]["client_token"].as_str().unwrap());
            assert!(vault().token_lives(auth["auth"]["accessor"].as_str().unwrap()));
            assert!(client.read(&kv.data("mine")).is_ok());
            assert_eq!(client.read(&kv.data("other")).unwrap_err().status, 403);
            client.write("auth/token/revoke-self", &json!({})).unwrap();
            assert!(!vault().token_lives(auth["auth"]["accessor"].as_str().unwrap()));
        }
    }
}
