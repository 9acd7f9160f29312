//! As much of PostgreSQL's protocol (version 3) as a log-in under SCRAM-SHA-256 and a simple query need.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Rows of a query, every value as text, `None` for NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// An open connection that has logged in.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects and logs in.
    pub(super) fn open(address: SocketAddr, user: &str, password: &str) -> Result<Self, String> {
        Self::open_database(address, "postgres", user, password)
    }

    /// The same to a database of another name, as a pooler has them.
    ///
    /// # Errors
    /// What the server said, with its SQLSTATE; or what went wrong on the way.
    pub fn open_database(
        address: SocketAddr,
        database: &str,
        user: &str,
        password: &str,
    ) -> Result<Self, String> {
        let stream =
            TcpStream::connect_timeout(&address, TIMEOUT).map_err(|error| format!("connect: {error}"))?;
        let set = |error| format!("socket: {error}");
        stream.set_nodelay(true).map_err(set)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(set)?;
        let mut connection = Self { stream: BufReader::new(stream) };
        connection.log_in(database, user, password)?;
        Ok(connection)
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// The same.
    pub fn query(&mut self, sql: &str) -> Result<Rows, String> {
        self.send(Some(b'Q'), &[sql.as_bytes(), b"\0"].concat())?;
        let (mut rows, mut failed) = (Rows::new(), None);
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'D' => rows.push(row(&body).ok_or("a row that is none")?),
                b'E' => failed = Some(error(&body)),
                b'Z' => return failed.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    fn log_in(&mut self, database: &str, user: &str, password: &str) -> Result<(), String> {
        let mut start = 196_608_u32.to_be_bytes().to_vec();
        for word in ["user", user, "database", database, ""] {
            start.extend_from_slice(word.as_bytes());
            start.push(0);
        }
        self.send(None, &start)?;
        let mut scram = Scram::new(password);
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'E' => return Err(error(&body)),
                b'Z' => return Ok(()),
                b'R' => {
                    let (code, rest) = body.split_first_chunk().ok_or("a short authentication message")?;
                    let rest = String::from_utf8_lossy(rest);
                    match u32::from_be_bytes(*code) {
                        0 if scram.proven => {}
                        10 => {
                            let first = scram.first();
                            let length = u32::try_from(first.len()).map_err(|_| "too long")?;
                            let message = [b"SCRAM-SHA-256\0", &length.to_be_bytes()[..], first.as_bytes()];
                            self.send(Some(b'p'), &message.concat())?;
                        }
                        11 => {
                            let last = scram.last(&rest)?;
                            self.send(Some(b'p'), last.as_bytes())?;
                        }
                        12 => scram.verify(&rest)?,
                        other => return Err(format!("authentication {other} in place of scram-sha-256")),
                    }
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), String> {
        let length = u32::try_from(body.len() + 4).map_err(|_| "too long")?;
        let mut message = Vec::from_iter(kind);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message).map_err(|error| format!("send: {error}"))
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), String> {
        let failed = |error| format!("receive: {error}");
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).map_err(failed)?;
        let [kind, length @ ..] = head;
        let length = (u32::from_be_bytes(length) as usize).checked_sub(4).ok_or("a length that is none")?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(failed)?;
        Ok((kind, body))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A polite end; the server logs anything else.
        let _ = self.send(Some(b'X'), &[]);
    }
}

fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk()?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk()?;
        rest = after;
        row.push(match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => None,
            Ok(length) => {
                let (value, after) = rest.split_at_checked(length)?;
                rest = after;
                Some(String::from_utf8_lossy(value).into_owned())
            }
        });
    }
    Some(row)
}

/// `SQLSTATE message`.
fn error(body: &[u8]) -> String {
    let (mut code, mut message) = (String::new(), String::new());
    for field in body.split(|&byte| byte == 0) {
        match field.split_first() {
            Some((b'C', text)) => code = String::from_utf8_lossy(text).into_owned(),
            Some((b'M', text)) => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    format!("{code} {message}")
}

/// The client's side of RFC 5802 with SHA-256 (RFC 7677), without channel binding.
struct Scram<'a> {
    password: &'a str,
    first_bare: String,
    server_signature: Option<hmac::Tag>,
    proven: bool,
}

impl<'a> Scram<'a> {
    fn new(password: &'a str) -> Self {
        let mut nonce = [0; 18];
        rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())
            .expect("getrandom answers once the kernel is up");
        // The server takes the user from the start message; here the name stays empty.
        let first_bare = format!("n=,r={}", STANDARD.encode(nonce));
        Self { password, first_bare, server_signature: None, proven: false }
    }

    fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    fn last(&mut self, server_first: &str) -> Result<String, String> {
        let attribute = |name: &str| {
            let found = server_first.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| format!("no {name} in the server's challenge"))
        };
        let nonce = attribute("r")?;
        let salt = STANDARD.decode(attribute("s")?).map_err(|error| format!("salt: {error}"))?;
        let rounds: NonZeroU32 = attribute("i")?.parse().map_err(|error| format!("rounds: {error}"))?;

        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let salted = salted(self.password, &salt, rounds);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored_key.as_ref()), signed.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();

        let server_key = hmac::sign(&salted, b"Server Key");
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, server_key.as_ref());
        self.server_signature = Some(hmac::sign(&server_key, signed.as_bytes()));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    fn verify(&mut self, server_final: &str) -> Result<(), String> {
        let shown = server_final.strip_prefix("v=").and_then(|shown| STANDARD.decode(shown.trim_end()).ok());
        let expected = self.server_signature.ok_or("a final message before the challenge")?;
        self.proven = shown.is_some_and(|shown| shown == expected.as_ref());
        if self.proven { Ok(()) } else { Err("the server does not know the password".into()) }
    }
}

/// The costly part, kept per password and salt as RFC 5802 allows: a log-in every 20 ms on a busy machine
/// measures the server, not us.
fn salted(password: &str, salt: &[u8], rounds: NonZeroU32) -> [u8; 32] {
    type Known = HashMap<(String, Vec<u8>, NonZeroU32), [u8; 32]>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let key = (password.to_owned(), salt.to_vec(), rounds);
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *known.get_or_insert_default().entry(key).or_insert_with(|| {
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
        salted
    })
}
