//! The sections: what each setting means, and what it may be.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{check, keys, reader::Reader};
use crate::{alc::oauth::ClientAuthentication, connections::WebhookSignature, telemetry};

/// One attempt at an upstream must fit into a lease and into what a caller waits.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(12);
/// Attio gives the button 30 s.
const LONGEST_SEND_WAIT: Duration = Duration::from_secs(28);

const DURATION: &str = "set it to a duration such as 10s";
const AN_URL: &str = "set it to an https URL";

/// `HTTP__…`: the public listener.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where it listens.
    pub bind: SocketAddr,
    /// What ALC, Attio and browsers reach us by: scheme, host, port.
    pub public_url: Url,
    /// Per workspace; 0: no limit.
    pub requests_per_second: u32,
}

impl Http {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
        let bind = r.parsed("http.bind", "set it to an address such as 0.0.0.0:8080", check::address);
        let public_url = r.parsed("http.public_url", AN_URL, check::origin);
        let requests_per_second =
            r.parsed("http.requests_per_second", "set it to a number such as 100, or 0 for no limit", check::count);
        Some(Self { bind: bind?, public_url: public_url?, requests_per_second: requests_per_second? })
    }
}

/// `MANAGEMENT__…`: the listener for operators.
#[derive(Debug, Clone)]
pub struct Management {
    /// Where it listens.
    pub bind: SocketAddr,
}

impl Management {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
        let bind = r.parsed("management.bind", "set it to an address such as 0.0.0.0:9090", check::address);
        Some(Self { bind: bind? })
    }
}

/// `STORE__…`.
#[derive(Debug, Clone)]
pub struct Store {
    /// Secret, because a password may be in it.
    pub url: SecretString,
    /// What every key begins with.
    pub namespace: String,
}

impl Store {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
        let url = r.parsed("store.url", "set it to redis://… (or sqlite:<file> on a single node)", check::store_url);
        let namespace = r.parsed("store.namespace", "set it to a short name such as alc", check::namespace);
        Some(Self { url: url?, namespace: namespace? })
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
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
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

/// `ATTIO_APP__…`: our OAuth client.
#[derive(Debug, Clone)]
pub struct AttioApp {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Compared as text.
    pub redirect_uris: Vec<String>,
}

impl AttioApp {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
        let client_id = r.required("attio_app.client_id", "choose one and give it to the Attio app's connection");
        let client_secret =
            r.required("attio_app.client_secret", "choose a long random one and give it to the Attio app's connection");
        let key = "attio_app.redirect_uris";
        let redirect_uris = r.list(key);
        if redirect_uris.is_empty() {
            r.fault(key, "is not set: list the redirect URIs that Attio shows for the app's connection");
        }
        for uri in &redirect_uris {
            if let Err(fault) = check::redirect_uri(uri) {
                r.fault(key, fault);
            }
        }
        Some(Self { client_id: client_id?, client_secret: client_secret?.into(), redirect_uris })
    }
}

/// `ALC__…`.
#[derive(Debug, Clone)]
pub struct Alc {
    /// ALC's API.
    pub base_url: Url,
    /// Where a browser consents.
    pub authorize_url: Url,
    /// Where codes and refresh tokens are exchanged.
    pub token_url: Url,
    /// RFC 7009; `None`: ALC cannot revoke.
    pub revoke_url: Option<Url>,
    /// Our id there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: SecretString,
    /// What is asked for; may be none.
    pub scopes: Vec<String>,
    /// How we authenticate.
    pub client_authentication: ClientAuthentication,
    /// Which callbacks must be signed.
    pub webhook_signature: WebhookSignature,
    /// Whether an unknown outcome is sent again where ALC can neither look up nor deduplicate.
    pub resend_unknown: bool,
    /// First look-up of a lead nobody called back about; `None`: never.
    pub poll_after: Option<Duration>,
    /// One attempt, connect included.
    pub timeout: Duration,
}

