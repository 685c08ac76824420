//! The processes that a run starts, and how they end: killed with their handle, so that no run leaves one behind.

use std::{
    fs,
    io::{self, Read as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// A running process.
pub(crate) struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    /// Starts it with an environment of these variables alone; what it says goes to the end of `log`.
    pub(crate) fn start(
        binary: &Path,
        arguments: &[&str],
        variables: &[(String, String)],
        log: &Path,
    ) -> io::Result<Self> {
        let output = fs::File::options().create(true).append(true).open(log)?;
        let child = Command::new(binary)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", binary.display())))?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        Ok(Self { child, pid })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it by SIGTERM, and by SIGKILL if that takes too long.
    pub(crate) async fn stop(&mut self) {
        if let Ok(pid) = i32::try_from(self.pid) {
            // It may have ended a moment ago, which the wait below tells.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.is_err() {
            drop(self.child.kill().await);
        }
    }
}

/// An address that was free a moment ago; nothing else on this machine is likely to take it in between.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The last lines of a log, for a process that failed.
pub(crate) fn last_words(log: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = fs::File::open(log) {
        drop(file.read_to_string(&mut text));
    }
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
