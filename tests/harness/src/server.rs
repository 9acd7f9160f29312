//! A small HTTP/1.1 server whose every answer a test decides: the base of [`crate::Proxy`], and by itself a
//! stand-in for what is no part of leasehold and cannot be had (Kubernetes' TokenReview, for one).

use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use crate::http::{self, Request, Response};
use crate::ports;

/// A server on a free port of 127.0.0.1. It ends when dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<(JoinHandle<()>, TcpListener)>>,
}

/// What happens to a request.
#[derive(Debug)]
pub enum Reply {
    /// It is answered.
    Whole(Response),
    /// The connection ends in the middle of the answer's body.
    Half(Response),
    /// The connection ends without an answer.
    Nothing,
}

struct Shared {
    answer: Box<dyn Fn(Request) -> Reply + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    open: HashMap<u64, TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "HttpServer({})", self.address)
    }
}

impl HttpServer {
    /// Starts one. `answer` runs on the thread of its connection, and may take its time.
    pub fn start(answer: impl Fn(Request) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared { answer: Box::new(answer), state: Mutex::default() });
        let server = Self { address: ports::free(), shared, accepting: Mutex::new(None) };
        server.accept();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection that is open now.
    pub fn cut(&self) {
        for (_, stream) in self.shared.state().open.drain() {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Stops listening, so that connections are refused, and ends those that are open.
    pub fn refuse(&self) {
        let Some((accepting, listener)) = self.accepting().take() else { return };
        // It ends the listening itself, not only our hold on it: a child that another thread is just forking
        // holds it too. It also wakes the thread that waits for a connection.
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).expect("a listening socket");
        accepting.join().expect("accepting does not panic");
        self.cut();
    }

    /// Listens again after [`HttpServer::refuse`].
    #[track_caller]
    pub fn accept(&self) {
        let mut accepting = self.accepting();
        if accepting.is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address)
            .unwrap_or_else(|error| panic!("listening at {}: {error}", self.address));
        let held = listener.try_clone().expect("an open socket");
        let shared = self.shared.clone();
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let mut state = shared.state();
                let id = state.next;
                state.next += 1;
                state.open.insert(id, stream.try_clone().expect("an open socket"));
                drop(state);
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // Whoever hangs up in the middle is the test's business, not ours.
                    let _ = converse(stream, &*shared.answer);
                    shared.state().open.remove(&id);
                });
            }
        });
        *accepting = Some((thread, held));
    }

    fn accepting(&self) -> MutexGuard<'_, Option<(JoinHandle<()>, TcpListener)>> {
        self.accepting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.refuse();
    }
}

fn converse(stream: TcpStream, answer: &dyn Fn(Request) -> Reply) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = http::read_request(&mut stream)? {
        let to = stream.get_mut();
        match answer(request) {
            Reply::Whole(response) => to.write_all(&http::response_bytes(&response))?,
            Reply::Half(response) => {
                let bytes = http::response_bytes(&response);
                to.write_all(&bytes[..bytes.len() - response.body.len().div_ceil(2)])?;
                return to.shutdown(Shutdown::Both);
            }
            Reply::Nothing => return to.shutdown(Shutdown::Both),
        }
    }
    Ok(())
}