impl Alc {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
        let base_url = r.parsed("alc.base_url", AN_URL, check::base);
        let authorize_url =
            r.parsed("alc.authorize_url", "set it to ALC's OAuth authorization endpoint", check::endpoint);
        let token_url = r.parsed("alc.token_url", "set it to ALC's OAuth token endpoint", check::endpoint);
        let revoke_url = r.parsed_if_set("alc.revoke_url", check::endpoint);
        let client_id = r.required("alc.client_id", "set it to the client id that ALC gave you");
        let client_secret = r.required("alc.client_secret", "set it to the client secret that ALC gave you");
        let scopes = r.optional("alc.scopes").unwrap_or_default();
        let client_authentication =
            r.parsed("alc.client_authentication", "set it to basic or post", |text| match text {
                "basic" => Ok(ClientAuthentication::Basic),
                "post" => Ok(ClientAuthentication::Post),
                _ => Err("must be basic or post".to_owned()),
            });
        let webhook_signature = r.parsed("alc.webhook_signature", "set it to when-secret-known", |text| match text {
            "when-secret-known" => Ok(WebhookSignature::WhenSecretKnown),
            "required" => Ok(WebhookSignature::Required),
            "off" => Ok(WebhookSignature::Off),
            _ => Err("must be when-secret-known, required or off".to_owned()),
        });
        let resend_unknown = r.parsed("alc.resend_unknown", "set it to true or false", check::boolean);
        let poll_after = r.parsed("alc.poll_after", "set it to a duration such as 6h, or to 0s", check::duration);
        let timeout = r.parsed("alc.timeout", DURATION, check::duration_up_to(LONGEST_TIMEOUT));
        Some(Self {
            base_url: base_url?,
            authorize_url: authorize_url?,
            token_url: token_url?,
            revoke_url,
            client_id: client_id?,
            client_secret: client_secret?.into(),
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
            client_authentication: client_authentication?,
            webhook_signature: webhook_signature?,
            resend_unknown: resend_unknown?,
            poll_after: poll_after.map(|after| Some(after).filter(|after| !after.is_zero()))?,
            timeout: timeout?,
        })
    }
}

/// `LEADS__…`.
#[derive(Debug, Clone)]
pub struct Leads {
    /// How long the button waits before 202 instead of 201.
    pub send_wait: Duration,
    /// A lead still not at ALC by then fails as `not-sent`.
    pub send_deadline: Duration,
    /// A pending lead older than this fails as `timed-out`.
    pub deadline: Duration,
    /// A finished lead is forgotten after this.
    pub retention: Duration,
    /// For numbers without `+`; `None`: such numbers are refused.
    pub default_region: Option<String>,
}

impl Leads {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
        let send_wait = r.parsed("leads.send_wait", DURATION, check::duration_up_to(LONGEST_SEND_WAIT));
        let send_deadline = r.parsed("leads.send_deadline", DURATION, check::positive_duration);
        let deadline = r.parsed("leads.deadline", DURATION, check::positive_duration);
        let retention = r.parsed("leads.retention", DURATION, check::positive_duration);
        let default_region = r.parsed_if_set("leads.default_region", check::region);
        Some(Self {
            send_wait: send_wait?,
            send_deadline: send_deadline?,
            deadline: deadline?,
            retention: retention?,
            default_region,
        })
    }
}

/// What proves us to Attio.
#[derive(Debug, Clone)]
pub enum AttioCredential {
    /// A workspace access token: for one workspace.
    ApiKey(SecretString),
    /// Each connection brings its own grant.
    OAuth(Box<AttioOAuth>),
}

/// `ATTIO__OAUTH__…`.
#[derive(Debug, Clone)]
pub struct AttioOAuth {
    /// Our id at Attio.
    pub client_id: String,
    /// Our secret at Attio.
    pub client_secret: SecretString,
    /// Where a browser consents.
    pub authorize_url: Url,
    /// Where codes are exchanged.
    pub token_url: Url,
    /// Where grants are given back.
    pub revoke_url: Url,
}

/// `ATTIO__ATTRIBUTES__…`: slugs on People.
#[derive(Debug, Clone)]
pub struct AttioAttributes {
    /// Shows where the lead stands.
    pub status: String,
    /// Shows ALC's id; `None`: is not written.
    pub lead_id: Option<String>,
    /// Shows ALC's result; `None`: is not written.
    pub result: Option<String>,
}

/// `ATTIO__TITLES__…`: the options of the status attribute.
#[derive(Debug, Clone)]
pub struct AttioTitles {
    /// ALC has the lead.
    pub pending: String,
    /// ALC called back.
    pub complete: String,
    /// It came to nothing.
    pub failed: String,
}

/// `ATTIO__…`.
#[derive(Debug, Clone)]
pub struct Attio {
    /// Attio's API.
    pub base_url: Url,
    /// One attempt, connect included.
    pub timeout: Duration,
    /// What proves us.
    pub credential: AttioCredential,
    /// Slugs on People.
    pub attributes: AttioAttributes,
    /// The options of the status attribute.
    pub titles: AttioTitles,
    /// Per workspace, over all replicas.
    pub writes_per_second: u32,
    /// Hosts, with their subdomains, that workflow callback URLs may name.
    pub callback_hosts: Vec<String>,
}

