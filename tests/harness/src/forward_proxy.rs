//! What `HTTPS_PROXY` points at: a proxy that tunnels `CONNECT` and forwards plain requests.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http::{self, Request};
use crate::ports;

/// A forward proxy on a free port of 127.0.0.1. It lives as long as the test process.
#[derive(Clone, Debug)]
pub struct ForwardProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
    led: Arc<Mutex<HashMap<String, SocketAddr>>>,
}

impl ForwardProxy {
    /// Starts one.
    pub fn start() -> Self {
        let address = ports::free();
        let listener = TcpListener::bind(address).expect("the port was free a moment ago");
        let proxy = Self { address, asked: Arc::default(), led: Arc::default() };
        let shared = proxy.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // Whoever hangs up in the middle is the test's business, not ours.
                thread::spawn(move || shared.converse(stream).ok());
            }
        });
        proxy
    }

    /// For `HTTPS_PROXY` or `proxy`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on a tunnel to this host ends there, whatever its port: names that nobody here resolves.
    pub fn lead(&self, host: &str, to: SocketAddr) {
        self.led.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(host.to_owned(), to);
    }

    fn tunnel_to(&self, asked: &str) -> std::io::Result<TcpStream> {
        let host = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
        let led = self.led.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(host).copied();
        led.map_or_else(|| TcpStream::connect(asked), TcpStream::connect)
    }

    /// What was asked of it: `CONNECT HOST:PORT`, or a request whose path is a whole URL.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn converse(&self, client: TcpStream) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        while let Some(mut request) = http::read_request(&mut client)? {
            self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(request.clone());
            if request.method == "CONNECT" {
                let server = self.tunnel_to(&request.path)?;
                client.get_mut().write_all(b"HTTP/1.1 200 -\r\n\r\n")?;
                return tunnel(client, server);
            }
            let Some((host, path)) = request.path.strip_prefix("http://").and_then(|url| url.split_once('/'))
            else {
                return client.get_mut().write_all(b"HTTP/1.1 400 -\r\nContent-Length: 0\r\n\r\n");
            };
            let host = host.to_socket_addrs()?.next();
            request.path = format!("/{path}");
            let mut response = http::send(host.ok_or(std::io::ErrorKind::NotFound)?, &request)?;
            response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
            client.get_mut().write_all(&http::response_bytes(&response))?;
        }
        Ok(())
    }
}

fn tunnel(mut client: BufReader<TcpStream>, server: TcpStream) -> std::io::Result<()> {
    let (mut to_client, mut to_server) = (client.get_ref().try_clone()?, server.try_clone()?);
    let mut from_server = server;
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Write);
    });
    std::io::copy(&mut client, &mut to_server)?;
    to_server.shutdown(std::net::Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault;

    #[test]
    fn tunnels_and_forwards_and_remembers_both() {
        let (proxy, upstream) = (ForwardProxy::start(), vault().address());
        let path = "/v1/sys/health";
        let whole =
            Request { method: "GET".into(), path: format!("http://{upstream}{path}"), ..Request::default() };
        assert_eq!(http::send(proxy.address, &whole).unwrap().status, 200);

        let mut stream = BufReader::new(TcpStream::connect(proxy.address).unwrap());
        let connect = Request { method: "CONNECT".into(), path: upstream.to_string(), ..Request::default() };
        http::write_request(stream.get_mut(), &connect).unwrap();
        assert_eq!(http::read_response(&mut stream, "HEAD").unwrap().status, 200);
        let inner = Request { method: "GET".into(), path: path.into(), ..Request::default() };
        let inner = Request { headers: vec![("Host".into(), "vault".into())], ..inner };
        http::write_request(stream.get_mut(), &inner).unwrap();
        assert_eq!(http::read_response(&mut stream, "GET").unwrap().status, 200);

        let asked: Vec<_> = proxy.asked().into_iter().map(|request| (request.method, request.path)).collect();
        let expected = [("GET".to_owned(), whole.path), ("CONNECT".to_owned(), upstream.to_string())];
        assert_eq!(asked, expected);
    }
}
