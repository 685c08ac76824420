//! Attio's platform and the Attio app, as the connector sees them.
//!
//! Owns the connection that Attio keeps for the app. Promises that the token stays here: the page's browser never has
//! it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use super::log::Log;
use crate::{
    Alc, Attio, Callback,
    alc::Answer,
    ambient::{http_client, random},
    wire::decode_form,
};

/// The pretend workflow step that waits for every lead that is sent.
pub(super) const WAITING_STEP: &str = "waiting-step";

/// The Attio side of the demo.
pub(super) struct App {
    pub(super) alc: Alc,
    pub(super) attio: Attio,
    pub(super) log: Log,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    connector_url: String,
    client_id: String,
    client_secret: String,
    redirect_uri: String,
    /// The `state` of the authorization under way.
    expected: Option<String>,
    connection: Option<Connection>,
    person: Person,
    /// The last thing that went wrong, for the page.
    notice: Option<String>,
}

#[derive(Debug, Clone)]
struct Connection {
    id: String,
    access_token: String,
    refresh_token: String,
}

/// The person whose record is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Person {
    pub(super) record_id: String,
    pub(super) name: String,
    pub(super) phone: String,
}

/// What the connector answered; status 0 when it did not.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    location: Option<String>,
    cookies: Vec<(String, String)>,
}

impl Reply {
    /// In words, for a step that did not happen.
    pub(super) fn told(&self) -> String {
        match (self.status, self.body["detail"].as_str().or(self.body["title"].as_str())) {
            (0, _) => format!("no answer ({})", self.body["error"].as_str().unwrap_or_default()),
            (status, Some(detail)) => format!("{status}: {detail}"),
            (status, None) => status.to_string(),
        }
    }
}

/// A request to the connector.
#[derive(Debug, Default)]
struct Call<'a> {
    from: &'static str,
    method: &'a str,
    target: &'a str,
    bearer: Option<&'a str>,
    basic: Option<(&'a str, &'a str)>,
    cookie: Option<String>,
    key: Option<&'a str>,
    json: Option<Value>,
    form: Option<Vec<(&'a str, &'a str)>>,
}

