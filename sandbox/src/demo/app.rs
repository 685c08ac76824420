//! Attio's platform and the Attio app, as the connector sees them.
//!
//! Owns the connection that Attio keeps for the app. Promises that the token goes to the app and the connector alone:
//! the page's browser never has it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    http::{Call, Http, Reply},
    log::Log,
};
use crate::{
    Alc, Attio, Callback,
    alc::Answer,
    ambient::{Time, random},
    wire::decode_form,
};

/// The pretend workflow step that waits for every lead that is sent.
pub(super) const WAITING_STEP: &str = "waiting-step";

/// What ALC says of the person.
pub(super) const RESULT: &str = "qualified";

/// The Attio side of the demo.
pub(super) struct App {
    pub(super) alc: Alc,
    pub(super) attio: Attio,
    pub(super) log: Log,
    http: Http,
    time: Time,
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
    expires: Timestamp,
}

/// The person whose record is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Person {
    pub(super) record_id: String,
    pub(super) name: String,
    pub(super) phone: String,
}

impl App {
    pub(super) fn new(alc: Alc, attio: Attio) -> Self {
        let app =
            Self { alc, attio, log: Log::default(), http: Http::new(), time: Time::default(), state: Mutex::default() };
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
                None => self.http.visit(&next).await,
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
        let expires = self.expiry(&reply);
        self.state().connection = Some(Connection { id, access_token, refresh_token, expires });
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
        let json = json!({ "connection": self.shown_to_app(&connection) });
        let target = format!("/v1/events/{name}");
        self.authorized("Attio app", "POST", &target, None, Some(json)).await
    }

    /// The connection, as the connector sees it.
    pub(super) async fn connection(&self) -> Reply {
        self.authorized("Attio app", "GET", "/v1/connection", None, None).await
    }

    /// Attio's `Connection` object.
    fn shown_to_app(&self, connection: &Connection) -> Value {
        json!({
            "id": connection.id,
            "value": connection.access_token,
            "connection_key": "alc",
            "createdBy": { "type": "user", "id": "00000000-0000-4000-8000-000000000001" },
            "ownedBy": { "type": "workspace", "id": self.attio.workspace_id() },
        })
    }

    /// The connection that the app gets now, its token refreshed in time, as by Attio; null without one.
    pub(super) async fn connection_for_app(&self) -> Value {
        let Some(connection) = self.state().connection.clone() else { return Value::Null };
        if self.time.now() >= connection.expires {
            drop(self.refresh(&connection.refresh_token).await);
        }
        self.state().connection.as_ref().map_or(Value::Null, |connection| self.shown_to_app(connection))
    }

    /// What a press does, without the app: the person straight to the connector.
    pub(super) async fn send(&self) -> Reply {
        let key = uuid::Uuid::new_v4().to_string();
        self.authorized("Attio app", "POST", "/v1/leads", Some(&key), Some(self.new_lead())).await
    }

    /// A workflow step that waits for the person.
    pub(super) async fn wait_as_step(&self) -> Reply {
        let mut json = self.new_lead();
        json["finish_callback_url"] = self.attio.callback_url(WAITING_STEP).into();
        self.authorized("Attio app", "POST", "/v1/leads", None, Some(json)).await
    }

    fn new_lead(&self) -> Value {
        let person = self.person();
        json!({ "record_id": person.record_id, "name": person.name, "phone_number": person.phone })
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
        let Some(access_token) = self.refresh(&connection.refresh_token).await else { return reply };
        call(access_token).await
    }

    /// A fresh access token, which the connection has from then on.
    async fn refresh(&self, refresh_token: &str) -> Option<String> {
        let state = self.state().clone();
        let form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let fresh = self.token(&state, form).await;
        let access_token = fresh.body["access_token"].as_str()?.to_owned();
        if let Some(connection) = &mut self.state().connection {
            connection.access_token.clone_from(&access_token);
            connection.expires = self.expiry(&fresh);
        }
        Some(access_token)
    }

    /// A minute before the token in `reply` expires.
    fn expiry(&self, reply: &Reply) -> Timestamp {
        let seconds = reply.body["expires_in"].as_i64().unwrap_or_default() - 60;
        self.time.now() + jiff::SignedDuration::from_secs(seconds)
    }

    async fn call(&self, call: Call<'_>) -> Reply {
        self.http.call(&self.log, &self.connector_url(), call).await
    }

    /// Whether the service at `url` says that it is ready.
    pub(super) async fn ready(&self, url: &str) -> bool {
        self.http.visit(&format!("{url}/readyz")).await.status == 200
    }
}

/// A URL without its query, in which codes and states are.
fn host_and_path(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}
