//! A Redis server of a test's own: on a free port, with its files in a folder of its own, gone with the value.
//!
//! Included by path from the unit tests and the integration tests. A machine without `redis-server` fails these tests:
//! the product's store is not optional.

#[path = "ports.rs"]
pub mod ports;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The server; `kill` and `start_again` keep its port and its files.
pub struct RedisServer {
    child: Child,
    port: u16,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server whose acknowledged writes survive a kill.
    pub fn start_durable() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A server with further arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        for _ in 0..10 {
            // Another process may take the port in between: then the server ends at once, and another port is tried.
            let port = ports::free();
            let mut child = spawn(port, &arguments, folder.path());
            if becomes_ready(&mut child, port) {
                return Self { child, port, arguments, folder };
            }
        }
        panic!("redis-server does not start");
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }

    /// Starts it again on the same port and files.
    pub fn start_again(&mut self) {
        self.start_again_with(&[]);
    }

    /// The same with further arguments this time.
    pub fn start_again_with(&mut self, more: &[&str]) {
        let arguments: Vec<_> = self.arguments.iter().cloned().chain(more.iter().map(|&one| one.to_owned())).collect();
        self.child = spawn(self.port, &arguments, self.folder());
        assert!(becomes_ready(&mut self.child, self.port), "redis-server does not start again");
    }

    /// Where its files are.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Sends one command, its words separated by blanks, and returns the first piece of the answer.
    pub fn command(&self, line: &str) -> String {
        ask(self.port, line).expect("the server answers")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(port: u16, arguments: &[String], folder: &std::path::Path) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server runs (`apt-get install redis-server`; `make test` installs it)")
}

fn becomes_ready(child: &mut Child, port: u16) -> bool {
    for _ in 0..2_000 {
        if ask(port, "PING").is_ok_and(|answer| answer.starts_with("+PONG")) {
            // It might be another's server on that port.
            return child.try_wait().is_ok_and(|ended| ended.is_none());
        }
        if !child.try_wait().is_ok_and(|ended| ended.is_none()) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Sends one command to the server that listens on that port.
pub fn ask(port: u16, line: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    let mut answer = vec![0; 64 * 1024];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