impl App {
    pub(super) fn new(alc: Alc, attio: Attio) -> Self {
        let client = http_client(Duration::from_secs(35));
        let app = Self { alc, attio, log: Log::default(), client, state: Mutex::default() };
        app.new_person("Ada Lovelace", "+4915112345678");
        app
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns where the connector is, and the client's credentials there.
    pub(super) fn meet(&self, connector_url: &str, client_id: &str, client_secret: &str, redirect_uri: &str) {
        let mut state = self.state();
        connector_url.clone_into(&mut state.connector_url);
        client_id.clone_into(&mut state.client_id);
        client_secret.clone_into(&mut state.client_secret);
        redirect_uri.clone_into(&mut state.redirect_uri);
    }

    pub(super) fn new_person(&self, name: &str, phone: &str) {
        let record_id = self.attio.add_person(name, phone);
        self.state().person = Person { record_id, name: name.to_owned(), phone: phone.to_owned() };
    }

    pub(super) fn person(&self) -> Person {
        self.state().person.clone()
    }

    pub(super) fn connected(&self) -> bool {
        self.state().connection.is_some()
    }

    pub(super) fn notice(&self) -> Option<String> {
        self.state().notice.clone()
    }

    pub(super) fn note(&self, notice: Option<String>) {
        self.state().notice = notice;
    }

    pub(super) fn connector_url(&self) -> String {
        self.state().connector_url.clone()
    }

    /// Where the browser is sent to connect.
    pub(super) fn authorize_url(&self) -> String {
        let mut state = self.state();
        let expected = random("");
        let mut url = url::Url::parse(&format!("{}/oauth/authorize", state.connector_url)).expect("a base URL");
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &state.client_id),
            ("redirect_uri", &state.redirect_uri),
            ("state", &expected),
        ]);
        state.expected = Some(expected);
        url.into()
    }

    /// Plays the browser from the button to Attio's redirect URI, through a consent that is given at once. Gives the
    /// query that came back.
    pub(super) async fn walk_to_consent_and_back(&self) -> Result<BTreeMap<String, String>, String> {
        let (connector, redirect_uri) = (self.connector_url(), self.state().redirect_uri.clone());
        let mut next = self.authorize_url();
        let mut cookies: Vec<(String, String)> = Vec::new();
        for _ in 0..8 {
            if let Some(query) = next.strip_prefix(&format!("{redirect_uri}?")) {
                return Ok(decode_form(query.as_bytes()));
            }
            let reply = match next.strip_prefix(&connector) {
                Some(target) => {
                    let cookie: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    let cookie = Some(cookie.join("; ")).filter(|cookie| !cookie.is_empty());
                    self.call(Call { from: "Browser", method: "GET", target, cookie, ..Call::default() }).await
                }
                // ALC notes this visit in its own journal.
                None => read(self.client.get(&next).send().await).await,
            };
            cookies.extend(reply.cookies.clone());
            let Some(location) = reply.location.clone() else {
                return Err(format!("no redirect from {}, but {}", host_and_path(&next), reply.told()));
            };
            next = location;
        }
        Err("redirected in circles".to_owned())
    }

    /// Takes what came to the redirect URI: exchanges the code for tokens.
    pub(super) async fn exchange(&self, query: &BTreeMap<String, String>) -> Result<Reply, String> {
        let state = self.state().clone();
        if let Some(error) = query.get("error") {
            return Err(format!("error={error}"));
        }
        if state.expected.is_none() || query.get("state") != state.expected.as_ref() {
            return Err("a state that is not ours".to_owned());
        }
        let Some(code) = query.get("code") else { return Err("no code".to_owned()) };
        self.state().expected = None;
        let form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", state.redirect_uri.as_str()),
        ];
        let reply = self.token(&state, form).await;
        let text = |name: &str| reply.body[name].as_str().map(str::to_owned);
        let (Some(access_token), Some(refresh_token)) = (text("access_token"), text("refresh_token")) else {
            return Err(reply.told());
        };
        let id = uuid::Uuid::new_v4().to_string();
        self.state().connection = Some(Connection { id, access_token, refresh_token });
        Ok(reply)
    }

    async fn token(&self, state: &State, form: Vec<(&str, &str)>) -> Reply {
        let basic = Some((state.client_id.as_str(), state.client_secret.as_str()));
        let form = Some(form);
        self.call(Call { from: "Attio", method: "POST", target: "/oauth/token", basic, form, ..Call::default() }).await
    }

    /// Tells the connector that the connection was added. Anything but a 2xx cancels it, as Attio does.
    pub(super) async fn connection_added(&self) -> Reply {
        let reply = self.event("connection-added").await;
        if !(200..300).contains(&reply.status) {
            self.state().connection = None;
        }
        reply
    }

    /// Tells the connector that the connection is to be removed. Anything but a 2xx keeps it, as Attio does.
    pub(super) async fn connection_removed(&self) -> Reply {
        let reply = self.event("connection-removed").await;
        if (200..300).contains(&reply.status) {
            self.state().connection = None;
        }
        reply
    }

    async fn event(&self, name: &str) -> Reply {
        let Some(connection) = self.state().connection.clone() else { return Reply::default() };
        let json = json!({ "connection": {
            "id": connection.id,
            "value": connection.access_token,
            "connection_key": null,
            "createdBy": { "type": "user", "id": "00000000-0000-4000-8000-000000000001" },
            "ownedBy": { "type": "workspace", "id": self.attio.workspace_id() },
        } });
        let target = format!("/v1/events/{name}");
        self.authorized("Attio app", "POST", &target, None, Some(json)).await
    }

    /// The connection, as the connector sees it.
    pub(super) async fn connection(&self) -> Reply {
        self.authorized("Attio app", "GET", "/v1/connection", None, None).await
    }

    /// Presses "Send to ALC".
    pub(super) async fn send(&self) -> Reply {
        let person = self.person();
        let mut json = json!({ "record_id": person.record_id, "name": person.name, "phone_number": person.phone });
        json["finish_callback_url"] = self.attio.callback_url(WAITING_STEP).into();
        let key = uuid::Uuid::new_v4().to_string();
        self.authorized("Attio app", "POST", "/v1/leads", Some(&key), Some(json)).await
    }

    /// The lead, as the connector sees it.
    pub(super) async fn lead(&self) -> Reply {
        let target = format!("/v1/leads/{}", self.person().record_id);
        self.authorized("Attio app", "GET", &target, None, None).await
    }

    /// Lets ALC give its answer; `None` when no webhook is registered.
    pub(super) async fn answer(&self, result: &str) -> Option<Answer> {
        let webhook = self.alc.webhooks().pop()?;
        let path = url::Url::parse(&webhook.url).map(|url| url.path().to_owned()).unwrap_or_default();
        let record_id = self.person().record_id;
        let shown = json!({ "record_id": record_id, "status": result }).to_string();
        let order = self.log.begin("ALC", "Connector", "POST", &path, &shown);
        let answer = self.alc.call_back(Callback::new(&record_id, result).to(&webhook.webhook_id)).await;
        self.log.sent(order, &answer.sent);
        self.log.end(order, answer.status);
        Some(answer)
    }

    /// With the connection's token; a token that has expired is refreshed once, as Attio does.
    async fn authorized(
        &self,
        from: &'static str,
        method: &str,
        target: &str,
        key: Option<&str>,
        json: Option<Value>,
    ) -> Reply {
        let Some(connection) = self.state().connection.clone() else {
            let body = json!({ "detail": "there is no connection: connect first" });
            return Reply { status: 401, body, ..Reply::default() };
        };
        let call = |bearer: String| {
            let json = json.clone();
            async move {
                self.call(Call { from, method, target, bearer: Some(&bearer), key, json, ..Call::default() }).await
            }
        };
        let reply = call(connection.access_token).await;
        if reply.status != 401 {
            return reply;
        }
        let state = self.state().clone();
        let form = vec![("grant_type", "refresh_token"), ("refresh_token", connection.refresh_token.as_str())];
        let fresh = self.token(&state, form).await;
        let Some(access_token) = fresh.body["access_token"].as_str() else { return reply };
        if let Some(connection) = &mut self.state().connection {
            access_token.clone_into(&mut connection.access_token);
        }
        call(access_token.to_owned()).await
    }

    /// Whether the service at `url` says that it is ready.
    pub(super) async fn ready(&self, url: &str) -> bool {
        let answer = self.client.get(format!("{url}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn call(&self, call: Call<'_>) -> Reply {
        let method = call.method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{}", self.connector_url(), call.target));
        let mut shown = String::new();
        if let Some(token) = call.bearer {
            request = request.bearer_auth(token);
        }
        if let Some((id, secret)) = call.basic {
            request = request.basic_auth(id, Some(secret));
        }
        if let Some(cookie) = &call.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(key) = call.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(json) = &call.json {
            shown = json.to_string();
            request = request.json(json);
        }
        if let Some(form) = &call.form {
            shown = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.form(form);
        }
        let order = self.log.begin(call.from, "Connector", call.method, call.target, &shown);
        let reply = read(request.send().await).await;
        self.log.end(order, reply.status);
        reply
    }
}

async fn read(answer: reqwest::Result<reqwest::Response>) -> Reply {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let body = json!({ "error": error.without_url().to_string() });
            return Reply { body, ..Reply::default() };
        }
    };
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let cookies = answer
        .headers()
        .get_all("set-cookie")
        .iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next()?.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let (status, location) = (answer.status().as_u16(), header("location"));
    let body = answer.text().await.unwrap_or_default();
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    Reply { status, body, location, cookies }
}

/// A URL without its query, in which codes and states are.
fn host_and_path(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}
