//! HTTP/1.1 over plain TCP, as little of it as the tests need: messages, and one request per connection.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A request, its body whole.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, `LIST`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// In their order, as they were written.
    pub headers: Vec<(String, String)>,
    /// Without its transfer encoding.
    pub body: Vec<u8>,
}

/// An answer, its body whole.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// 200, 403, …
    pub status: u16,
    /// In their order, as they were written.
    pub headers: Vec<(String, String)>,
    /// Without its transfer encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer of this status with an empty JSON object, as a server's own errors look.
    pub fn status(status: u16) -> Self {
        Self::json(status, r#"{"errors":[]}"#)
    }

    /// An answer of this status and JSON body.
    pub fn json(status: u16, body: &str) -> Self {
        let headers = vec![("Content-Type".into(), "application/json".into())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// With one header more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The first header of that name, whatever its case.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Sends one request on a connection of its own, and reads the answer. `Host` is set where it is missing.
pub fn send(address: SocketAddr, request: &Request) -> io::Result<Response> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut request = request.clone();
    if header(&request.headers, "host").is_none() {
        request.headers.push(("Host".into(), address.to_string()));
    }
    request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("connection"));
    request.headers.push(("Connection".into(), "close".into()));
    let mut reader = BufReader::new(stream);
    write_request(reader.get_mut(), &request)?;
    read_response(&mut reader, &request.method)
}

/// Reads the next request of a connection; `None` where the peer has closed it.
pub fn read_request(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some(first) = read_line(from)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(malformed("request line"));
    };
    let headers = read_headers(from)?;
    let length =
        header(&headers, "content-length").map_or(Ok(0), str::parse).map_err(|_| malformed("length"))?;
    let body = if is_chunked(&headers) { read_chunks(from)? } else { read_exactly(from, length)? };
    Ok(Some(Request { method: method.into(), path: path.into(), headers, body }))
}

/// Reads the answer to a request of that method.
pub fn read_response(from: &mut impl BufRead, method: &str) -> io::Result<Response> {
    let first = read_line(from)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let status =
        first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| malformed("status"))?;
    let headers = read_headers(from)?;
    let body = if method == "HEAD" || matches!(status, 100..200 | 204 | 304) {
        Vec::new()
    } else if is_chunked(&headers) {
        read_chunks(from)?
    } else if let Some(length) = header(&headers, "content-length") {
        read_exactly(from, length.parse().map_err(|_| malformed("length"))?)?
    } else {
        let mut rest = Vec::new();
        from.read_to_end(&mut rest)?;
        rest
    };
    Ok(Response { status, headers, body })
}

/// Writes a request; the body's length is set here.
pub fn write_request(to: &mut impl Write, request: &Request) -> io::Result<()> {
    let head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    to.write_all(&assemble(head, &request.headers, &request.body))
}

/// The bytes of an answer; the body's length is set here, unless it is one that has none.
pub fn response_bytes(response: &Response) -> Vec<u8> {
    assemble(format!("HTTP/1.1 {} -\r\n", response.status), &response.headers, &response.body)
}

fn assemble(mut head: String, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let framing = ["content-length", "transfer-encoding"];
    for (name, value) in headers {
        if !framing.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    line.truncate(line.trim_end().len());
    Ok(Some(line))
}

fn read_headers(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?.ok_or_else(|| malformed("headers"))?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("header"))?;
        headers.push((name.trim().into(), value.trim().into()));
    }
}

fn is_chunked(headers: &[(String, String)]) -> bool {
    header(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
}

fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?.ok_or_else(|| malformed("chunk"))?;
        let size = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| malformed("chunk size"))?;
        body.extend(read_exactly(from, size)?);
        read_line(from)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP/1.1: {what}"))
}
