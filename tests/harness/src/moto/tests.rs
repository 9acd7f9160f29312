use super::*;
use crate::Proxy;
use crate::vault::unique;

fn current(name: &str) -> Value {
    moto().call(Moto::REGION, "secretsmanager", "GetSecretValue", &json!({ "SecretId": name })).unwrap()
}

#[test]
fn versions_and_stages_move() {
    let name = unique("app/staged");
    let made = moto().create_secret(&name, "one");
    assert!(made.arn.contains(&format!(":{}:secret:{name}-", Moto::ACCOUNT)), "{}", made.arn);
    let two = moto().put_staged(&name, "two", &["AWSPENDING"]);
    assert_eq!(current(&name)["SecretString"], "one");
    moto().move_stage(&name, "AWSCURRENT", &two);
    assert_eq!(current(&name)["SecretString"], "two");
    assert_eq!(moto().stages(&name)[&made.version], ["AWSPREVIOUS"]);
    let three = moto().put_secret(&name, "three");
    assert_eq!(current(&name)["VersionId"], three);
    moto().delete_secret(&name);
    let gone = json!({ "SecretId": name });
    let error = moto().call(Moto::REGION, "secretsmanager", "GetSecretValue", &gone).unwrap_err();
    assert_eq!(error.code, "ResourceNotFoundException");
}

#[test]
fn regions_and_servers_hold_secrets_of_their_own() {
    let name = unique("app/here");
    moto().create_binary(&name, &[0, 255]);
    assert_eq!(current(&name)["SecretBinary"], "AP8=");
    let there = moto().call("us-east-1", "secretsmanager", "GetSecretValue", &json!({ "SecretId": name }));
    assert_eq!(there.unwrap_err().code, "ResourceNotFoundException");
    let other = Moto::start();
    let there = other.call(Moto::REGION, "secretsmanager", "GetSecretValue", &json!({ "SecretId": name }));
    assert_eq!(there.unwrap_err().code, "ResourceNotFoundException");
    other.stop();
    let there = other.call(Moto::REGION, "secretsmanager", "GetSecretValue", &json!({ "SecretId": name }));
    assert_eq!(there.unwrap_err().status, 0);
}

#[test]
fn parameters_have_versions_and_labels() {
    let name = unique("/app/parameter");
    assert_eq!(moto().put_parameter(&name, "SecureString", "one"), 1);
    assert_eq!(moto().put_parameter(&name, "SecureString", "two"), 2);
    moto().label_parameter(&name, 1, "stable");
    let read = |name: &str| {
        let asked = json!({ "Name": name, "WithDecryption": true });
        moto().call(Moto::REGION, "ssm", "GetParameter", &asked)
    };
    assert_eq!(read(&name).unwrap()["Parameter"]["Value"], "two");
    assert_eq!(read(&format!("{name}:stable")).unwrap()["Parameter"]["Value"], "one");
    moto().delete_parameter(&name);
    assert_eq!(read(&name).unwrap_err().code, "ParameterNotFound");
}

#[test]
fn a_web_identity_becomes_a_role() {
    let role = format!("arn:aws:iam::{}:role/web", Moto::ACCOUNT);
    let assumed = moto().assume_with_web_identity(&role, "any.token.does");
    let caller = moto().caller(&assumed.access_key_id);
    assert_eq!(caller, format!("arn:aws:sts::{}:assumed-role/web/test", Moto::ACCOUNT));
}

#[test]
fn a_proxy_counts_actions_and_answers_in_their_place() {
    let name = unique("app/counted");
    moto().create_secret(&name, "one");
    let proxy = Proxy::to(moto().address());
    let send = |headers: &[(&str, &str)], body: &str| {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let request =
            Request { method: "POST".into(), path: "/".into(), headers, body: body.as_bytes().to_vec() };
        http::send(proxy.address(), &request).unwrap().status
    };
    let get = || {
        let target = ("X-Amz-Target", "secretsmanager.GetSecretValue");
        let key = authorization("TEST", Moto::REGION, "secretsmanager");
        send(&[target, ("Authorization", &key)], &json!({ "SecretId": name }).to_string())
    };
    let whoami = || {
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let key = authorization("TEST", Moto::REGION, "sts");
        send(&[form, ("Authorization", &key)], "Action=GetCallerIdentity&Version=2011-06-15")
    };
    assert_eq!((get(), whoami()), (200, 200));
    let rule = proxy.answer("GetCallerIdentity", http::Response::status(503));
    assert_eq!((get(), whoami()), (200, 503));
    assert_eq!(rule.hits(), 1);
    assert_eq!(proxy.requests("GetSecretValue").len(), 2);
    assert_eq!(proxy.requests("GetCallerIdentity").len(), 2);
    assert_eq!(proxy.requests("").len(), 4);
}
