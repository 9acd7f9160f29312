//! A proxy that leads a cloud's own names to a stand-in.

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use leasehold_harness::{http, ports};

/// Answers `CONNECT NAME:443` for the names that it knows, and opens no other tunnel: what `HTTPS_PROXY` or
/// `proxy` points at, for a test that keeps the cloud's real names. It lives as long as the test process.
#[derive(Clone, Debug)]
pub struct Detour {
    address: SocketAddr,
}

impl Detour {
    /// Names, and where each leads: `https://127.0.0.1:PORT`. A name that begins with `*.` stands for all names
    /// one part longer.
    #[track_caller]
    pub(crate) fn start(routes: &[(&str, String)]) -> Self {
        let address = ports::free();
        let listener = TcpListener::bind(address).expect("the port was free a moment ago");
        let to = |url: &str| {
            let address = url.trim_start_matches("https://").parse::<SocketAddr>();
            address.expect("a stand-in's address has no name in it")
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

fn converse(client: TcpStream, routes: &HashMap<String, SocketAddr>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let Some(request) = http::read_request(&mut client)? else { return Ok(()) };
    let name = request.path.strip_suffix(":443").unwrap_or_default();
    let parent = name.split_once('.').map(|(_, parent)| format!("*.{parent}")).unwrap_or_default();
    let known = routes.get(name).or_else(|| routes.get(&parent));
    let Some(&server) = known.filter(|_| request.method == "CONNECT") else {
        return client
            .get_mut()
            .write_all(b"HTTP/1.1 403 -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let server = TcpStream::connect(server)?;
    client.get_mut().write_all(b"HTTP/1.1 200 -\r\n\r\n")?;
    tunnel(client, server)
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
