//! A pretend ALC and a pretend Attio that answer at once.
//!
//! The sandbox's keep every request under one lock, and would cost more CPU than the service that is measured. These
//! check nothing and keep nothing but when Attio was told what: the bench takes for granted that the service is right,
//! and only asks how fast it is.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::{
    ambient::spawn,
    ledger::{Ledger, Shown},
};

/// What ALC signs all callbacks with, whatever the webhook.
const SIGNING_KEY: [u8; 32] = *b"a bench signs all with the same.";

/// Both pretend services, on one port.
pub(crate) struct Upstreams {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    ledger: Arc<Ledger>,
    /// The workspace that consents next.
    consenting: AtomicUsize,
    /// The URL of the newest webhook at ALC.
    webhook: Mutex<Option<Url>>,
}

impl Upstreams {
    pub(crate) async fn start(ledger: Arc<Ledger>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { ledger, consenting: AtomicUsize::new(0), webhook: Mutex::default() });
        spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it is this workspace's administrator who consents.
    pub(crate) fn consent_as(&self, workspace: usize) {
        self.shared.consenting.store(workspace, Relaxed);
    }

    /// The URL of the webhook that was registered at ALC last.
    pub(crate) fn take_webhook(&self) -> Option<Url> {
        self.shared.webhook.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The secret of every webhook at ALC.
pub(crate) fn webhook_secret() -> String {
    format!("whsec_{}", BASE64_STANDARD.encode(SIGNING_KEY))
}

/// The key that it stands for.
pub(crate) fn signing_key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &SIGNING_KEY)
}

/// The id of a workspace at Attio.
pub(crate) fn workspace_id(workspace: usize) -> String {
    format!("6f1c0000-0000-4000-8000-{workspace:012}")
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    // An error is a peer that went away.
    drop(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await);
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return text(400, "{}".to_owned()) };
        let body = body.to_bytes();
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        match (head.method.as_str(), path) {
            ("POST", "/api/v1/leads") => lead_taken(&body),
            ("PATCH", path) if path.starts_with("/v2/objects/people/records/") => self.patched(path, &body),
            ("GET", "/api/v1/leads") => text(200, r#"{"leads":[]}"#.to_owned()),
            ("POST", "/api/v1/webhooks") => self.webhook_created(&body),
            ("GET", "/api/v1/webhooks") => text(200, r#"{"webhooks":[]}"#.to_owned()),
            ("GET", "/authorize") => self.consented(query),
            ("POST", "/token") => token(&body),
            ("GET", "/v2/self") => identity(head.headers.get(AUTHORIZATION)),
            ("GET", "/v2/objects/people/attributes") => shown(&attributes()),
            ("GET", path) if path.ends_with("/options") => shown(&options()),
            ("DELETE", _) => text(204, String::new()),
            _ => text(404, "{}".to_owned()),
        }
    }

    fn patched(&self, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let record = path.rsplit('/').next().unwrap_or_default().as_bytes();
        if has(body, b"\"Pending\"") {
            self.ledger.note(record, Shown::Pending);
        } else if has(body, b"\"Complete\"") {
            self.ledger.note(record, Shown::Complete);
        }
        text(200, r#"{"data":{}}"#.to_owned())
    }

    fn webhook_created(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let url = asked["url"].as_str().and_then(|url| url.parse().ok());
        *self.webhook.lock().unwrap_or_else(PoisonError::into_inner) = url;
        let answer = json!({ "webhook_id": "wh_1", "name": asked["name"], "url": asked["url"],
            "event": asked["event"], "secret": webhook_secret() });
        text(201, answer.to_string())
    }

    /// The consent page of either service: it consents by itself. The code names the workspace.
    fn consented(&self, query: &str) -> Response<Full<Bytes>> {
        let asked: std::collections::HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let get = |name: &str| asked.get(name).map_or("", |value| value.as_ref());
        let Ok(mut target) = Url::parse(get("redirect_uri")) else { return text(400, "{}".to_owned()) };
        let code = format!("code-{}", self.consenting.load(Relaxed));
        target.query_pairs_mut().append_pair("code", &code).append_pair("state", get("state"));
        let mut answer = text(302, String::new());
        if let Ok(target) = HeaderValue::from_str(target.as_str()) {
            answer.headers_mut().insert(LOCATION, target);
        }
        answer
    }
}

/// ALC's id of a record's lead: the bench can tell it in a callback without having kept it.
pub(crate) fn lead_id(record: &str) -> String {
    format!("lead_{record}")
}

fn lead_taken(body: &[u8]) -> Response<Full<Bytes>> {
    let name = b"\"recordId\":\"";
    let at = body.windows(name.len()).position(|window| window == name).map(|at| at + name.len());
    let record = at.and_then(|at| body.get(at..at + 36)).unwrap_or_default();
    text(201, format!(r#"{{"id":"{}","status":"processing"}}"#, lead_id(&String::from_utf8_lossy(record))))
}

/// Both services' tokens are named after the code, which is named after the workspace.
fn token(body: &[u8]) -> Response<Full<Bytes>> {
    let mut form = url::form_urlencoded::parse(body);
    let code = form.find(|(name, _)| name == "code").map(|(_, code)| code.into_owned()).unwrap_or_default();
    let answer = json!({ "access_token": format!("access-{code}"), "refresh_token": format!("refresh-{code}"),
        "token_type": "Bearer", "expires_in": 86_400 });
    text(200, answer.to_string())
}

fn identity(bearer: Option<&HeaderValue>) -> Response<Full<Bytes>> {
    let bearer = bearer.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(workspace) = bearer.rsplit('-').next().and_then(|number| number.parse().ok()) else {
        return text(200, r#"{"active":false}"#.to_owned());
    };
    let scope = "record_permission:read-write object_configuration:read-write webhook:read-write";
    let answer = json!({ "active": true, "scope": scope, "client_id": "bench", "token_type": "Bearer",
        "workspace_id": workspace_id(workspace), "workspace_name": "Bench" });
    text(200, answer.to_string())
}

fn attributes() -> Value {
    let attribute = |slug: &str, kind: &str| {
        json!({ "id": { "attribute_id": format!("{slug}-id") }, "title": slug, "api_slug": slug, "type": kind,
            "is_writable": true, "is_required": false, "is_unique": false, "is_multiselect": false,
            "is_archived": false })
    };
    json!([attribute("alc_status", "select"), attribute("alc_lead_id", "text"), attribute("alc_result", "text")])
}

fn options() -> Value {
    let titles = ["Pending", "Complete", "Failed"];
    titles
        .map(|title| {
            json!({ "id": { "option_id": format!("{title}-id") }, "title": title,
        "is_archived": false })
        })
        .into_iter()
        .collect()
}

fn shown(data: &Value) -> Response<Full<Bytes>> {
    text(200, json!({ "data": data }).to_string())
}

fn text(status: u16, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn has(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|window| window == word)
}
