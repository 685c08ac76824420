//! Servers that misbehave as no mock server can, on plain sockets.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use url::Url;

use super::{Caller, http_clients};
use crate::clock::{ManualClock, Timestamp};

/// Mon, 21 Sep 2026 14:13:20 GMT.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(NOW)
}

/// A caller with ten seconds for an attempt.
pub(crate) fn caller(clock: &ManualClock) -> Caller {
    impatient(clock, Duration::from_secs(10))
}

pub(crate) fn impatient(clock: &ManualClock, timeout: Duration) -> Caller {
    Caller::new(http_clients(timeout).expect("a CA store"), "test", timeout, Arc::new(clock.clone()))
}

/// Gives each connection to `serve`, one after the other, on a thread that lives as long as the test process.
pub(crate) fn server(mut serve: impl FnMut(TcpStream) + Send + 'static) -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.expect("a connection"));
        }
    });
    format!("http://{address}").parse().expect("a URL")
}

/// Reads each request to its end and answers with these bytes, whatever they are; then closes.
pub(crate) fn answering(bytes: impl AsRef<[u8]> + Send + 'static) -> Url {
    server(move |mut stream| {
        read_request(&mut stream);
        // A client that has heard enough hangs up early.
        let _ = stream.write_all(bytes.as_ref());
    })
}

/// A whole request, head and body; empty once the client has hung up.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return String::new(),
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
}
