use std::process::Command;

use harness::pki::Authority;
use harness::process::Group;

use super::*;

/// Answers each POST with 200, and notes its path.
const SERVER: &str = r#"
import http.server, ssl, sys
port, certificate, key, journal = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open(journal, "a") as file:
            file.write(self.path + "\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

#[test]
fn a_request_over_tls_goes_to_who_has_a_certificate_of_the_named_authority_and_to_nobody_else() {
    let stage = stage("encrypted", "2m");
    let (authority, stranger) = (Authority::new("hook"), Authority::new("other"));
    let served = authority.issue("app.test");
    let (address, journal) = (harness::ports::free(), stage.folder.join("journal"));
    let _server =
        Group::spawn(Command::new("python3").args(["-c", SERVER, &address.port().to_string()]).args([
            &served.certificate,
            &served.key,
            &journal,
        ]));
    eventually("the server listens", SOON, || std::net::TcpStream::connect(address));
    let (known, unknown) = (authority.ca_file(), stranger.ca_file());
    let actions = format!(
        r#"
  - name: known
    http: {{ url: "https://{address}/known", tls: {{ ca_file: {} }} }}
  - name: unknown
    retries: 0
    http: {{ url: "https://{address}/unknown", tls: {{ ca_file: {} }} }}
  - name: unsaid
    retries: 0
    http: {{ url: "https://{address}/unsaid" }}
  - name: elsewhere
    retries: 0
    http: {{ url: "https://{address}/elsewhere", tls: {{ ca_file: {}, server_name: other.test }} }}
"#,
        known.display(),
        unknown.display(),
        known.display(),
    );
    let told = Told::start(stage, ", acknowledge: none", &actions);
    told.rotate();
    assert_eq!(told.answer(&format!("known (http POST to {address})")), "ok (status 200)");
    for name in ["unknown", "unsaid", "elsewhere"] {
        let answer = told.answer(&format!("{name} (http POST to {address})"));
        assert!(answer.contains("certificate"), "{name}: {answer}");
        told.says(["could not announce generation 2", &format!("{name} (http POST to {address})")]);
    }
    assert_eq!(fs::read_to_string(journal).unwrap(), "/known\n", "a request is sent to nobody else");
    told.end();
}
