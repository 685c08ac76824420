//! The configuration of a service under test, as environment variables: what both the library and the binary read.

use std::{collections::BTreeMap, process::Command, sync::LazyLock};

use sandbox::{Alc, Attio};

/// Our OAuth client's credentials: those of the Attio app's connection.
pub const CLIENT_ID: &str = "attio-app";
/// Its secret.
pub const CLIENT_SECRET: &str = "attio-app-secret";
/// Its redirect URI.
pub const REDIRECT_URI: &str = "https://app.attio.example/connections/callback";

/// Variables without their prefix `ALC_CONNECTOR__`.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, String>);

/// The keys of every service under test.
static KEYS: LazyLock<BTreeMap<String, String>> = LazyLock::new(generated_keys);

/// `KEYS__SEALING` and `KEYS__SIGNING`, as the binary prints them.
fn generated_keys() -> BTreeMap<String, String> {
    let printed =
        Command::new(env!("CARGO_BIN_EXE_alc-connector")).args(["keys", "generate"]).output().expect("the binary runs");
    let text = String::from_utf8(printed.stdout).expect("text");
    let keys: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ALC_CONNECTOR__")?.split_once('='))
        .filter(|(name, _)| name.starts_with("KEYS__"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(keys.len(), 2, "`keys generate` prints two keys: {text}");
    keys
}

impl Settings {
    /// A service in development between these two, with free ports, on no store yet.
    pub fn between(alc: &Alc, attio: &Attio, public_url: &str) -> Self {
        let mut settings = Self(KEYS.clone());
        settings
            .set("HTTP__BIND", "127.0.0.1:0")
            .set("MANAGEMENT__BIND", "127.0.0.1:0")
            .set("HTTP__PUBLIC_URL", public_url)
            .set("ATTIO_APP__CLIENT_ID", CLIENT_ID)
            .set("ATTIO_APP__CLIENT_SECRET", CLIENT_SECRET)
            .set("ATTIO_APP__REDIRECT_URIS", REDIRECT_URI)
            .set("ALC__BASE_URL", &alc.url())
            .set("ALC__AUTHORIZE_URL", &alc.authorize_url())
            .set("ALC__TOKEN_URL", &alc.token_url())
            .set("ALC__REVOKE_URL", &alc.revoke_url())
            .set("ALC__CLIENT_ID", &alc.client_id())
            .set("ALC__CLIENT_SECRET", &alc.client_secret())
            .set("ATTIO__BASE_URL", &attio.url())
            .set("ATTIO__API_KEY", &attio.api_key())
            .set("ATTIO__CALLBACK_HOSTS", "attio.com,127.0.0.1")
            .set("TELEMETRY__FILTER", "warn");
        settings
    }

    /// Attio OAuth in place of the API key.
    pub fn take_attio_grants(&mut self, attio: &Attio) -> &mut Self {
        self.set("ATTIO__API_KEY", "")
            .set("ATTIO__OAUTH__CLIENT_ID", &attio.client_id())
            .set("ATTIO__OAUTH__CLIENT_SECRET", &attio.client_secret())
            .set("ATTIO__OAUTH__AUTHORIZE_URL", &attio.authorize_url())
            .set("ATTIO__OAUTH__TOKEN_URL", &attio.token_url())
            .set("ATTIO__OAUTH__REVOKE_URL", &attio.revoke_url())
    }

    /// Sets one; the last word counts.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What one is set to.
    ///
    /// # Panics
    /// If it is not set.
    pub fn get(&self, name: &str) -> String {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is not set")).clone()
    }

    /// Whether it is set, and to this.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|set| set == value)
    }

    /// What nobody may read in a log.
    pub fn secrets(&self) -> impl Iterator<Item = String> {
        let secret = |name: &str| name.starts_with("KEYS__") || name.ends_with("_SECRET") || name.ends_with("API_KEY");
        self.0.iter().filter(move |(name, _)| secret(name)).map(|(_, value)| value.clone())
    }

    /// Fresh keys; those until now become the previous ones.
    pub fn rotate_keys(&mut self) {
        for (name, fresh) in generated_keys() {
            let previous = self.0.insert(name.clone(), fresh).expect("there were keys");
            self.0.insert(format!("{name}_PREVIOUS"), previous);
        }
    }

    /// The whole variables, for a process or a loader.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(name, value)| (format!("ALC_CONNECTOR__{name}"), value.clone()))
    }
}
