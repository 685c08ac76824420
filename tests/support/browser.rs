//! A browser, as far as the consent needs one: follows redirects one by one, keeps cookies by host.

use std::collections::BTreeMap;

use super::http::{Answer, send};

/// Cookies and nothing else.
pub struct Browser {
    client: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser without cookies.
    pub fn new(client: reqwest::Client) -> Self {
        Self { client, cookies: BTreeMap::new() }
    }

    /// Becomes a copy of another browser, as a thief of its cookies would.
    pub fn take_cookies_of(&mut self, other: &Self) {
        self.cookies.clone_from(&other.cookies);
    }

    /// All that it keeps.
    pub fn cookies(&self) -> &BTreeMap<String, String> {
        &self.cookies
    }

    /// Keeps these, whatever it kept before.
    pub fn keep(&mut self, cookies: BTreeMap<String, String>) {
        self.cookies = cookies;
    }

    /// A page of the service; the contract judges it.
    pub async fn visit(&mut self, url: &str) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = self.client.get(url);
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let answer = send(request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let pair = cookie.to_str().expect("text").split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        self.cookies.retain(|_, value| !value.is_empty());
        answer
    }

    /// A provider's consent page, which consents by itself; where it leads.
    pub async fn consent(&self, url: &str) -> String {
        let response = self.client.get(url).send().await.expect("an answer");
        let location = response.headers().get("location").expect("a redirect");
        location.to_str().expect("text").to_owned()
    }
}
