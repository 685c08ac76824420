//! What the tests of the OAuth endpoints stand on: SQLite, and an ALC and an Attio that answer over HTTP.

use std::{sync::Arc, time::Duration};

use actix_web::{
    App,
    body::to_bytes,
    http::{StatusCode, header},
    test::{TestRequest, call_service, init_service},
    web,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mockito::{Matcher, Mock, Server, ServerGuard};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{Url, form_urlencoded};

use crate::{
    alc, attio,
    authorization::{
        Authorization, Parts, Settings,
        keys::{SigningKeys, generate},
    },
    clock::{ManualClock, SharedClock, Timestamp},
    connections::{self, Connections, WebhookSignature},
    http::bearer::{AnyBearer, Bearer},
    ids::WorkspaceId,
    leads,
    lifecycle::Lifecycle,
    sealing::{Sealer, generate_key},
    store::{Store, gate::Gates, sqlite::SqliteEngine},
    upstream,
};

pub(super) const ISSUER: &str = "https://connector.example";
pub(super) const REDIRECT_URI: &str = "https://app.example/callback?fixed=1";
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(super) const CLIENT_STATE: &str = "a client's st\\ate & \"more\"";

pub(super) struct World {
    pub(super) authorization: Authorization,
    pub(super) connections: Connections,
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    pub(super) lifecycle: Lifecycle,
    pub(super) workspace: WorkspaceId,
    pub(super) alc: ServerGuard,
    pub(super) attio: ServerGuard,
    pub(super) _folder: TempDir,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: header::HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn location(&self) -> Url {
        assert_eq!(self.status, StatusCode::FOUND, "{}", self.body);
        assert_eq!(self.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(self.header(header::REFERRER_POLICY), Some("no-referrer"));
        Url::parse(self.header(header::LOCATION).expect("a location")).expect("a URL")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// `error` of RFC 6749 §5.2.
    pub(super) fn error(&self) -> (u16, String) {
        assert_eq!(self.header(header::CACHE_CONTROL), Some("no-store"));
        (self.status.as_u16(), self.json()["error"].as_str().expect("an error").to_owned())
    }

    /// That it is a page, which goes nowhere.
    pub(super) fn is_page(&self, status: u16) {
        assert_eq!(self.status.as_u16(), status);
        assert_eq!(self.header(header::LOCATION), None);
        assert_eq!(self.header(header::CONTENT_TYPE), Some("text/html; charset=utf-8"));
        assert_eq!(self.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(self.header(header::X_CONTENT_TYPE_OPTIONS), Some("nosniff"));
        let policy = self.header(header::CONTENT_SECURITY_POLICY).expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(self.body.starts_with("<!doctype html>") && !self.body.contains("<script"), "{}", self.body);
    }
}

pub(super) fn param(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub(super) fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

/// An attempt that has begun: our state, and the cookie in the browser that began.
pub(super) struct Tab {
    pub(super) state: String,
    pub(super) cookie: String,
    pub(super) challenge: String,
}

fn titles() -> attio::Titles {
    let [pending, complete, failed] = ["Pending", "Complete", "Failed"].map(str::to_owned);
    attio::Titles { pending, complete, failed }
}

fn oauth_settings(alc: &Server) -> alc::oauth::Settings {
    alc::oauth::Settings {
        authorize_url: url("https://alc.example/authorize"),
        token_url: url(&format!("{}/token", alc.url())),
        revoke_url: Some(url(&format!("{}/revoke", alc.url()))),
        client_id: "us".to_owned(),
        client_secret: SecretString::from("our secret"),
        scopes: Vec::new(),
        client_authentication: alc::oauth::ClientAuthentication::Basic,
        redirect_uri: url("https://connector.example/oauth/callback"),
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let (alc, attio) = (Server::new_async().await, Server::new_async().await);
        let folder = TempDir::new().expect("a folder");
        let engine = SqliteEngine::open(&folder.path().join("test.db"), Duration::ZERO).await.expect("opens");
        let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).expect("in range"));
        let shared: SharedClock = Arc::new(clock.clone());
        let store = Store::new(Arc::new(engine)).on_clock(Arc::clone(&shared));
        let lifecycle = Lifecycle::new();
        let sealer = Arc::new(Sealer::new(&generate_key(), None).expect("a good key"));
        let limit = Duration::from_secs(5);
        let http = upstream::http_clients(limit).expect("a client");
        let caller = |name| upstream::Caller::new(http.clone(), name, limit, Arc::clone(&shared));
        let oauth = alc::oauth::OAuth::new(caller("alc"), oauth_settings(&alc));
        let connections = Connections::new(
            connections::Parts {
                store: store.clone(),
                sealer: Arc::clone(&sealer),
                alc: alc::Client::new(caller("alc"), url(&alc.url())),
                oauth: oauth.clone(),
                attio: attio::Client::new(caller("attio"), url(&attio.url())),
                attio_oauth: None,
                clock: Arc::clone(&shared),
                lifecycle: lifecycle.clone(),
                facts_of_lead: leads::facts_of,
            },
            connections::Settings {
                public_url: url(ISSUER),
                attio_api_key: Some(SecretString::from("key")),
                attributes: attio::Attributes { status: "alc_status".to_owned(), lead_id: None, result: None },
                pipeline: None,
                send_on_list: None,
                titles: titles(),
                attio_gate: Gates::new(25).attio,
                webhook_signature: WebhookSignature::WhenSecretKnown,
                retry_schedule: upstream::Schedule::new(vec![Duration::from_secs(1)]),
                upstream_timeout: limit,
                retention: Duration::ZERO,
            },
        );
        let authorization = Authorization::new(
            Settings {
                public_url: url(ISSUER),
                client_id: "attio".to_owned(),
                client_secret: SecretString::from("s+cret"),
                redirect_uris: vec![REDIRECT_URI.to_owned(), "https://app.example/other".to_owned()],
            },
            Parts {
                keys: SigningKeys::new(&generate(), None).expect("a good key"),
                sealer,
                clock: shared,
                store: store.clone(),
                alc: oauth,
                connections: connections.clone(),
                lifecycle: lifecycle.clone(),
            },
        );
        let workspace = WorkspaceId::random();
        Self { authorization, connections, store, clock, lifecycle, workspace, alc, attio, _folder: folder }
    }

    pub(super) async fn call(&self, request: TestRequest) -> Answer {
        async fn who(bearer: Bearer) -> String {
            format!("{} {}", bearer.workspace, bearer.connection)
        }
        async fn whoever(bearer: AnyBearer) -> String {
            format!("{} {}", bearer.workspace, bearer.connection)
        }
        let app = App::new()
            .app_data(web::Data::new(self.authorization.clone()))
            .app_data(web::Data::new(crate::http::limit::Limits::new(0)))
            .configure(|cfg| crate::http::oauth::endpoints().into_iter().for_each(|endpoint| endpoint.register(cfg)))
            .route("/who", web::get().to(who))
            .route("/whoever", web::get().to(whoever));
        let response = call_service(&init_service(app).await, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let Ok(body) = to_bytes(response.into_body()).await else { panic!("a body") };
        Answer { status, headers, body: String::from_utf8(body.to_vec()).expect("text") }
    }

    pub(super) async fn get(&self, path_and_query: &str, cookie: Option<&str>) -> Answer {
        let request = TestRequest::get().uri(path_and_query).insert_header((header::HOST, "connector.example"));
        let cookie = cookie.map(|cookie| header::HeaderValue::from_bytes(cookie.as_bytes()).expect("a header"));
        self.call(cookie.into_iter().fold(request, |request, cookie| request.append_header((header::COOKIE, cookie))))
            .await
    }

    pub(super) async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let credentials = format!("Basic {}", STANDARD.encode("attio:s%2Bcret"));
        let request = TestRequest::post()
            .uri(path)
            .insert_header((header::AUTHORIZATION, credentials))
            .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"));
        self.call(request.set_payload(encoded(pairs))).await
    }

    pub(super) async fn bearer(&self, path: &str, token: &str) -> Answer {
        self.call(TestRequest::get().uri(path).insert_header((header::AUTHORIZATION, format!("Bearer {token}")))).await
    }

    /// The app's connect button, up to ALC's consent page.
    pub(super) async fn begin(&self, more: &[(&str, &str)]) -> Tab {
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "attio"),
            ("redirect_uri", REDIRECT_URI),
            ("state", CLIENT_STATE),
        ];
        pairs.extend(more);
        let answer = self.get(&format!("/oauth/authorize?{}", encoded(&pairs)), None).await;
        let location = answer.location();
        assert!(location.as_str().starts_with("https://alc.example/authorize?"), "{location}");
        assert_eq!(param(&location, "code_challenge_method").as_deref(), Some("S256"));
        let cookie = answer.header(header::SET_COOKIE).expect("a cookie");
        assert!(cookie.starts_with("__Host-") && cookie.contains("; HttpOnly"), "{cookie}");
        Tab {
            state: param(&location, "state").expect("a state"),
            cookie: cookie.split(';').next().expect("a pair").to_owned(),
            challenge: param(&location, "code_challenge").expect("a challenge"),
        }
    }

    /// ALC's redirect back to us.
    pub(super) async fn back(&self, tab: &Tab, answer: &str) -> Answer {
        self.get(&format!("/oauth/callback?state={}&{answer}", tab.state), Some(&tab.cookie)).await
    }

    /// All the way to a code of ours.
    pub(super) async fn code(&self, more: &[(&str, &str)]) -> String {
        let tab = self.begin(more).await;
        let location = self.back(&tab, "code=alc-code").await.location();
        param(&location, "code").unwrap_or_else(|| panic!("no code: {location}"))
    }

    pub(super) async fn redeem(&self, code: &str, more: &[(&str, &str)]) -> Answer {
        let mut pairs = vec![("grant_type", "authorization_code"), ("code", code)];
        pairs.extend(more);
        self.post("/oauth/token", &pairs).await
    }

    pub(super) async fn refresh(&self, token: &str) -> Answer {
        self.post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// An ALC that exchanges codes, and an Attio that names the workspace.
    pub(super) async fn upstreams(&mut self) -> (Mock, Mock) {
        let status = json!({"data": [{"api_slug": "alc_status", "type": "text"}]}).to_string();
        let attributes = self.attio.mock("GET", "/v2/objects/people/attributes").match_query(Matcher::Any);
        attributes.with_body(status).expect_at_least(0).create_async().await;
        // As the real one does where PUBLIC_URL is not https.
        self.attio.mock("POST", "/v2/webhooks").with_status(400).expect_at_least(0).create_async().await;
        let self_body = json!({"active": true, "workspace_id": self.workspace, "scope": ""}).to_string();
        let attio = self.attio.mock("GET", "/v2/self").with_body(self_body).create_async().await;
        (
            self.alc_answers(200, r#"{"access_token":"alc-a","token_type":"Bearer","refresh_token":"alc-r"}"#).await,
            attio,
        )
    }

    pub(super) async fn alc_answers(&mut self, status: usize, body: &str) -> Mock {
        let mock = self.alc.mock("POST", "/token").with_status(status);
        mock.with_header("content-type", "application/json").with_body(body).create_async().await
    }
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("text")
}

pub(super) const REDIRECT: (&str, &str) = ("redirect_uri", REDIRECT_URI);

impl World {
    pub(super) fn now(&self) -> Timestamp {
        crate::clock::Clock::now(&self.clock)
    }
}
