//! The Attio app of one workspace: what it does over HTTP with nothing but its connection's tokens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{
    browser::Browser,
    harness::{Person, World},
    http::{Answer, send, try_send},
    secrets,
    settings::{CLIENT_ID, CLIENT_SECRET, REDIRECT_URI},
};

/// One connection of the Attio app. Like Attio, it refreshes its access token when it meets a 401. Clones share it.
#[derive(Clone)]
pub struct AttioApp {
    client: reqwest::Client,
    url: String,
    /// The workspace that granted it.
    pub workspace_id: String,
    access_token: Arc<Mutex<String>>,
    /// Attio keeps it; the app never sees it.
    pub refresh_token: String,
}

impl AttioApp {
    /// Attio, ALC's consent and the customer's browser do their dance.
    pub async fn authorize(world: &World) -> Self {
        let code = authorization_code(world).await;
        Self::redeem(world, &code).await
    }

    /// Attio redeems the code that a browser brought.
    pub async fn redeem(world: &World, code: &str) -> Self {
        let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI)];
        let tokens = send(token_request(&world.client, &world.url(), &form)).await.expect(200).json();
        let text = |name: &str| tokens[name].as_str().expect("a token");
        Self::of(world, text("access_token"), text("refresh_token"))
    }

    /// The app of a connection that was made before, with the tokens that Attio has kept of it.
    pub fn of(world: &World, access_token: &str, refresh_token: &str) -> Self {
        Self {
            client: world.client.clone(),
            url: world.url(),
            workspace_id: world.attio.workspace_id(),
            access_token: Arc::new(Mutex::new(access_token.to_owned())),
            refresh_token: refresh_token.to_owned(),
        }
    }

    /// The token it calls with now.
    pub fn access_token(&self) -> String {
        self.access_token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Attio takes a fresh access token.
    pub async fn refresh(&self) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", self.refresh_token.as_str())];
        let answer = send(token_request(&self.client, &self.url, &form)).await;
        if let Some(token) = answer.json()["access_token"].as_str() {
            token.clone_into(&mut self.access_token.lock().unwrap_or_else(PoisonError::into_inner));
        }
        answer
    }

    /// As [`Self::refresh`], where the connection may break before the answer.
    pub async fn try_refresh(&self) {
        let form = [("grant_type", "refresh_token"), ("refresh_token", self.refresh_token.as_str())];
        let answer = token_request(&self.client, &self.url, &form).send().await;
        let Ok(answer) = answer else { return };
        let tokens: Value = answer.json().await.unwrap_or_default();
        if let Some(token) = tokens["access_token"].as_str() {
            secrets::learn(token);
            token.clone_into(&mut self.access_token.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// A request with the token, not yet sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(self.access_token())
    }

    /// Sends it; on a plain 401 once more with a fresh token.
    async fn call(&self, make: impl Fn(&Self) -> RequestBuilder + Send + Sync) -> Answer {
        let answer = send(make(self)).await;
        if answer.status == 401 && answer.slug() == "unauthorized" && self.refresh().await.status == 200 {
            return send(make(self)).await;
        }
        answer
    }

    /// Attio tells that the connection was added.
    pub async fn connection_added(&self) -> Answer {
        self.connection_added_by("workspace", &self.workspace_id).await
    }

    /// As [`Self::connection_added`], of a connection that this one owns.
    pub async fn connection_added_by(&self, owner: &str, id: &str) -> Answer {
        let body = connection_event(owner, id);
        self.call(|app| app.request(Method::POST, "/v1/events/connection-added").json(&body)).await
    }

    /// Attio tells that the connection was removed. Its token may be as old as it likes.
    pub async fn connection_removed(&self) -> Answer {
        let body = connection_event("workspace", &self.workspace_id);
        send(self.request(Method::POST, "/v1/events/connection-removed").json(&body)).await
    }

    /// Where the connection stands.
    pub async fn connection(&self) -> Answer {
        self.call(|app| app.request(Method::GET, "/v1/connection")).await
    }

    /// The button.
    pub async fn press(&self, person: &Person) -> Answer {
        self.press_body(&lead_body(person)).await
    }

    /// The button, with this body.
    pub async fn press_body(&self, body: &Value) -> Answer {
        self.call(|app| app.request(Method::POST, "/v1/leads").json(body)).await
    }

    /// The button, under an `Idempotency-Key`.
    pub async fn press_with_key(&self, person: &Person, key: &str) -> Answer {
        self.call(|app| app.request(Method::POST, "/v1/leads").header("idempotency-key", key).json(&lead_body(person)))
            .await
    }

    /// The button, under a key, where the connection may break before the answer.
    pub async fn try_press_with_key(&self, person: &Person, key: &str) -> Option<Answer> {
        let request = self.request(Method::POST, "/v1/leads").header("idempotency-key", key);
        try_send(request.json(&lead_body(person))).await.ok()
    }

    /// Where a person's lead stands.
    pub async fn lead(&self, person: &Person) -> Answer {
        self.call(|app| app.request(Method::GET, &format!("/v1/leads/{}", person.record_id))).await
    }

    /// What a person's lead says under `field`.
    pub async fn lead_says(&self, person: &Person, field: &str) -> Value {
        self.lead(person).await.expect(200).json()[field].clone()
    }

    /// A page of leads.
    pub async fn leads(&self, query: &str) -> Answer {
        self.call(|app| app.request(Method::GET, &format!("/v1/leads?{query}"))).await
    }

    /// Attio gives the refresh token up.
    pub async fn revoke(&self) -> Answer {
        let request = self.client.post(format!("{}/oauth/revoke", self.url)).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
        send(request.form(&[("token", self.refresh_token.as_str())])).await
    }
}

/// What the button sends.
pub fn lead_body(person: &Person) -> Value {
    json!({ "record_id": person.record_id, "name": person.name, "phone_number": person.phone })
}

/// Attio's `Connection` object in an event.
pub fn connection_event(owner: &str, id: &str) -> Value {
    json!({ "connection": {
        "id": "a-connection-of-attio", "value": "not read", "connection_key": "alc",
        "createdBy": { "type": "user", "id": "somebody" }, "ownedBy": { "type": owner, "id": id },
    } })
}

/// What a connection that stands may ask besides one lead and itself, each once.
pub fn every_other_request(app: &AttioApp, person: &Person) -> Vec<RequestBuilder> {
    let batch = json!({ "leads": [lead_body(person)] });
    let trigger = json!({ "callback_url": "https://api.attio.com/a-trigger" });
    vec![
        app.request(Method::GET, "/v1/leads"),
        app.request(Method::POST, "/v1/leads/batch").json(&batch),
        app.request(Method::PUT, "/v1/triggers/a").json(&trigger),
        app.request(Method::DELETE, "/v1/triggers/a"),
    ]
}

/// A request to the token endpoint by our client.
pub fn token_request(client: &reqwest::Client, url: &str, form: &[(&str, &str)]) -> RequestBuilder {
    client.post(format!("{url}/oauth/token")).basic_auth(CLIENT_ID, Some(CLIENT_SECRET)).form(form)
}

/// The URL that Attio sends the customer to.
pub fn authorize_url(world: &World, more: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&format!("{}/oauth/authorize", world.url())).expect("a URL");
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", CLIENT_ID)
        .append_pair("redirect_uri", REDIRECT_URI)
        .append_pair("state", "attio's state")
        .extend_pairs(more);
    url.into()
}