impl Attio {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
        let base_url = r.parsed("attio.base_url", AN_URL, check::base);
        let timeout = r.parsed("attio.timeout", DURATION, check::duration_up_to(LONGEST_TIMEOUT));
        let credential = AttioCredential::read(r);
        let attributes = AttioAttributes::read(r);
        let titles = AttioTitles::read(r);
        let writes_per_second = r.parsed("attio.writes_per_second", "set it to 25", check::positive);
        let mut callback_hosts = Vec::new();
        for host in r.list("attio.callback_hosts") {
            match check::callback_host(&host) {
                Ok(host) => callback_hosts.push(host),
                Err(fault) => r.fault("attio.callback_hosts", fault),
            }
        }
        Some(Self {
            base_url: base_url?,
            timeout: timeout?,
            credential: credential?,
            attributes: attributes?,
            titles: titles?,
            writes_per_second: writes_per_second?,
            callback_hosts,
        })
    }
}

impl AttioCredential {
    fn read(r: &mut Reader) -> Option<Self> {
        let api_key = r.optional("attio.api_key");
        // They have defaults: they say nothing about which of the two is meant.
        let urls = ["attio.oauth.authorize_url", "attio.oauth.token_url", "attio.oauth.revoke_url"]
            .map(|key| r.parsed(key, AN_URL, check::endpoint));
        let oauth = ["attio.oauth.client_id", "attio.oauth.client_secret"].map(|key| r.optional(key).is_some());
        match (api_key, oauth.contains(&true)) {
            (Some(key), false) => Some(Self::ApiKey(key.into())),
            (None, true) => AttioOAuth::read(r, urls).map(|oauth| Self::OAuth(Box::new(oauth))),
            (Some(_), true) => {
                r.fault("attio.api_key", "and ALC_CONNECTOR__ATTIO__OAUTH__… are both set: unset one of them");
                None
            }
            (None, false) => {
                r.fault("attio.api_key", "is not set: set it to a workspace access token of your Attio workspace, or set ALC_CONNECTOR__ATTIO__OAUTH__CLIENT_ID and __CLIENT_SECRET");
                None
            }
        }
    }
}

impl AttioOAuth {
    fn read(r: &mut Reader, [authorize_url, token_url, revoke_url]: [Option<Url>; 3]) -> Option<Self> {
        let client_id = r.required("attio.oauth.client_id", "set it to the client id that Attio gave you");
        let client_secret = r.required("attio.oauth.client_secret", "set it to the client secret that Attio gave you");
        Some(Self {
            client_id: client_id?,
            client_secret: client_secret?.into(),
            authorize_url: authorize_url?,
            token_url: token_url?,
            revoke_url: revoke_url?,
        })
    }
}

impl AttioAttributes {
    fn read(r: &mut Reader) -> Option<Self> {
        let status = r.parsed("attio.attributes.status", "set it to the slug of an attribute on People", check::slug);
        let lead_id = r.parsed_if_set("attio.attributes.lead_id", check::slug);
        let result = r.parsed_if_set("attio.attributes.result", check::slug);
        let mut seen = BTreeSet::new();
        for (key, slug) in [
            ("attio.attributes.status", &status),
            ("attio.attributes.lead_id", &lead_id),
            ("attio.attributes.result", &result),
        ] {
            if slug.as_ref().is_some_and(|slug| !seen.insert(slug.clone())) {
                r.fault(key, "names the attribute of another ATTIO__ATTRIBUTES__… setting: use one attribute for each");
            }
        }
        Some(Self { status: status?, lead_id, result })
    }
}

impl AttioTitles {
    fn read(r: &mut Reader) -> Option<Self> {
        let mut seen = BTreeSet::new();
        let mut title = |key: &'static str| {
            let title = r.parsed(key, "give the option a title", |text| Ok(text.to_owned()))?;
            if !seen.insert(title.clone()) {
                r.fault(key, "is the title of another ATTIO__TITLES__… setting: use one title for each");
            }
            Some(title)
        };
        let pending = title("attio.titles.pending");
        let complete = title("attio.titles.complete");
        let failed = title("attio.titles.failed");
        Some(Self { pending: pending?, complete: complete?, failed: failed? })
    }
}

/// `RETRY__…`.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Never empty; the last step repeats.
    pub schedule: Vec<Duration>,
}

impl Retry {
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
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
    pub(super) fn read(r: &mut Reader) -> Option<Self> {
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
