//! A real redis-server of one test.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A redis-server on a free port, with its append-only file in a directory of its own; ends when dropped.
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    directory: tempfile::TempDir,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no redis-server on this machine: that is a failure, not a reason to skip.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut server = Self { child: None, port, directory: tempfile::tempdir().expect("a directory") };
        server.come_up();
        server
    }

    /// `STORE__URL`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it; what it acknowledged is in its file.
    pub fn go_down(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have gone by itself; either way it is gone.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it again, on the same port, with what it knew.
    pub fn come_up(&mut self) {
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--dir"])
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: these tests need a real one (apt-get install redis-server)");
        self.child = Some(child);
        let up = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(10));
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        assert!(up, "redis-server did not come up on port {port}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.go_down();
    }
}