/// As far as Attio's consent page: the browser, and where that page will send it.
pub async fn at_attio(world: &World) -> (Browser, String) {
    let mut browser = world.browser();
    let consent = browser.visit(&authorize_url(world, &[])).await.expect(302).location();
    let callback = browser.consent(consent.as_str()).await;
    let second = browser.visit(&callback).await.expect(302).location();
    assert!(second.as_str().starts_with(&world.attio.authorize_url()), "{second}");
    let callback = browser.consent(second.as_str()).await;
    assert!(callback.starts_with(&format!("{}/oauth/callback/attio?", world.url())), "{callback}");
    (browser, callback)
}

/// The whole consent; our code. In an impatient world the person tries once more where ALC or Attio was not in time: on
/// a machine that stands still for half a second that is what becomes of an exchange.
pub async fn authorization_code(world: &World) -> String {
    let mut query = consent(world).await;
    if world.is_impatient() && query.get("error").is_some_and(|error| error == "temporarily_unavailable") {
        query = consent(world).await;
    }
    query.get("code").unwrap_or_else(|| panic!("a code in {query:?}")).clone()
}

/// One consent, with what it brings back to Attio.
async fn consent(world: &World) -> BTreeMap<String, String> {
    let mut browser = world.browser();
    let consent = browser.visit(&authorize_url(world, &[])).await.expect(302).location();
    let callback = browser.consent(consent.as_str()).await;
    let mut back = browser.visit(&callback).await.expect(302);
    if back.location().as_str().starts_with(&world.attio.authorize_url()) {
        let callback = browser.consent(back.location().as_str()).await;
        back = browser.visit(&callback).await.expect(302);
    }
    assert!(back.location().as_str().starts_with(REDIRECT_URI), "{}", back.location());
    let query = back.location_query();
    assert_eq!(query.get("state").map(String::as_str), Some("attio's state"));
    query
}
