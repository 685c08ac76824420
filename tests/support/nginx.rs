//! An nginx of a test's own, with the very block that docs/operations.md gives.
//!
//! A machine without `nginx` fails these tests: operators have it, and `make test` installs it.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{ambient::eventually, redis_server::ports};

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// nginx in front of some processes; gone with the value.
pub struct Nginx {
    child: Child,
    /// Where it listens.
    pub public: SocketAddr,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts it, and waits until it answers.
    pub async fn before(processes: &[SocketAddr]) -> Self {
        let (folder, public) =
            (tempfile::tempdir().expect("a folder"), SocketAddr::from(([127, 0, 0, 1], ports::free())));
        let place = folder.path().display();
        let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .concat();
        let configuration = format!(
            "pid {place}/pid; daemon off; error_log {place}/error.log info; worker_processes 1;\n\
             events {{ worker_connections 512; }}\n\
             http {{\naccess_log off;\n{folders}{}\n}}\n",
            documented(processes, public)
        );
        fs::write(folder.path().join("nginx.conf"), configuration).expect("a file");
        // Debian keeps it where only an administrator's shell looks.
        let child = Command::new("/bin/sh")
            .args(["-c", "PATH=$PATH:/usr/sbin exec nginx -e \"$0/error.log\" -c \"$0/nginx.conf\""])
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx runs (`apt-get install nginx-light`; `make test` installs it)");
        let nginx = Self { child, public, folder };
        let url = format!("http://{public}/healthz");
        let client = super::http::client();
        eventually("nginx answers", async || client.get(&url).send().await.ok()).await;
        nginx
    }

    /// What it complained of.
    pub fn complaints(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("error.log")).expect("it has a log");
        log.lines().filter(|line| line.contains("[error]")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked to, it ends its worker with it. Killed, it would leave the worker, which goes on listening and holds
        // what reads the test's output. It may have ended already.
        let _gone = kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), Signal::SIGTERM);
        drop(self.child.wait());
    }
}

/// The documented block, with these addresses, and without the TLS that needs a certificate.
fn documented(processes: &[SocketAddr], public: SocketAddr) -> String {
    let block = OPERATIONS.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the block");
    let mut processes = processes.iter();
    let is_left_out = |line: &&str| ["ssl_", "listen [::]"].iter().any(|start| line.trim_start().starts_with(start));
    let lines = block.lines().filter(|line| !is_left_out(line)).map(|line| match line.trim_start().split_once(' ') {
        Some(("server", rest)) if rest.contains("max_fails") => {
            let (_, parameters) = rest.split_once(' ').expect("parameters");
            format!("server {} {parameters}", processes.next().expect("as many processes as the block has servers"))
        }
        Some(("listen", _)) => format!("listen {public};"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
