//! What the service itself needs: its listeners, its store, its keys, when it tries again, what it logs.

use std::{net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::hints::AN_URL;
use crate::{
    config::{check, keys, reader::Reader},
    telemetry,
};

/// Load balancers keep idle connections for ten minutes at most.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(3600);
/// It is part of the half minute that stopping takes at most: what is left is for requests and steps under way.
const LONGEST_DRAIN_DELAY: Duration = Duration::from_secs(15);

/// `HTTP__…`: the public listener.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where it listens.
    pub bind: SocketAddr,
    /// What ALC, Attio and browsers reach us by: scheme, host, port.
    pub public_url: Url,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// How long a process that is to stop is unready and goes on serving.
    pub drain_delay: Duration,
    /// Per workspace; 0: no limit.
    pub requests_per_second: u32,
}

impl Http {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let bind = r.parsed("http.bind", "set it to an address such as 0.0.0.0:8080", check::address);
        let public_url = r.parsed("http.public_url", AN_URL, check::origin);
        let requests_per_second =
            r.parsed("http.requests_per_second", "set it to a number such as 100, or 0 for no limit", check::count);
        let hint = "set it to longer than your load balancer keeps idle connections, such as 75s";
        let keep_alive = r.parsed("http.keep_alive", hint, check::duration_up_to(LONGEST_KEEP_ALIVE));
        let hint = "set it to a duration such as 5s, or 0s";
        let drain_delay = r.parsed("http.drain_delay", hint, check::delay_up_to(LONGEST_DRAIN_DELAY));
        Some(Self {
            bind: bind?,
            public_url: public_url?,
            keep_alive: keep_alive?,
            drain_delay: drain_delay?,
            requests_per_second: requests_per_second?,
        })
    }
}

/// `MANAGEMENT__…`: the listener for operators.
#[derive(Debug, Clone)]
pub struct Management {
    /// Where it listens.
    pub bind: SocketAddr,
    /// What operators prove themselves by; `None`: callers from this machine alone are operators.
    pub token: Option<SecretString>,
}

impl Management {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let bind = r.parsed("management.bind", "set it to an address such as 0.0.0.0:9090", check::address);
        let token = r.parsed_if_set("management.token", check::operators_token);
        Some(Self { bind: bind?, token })
    }
}

/// The operator that starts the process has to hear of a store that does not come.
const LONGEST_CONNECT_PATIENCE: Duration = Duration::from_secs(3600);

/// `STORE__…`.
#[derive(Debug, Clone)]
pub struct Store {
    /// Secret, because a password may be in it.
    pub url: SecretString,
    /// What every key begins with.
    pub namespace: String,
    /// How long a store that is away or loading at the start is waited for.
    pub connect_patience: Duration,
}

impl Store {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let url = r.parsed("store.url", "set it to redis://… (or sqlite:<file> on a single node)", check::store_url);
        let namespace = Self::read_namespace(r);
        let hint = "set it to a duration such as 60s, or 0s for one try";
        let connect_patience = r.parsed("store.connect_patience", hint, check::delay_up_to(LONGEST_CONNECT_PATIENCE));
        Some(Self { url: url?, namespace: namespace?, connect_patience: connect_patience? })
    }

    pub(in crate::config) fn read_namespace(r: &mut Reader) -> Option<String> {
        r.parsed("store.namespace", "set it to a short name such as alc", check::namespace)
    }
}

/// `KEYS__…`.
#[derive(Debug, Clone)]
pub struct Keys {
    /// 32 bytes, base64.
    pub sealing: SecretString,
    /// Opens only.
    pub sealing_previous: Option<SecretString>,
    /// Ed25519 as PKCS#8 DER, base64.
    pub signing: SecretString,
    /// Verifies only.
    pub signing_previous: Option<SecretString>,
}

impl Keys {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let hint = "`alc-connector keys generate` prints one";
        let sealing = r.parsed("keys.sealing", hint, keys::check_sealing);
        let sealing_previous = r.parsed_if_set("keys.sealing_previous", keys::check_sealing);
        let signing = r.parsed("keys.signing", hint, keys::check_signing);
        let signing_previous = r.parsed_if_set("keys.signing_previous", keys::check_signing);
        for (key, current, previous) in [
            ("keys.sealing_previous", &sealing, &sealing_previous),
            ("keys.signing_previous", &signing, &signing_previous),
        ] {
            if let (Some(current), Some(previous)) = (current, previous)
                && current.expose_secret() == previous.expose_secret()
            {
                r.fault(key, "is the current key: set it to the one before, or unset it");
            }
        }
        Some(Self { sealing: sealing?, sealing_previous, signing: signing?, signing_previous })
    }
}

/// `RETRY__…`.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Never empty; the last step repeats.
    pub schedule: Vec<Duration>,
}

impl Retry {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let key = "retry.schedule";
        let mut schedule = Vec::new();
        for step in r.list(key) {
            match check::positive_duration(&step) {
                Ok(step) => schedule.push(step),
                Err(fault) => r.fault(key, format!("has a step that {fault}")),
            }
        }
        if schedule.is_empty() {
            r.fault(key, "has no step: set it to durations such as 1s,5s,30s");
            return None;
        }
        Some(Self { schedule })
    }
}

/// `TELEMETRY__…`.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// For people or for machines.
    pub format: telemetry::Format,
    /// As `RUST_LOG` has it.
    pub filter: String,
}

impl Telemetry {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let format = r.parsed("telemetry.format", "set it to pretty or json", |text| match text {
            "pretty" => Ok(telemetry::Format::Pretty),
            "json" => Ok(telemetry::Format::Json),
            _ => Err("must be pretty or json".to_owned()),
        });
        let filter = r.parsed("telemetry.filter", "set it to a filter such as info", |text| {
            if telemetry::is_filter(text) {
                Ok(text.to_owned())
            } else {
                Err("must be a filter such as info or info,alc_connector=debug".to_owned())
            }
        });
        Some(Self { format: format?, filter: filter? })
    }
}
