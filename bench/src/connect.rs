//! How a workspace is connected: the whole consent over HTTP, as Attio and a customer's browser go through it.

use std::net::SocketAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use url::Url;

use crate::{
    caller::{Answer, Caller, post_json, request, whole},
    connector::{CLIENT_ID, CLIENT_SECRET, Connector, REDIRECT_URI},
    upstreams::{Upstreams, workspace_id},
};

/// Each process of the connector exchanges so many codes at once, and then one a second: a flood of strangers must not
/// become a flood at ALC. The bench starts the connector anew instead of waiting minutes for its workspaces.
const CODES_OF_A_PROCESS: usize = 30;

/// A connected workspace, with all that a caller has to know of it.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// `Bearer …`, the Attio app's.
    pub(crate) bearer: String,
    /// Where ALC calls back: the path of the URL.
    pub(crate) webhook_path: String,
}

/// Connects so many workspaces.
pub(crate) async fn connect(
    connector: &mut Connector,
    upstreams: &Upstreams,
    count: usize,
) -> Result<Vec<Workspace>, String> {
    let mut workspaces = Vec::with_capacity(count);
    for number in 0..count {
        if number > 0 && number % CODES_OF_A_PROCESS == 0 {
            restart(connector).await?;
        }
        workspaces.push(connect_one(connector.public, upstreams, number).await?);
    }
    // The last start is the one that is measured, with nothing left over from connecting.
    restart(connector).await?;
    Ok(workspaces)
}

async fn restart(connector: &mut Connector) -> Result<(), String> {
    connector.stop().await;
    connector.start_again().await.map_err(|error| error.to_string())
}

async fn connect_one(service: SocketAddr, upstreams: &Upstreams, number: usize) -> Result<Workspace, String> {
    upstreams.consent_as(number);
    let client = browser()?;
    let form = json!({ "grant_type": "authorization_code", "code": consent(&client, service).await?,
        "redirect_uri": REDIRECT_URI });
    let mut caller = Caller::to(service);
    let client = BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    let redeem = request("POST", service, "/oauth/token")
        .header(AUTHORIZATION, format!("Basic {client}"))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let tokens = granted(caller.call(whole(redeem, form_of(&form))).await?, "/oauth/token")?;
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap_or_default());
    let event = json!({ "connection": { "id": "c", "value": "not read", "connection_key": "alc",
        "createdBy": { "type": "user", "id": "u" },
        "ownedBy": { "type": "workspace", "id": workspace_id(number) } } });
    let added = post_json(service, "/v1/events/connection-added", &bearer, event.to_string());
    granted(caller.call(added).await?, "/v1/events/connection-added")?;
    let webhook = upstreams.take_webhook().ok_or("the connector registered no webhook at ALC")?;
    Ok(Workspace { bearer, webhook_path: webhook.path().to_owned() })
}

/// The customer's browser, from Attio's button to the code that it brings back to Attio.
async fn consent(browser: &reqwest::Client, service: SocketAddr) -> Result<String, String> {
    let mut page = Url::parse(&format!("http://{service}/oauth/authorize")).map_err(|error| error.to_string())?;
    page.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", CLIENT_ID)
        .append_pair("redirect_uri", REDIRECT_URI)
        .append_pair("state", "bench");
    let mut cookies: Vec<String> = Vec::new();
    // To us, to ALC, to us, to Attio, to us: then to the client.
    for _ in 0..8 {
        let mut visit = browser.get(page.clone());
        if page.port() == Some(service.port()) {
            visit = visit.header("cookie", cookies.join("; "));
        }
        let answer = visit.send().await.map_err(|error| error.to_string())?;
        let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
        let set = answer.headers().get_all("set-cookie").iter().filter_map(text);
        cookies.extend(set.filter_map(|cookie| cookie.split(';').next().map(str::to_owned)));
        let Some(location) = answer.headers().get("location").and_then(text) else {
            return Err(format!("{} instead of a redirect at {}", answer.status(), page.path()));
        };
        page = page.join(&location).map_err(|error| error.to_string())?;
        if location.starts_with(REDIRECT_URI) {
            let code = page.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
            return code.ok_or_else(|| "the consent ended without a code".to_owned());
        }
    }
    Err("the consent goes in circles".to_owned())
}

fn browser() -> Result<reqwest::Client, String> {
    // Fails when a provider is installed already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    client.build().map_err(|error| error.to_string())
}

fn form_of(members: &Value) -> String {
    let members = members.as_object().into_iter().flatten();
    let pairs = members.filter_map(|(name, value)| Some((name, value.as_str()?)));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn granted((status, body): Answer, what: &str) -> Result<Value, String> {
    if !status.is_success() {
        return Err(format!("{what}: {status}: {}", String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).map_err(|error| format!("{what}: {error}"))
}
