//! A proxy that leads a cloud's own names to a stand-in.

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use leasehold_harness::{http, ports};

/// Answers `CONNECT NAME:443` and plain requests for the names that it knows, and none for others: what
/// `HTTPS_PROXY`, `HTTP_PROXY` or `proxy` points at, for a test that keeps the cloud's real names. It lives as long as the test process.
#[derive(Clone, Debug)]
pub struct Detour {
    address: SocketAddr,
}

#[derive(Clone, Copy)]
struct Route {
    address: SocketAddr,
    scheme: Scheme,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Detour {
    /// Names, and the stand-in's URL that each leads to. A name that begins with `*.` stands for all names
    /// one part longer.
    #[track_caller]
    pub(crate) fn start(routes: &[(&str, String)]) -> Self {
        let address = ports::free();
        let listener = TcpListener::bind(address).expect("the port was free a moment ago");
        let to = |url: &str| {
            let (scheme, address) = url.split_once("://").expect("it is a URL");
            let address = address.parse().expect("a stand-in's address has no name in it");
            let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
            Route { address, scheme }
        };
        let routes: HashMap<_, _> = routes.iter().map(|(name, url)| ((*name).to_owned(), to(url))).collect();
        let routes = Arc::new(routes);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let routes = routes.clone();
                // Whoever hangs up in the middle is the test's business, not ours.
                thread::spawn(move || converse(stream, &routes).ok());
            }
        });
        Self { address }
    }

    /// For `HTTPS_PROXY` or `proxy`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn converse(client: TcpStream, routes: &HashMap<String, Route>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let Some(mut request) = http::read_request(&mut client)? else { return Ok(()) };
    if request.method == "CONNECT" {
        let name = request.path.strip_suffix(":443").unwrap_or_default();
        let Some(server) = find(routes, name, Scheme::Https) else { return refuse(client) };
        let server = TcpStream::connect(server)?;
        client.get_mut().write_all(b"HTTP/1.1 200 -\r\n\r\n")?;
        return tunnel(client, server);
    }
    let url = request.path.strip_prefix("http://").unwrap_or_default();
    let (name, path) = url.split_once('/').unwrap_or((url, ""));
    let Some(server) = find(routes, name, Scheme::Http) else { return refuse(client) };
    request.path = format!("/{path}");
    let answer = http::send(server, &request)?.header("Connection", "close");
    client.get_mut().write_all(&http::response_bytes(&answer))
}

fn find(routes: &HashMap<String, Route>, name: &str, scheme: Scheme) -> Option<SocketAddr> {
    let parent = name.split_once('.').map(|(_, parent)| format!("*.{parent}")).unwrap_or_default();
    let route = routes.get(name).or_else(|| routes.get(&parent))?;
    (route.scheme == scheme).then_some(route.address)
}

fn refuse(mut client: BufReader<TcpStream>) -> io::Result<()> {
    client.get_mut().write_all(b"HTTP/1.1 403 -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn tunnel(mut client: BufReader<TcpStream>, server: TcpStream) -> io::Result<()> {
    let (mut back, mut to) = (server.try_clone()?, client.get_ref().try_clone()?);
    thread::spawn(move || {
        // The end of one direction ends the tunnel.
        let _ = io::copy(&mut back, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut server = server;
    let copied = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
    copied.map(|_| ())
}
