//! The connector as a process, between the pretend services.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    ambient::{between, now},
    caller::{Caller, get},
    children::{Process, free_address, last_words},
};

/// The credentials of the Attio app's connection, our OAuth client.
pub(crate) const CLIENT_ID: &str = "attio-app";
pub(crate) const CLIENT_SECRET: &str = "attio-app-secret";
pub(crate) const REDIRECT_URI: &str = "https://app.attio.example/connections/callback";

/// A running connector.
pub(crate) struct Connector {
    binary: PathBuf,
    variables: Vec<(String, String)>,
    log: PathBuf,
    process: Process,
    /// Its public listener.
    pub(crate) public: SocketAddr,
    /// Its management listener.
    pub(crate) management: SocketAddr,
    /// How long the last start took until `/readyz` answered 200.
    pub(crate) start_to_ready: Duration,
}

impl Connector {
    pub(crate) async fn start(
        binary: &Path,
        folder: &Path,
        store: &str,
        upstreams: &str,
        writes_per_second: u32,
    ) -> io::Result<Self> {
        let (public, management) = (free_address()?, free_address()?);
        let mut variables = keys(binary)?;
        let settings = [
            ("HTTP__BIND", public.to_string()),
            ("HTTP__PUBLIC_URL", format!("http://{public}")),
            ("MANAGEMENT__BIND", management.to_string()),
            ("STORE__URL", store.to_owned()),
            ("ATTIO_APP__CLIENT_ID", CLIENT_ID.to_owned()),
            ("ATTIO_APP__CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("ATTIO_APP__REDIRECT_URIS", REDIRECT_URI.to_owned()),
            ("ALC__BASE_URL", upstreams.to_owned()),
            ("ALC__AUTHORIZE_URL", format!("{upstreams}/authorize")),
            ("ALC__TOKEN_URL", format!("{upstreams}/token")),
            ("ALC__CLIENT_ID", "bench".to_owned()),
            ("ALC__CLIENT_SECRET", "bench-secret".to_owned()),
            ("ATTIO__BASE_URL", upstreams.to_owned()),
            ("ATTIO__OAUTH__CLIENT_ID", "bench".to_owned()),
            ("ATTIO__OAUTH__CLIENT_SECRET", "bench-secret".to_owned()),
            ("ATTIO__OAUTH__AUTHORIZE_URL", format!("{upstreams}/authorize")),
            ("ATTIO__OAUTH__TOKEN_URL", format!("{upstreams}/token")),
            ("ATTIO__WRITES_PER_SECOND", writes_per_second.to_string()),
            ("TELEMETRY__FORMAT", "json".to_owned()),
        ];
        variables.extend(settings.map(|(name, value)| (format!("ALC_CONNECTOR__{name}"), value)));
        let log = folder.join("connector.log");
        let process = Process::start(binary, &["serve"], &variables, &log)?;
        let start_to_ready = Duration::ZERO;
        let mut connector =
            Self { binary: binary.to_owned(), variables, log, process, public, management, start_to_ready };
        connector.wait_until_ready().await?;
        Ok(connector)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it; its store and its addresses stay.
    pub(crate) async fn stop(&mut self) {
        self.process.stop().await;
    }

    /// Starts it again on the same store and addresses.
    pub(crate) async fn start_again(&mut self) -> io::Result<()> {
        self.process = Process::start(&self.binary, &["serve"], &self.variables, &self.log)?;
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let start = now();
        let mut caller = Caller::to(self.management);
        for _ in 0..15_000 {
            let ready = get(self.management, "/readyz");
            if caller.call(ready).await.is_ok_and(|(status, _)| status.is_success()) {
                self.start_to_ready = between(start, now());
                return Ok(());
            }
            if self.process.has_ended() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(io::Error::other(format!("the connector did not become ready:\n{}", last_words(&self.log))))
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        last_words(&self.log)
    }
}

/// Fresh keys, as the binary prints them.
fn keys(binary: &Path) -> io::Result<Vec<(String, String)>> {
    let printed = Command::new(binary)
        .args(["keys", "generate"])
        .env_clear()
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", binary.display())))?;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    let keys: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(name, _)| name.starts_with("ALC_CONNECTOR__KEYS__"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if keys.len() < 2 {
        return Err(io::Error::other("`alc-connector keys generate` gave no keys"));
    }
    Ok(keys)
}
