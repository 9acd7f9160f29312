//! `docs/vault-kubernetes.md`, typed as it stands there: each of its three ways to tell Vault of the cluster, on a
//! Vault of its own, up to a pod that logged in.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::process::Group;
use harness::vault::unique;
use harness::{eventually, ports, postgres, program};
use leasehold_harness as harness;

use crate::SOON;
use crate::node::{API_SERVER, PLACE, Said, Space, kubectl, scratch};
use crate::stage::{APPLICATION, deploy, relative};

const IN_THIS_CLUSTER: &str = "Vault runs in this cluster";
const A_TOKEN_THAT_ENDS: &str = "Vault runs elsewhere, with a token that ends";
const A_TOKEN_THAT_DOES_NOT_END: &str = "Vault runs elsewhere, with a token that does not end";

#[test]
fn a_vault_in_the_cluster_reviews_as_its_own_pod() {
    typed(IN_THIS_CLUSTER);
}

#[test]
fn a_vault_elsewhere_reviews_with_a_token_that_ends() {
    typed(A_TOKEN_THAT_ENDS);
}

#[test]
fn a_vault_elsewhere_reviews_with_a_token_that_does_not_end() {
    typed(A_TOKEN_THAT_DOES_NOT_END);
}

/// Everything of the document, in its order, but for the other two ways.
#[track_caller]
fn typed(way: &str) {
    let ways = [IN_THIS_CLUSTER, A_TOKEN_THAT_ENDS, A_TOKEN_THAT_DOES_NOT_END];
    let blocks = blocks(&document());
    for way in ways {
        assert!(blocks.iter().any(|block| block.heading == way), "the document has no {way:?}");
    }
    let desk = Desk::new(way == IN_THIS_CLUSTER);
    for block in &blocks {
        if block.heading == way || !ways.contains(&&*block.heading) {
            let printed = desk.run(&block.commands);
            println!("{printed}");
            if block.commands.contains("can-i --list") {
                reviews_and_nothing_else(&printed);
            }
        }
    }
    let pod = desk.space.pod(APPLICATION);
    pod.wait_until_ready("application");
    eventually("it started with files", SOON, || {
        let log = pod.log("application");
        if log.contains("started with files") { Ok(()) } else { Err(log) }
    });
    // Which is also how one sees what is wrong, where something is.
    for command in asked_in_passing(&document()) {
        desk.run(&command);
    }
}

/// `kubectl auth can-i --list` of the reviewer: what nobody has who may only log in.
#[track_caller]
fn reviews_and_nothing_else(printed: &str) {
    let resources = printed.lines().skip_while(|line| !line.starts_with("Resources")).skip(1);
    let named = resources.filter(|line| !line.starts_with(' ')).map(|line| line.split_whitespace().next());
    let beyond: Vec<&str> = named.flatten().filter(|name| !name.starts_with("self")).collect();
    assert_eq!(beyond, ["tokenreviews.authentication.k8s.io"], "{printed}");
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vault-kubernetes.md");
    std::fs::read_to_string(path).expect("the document is there")
}

/// A fenced block of shell commands, and the heading that it stands under.
struct Block {
    heading: String,
    commands: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let (mut heading, mut blocks, mut fence) = (String::new(), Vec::new(), None);
    for line in document.lines() {
        match (&mut fence, line.strip_prefix("```")) {
            (None, Some("sh")) => {
                fence = Some("sh");
                blocks.push(Block { heading: heading.clone(), commands: String::new() });
            }
            (None, Some(_)) => fence = Some("other"),
            (Some(_), Some(_)) => fence = None,
            (Some("sh"), None) => {
                writeln!(blocks.last_mut().unwrap().commands, "{line}").unwrap();
            }
            (Some(_), None) => {}
            (None, None) if line.starts_with('#') => heading = line.trim_start_matches(['#', ' ']).to_owned(),
            (None, None) => {}
        }
    }
    blocks
}

/// Commands within the text that look something up.
fn asked_in_passing(document: &str) -> Vec<String> {
    let quoted = document.split('`').skip(1).step_by(2);
    let asks = |command: &&str| command.starts_with("vault read ") || command.starts_with("kubectl -n ");
    let mut commands: Vec<String> = quoted.filter(asks).map(str::to_owned).collect();
    commands.dedup();
    assert!(commands.len() >= 2, "{commands:?}");
    commands
}

/// Where everybody types: a folder with `deploy` in it, the programs, a Vault that has the database, and a
/// namespace.
struct Desk {
    space: Space,
    folder: PathBuf,
    vault: SocketAddr,
    _server: Group,
}

