//! One part of a stand-in: a server on a free port of 127.0.0.1, with TLS or without.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use leasehold_harness::http::{self, Request, Response, header};
use leasehold_harness::ports;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::fault::Fault;
use crate::hold::{Held, Holds};
use crate::journal::{Asked, Journal, Part};

/// What a part does.
pub(crate) trait Service: Send + Sync + 'static {
    /// Its answer.
    fn answer(&self, request: &Request) -> Response;
    /// An error of this status, in the service's own form.
    fn failure(&self, status: u16) -> Response;
}

/// It ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    accepting: Option<(JoinHandle<()>, TcpListener)>,
}

struct Shared {
    part: Part,
    service: Arc<dyn Service>,
    journal: Arc<Journal>,
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
    holds: Arc<Holds>,
}

#[derive(Default)]
struct State {
    faults: VecDeque<Fault>,
    next: u64,
    open: HashMap<u64, TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Server {
    /// Listens at a free port, or where it is told.
    #[track_caller]
    pub(crate) fn start(
        part: Part,
        address: Option<SocketAddr>,
        tls: Option<Arc<ServerConfig>>,
        journal: Arc<Journal>,
        service: Arc<dyn Service>,
    ) -> Self {
        let address = address.unwrap_or_else(ports::free);
        let listener =
            TcpListener::bind(address).unwrap_or_else(|error| panic!("listening at {address}: {error}"));
        let held = listener.try_clone().expect("an open socket");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared =
            Arc::new(Shared { part, service, journal, tls, state: Mutex::default(), holds: Arc::default() });
        let accepted = shared.clone();
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                take(&accepted, stream);
            }
        });
        Self { address, scheme, shared, accepting: Some((thread, held)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.shared.state().faults.push_back(fault);
    }

    /// Keeps answers to requests back whose path begins so.
    pub(crate) fn hold(&self, beginning: &str) -> Held {
        self.shared.holds.hold(beginning)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some((thread, listener)) = self.accepting.take() else { return };
        // It ends the listening itself, not only our hold on it, and so wakes the thread that accepts.
        let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
        let _ = thread.join();
        for (_, stream) in self.shared.state().open.drain() {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn take(shared: &Arc<Shared>, stream: TcpStream) {
    let id = {
        let mut state = shared.state();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, stream.try_clone().expect("an open socket"));
        id
    };
    let shared = shared.clone();
    thread::spawn(move || {
        // Whoever hangs up in the middle is the test's business, not ours.
        let _ = serve(&shared, id, stream);
        shared.state().open.remove(&id);
    });
}

fn serve(shared: &Shared, id: u64, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(tls) = &shared.tls else { return converse(shared, id, BufReader::new(stream)) };
    let connection = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
    converse(shared, id, BufReader::new(StreamOwned::new(connection, stream)))
}

fn converse<S: Read + Write>(shared: &Shared, id: u64, mut stream: BufReader<S>) -> io::Result<()> {
    while let Some(request) = http::read_request(&mut stream)? {
        let response = dated(shared.service.answer(&request));
        // A challenge is no answer yet: what is to go wrong waits for the request after it.
        let fault = if response.status == 401 { None } else { shared.state().faults.pop_front() };
        let (response, sent) = spoil(shared, response, fault);
        let status = (!matches!(sent, Sent::Nothing)).then_some(response.status);
        let (method, path) = (request.method.clone(), request.path.clone());
        // Before the answer goes: whoever has it finds its request here.
        shared.journal.add(Asked { part: shared.part, method, path, status });
        if response.status != 401 {
            shared.holds.pass(&request.path);
        }

        let bytes = http::response_bytes(&response);
        match sent {
            Sent::Whole => stream.get_mut().write_all(&bytes)?,
            Sent::Half => {
                stream.get_mut().write_all(&bytes[..bytes.len() - response.body.len().div_ceil(2)])?;
                stream.get_mut().flush()?;
                return hang_up(shared, id);
            }
            Sent::Nothing => return reset(shared, id),
        }
        stream.get_mut().flush()?;
        if header(&request.headers, "connection").is_some_and(|word| word.eq_ignore_ascii_case("close")) {
            break;
        }
    }
    Ok(())
}

enum Sent {
    Whole,
    Half,
    Nothing,
}

fn spoil(shared: &Shared, mut response: Response, fault: Option<Fault>) -> (Response, Sent) {
    match fault {
        None => (response, Sent::Whole),
        Some(Fault::Reset) => (response, Sent::Nothing),
        Some(Fault::HalfSent) => (response, Sent::Half),
        Some(Fault::Status(status)) => (dated(shared.service.failure(status)), Sent::Whole),
        Some(Fault::Malformed) => {
            response.body.truncate(response.body.len() / 2);
            (response, Sent::Whole)
        }
        Some(Fault::WrongContentType) => {
            let body = b"<!doctype html><title>Sign in</title>".to_vec();
            let headers = vec![("Content-Type".into(), "text/html; charset=utf-8".into())];
            (dated(Response { status: 200, headers, body }), Sent::Whole)
        }
        Some(Fault::Slow(time)) => {
            pause(time);
            (response, Sent::Whole)
        }
    }
}

/// The thread is this connection's own: nobody else waits.
fn pause(time: Duration) {
    thread::sleep(time);
}

fn dated(response: Response) -> Response {
    response.header("Date", &httpdate::fmt_http_date(SystemTime::now()))
}

fn hang_up(shared: &Shared, id: u64) -> io::Result<()> {
    shared.state().open.get(&id).map_or(Ok(()), |stream| stream.shutdown(Shutdown::Both))
}

/// With no time to linger, closing sends a reset. Ours is the last hold on the connection but the caller's.
fn reset(shared: &Shared, id: u64) -> io::Result<()> {
    let Some(stream) = shared.state().open.remove(&id) else { return Ok(()) };
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(())
}
