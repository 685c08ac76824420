//! Requests and replies, and their form on the wire.
//!
//! Owns parsing and writing of HTTP/1.1, as far as test equipment needs it: bodies with a length, keep-alive.

use std::{collections::BTreeMap, io};

use jiff::Timestamp;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request as it came in.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The raw query, without the question mark.
    pub query: String,
    /// Headers by lower-case name; of a repeated one the last.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The bearer token, if one was sent.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The path's segments.
    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// The query's pairs, decoded.
    pub fn query_pairs(&self) -> BTreeMap<String, String> {
        decode_form(self.query.as_bytes())
    }

    /// The body as a form, decoded.
    pub fn form(&self) -> BTreeMap<String, String> {
        decode_form(&self.body)
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// `a=b&c=d`, decoded; of a repeated name the last.
pub fn decode_form(text: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers beside `content-length`, `date` and `connection`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer with nothing in it.
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json", body.to_string())
    }

    /// A page.
    pub fn html(status: u16, body: &str) -> Self {
        Self::of(status, "text/html; charset=utf-8", body.to_owned())
    }

    /// An answer of any type.
    pub fn of(status: u16, content_type: &str, body: String) -> Self {
        Self { status, body: body.into_bytes(), ..Self::default() }.with("content-type", content_type)
    }

    /// A redirect by 302.
    pub fn redirect(location: &str) -> Self {
        Self::empty(302).with("location", location)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The head as it goes out, announcing `length` bytes of body.
    pub(super) fn head(&self, now: Timestamp, length: usize) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        head.push_str(&format!("date: {}\r\n", http_date(now)));
        // RFC 9110 §8.6: a 204 has no length.
        if self.status != 204 {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

/// A time as HTTP writes it, e.g. in `Date` and in Attio's `Retry-After`.
pub(crate) fn http_date(at: Timestamp) -> String {
    httpdate::fmt_http_date(at.into())
}

fn reason(status: u16) -> &'static str {
    match status {
        200..=299 => "OK",
        300..=399 => "Elsewhere",
        429 => "Too Many Requests",
        400..=499 => "Refused",
        _ => "Error",
    }
}

/// One connection, with what was read of the next request.
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        drop(stream.set_nodelay(true));
        Self { stream, read: Vec::new() }
    }

    /// The next request, whole; `None` when the peer has gone.
    pub(super) async fn request(&mut self) -> io::Result<Option<Request>> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if !self.more().await? {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).into_owned();
        self.read.drain(..end + 4);
        let mut request = parse_head(&head).ok_or_else(|| io::Error::other("not an HTTP request"))?;
        if request.headers.contains_key("transfer-encoding") {
            self.send(&Reply::empty(411).head(Timestamp::UNIX_EPOCH, 0), &[]).await?;
            return Ok(None);
        }
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if request.header("expect").is_some() {
            self.send("HTTP/1.1 100 Continue\r\n\r\n", &[]).await?;
        }
        while self.read.len() < length {
            if !self.more().await? {
                return Ok(None);
            }
        }
        request.body = self.read.drain(..length).collect();
        Ok(Some(request))
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.read(&mut chunk).await?;
        self.read.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }

    pub(super) async fn send(&mut self, head: &str, body: &[u8]) -> io::Result<()> {
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body).await?;
        self.stream.flush().await
    }

    /// Says nothing more, and stays until the peer has given up.
    pub(super) async fn hang(&mut self) {
        while self.more().await.unwrap_or(false) {}
    }

    /// Ends the connection by RST instead of by FIN.
    pub(super) fn reset(self) {
        drop(self.stream.set_zero_linger());
    }
}

fn parse_head(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let method = first.next()?.to_owned();
    let target = first.next()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Request { method, path, query, headers, body: Vec::new() })
}
