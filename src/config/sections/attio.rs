//! What reaches Attio, what proves us to it, and what we write there; and the Attio app, which is a client of ours.

use std::{collections::BTreeSet, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{
    hints::{AN_URL, DURATION, LONGEST_TIMEOUT},
    pipeline,
};
use crate::{
    attio::{Attributes, Pipeline, Titles},
    config::{check, reader::Reader},
};

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

/// Of our client's secret in production: a stranger that guesses it redeems the codes of any consent. 32 characters of
/// base64 are 192 bits.
const SHORTEST_SECRET: usize = 32;

impl AttioApp {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let client_id = r.credential("attio_app.client_id", "choose one and give it to the Attio app's connection");
        let key = "attio_app.client_secret";
        let client_secret =
            r.credential(key, "`alc-connector keys generate` prints one; give it to the Attio app's connection");
        let is_short = |secret: &String| secret.chars().count() < SHORTEST_SECRET;
        if r.is_production && client_secret.as_ref().is_some_and(is_short) {
            r.fault(
                key,
                format!(
                    "has fewer than {SHORTEST_SECRET} characters, and it alone keeps strangers out of the workspace: \
                     `alc-connector keys generate` prints a long random one (so does `openssl rand -base64 33`); give \
                     it to the Attio app's connection too"
                ),
            );
        }
        r.judge(key, check::are_two(client_id.as_deref(), client_secret.as_deref()));
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

/// `ATTIO__…`.
#[derive(Debug, Clone)]
pub struct Attio {
    /// Attio's API.
    pub base_url: Url,
    /// One attempt, connect included.
    pub timeout: Duration,
    /// What proves us.
    pub credential: AttioCredential,
    /// `ATTIO__ATTRIBUTES__…`.
    pub attributes: Attributes,
    /// `ATTIO__TITLES__…`.
    pub titles: Titles,
    /// `ATTIO__NOTE`: each result is told in a note.
    pub note: bool,
    /// `ATTIO__PIPELINE__…`; `None`: off.
    pub pipeline: Option<Pipeline>,
    /// The list whose entries send, by its slug or id; `None`: off.
    pub send_on_list: Option<String>,
    /// Per workspace, over all replicas.
    pub writes_per_second: u32,
    /// Hosts, with their subdomains, that workflow callback URLs may name.
    pub callback_hosts: Vec<String>,
}

impl Attio {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let base_url = r.parsed("attio.base_url", AN_URL, check::attio_base);
        let timeout = r.parsed("attio.timeout", DURATION, check::duration_up_to(LONGEST_TIMEOUT));
        let credential = AttioCredential::read(r);
        let attributes = attributes(r);
        let titles = titles(r);
        let (note, pipeline) = (pipeline::note(r), pipeline::pipeline(r));
        let send_on_list = r.parsed_if_set("attio.send_on_list", check::slug_or_id);
        if let (Some(pipeline), Some(sends)) = (&pipeline, &send_on_list)
            && pipeline.list.eq_ignore_ascii_case(sends)
        {
            // A slug beside an id of the same list is found out when the workspace connects.
            let again = "names the list of ATTIO__PIPELINE__LIST, where each result would send again: name two lists";
            r.fault("attio.send_on_list", again);
        }
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
            note: note?,
            pipeline,
            send_on_list,
            writes_per_second: writes_per_second?,
            callback_hosts,
        })
    }
}

impl AttioCredential {
    fn read(r: &mut Reader) -> Option<Self> {
        let api_key = r.optional("attio.api_key");
        // They have defaults: they say nothing about which of the two is meant.
        let authorize_url = r.parsed("attio.oauth.authorize_url", AN_URL, check::authorize);
        let [token_url, revoke_url] =
            ["attio.oauth.token_url", "attio.oauth.revoke_url"].map(|key| r.parsed(key, AN_URL, check::endpoint));
        let urls = [authorize_url, token_url, revoke_url];
        let oauth = ["attio.oauth.client_id", "attio.oauth.client_secret"].map(|key| r.optional(key).is_some());
        match (api_key, oauth.contains(&true)) {
            (Some(key), false) => {
                r.judge("attio.api_key", check::bearer_token(&key)).map(|key| Self::ApiKey(key.into()))
            }
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
        let client_id = r.credential("attio.oauth.client_id", "set it to the client id that Attio gave you");
        let client_secret =
            r.credential("attio.oauth.client_secret", "set it to the client secret that Attio gave you");
        r.judge("attio.oauth.client_secret", check::are_two(client_id.as_deref(), client_secret.as_deref()));
        Some(Self {
            client_id: client_id?,
            client_secret: client_secret?.into(),
            authorize_url: authorize_url?,
            token_url: token_url?,
            revoke_url: revoke_url?,
        })
    }
}

fn attributes(r: &mut Reader) -> Option<Attributes> {
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
    Some(Attributes { status: status?, lead_id, result })
}

fn titles(r: &mut Reader) -> Option<Titles> {
    let mut seen = BTreeSet::new();
    let mut title = |key: &'static str| {
        let title = r.parsed(key, "give the option a title", check::title)?;
        // Attio's own search for an option pays no heed to capitals.
        if !seen.insert(title.to_lowercase()) {
            r.fault(key, "is the title of another ATTIO__TITLES__… setting: use one title for each");
        }
        Some(title)
    };
    let pending = title("attio.titles.pending");
    let complete = title("attio.titles.complete");
    let failed = title("attio.titles.failed");
    Some(Titles { pending: pending?, complete: complete?, failed: failed? })
}
