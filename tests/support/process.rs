//! The real binary as a process, for kill and restart.

use std::{
    io::{Seek as _, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    ambient::{eventually, eventually_within},
    redis_server::ports,
    secrets,
    settings::Settings,
};

/// What is under way has half a minute to end (docs/operations.md, Stopping), such as a commit at a store that has
/// gone.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);

/// `alc-connector serve` with addresses of its own; killed when dropped.
pub struct Process {
    child: Option<Child>,
    log: tempfile::NamedTempFile,
    complaints: tempfile::NamedTempFile,
    settings: Settings,
    binary: PathBuf,
    before: String,
    kept_as: Option<String>,
    /// Where its public listener is, over all restarts.
    pub public: SocketAddr,
    management: SocketAddr,
}

impl Process {
    /// A process not yet started.
    pub fn new(settings: &Settings) -> Self {
        Self::of(this_version(), settings)
    }

    /// A process of another version, not yet started.
    pub fn of(binary: &Path, settings: &Settings) -> Self {
        let (public, management) = (free_address(), free_address());
        let mut settings = settings.clone();
        settings.set("HTTP__BIND", &public.to_string()).set("MANAGEMENT__BIND", &management.to_string());
        let (log, complaints) =
            (tempfile::NamedTempFile::new().expect("a file"), tempfile::NamedTempFile::new().expect("a file"));
        settings.set("TELEMETRY__FILTER", "info,alc_connector=trace");
        Self {
            child: None,
            log,
            complaints,
            settings,
            binary: binary.to_owned(),
            before: ":".to_owned(),
            kept_as: None,
            public,
            management,
        }
    }

    /// Another version takes its place at the next start.
    pub fn run_from_now_on(&mut self, binary: &Path) {
        binary.clone_into(&mut self.binary);
    }

    /// What a shell does before it becomes the process, such as to lower a limit.
    pub fn after(&mut self, command: &str) {
        command.clone_into(&mut self.before);
    }

    /// What it has written is left in a file of that name where the test fails: why it was down, say.
    pub fn keep_log(&mut self, name: String) {
        self.kept_as = Some(name);
    }

    #[expect(clippy::print_stderr, reason = "the reader of a red test has to find it")]
    fn leave_log(&self, name: &str) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // Cut in the middle of a letter where it was killed; a panic here, while another unwinds, would abort.
        let parts = [self.log.path(), self.complaints.path()].map(|path| std::fs::read(path).unwrap_or_default());
        match std::fs::write(&path, parts.concat()) {
            Ok(()) => eprintln!("what {} has written is in {}", self.public, path.display()),
            Err(error) => eprintln!("what {} has written is lost: {error}", self.public),
        }
    }

    /// From now on its files may not grow past so many bytes, as if its disk were full; none: as they like. One that
    /// was not told to leave SIGXFSZ alone ([`Self::after`]) dies of it.
    pub fn limit_its_files(&self, bytes: Option<u64>) {
        let pid = self.child.as_ref().expect("it runs").id();
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let status = Command::new("prlimit")
            .args(["--pid", &pid.to_string(), &format!("--fsize={limit}:unlimited")])
            .status()
            .expect("prlimit runs (util-linux)");
        assert!(status.success(), "its limit can be set");
    }

    /// The system's limits of it.
    pub fn limits(&self) -> String {
        let pid = self.child.as_ref().expect("it runs").id();
        std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("the system tells")
    }

    /// Where its management listener is.
    pub fn management(&self) -> SocketAddr {
        self.management
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn();
        let url = format!("http://{}/readyz", self.management);
        let client = super::http::client();
        eventually("the process is ready", async || {
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(exited.is_none(), "serve ended by itself: {exited:?}");
            client.get(&url).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        let child = Command::new("/bin/sh")
            .args(["-c", &format!("{}; exec \"$0\" serve", self.before)])
            .arg(&self.binary)
            .env_clear()
            .envs(self.settings.variables())
            .stdin(Stdio::null())
            .stderr(self.complaints.reopen().expect("a file"))
            .stdout(self.log.reopen().and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log)).expect("a file"))
            .spawn()
            .expect("the binary runs");
        self.child = Some(child);
    }

    /// What it has written to its standard output.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the log can be read")
    }

    /// What it has written to its standard error.
    pub fn complaint(&self) -> String {
        std::fs::read_to_string(self.complaints.path()).expect("it can be read")
    }

    /// Whether it answers as ready right now.
    pub async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.management);
        super::http::client().get(url).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have gone by itself; either way it is gone.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// SIGTERM.
    pub fn signal_to_stop(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGSTOP: it is as if time stood still for it alone, until [`Self::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        kill(pid, signal).expect("a signal can be sent");
    }

    /// SIGTERM, and what it exited with; none: by a signal.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal_to_stop();
        self.ended().await
    }

    /// What it exited with after SIGTERM; none: by a signal.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let ended = async || child.try_wait().expect("it can be waited for");
        eventually_within(DRAINED_WITHIN, "the process has drained", ended).await.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(name) = self.kept_as.as_deref().filter(|_| std::thread::panicking()) {
            self.leave_log(name);
        }
        secrets::hear(&std::fs::read(self.log.path()).expect("the log can be read"));
    }
}

/// A command of the binary of these sources, with variables of the system's besides: its exit code, of which a signal
/// leaves none, and all that it prints.
pub async fn command(settings: &Settings, system: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let output = tokio::process::Command::new(this_version())
        .args(arguments)
        .env_clear()
        .envs(settings.variables())
        .envs(system.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    secrets::hear(text.as_bytes());
    (output.status.code(), text)
}

/// The binary of these sources.
pub fn this_version() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_alc-connector"))
}

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports::free()))
}
