//! Speaks to the management listener of a running service.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::config::{Config, Environment};

/// A replay of two hundred letters may take a while on a busy store.
const PATIENCE: Duration = Duration::from_secs(60);
/// As many as the listener gives at once.
const PAGE: usize = 200;

/// Speaks to one service.
pub(super) struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    token: Option<SecretString>,
}

impl Client {
    /// To the service of this configuration.
    pub(super) fn of(environment: &Environment) -> Result<Self, String> {
        let management = Config::management(environment).map_err(|faults| faults.to_string())?;
        Self::to(reachable(management.bind), management.token)
    }

    fn to(address: SocketAddr, token: Option<SecretString>) -> Result<Self, String> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        Ok(Self { http: http.map_err(|error| error.to_string())?, address, token })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// What is there.
    pub(super) async fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<Value, String> {
        let query: Vec<_> = query.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
        self.read(self.request(Method::GET, path).query(&query)).await
    }

    /// What comes of asking for a change.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.read(self.request(Method::POST, path).json(body)).await
    }

    /// All pages of a list, up to `limit` of its items; as one page whose cursor says whether there are more.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        items: &str,
        limit: usize,
    ) -> Result<Value, String> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = limit.saturating_sub(all.len()).clamp(1, PAGE).to_string();
            let more = [("limit", Some(page)), ("cursor", cursor)];
            let mut answer = self.get(path, &[query, &more].concat()).await?;
            all.extend(answer[items].as_array_mut().map(std::mem::take).unwrap_or_default());
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || all.len() >= limit {
                answer[items] = json!(all);
                return Ok(answer);
            }
        }
    }

    /// A change that is asked for page by page, until it is done. If a later page fails, what the earlier ones have
    /// done comes with its error: it is done.
    pub(super) async fn post_pages(
        &self,
        path: &str,
        mut body: Value,
        items: &str,
    ) -> Result<(Value, Option<String>), String> {
        let (mut all, mut so_far) = (Vec::new(), Value::Null);
        loop {
            let mut answer = match self.post(path, &body).await {
                Ok(answer) => answer,
                Err(error) if so_far.is_null() => return Err(error),
                Err(error) => {
                    so_far[items] = json!(all);
                    let advice = "what is above was done before that; ask for the rest again";
                    return Ok((so_far, Some(format!("{error} ({advice})"))));
                }
            };
            all.extend(answer[items].as_array_mut().map(std::mem::take).unwrap_or_default());
            for (name, value) in answer.as_object_mut().into_iter().flatten() {
                let before = &so_far[name.as_str()];
                if let (Some(now), Some(before)) = (value.as_u64(), before.as_u64()) {
                    *value = json!(now + before);
                } else if let (Some(now), Some(before)) = (value.as_array(), before.as_array()) {
                    *value = json!([before.as_slice(), now].concat());
                }
            }
            body["cursor"] = answer["next_cursor"].take();
            if body["cursor"].is_null() {
                answer[items] = json!(all);
                return Ok((answer, None));
            }
            so_far = answer;
        }
    }

    /// What a probe answers, whatever its status.
    pub(super) async fn probe(&self, path: &str) -> Result<(u16, Value), String> {
        let response = self.sent(self.request(Method::GET, path)).await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, String> {
        request.send().await.map_err(|error| {
            let why = if error.is_timeout() { "does not answer in time" } else { "is not there" };
            format!(
                "the service at {} {why}. Start it, or run this where it runs, with the same \
                 ALC_CONNECTOR__MANAGEMENT__BIND (in its container: docker exec, kubectl exec)",
                self.address
            )
        })
    }

    async fn read(&self, request: RequestBuilder) -> Result<Value, String> {
        let response = self.sent(request).await?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let detail = super::table::clean(body["detail"].as_str().unwrap_or_default());
        Err(match status.as_u16() {
            401 => {
                "the service has a MANAGEMENT__TOKEN: set ALC_CONNECTOR__MANAGEMENT__TOKEN to the same here".to_owned()
            }
            404 if body.is_null() => "the service is older than this command: deploy the same version".to_owned(),
            _ if detail.is_empty() => format!("the service answered {status}"),
            _ => detail,
        })
    }
}

/// From this machine a listener on every address is reached over loopback.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

/// An id that was typed, as part of a path: what is no id must not lead elsewhere.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use mockito::{Matcher, Server};

    use super::*;

    #[tokio::test]
    async fn what_earlier_pages_have_done_is_told_though_a_later_one_fails() {
        let mut server = Server::new_async().await;
        let page = |at: Value| Matcher::PartialJson(json!({ "all": true, "cursor": at }));
        let first = json!({ "replayed": [1, 2], "woken": 2, "next_cursor": "behind-two" });
        let first = server.mock("POST", "/replay").match_body(page(Value::Null)).with_body(first.to_string());
        first.create_async().await;
        let second = server.mock("POST", "/replay").match_body(page(json!("behind-two"))).with_status(503);
        second.with_body(json!({ "detail": "The store cannot take it now." }).to_string()).create_async().await;
        let address = server.host_with_port().parse().expect("an address");
        let client = Client::to(address, None).expect("a client");
        let body = |cursor| json!({ "all": true, "cursor": cursor });
        let (done, error) = client.post_pages("/replay", body(Value::Null), "replayed").await.expect("a page");
        assert_eq!(done, json!({ "replayed": [1, 2], "woken": 2, "next_cursor": null }));
        assert!(error.is_some_and(|error| error.contains("The store cannot take it now.")));
        let nothing = client.post_pages("/replay", body(json!("behind-two")), "replayed").await;
        assert!(nothing.is_err_and(|error| error.contains("The store cannot take it now.")));
    }

    #[tokio::test]
    async fn what_each_page_names_or_counts_is_told_of_all() {
        let mut server = Server::new_async().await;
        for (at, next, n) in [(Value::Null, json!("2"), 1), (json!("2"), Value::Null, 2)] {
            let answer = json!({ "syncs": [n], "passed_over": [-n], "begun": n, "next_cursor": next });
            let page = server.mock("POST", "/syncs").match_body(Matcher::PartialJson(json!({ "cursor": at })));
            page.with_body(answer.to_string()).create_async().await;
        }
        let address = server.host_with_port().parse().expect("an address");
        let client = Client::to(address, None).expect("a client");
        let (done, error) = client.post_pages("/syncs", json!({ "cursor": null }), "syncs").await.expect("pages");
        assert_eq!(error, None);
        assert_eq!(done, json!({ "syncs": [1, 2], "passed_over": [-1, -2], "begun": 3, "next_cursor": null }));
    }

    #[test]
    fn every_address_is_reached_over_loopback() {
        for (bind, reached) in
            [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:9090", "[::1]:9090"), ("10.1.2.3:9090", "10.1.2.3:9090")]
        {
            assert_eq!(reachable(bind.parse().expect("an address")).to_string(), reached);
        }
        assert_eq!(segment("../x?y"), "..%2Fx%3Fy");
    }
}
