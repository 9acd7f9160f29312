//! Commands and requests: of `on_change`, and of `verify`.

use super::*;

#[test]
fn mistakes_about_actions_are_said() {
    snapshot!(after_secrets(&[
        ("nothing in it", "on_change: [{}]\n"),
        ("a word", "on_change: [HUP]\n"),
        ("signal to nobody", "on_change: [{ signal: HUP }]\n"),
        ("signal to two", "on_change: [{ signal: HUP, process: nginx, pid_file: /run/x.pid }]\n"),
        ("signal by number", "on_change: [{ signal: 1, process: nginx }]\n"),
        ("signal with SIG", "on_change: [{ signal: SIGHUP, process: nginx }]\n"),
        ("signal that kills", "on_change: [{ signal: KILL, process: nginx }]\n"),
        ("process with a path", "on_change: [{ signal: HUP, process: /usr/sbin/nginx }]\n"),
        ("pid file that is relative", "on_change: [{ signal: HUP, pid_file: x.pid }]\n"),
        ("several kinds", "on_change: [{ signal: HUP, process: a, command: [b] }]\n"),
        ("command that is empty", "on_change: [{ command: [] }]\n"),
        ("command that is relative", "on_change: [{ command: [bin/reload] }]\n"),
        ("command in one word", "on_change: [{ command: ['reload now'] }]\n"),
        ("variable of ours", "on_change: [{ command: [a], environment: { LEASEHOLD_DIR: x, 1A: y } }]\n"),
        (
            "name twice",
            "on_change: [{ name: web, command: [a] }, { name: web, command: [b] }, { name: 1, command: [c] }]\n"
        ),
        ("nobody acknowledges", "lifecycle: { acknowledge: { from: [] } }\n"),
        ("somebody acknowledges twice", "lifecycle: { acknowledge: { from: [web, web] } }\n"),
        ("command as text", "on_change: [{ command: /bin/reload }]\n"),
        ("command as text in quotes", "verify: { command: \"/bin/try it\" }\n"),
        ("http with a user", "on_change: [{ http: { url: 'http://me:pass@127.0.0.1:8080/' } }]\n"),
        (
            "http with wrong parts",
            "on_change: [{ http: { url: 'https://a/', method: post, headers: { Host: a }, expect: [99], socket: x } }]\n"
        ),
        ("http without a url", "on_change: [{ http: { url: 127.0.0.1 } }]\n"),
        ("process of a command", "on_change: [{ command: [/bin/reload], process: nginx }]\n"),
        (
            "unknown file",
            "files:\n  tls.crt: { secret: cert, field: certificate }\non_change: [{ signal: HUP, process: nginx, files: [tls.cert] }]\n"
        ),
        (
            "unknown file of every field",
            "on_change: [{ signal: HUP, process: nginx, files: [crt/certificate] }]\n"
        ),
        ("no file at all", "on_change: [{ signal: HUP, process: nginx, files: [] }]\n"),
    ]));
}

#[test]
fn mistakes_about_the_check_are_said() {
    snapshot!(after_secrets(&[
        ("nothing in it", "verify: {}\n"),
        ("a word", "verify: /bin/try\n"),
        ("both kinds", "verify: { command: [/bin/try], http: { url: 'http://127.0.0.1/' } }\n"),
        ("unknown key", "verify: { command: [/bin/try], retries: 3 }\n"),
        ("unknown outcome", "verify: { command: [/bin/try], on_failure: ignore }\n"),
        ("command that is relative", "verify: { command: [bin/try] }\n"),
        ("command in one word", "verify: { command: ['try it'] }\n"),
        ("variable of ours", "verify: { command: [a], environment: { LEASEHOLD_CANDIDATE: x } }\n"),
        ("environment of a request", "verify: { http: { url: 'http://a/' }, environment: { A: b } }\n"),
        ("http with wrong parts", "verify: { http: { url: 'http://me:pass@a/', expect: [] } }\n"),
        ("time", "verify: { command: [a], timeout: 30 }\n"),
        ("no time", "verify: { command: [a], timeout: 0s }\n"),
        ("too much time", "verify: { command: [a], timeout: 2h }\n"),
        ("nothing to try", "files: {}\nverify: { command: [a] }\n"),
    ]));
}
