//! Real HTTP towards the service; every answer is judged by the contract before a test sees it.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{RequestBuilder, Response, header::HeaderMap};
use serde_json::Value;

use super::{contract::CONTRACT, secrets};

/// An answer that the contract allows.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What was asked, for messages.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The last part of a problem's `type`; empty for what is no problem.
    pub fn slug(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().trim_start_matches("/problems/").to_owned()
    }

    /// Itself, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.body);
        self
    }

    /// Itself, if it is this problem.
    #[track_caller]
    pub fn expect_problem(self, status: u16, slug: &str) -> Self {
        let this = self.expect(status);
        assert_eq!(this.slug(), slug, "{}: {}", this.asked, this.body);
        this
    }

    /// The query parameters of `Location`.
    pub fn location_query(&self) -> BTreeMap<String, String> {
        self.location().query_pairs().into_owned().collect()
    }

    /// Where a redirect leads; of one within the same listener, as if that were `localhost`.
    pub fn location(&self) -> url::Url {
        let location = self.header("location").unwrap_or_else(|| panic!("{} has no Location", self.asked));
        let here = url::Url::parse("http://localhost").expect("a URL");
        here.join(location).expect("Location is a URL")
    }
}

/// A client without memory: a fresh connection for each request, no redirects, no cookies.
pub fn client() -> reqwest::Client {
    let builder = sandbox::ambient::http_clients().pool_max_idle_per_host(0).timeout(Duration::from_secs(40));
    builder.build().expect("an HTTP client")
}

/// Sends a request; the answer was judged.
///
/// # Panics
/// Without an answer, or when the contract does not allow it.
pub async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.expect("an answer")
}

/// As [`send`]; an error when the connection ended without an answer.
pub async fn try_send(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let (client, request) = request.build_split();
    let request = request?;
    let (method, url) = (request.method().to_string(), request.url().clone());
    let response = client.execute(request).await?;
    let answer = read(format!("{method} {}", url.path()), response).await?;
    remember(&answer);
    let faults = CONTRACT.faults(&method, url.path(), answer.status, &answer.headers, answer.body.as_bytes());
    assert!(faults.is_empty(), "openapi.yaml does not allow this answer:\n{}\n{}", faults.join("\n"), answer.body);
    Ok(answer)
}

/// What an answer hands out is for its receiver alone; and nothing secret may be in a refusal.
fn remember(answer: &Answer) {
    secrets::learn_members(&answer.json(), &["access_token", "refresh_token"]);
    for cookie in answer.headers.get_all("set-cookie") {
        let pair = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        secrets::learn(pair.split_once('=').unwrap_or_default().1);
    }
    if answer.header("location").is_some() {
        for (name, value) in answer.location_query() {
            // Attio's own state is no secret in these tests: it stands in their sources.
            if name == "code" || name == "code_challenge" || (name == "state" && value.len() == 43) {
                secrets::learn(&value);
            }
        }
    }
    if answer.status >= 400 {
        secrets::hear(answer.body.as_bytes());
        secrets::hear(b"\n");
    }
}

async fn read(asked: String, response: Response) -> Result<Answer, reqwest::Error> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { asked, status, headers, body: response.text().await? })
}
