//! The processes that the demo starts: the connector, and Redis where asked for.
//!
//! Owns them and their directory. Promises that they end with the demo: by SIGTERM in the ordinary way, killed
//! otherwise.

use std::{
    fs,
    io::{self, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use super::telling::say;
use crate::{Alc, Attio, ambient};

/// The list of people that results put a person into.
pub(super) const LIST: &str = "sales";

/// The list whose entries are sent.
pub(super) const SENDING_LIST: &str = "to-alc";

/// What the connector has to know.
pub(super) struct ConnectorPlan<'a> {
    pub(super) binary: &'a Path,
    pub(super) redis: bool,
    pub(super) alc: &'a Alc,
    pub(super) attio: &'a Attio,
    pub(super) client_id: &'a str,
    pub(super) client_secret: &'a str,
    pub(super) redirect_uri: &'a str,
}

/// The running processes.
pub(super) struct Children {
    binary: PathBuf,
    connector: Child,
    redis: Option<Child>,
    directory: PathBuf,
    /// The connector's public URL.
    pub(super) connector_url: String,
    /// Its management listener.
    pub(super) management_url: String,
    /// The store, in words.
    pub(super) store: String,
}

impl Children {
    /// Starts them; the connector need not be ready yet.
    pub(super) async fn start(plan: &ConnectorPlan<'_>) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("alc-connector-demo-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&directory)?;
        let (redis, store_url, store) = if plan.redis {
            let (child, url) = start_redis(&directory).await?;
            (Some(child), url, "Redis".to_owned())
        } else {
            let file = directory.join("alc-connector.db");
            (None, format!("sqlite:{}", file.display()), "SQLite".to_owned())
        };
        let keys = generate_keys(plan.binary).await?;
        let (public, management) = (free_address()?, free_address()?);
        let connector_url = format!("http://{public}");
        let output = fs::File::create(directory.join("connector.log"))?;
        let connector = quiet_command(plan.binary)
            .arg("serve")
            .current_dir(&directory)
            .envs(keys)
            .envs(settings(plan, &public, &management, &connector_url, &store_url))
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| named(plan.binary, &error))?;
        let (binary, management_url) = (plan.binary.to_owned(), format!("http://{management}"));
        Ok(Self { binary, connector, redis, directory, connector_url, management_url, store })
    }

    /// Runs one of the operators' commands; its exit code, and what it says.
    pub(super) async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let management = self.management_url.trim_start_matches("http://");
        let command = quiet_command(&self.binary)
            .args(arguments)
            .current_dir(&self.directory)
            .env("ALC_CONNECTOR__MANAGEMENT__BIND", management)
            .output();
        match command.await {
            Ok(output) => {
                let said = [output.stderr, output.stdout].concat();
                (output.status.code(), String::from_utf8_lossy(&said).trim().to_owned())
            }
            Err(error) => (None, error.to_string()),
        }
    }

    /// Resolves when the connector has ended by itself.
    pub(super) async fn connector_ended(&mut self) {
        drop(self.connector.wait().await);
    }

    /// Shows the end of the connector's log.
    pub(super) fn show_log(&self) {
        let log = fs::read_to_string(self.directory.join("connector.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(25)..];
        say(&format!("\nThe connector's last words:\n{}\n", last.join("\n")));
    }

    /// Stops them in order, and cleans up.
    pub(super) async fn stop(mut self) -> Result<(), String> {
        let ended = terminate(&mut self.connector, Duration::from_secs(31)).await;
        if let Some(redis) = &mut self.redis {
            drop(terminate(redis, Duration::from_secs(10)).await);
        }
        drop(fs::remove_dir_all(&self.directory));
        ended
    }
}

/// The connector's settings, as variables; no variable of this process's own environment is among them.
fn settings(
    plan: &ConnectorPlan<'_>,
    public: &str,
    management: &str,
    public_url: &str,
    store_url: &str,
) -> Vec<(String, String)> {
    let pairs = [
        ("HTTP__BIND", public.to_owned()),
        ("HTTP__PUBLIC_URL", public_url.to_owned()),
        ("MANAGEMENT__BIND", management.to_owned()),
        ("STORE__URL", store_url.to_owned()),
        ("ATTIO_APP__CLIENT_ID", plan.client_id.to_owned()),
        ("ATTIO_APP__CLIENT_SECRET", plan.client_secret.to_owned()),
        ("ATTIO_APP__REDIRECT_URIS", plan.redirect_uri.to_owned()),
        ("ALC__BASE_URL", plan.alc.url()),
        ("ALC__AUTHORIZE_URL", plan.alc.authorize_url()),
        ("ALC__TOKEN_URL", plan.alc.token_url()),
        ("ALC__REVOKE_URL", plan.alc.revoke_url()),
        ("ALC__CLIENT_ID", plan.alc.client_id()),
        ("ALC__CLIENT_SECRET", plan.alc.client_secret()),
        ("ATTIO__BASE_URL", plan.attio.url()),
        ("ATTIO__API_KEY", plan.attio.api_key()),
        ("ATTIO__CALLBACK_HOSTS", "127.0.0.1".to_owned()),
        ("ATTIO__NOTE", "on-result".to_owned()),
        ("ATTIO__SEND_ON_LIST", SENDING_LIST.to_owned()),
        ("ATTIO__PROSPECTS", "upsert".to_owned()),
        ("ATTIO__PIPELINE__LIST", LIST.to_owned()),
        ("ATTIO__PIPELINE__STAGE_ATTRIBUTE", "stage".to_owned()),
        ("ATTIO__PIPELINE__STAGES", "qualified:Qualified,not_interested:Lost".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (format!("ALC_CONNECTOR__{name}"), value)).collect()
}

/// A command with an almost empty environment, in a process group of its own: Ctrl-C is for the demo, which then stops
/// its children in order.
pub(super) fn quiet_command(binary: &Path) -> Command {
    let binary = fs::canonicalize(binary).unwrap_or_else(|_| binary.to_owned());
    let mut command = Command::new(binary);
    command.env_clear().stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    for name in ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
        if let Some(value) = ambient::variable(name) {
            command.env(name, value);
        }
    }
    command
}

async fn generate_keys(binary: &Path) -> io::Result<Vec<(String, String)>> {
    let output =
        quiet_command(binary).args(["keys", "generate"]).output().await.map_err(|error| named(binary, &error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let keys: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("export ").split_once('='))
        .filter(|(name, _)| name.starts_with("ALC_CONNECTOR__KEYS__"))
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .collect();
    if !output.status.success() || keys.len() < 2 {
        return Err(io::Error::other("`keys generate` gave no keys"));
    }
    Ok(keys)
}

async fn start_redis(directory: &Path) -> io::Result<(Child, String)> {
    let address = free_address()?;
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    let mut log = fs::File::create(directory.join("redis.log"))?;
    log.flush()?;
    let binary = Path::new("redis-server");
    let child = quiet_command(binary)
        .args(["--port", &port, "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""])
        .args(["--maxmemory-policy", "noeviction", "--dir"])
        .arg(directory)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .map_err(|error| named(binary, &error))?;
    for _ in 0..200 {
        if pongs(&address).await {
            return Ok((child, format!("redis://{address}")));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(io::Error::other("redis-server did not come up"))
}

async fn pongs(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && answer.starts_with(b"+PONG")
}

/// An address that was free a moment ago; nothing else on this machine is likely to take it in between.
fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

async fn terminate(child: &mut Child, patience: Duration) -> Result<(), String> {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended a moment ago, which the wait below tells.
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
    match tokio::time::timeout(patience, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            drop(child.kill().await);
            Err(format!("still running after {} s; killed", patience.as_secs()))
        }
    }
}

fn named(binary: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", binary.display()))
}