impl Desk {
    #[track_caller]
    fn new(in_the_cluster: bool) -> Self {
        let folder = scratch().join(unique("desk"));
        // An earlier run's.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let programs = [
            ("kubectl", program("kubectl")),
            ("vault", program("vault")),
            ("leasehold", harness::leasehold::binary()),
        ];
        for (name, path) in programs {
            symlink(path, folder.join("bin").join(name)).unwrap();
        }
        symlink(root.join("deploy"), folder.join("deploy")).unwrap();
        let vault = ports::free();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "bash", "-euc", SERVER])
            .env("LISTEN", vault.to_string());
        command.env("VAULT", program("vault")).env("HOME", &folder).current_dir(&folder);
        if in_the_cluster {
            kubectl(&["apply", "-f", root.join("deploy/vault/reviewer.yaml").to_str().unwrap()]).done();
            let token = kubectl(&["-n", "vault", "create", "token", "vault-token-reviewer"]).done();
            command.env("TOKEN", token.trim()).env("CA", Path::new(PLACE).join("pki/ca.crt"));
        }
        let log = std::fs::File::create(folder.join("vault.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Group::spawn(&mut command);
        let desk = Self { space: Space::new("documented"), folder, vault, _server: server };
        eventually("vault answers", SOON, || desk.said("vault status").success);
        desk.run(DATABASE);
        desk
    }

    /// Runs commands as they stand in the document, but for addresses, the namespace, and images.
    #[track_caller]
    fn run(&self, commands: &str) -> String {
        let overlay = commands.contains("apply -k deploy/kustomize/native").then(|| self.overlay());
        let mut commands = commands
            .replace("https://kubernetes.default.svc", API_SERVER)
            .replace("https://kubernetes.example.com:6443", API_SERVER)
            .replace("-n shop", &format!("-n {}", self.space.name))
            .replace("namespaces=shop", &format!("namespaces={}", self.space.name));
        if let Some(overlay) = overlay {
            commands = commands.replace("deploy/kustomize/native", &overlay);
        }
        println!("{commands}");
        self.said(&commands).done()
    }

    fn said(&self, commands: &str) -> Said {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", commands]).current_dir(&self.folder).env_clear();
        command.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        command.env("HOME", &self.folder).env("KUBECONFIG", Path::new(PLACE).join("admin.conf"));
        command.env("VAULT_ADDR", format!("http://{}", self.vault)).env("VAULT_TOKEN", "root");
        let postgres = postgres();
        command.env("POSTGRES", postgres.connection_url()).env("PASSWORD", postgres.password());
        let output = command.stdin(Stdio::null()).output().expect("bash starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The native mode with the node's images, and the addresses of here.
    fn overlay(&self) -> String {
        let tag = std::env::var("LEASEHOLD_IMAGE_TAG").unwrap_or_else(|_| "dev".into());
        let kustomization = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [{native}]
images:
  - {{ name: leasehold, newName: localhost/leasehold, newTag: {tag} }}
  - {{ name: application, newName: localhost/application, newTag: dev }}
patches:
  - target: {{ kind: Deployment }}
    patch: |
      - op: add
        path: /spec/template/spec/initContainers/0/env/-
        value: {{ name: VAULT_ADDR, value: \"http://{vault}\" }}
      - op: add
        path: /spec/template/spec/containers/0/env
        value: [{{ name: POSTGRES, value: \"{postgres}\" }}]
",
            native = relative(&self.folder.join("overlay"), &deploy().join("native")),
            vault = self.vault,
            postgres = postgres().address(),
        );
        std::fs::create_dir_all(self.folder.join("overlay")).unwrap();
        std::fs::write(self.folder.join("overlay/kustomization.yaml"), kustomization).unwrap();
        "overlay".to_owned()
    }
}

/// Vault; as one in a pod finds it where a service account's token is mounted, where there is a TOKEN.
const SERVER: &str = r#"
if [ -n "${TOKEN:-}" ]; then
  run=$(readlink -f /var/run)
  mount -t tmpfs tmpfs "$run"
  mkdir -p "$run/secrets/kubernetes.io/serviceaccount"
  printf %s "$TOKEN" >"$run/secrets/kubernetes.io/serviceaccount/token"
  cp "$CA" "$run/secrets/kubernetes.io/serviceaccount/ca.crt"
fi
exec env -i HOME="$HOME" "$VAULT" server -dev -dev-root-token-id=root -dev-no-store-token -dev-listen-address="$LISTEN"
"#;

/// What the document presupposes: `database/creds/web`.
const DATABASE: &str = r#"
vault secrets enable database
vault write database/config/postgres plugin_name=postgresql-database-plugin allowed_roles=web \
  connection_url="$POSTGRES" username=postgres password="$PASSWORD"
vault write database/roles/web db_name=postgres default_ttl=1m max_ttl=1h \
  creation_statements="CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'" \
  revocation_statements='DROP ROLE IF EXISTS "{{name}}"'
"#;
