//! moto: AWS Secrets Manager, Parameter Store and STS as a server of the tests.
//!
//! Set-up and questions go to it in the JSON protocol that the services speak, unsigned: moto checks no
//! signature, it reads the region from the header that would hold one. It holds its secrets in memory, one
//! set for each region. [`moto()`] is shared by all tests of a process, so each takes names of its own
//! ([`crate::vault::unique`]).
//!
//! Requests are counted by a [`crate::Proxy`] before it, which knows an AWS action as it knows a path:
//! `proxy.requests("BatchGetSecretValue")`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::{self, Request};
use crate::process::Group;
use crate::tmpfs::{Folder, tmpfs};
use crate::{eventually, ports, program, timed};

/// It runs in the environment of `moto_server`, and says why it is there.
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../servers/moto/server.py");
const START: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Moto {
    address: SocketAddr,
    tls: bool,
    process: Mutex<Option<Group>>,
    arguments: Vec<String>,
    folder: Folder,
}

/// The server that all tests of this process share.
#[track_caller]
pub fn moto() -> &'static Moto {
    static SHARED: OnceLock<Moto> = OnceLock::new();
    SHARED.get_or_init(Moto::start)
}

/// What moto answered in place of what was asked for.
#[derive(Clone, Debug)]
pub struct AwsError {
    /// 400, 404, …; 0 where no answer came.
    pub status: u16,
    /// `ResourceNotFoundException` and its like.
    pub code: String,
}

impl fmt::Display for AwsError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.status, self.code)
    }
}

/// A secret as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-…`.
    pub arn: String,
    /// Its first version.
    pub version: String,
}

/// Credentials of an assumed role.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// `ASIA…`.
    pub access_key_id: String,
    /// What signs.
    pub secret_access_key: String,
    /// What goes along.
    pub session_token: String,
}

impl Moto {
    /// Where the secrets of the tests are, unless one says otherwise.
    pub const REGION: &'static str = "eu-west-1";
    /// Whose they are.
    pub const ACCOUNT: &'static str = "123456789012";

