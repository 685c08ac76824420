//! `doctor`: whether a deployment can work, line by line, each with advice.
//!
//! Promises that it changes nothing, that it names every fault that it finds and not only the first, and that no secret
//! is printed.

use std::time::Duration;

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit};
use reqwest::Response;
use secrecy::ExposeSecret as _;

use super::{client::Client, table::table};
use crate::{
    clock::{Clock as _, SystemClock},
    config::{AttioCredential, Config, Environment},
    lifecycle::Lifecycle,
    store, telemetry,
};

/// Signatures of callbacks are good for five minutes: beyond half of it a clock is a fault.
const CLOCK_FAILS: i64 = 150;
const CLOCK_WARNS: i64 = 10;
/// Open files that a process should be allowed; see docs/operations.md, Limits.
const FILES: u64 = 4_096;

/// What was found.
#[derive(Default)]
struct Findings {
    rows: Vec<Vec<String>>,
    failed: bool,
}

impl Findings {
    fn ok(&mut self, what: &str, found: impl Into<String>) {
        self.rows.push(vec!["ok".to_owned(), what.to_owned(), found.into()]);
    }

    fn warn(&mut self, what: &str, advice: impl Into<String>) {
        self.rows.push(vec!["warn".to_owned(), what.to_owned(), advice.into()]);
    }

    fn fail(&mut self, what: &str, advice: impl Into<String>) {
        self.failed = true;
        self.rows.push(vec!["FAIL".to_owned(), what.to_owned(), advice.into()]);
    }
}

/// Looks at everything; the report, and whether nothing failed.
pub(super) async fn examine(environment: &Environment) -> (String, bool) {
    let mut found = Findings::default();
    match Config::load(environment) {
        Ok(config) => {
            found.ok("configuration", "valid");
            for warning in config.warnings(environment) {
                found.warn("configuration", warning);
            }
            let is_served = service(environment, &mut found).await;
            if !is_served {
                the_store(&config, &mut found).await;
            }
            keys(&config, &mut found);
            upstreams(&config, &mut found).await;
        }
        Err(faults) => {
            for fault in faults.to_string().lines() {
                found.fail("configuration", fault);
            }
            service(environment, &mut found).await;
        }
    }
    files(&mut found);
    (table(&["", "what", "found"], &found.rows), !found.failed)
}

/// The running service, and the store as it sees it; `false`: there is none.
async fn service(environment: &Environment, found: &mut Findings) -> bool {
    let client = match Client::of(environment) {
        Ok(client) => client,
        Err(fault) => {
            found.fail("service", fault);
            return false;
        }
    };
    match client.probe("/readyz").await {
        Ok((200, body)) if body["degraded"].is_array() => {
            found.ok("service", "ready");
            let lost = super::table::cell(body.get("degraded"));
            found.warn("store", format!("serves in part: {lost}. See docs/operations.md, AlcConnectorStoreDegraded"));
        }
        Ok((200, _)) => {
            found.ok("service", "ready");
            found.ok("store", "serves");
        }
        Ok((_, body)) if body["type"] == "/problems/store-unavailable" => {
            found.fail("store", "the service cannot write to it: is it up, does STORE__URL name it, is it full?");
        }
        Ok((status, _)) => found.fail("service", format!("not ready ({status}): it may be stopping; see its log")),
        Err(advice) => {
            found.fail("service", advice);
            return false;
        }
    }
    if let Ok((200, body)) = client.probe("/version").await
        && body["version"] != telemetry::VERSION.version
    {
        found.warn("version", "the service is of another version than this command: run the command of its image");
    }
    true
}

/// The store by itself, where no service has it.
async fn the_store(config: &Config, found: &mut Findings) {
    if config.store.url.expose_secret().starts_with("sqlite:") {
        return found.warn("store", "SQLite is looked at by the service alone: start it");
    }
    match store::open(&config.store.url, &config.store.namespace, &Lifecycle::new()).await {
        Ok(store) => match store.ping().await {
            Ok(()) => found.ok("store", "takes writes"),
            Err(error) => found.fail("store", format!("takes no writes: {error}")),
        },
        Err(error) => found.fail("store", error.to_string()),
    }
}

/// That they are well-formed the configuration has said.
fn keys(config: &Config, found: &mut Findings) {
    found.ok("keys", "one to seal and one to sign");
    if config.keys.sealing_previous.is_some() || config.keys.signing_previous.is_some() {
        let advice = "a previous key is set: unset SEALING_PREVIOUS once alc_connector_sealed_by_previous is 0 on every replica \
                      and 24 hours have passed, SIGNING_PREVIOUS after an hour (docs/operations.md, Keys)";
        found.warn("keys", advice);
    }
}

