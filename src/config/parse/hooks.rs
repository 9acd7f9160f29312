//! Commands and requests that the configuration wants to be run, whoever wants them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Uri};
use leasehold_core::SecretBytes;
use leasehold_http::TlsFiles;

use super::Context;
use crate::config::model::{HookKind, HttpHook};
use crate::config::raw;
use crate::config::report::KeyPath;

/// What HTTP itself sets, and who sets it.
const OF_HTTP: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

/// A command with its environment. `path` is that of the mapping which holds both keys.
pub(super) fn command(
    words: Vec<String>,
    environment: Option<BTreeMap<String, String>>,
    path: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<HookKind> {
    let at = path.key("command");
    let wrong = match words.first() {
        None => Some("empty; expected a program and its arguments"),
        Some(program) if program.is_empty() => Some("the program has no name"),
        _ if words.iter().any(|word| word.contains('\0')) => Some("a word of a command holds no NUL"),
        Some(program) if program.contains('/') && !program.starts_with('/') => {
            Some("expected the absolute path of a program, or a name that is looked for on PATH")
        }
        Some(program) if program.contains(char::is_whitespace) && words.len() == 1 => {
            Some("each word is an item of its own: no shell takes them apart")
        }
        Some(_) => None,
    };
    if let Some(wrong) = wrong {
        cx.problem(&at, wrong);
    }
    let environment = self::environment(environment.unwrap_or_default(), &path.key("environment"), cx);
    wrong.is_none().then_some(HookKind::Command { command: words, environment })
}

fn environment(
    raw: BTreeMap<String, String>,
    path: &KeyPath,
    cx: &mut Context<'_>,
) -> BTreeMap<String, Arc<SecretBytes>> {
    let mut environment = BTreeMap::new();
    for (name, value) in raw {
        let at = path.key(&name);
        let valid = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            cx.problem(
                &at,
                "the name of an environment variable is made of letters, digits and `_`, and begins with no digit",
            );
        } else if name.starts_with("LEASEHOLD_") {
            cx.problem(&at, "variables that begin with LEASEHOLD_ are set by leasehold");
        } else if value.contains('\0') {
            cx.problem(&at, "a variable holds no NUL");
        } else {
            environment.insert(name, Arc::new(SecretBytes::from_text(value)));
        }
    }
    environment
}

/// A request. `path` is that of its `http`.
pub(super) fn http(raw: raw::Http, path: &KeyPath, cx: &mut Context<'_>) -> Option<HookKind> {
    let url = url(raw.url.as_deref().unwrap_or_default(), &path.key("url"), cx);
    let method = match raw.method.as_deref().unwrap_or("POST") {
        "CONNECT" => None,
        text if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Method::from_bytes(text.as_bytes()).ok()
        }
        _ => None,
    };
    if method.is_none() {
        cx.problem(&path.key("method"), "expected a method in capitals, such as POST");
    }
    if raw.body.is_some()
        && method.as_ref().is_some_and(|method| [Method::GET, Method::HEAD].contains(method))
    {
        cx.problem(&path.key("body"), "a GET or HEAD carries no body");
    }
    let headers = headers(raw.headers.unwrap_or_default(), &path.key("headers"), cx);
    let expect = expect(raw.expect, &path.key("expect"), cx);
    let socket = raw.socket.and_then(|text| {
        let text = text.strip_prefix("unix:").unwrap_or(&text);
        let socket = cx.absolute(text, &path.key("socket"))?;
        if text.len() > 107 {
            cx.problem(&path.key("socket"), "the path of a socket has at most 107 bytes");
        }
        Some(socket)
    });
    let https = url.as_ref().is_some_and(|url| url.scheme_str() == Some("https"));
    if socket.is_some() && https {
        cx.problem(&path.key("socket"), "a request over a socket is not encrypted; write http:// in the url");
    }
    if raw.tls.is_some() && url.is_some() && !https {
        cx.problem(&path.key("tls"), "this is for a url that begins with https://");
    }
    let tls = TlsFiles::parse(raw.tls.unwrap_or_default()).unwrap_or_else(|problems| {
        for problem in problems {
            cx.problem(&path.along(&problem.key), problem.message);
        }
        TlsFiles::default()
    });
    Some(HookKind::Http(Box::new(HttpHook {
        url: url?,
        method: method?,
        headers,
        body: Arc::new(SecretBytes::from_text(raw.body.unwrap_or_default())),
        expect,
        socket,
        tls,
    })))
}

fn url(text: &str, path: &KeyPath, cx: &mut Context<'_>) -> Option<Uri> {
    let parsed = text.parse::<Uri>().ok().filter(|url| {
        let host = url.host().is_some_and(|host| !host.is_empty());
        host && matches!(url.scheme_str(), Some("http" | "https"))
    });
    let Some(url) = parsed else {
        cx.problem(path, "expected a URL that begins with `http://` or `https://`");
        return None;
    };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        cx.problem(path, "a user in a URL is not sent; write an `Authorization` under `headers`");
        return None;
    }
    Some(url)
}

fn headers(
    raw: BTreeMap<String, String>,
    path: &KeyPath,
    cx: &mut Context<'_>,
) -> Vec<(HeaderName, Arc<SecretBytes>)> {
    let mut headers = Vec::new();
    for (name, value) in raw {
        let at = path.key(&name);
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => cx.problem(&at, "this is no name of a header"),
            Ok(name) if OF_HTTP.contains(&name.as_str()) => {
                cx.problem(&at, "this header follows from the url and the body; leave it out");
            }
            Ok(_) if HeaderValue::from_str(&value).is_err() => {
                cx.problem(&at, "a header is one line without control characters");
            }
            Ok(name) => headers.push((name, Arc::new(SecretBytes::from_text(value)))),
        }
    }
    headers
}

fn expect(raw: Option<Vec<u32>>, path: &KeyPath, cx: &mut Context<'_>) -> Vec<u16> {
    if raw.as_ref().is_some_and(Vec::is_empty) {
        cx.problem(path, "empty, so nothing would be a success; leave the key out for any 2xx");
    }
    let mut statuses = Vec::new();
    for (index, status) in raw.into_iter().flatten().enumerate() {
        match u16::try_from(status) {
            Ok(status @ 200..=599) => statuses.push(status),
            _ => cx.problem(&path.index(index), "expected a status of HTTP, 200 to 599"),
        }
    }
    statuses
}