    /// A server of one's own, for a test that stops it.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(None)
    }

    /// A server of one's own that speaks TLS alone. None of the questions below work on it: it is there to be
    /// reached by what is tested.
    #[track_caller]
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        Self::with(Some((certificate, key)))
    }

    #[track_caller]
    fn with(tls: Option<(&Path, &Path)>) -> Self {
        let _timed = timed("start: a moto");
        let (folder, address) = (tmpfs(), ports::free());
        let mut arguments =
            vec!["-H".to_owned(), address.ip().to_string(), "-p".to_owned(), address.port().to_string()];
        if let Some((certificate, key)) = tls {
            let path = |path: &Path| path.to_str().expect("a path of ours").to_owned();
            arguments.extend([
                "-s".to_owned(),
                "-c".to_owned(),
                path(certificate),
                "-k".to_owned(),
                path(key),
            ]);
        }
        let moto = Self { address, tls: tls.is_some(), process: Mutex::new(None), arguments, folder };
        moto.begin();
        moto
    }

    /// Starts it again after [`Moto::stop`], on the same port: empty, since it keeps nothing.
    #[track_caller]
    pub fn begin(&self) {
        let mut process = self.process();
        assert!(process.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("a folder of ours");
        let mut command = Command::new(program("moto_server").with_file_name("python"));
        command.arg(SERVER).args(&self.arguments).env_clear().env("HOME", self.folder.as_os_str());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("an open file")).stderr(log);
        let group = process.insert(Group::spawn(&mut command));
        eventually("moto answers", START, || match group.exit() {
            Some(exit) => panic!("moto ended with {exit:?}:\n{}", self.log()),
            None => self.answers(),
        });
    }

    /// Ends it: connections are refused from now on, and what it held is gone.
    #[track_caller]
    pub fn stop(&self) {
        self.process().take().expect("it runs").kill();
    }

    /// Stops it where it stands (SIGSTOP): connections are taken and nothing answers.
    #[track_caller]
    pub fn freeze(&self) {
        self.process().as_ref().expect("it runs").signal_all(Signal::STOP);
    }

    /// Lets it go on after [`Moto::freeze`].
    #[track_caller]
    pub fn thaw(&self) {
        self.process().as_ref().expect("it runs").signal_all(Signal::CONT);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// The server's own log so far: one line a request.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Makes a secret with one version, AWSCURRENT.
    #[track_caller]
    pub fn create_secret(&self, name: &str, value: &str) -> Made {
        self.create(json!({ "Name": name, "SecretString": value }))
    }

    /// Makes a secret whose value is bytes.
    #[track_caller]
    pub fn create_binary(&self, name: &str, value: &[u8]) -> Made {
        self.create(json!({ "Name": name, "SecretBinary": STANDARD.encode(value) }))
    }

    /// A new version, which becomes AWSCURRENT. Returns its id.
    #[track_caller]
    pub fn put_secret(&self, name: &str, value: &str) -> String {
        self.put_staged(name, value, &["AWSCURRENT"])
    }

    /// A new version with these stages and no others. Returns its id.
    #[track_caller]
    pub fn put_staged(&self, name: &str, value: &str, stages: &[&str]) -> String {
        let version = json!({ "SecretId": name, "SecretString": value, "VersionStages": stages });
        text(&self.secrets("PutSecretValue", &version), "VersionId")
    }

    /// Moves a stage to `version`, from whichever has it.
    #[track_caller]
    pub fn move_stage(&self, name: &str, stage: &str, version: &str) {
        let stages = self.stages(name);
        let holder = stages.iter().find(|(_, held)| held.iter().any(|one| one == stage));
        let mut move_it = json!({ "SecretId": name, "VersionStage": stage, "MoveToVersionId": version });
        if let Some((holder, _)) = holder {
            move_it["RemoveFromVersionId"] = json!(holder);
        }
        self.secrets("UpdateSecretVersionStage", &move_it);
    }

    /// The versions of a secret that have a stage, each with those that it has.
    #[track_caller]
    pub fn stages(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let described = self.secrets("DescribeSecret", &json!({ "SecretId": name }));
        serde_json::from_value(described["VersionIdsToStages"].clone()).expect("stages by version")
    }

    /// Removes a secret at once.
    #[track_caller]
    pub fn delete_secret(&self, name: &str) {
        self.secrets("DeleteSecret", &json!({ "SecretId": name, "ForceDeleteWithoutRecovery": true }));
    }

    /// Sets a parameter (`String`, `StringList` or `SecureString`). Returns its new version.
    #[track_caller]
    pub fn put_parameter(&self, name: &str, kind: &str, value: &str) -> i64 {
        let parameter = json!({ "Name": name, "Type": kind, "Value": value, "Overwrite": true });
        let put = self.ask(Self::REGION, "ssm", "PutParameter", &parameter);
        put["Version"].as_i64().expect("a parameter has a version")
    }

    /// Puts a label on one version of a parameter.
    #[track_caller]
    pub fn label_parameter(&self, name: &str, version: i64, label: &str) {
        let label = json!({ "Name": name, "ParameterVersion": version, "Labels": [label] });
        self.ask(Self::REGION, "ssm", "LabelParameterVersion", &label);
    }

    /// Removes a parameter.
    #[track_caller]
    pub fn delete_parameter(&self, name: &str) {
        self.ask(Self::REGION, "ssm", "DeleteParameter", &json!({ "Name": name }));
    }

    /// `AssumeRoleWithWebIdentity`, as a pod's SDK does it. moto takes any token.
    #[track_caller]
    pub fn assume_with_web_identity(&self, role_arn: &str, token: &str) -> Assumed {
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=test\
             &RoleArn={role_arn}&WebIdentityToken={token}"
        );
        let answer = self.sts("", &form);
        let field = |name| within(&answer, name).unwrap_or_else(|| panic!("no {name}"));
        Assumed {
            access_key_id: field("AccessKeyId"),
            secret_access_key: field("SecretAccessKey"),
            session_token: field("SessionToken"),
        }
    }

    /// The ARN that `GetCallerIdentity` says for an access key.
    #[track_caller]
    pub fn caller(&self, access_key_id: &str) -> String {
        let answer = self.sts(access_key_id, "Action=GetCallerIdentity&Version=2011-06-15");
        within(&answer, "Arn").expect("a caller has an ARN")
    }

    /// Any action of `secretsmanager` or `ssm` in any region.
    pub fn call(&self, region: &str, service: &str, action: &str, body: &Value) -> Result<Value, AwsError> {
        let target = if service == "ssm" { "AmazonSSM" } else { service };
        let headers = [
            ("X-Amz-Target", format!("{target}.{action}")),
            ("Content-Type", "application/x-amz-json-1.1".to_owned()),
            ("Authorization", authorization("TEST", region, service)),
        ];
        let (status, answer) = self.post(&headers, body.to_string())?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        match status {
            200 => Ok(answer),
            status => Err(AwsError { status, code: answer["__type"].as_str().unwrap_or_default().into() }),
        }
    }

    fn create(&self, secret: Value) -> Made {
        let made = self.secrets("CreateSecret", &secret);
        Made { arn: text(&made, "ARN"), version: text(&made, "VersionId") }
    }

    #[track_caller]
    fn secrets(&self, action: &str, body: &Value) -> Value {
        self.ask(Self::REGION, "secretsmanager", action, body)
    }

    #[track_caller]
    fn ask(&self, region: &str, service: &str, action: &str, body: &Value) -> Value {
        self.call(region, service, action, body).unwrap_or_else(|error| panic!("{action} of {body}: {error}"))
    }

    #[track_caller]
    fn sts(&self, access_key_id: &str, form: &str) -> String {
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
            ("Authorization", authorization(access_key_id, Self::REGION, "sts")),
        ];
        match self.post(&headers, form.to_owned()) {
            Ok((200, answer)) => String::from_utf8(answer).expect("XML is text"),
            Ok((status, _)) => panic!("STS answered {status}"),
            Err(error) => panic!("STS: {error}"),
        }
    }

    fn post(&self, headers: &[(&str, String)], body: String) -> Result<(u16, Vec<u8>), AwsError> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let request = Request { method: "POST".into(), path: "/".into(), headers, body: body.into_bytes() };
        let response = http::send(self.address, &request)
            .map_err(|error| AwsError { status: 0, code: format!("no answer: {error}") })?;
        Ok((response.status, response.body))
    }

    fn answers(&self) -> bool {
        if self.tls {
            return std::net::TcpStream::connect(self.address).is_ok();
        }
        let status = Request { method: "GET".into(), path: "/moto-api/".into(), ..Request::default() };
        http::send(self.address, &status).is_ok_and(|answer| answer.status == 200)
    }

    fn process(&self) -> MutexGuard<'_, Option<Group>> {
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Where moto reads key and region; the rest of a signature it does not look at.
fn authorization(access_key_id: &str, region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key_id}/20260101/{region}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in the answer")).to_owned()
}

/// The text of the first such element.
fn within(xml: &str, element: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{element}>"))?;
    Some(rest.split_once("</")?.0.to_owned())
}

#[cfg(test)]
mod tests;