async fn upstreams(config: &Config, found: &mut Findings) {
    let patience = config.alc.timeout.max(config.attio.timeout);
    let client = reqwest::Client::builder().timeout(patience).redirect(reqwest::redirect::Policy::none()).build();
    let Ok(client) = client else {
        return found.fail("TLS", "no HTTP client can be made: are CA certificates installed?");
    };
    let alc = client.get(config.alc.base_url.clone()).send().await;
    answers("ALC", "ALC__BASE_URL", &alc, found);
    let mut request = client.get(format!("{}/v2/self", config.attio.base_url.as_str().trim_end_matches('/')));
    if let AttioCredential::ApiKey(key) = &config.attio.credential {
        request = request.bearer_auth(key.expose_secret());
    }
    let attio = request.send().await;
    match (&attio, &config.attio.credential) {
        (Ok(answer), AttioCredential::ApiKey(_)) if answer.status().as_u16() == 401 => {
            found.fail("Attio", "refuses ATTIO__API_KEY: make another one in Attio's workspace settings");
        }
        _ => answers("Attio", "ATTIO__BASE_URL", &attio, found),
    }
    clock(&[&attio, &alc], found);
    public(config, &client, found).await;
}

type Answered = Result<Response, reqwest::Error>;

fn answers(what: &str, variable: &str, answer: &Answered, found: &mut Findings) {
    match answer {
        Ok(answer) if answer.status().is_server_error() => {
            found.warn(what, format!("answers {}: it has trouble of its own; leads wait", answer.status().as_u16()));
        }
        Ok(_) => found.ok(what, "answers"),
        Err(error) => found.fail(what, format!("{}: is {variable} right, and may this machine call it?", why(error))),
    }
}

/// Without the URL, which the operator has set and may hold what nobody should read.
fn why(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { super::table::clean(&cause.to_string()) }
}

/// By the first upstream that says what time it is.
fn clock(answers: &[&Answered], found: &mut Findings) {
    let date = answers.iter().find_map(|answer| answer.as_ref().ok()?.headers().get("date")?.to_str().ok());
    let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        return found.warn("clock", "no upstream says what time it is: keep NTP running");
    };
    let Ok(date) = Timestamp::try_from(date) else { return };
    let off = SystemClock.now().duration_since(date).as_secs();
    match off.abs() {
        CLOCK_FAILS.. => found.fail("clock", format!("{off} s off: callbacks' signatures will be refused; run NTP")),
        CLOCK_WARNS.. => found.warn("clock", format!("{off} s off: run NTP")),
        _ => found.ok("clock", "right within seconds"),
    }
}

/// Whether what ALC, Attio and browsers are told leads here.
async fn public(config: &Config, client: &reqwest::Client, found: &mut Findings) {
    let base = config.http.public_url.as_str().trim_end_matches('/');
    let request = client.get(format!("{base}/.well-known/oauth-authorization-server"));
    match request.timeout(Duration::from_secs(10)).send().await {
        Ok(answer) if matches!(answer.status().as_u16(), 502..=504) => {
            let advice = "a proxy answers for HTTP__PUBLIC_URL that reaches no replica: is one ready, and is it the proxy's upstream?";
            found.fail("public URL", format!("{}: {advice}", answer.status()));
        }
        Ok(answer) => {
            let body: serde_json::Value = answer.json().await.unwrap_or_default();
            if body["issuer"].as_str().map(|issuer| issuer.trim_end_matches('/')) == Some(base) {
                found.ok("public URL", "leads to this service");
            } else {
                let advice = "something else answers at HTTP__PUBLIC_URL: look at DNS and at the proxy's upstream";
                found.fail("public URL", advice);
            }
            match config.http.public_url.scheme() {
                "https" => found.ok("TLS", "the public URL's certificate is trusted"),
                _ => found.warn("TLS", "the public URL is http on loopback: nobody outside reaches it"),
            }
        }
        Err(error) => {
            // In a container it may be reachable from everywhere but here.
            let advice = "HTTP__PUBLIC_URL cannot be reached from here: is the service up, is DNS right, does the proxy \
                          have a certificate of a public CA? Try it from outside if this network leads nothing back to it";
            found.warn("public URL", format!("{}. {advice}", why(&error)));
        }
    }
}

fn files(found: &mut Findings) {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, most)) if most < FILES => {
            found.warn("open files", format!("at most {most}: raise the limit to 65536 (--ulimit nofile=65536)"));
        }
        Ok((_, most)) => found.ok("open files", format!("at most {most}, of this command's shell")),
        Err(error) => found.warn("open files", error.to_string()),
    }
}
