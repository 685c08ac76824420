//! ALC's OAuth 2.0: consent, codes, tokens, revocation.
//!
//! Owns grants. Promises that a code works once, for the redirect URI and the PKCE challenge it was asked with, and
//! that a token works until it expires, is rotated away, or its grant is revoked.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    handle::Alc,
    settings::Consent,
    state::{Code, Grant, State},
};
use crate::{
    ambient::random,
    wire::{Reply, Request, decode_form},
};

impl State {
    /// Whether a request carries an access token that works now.
    pub(super) fn authorized(&self, request: &Request, now: Timestamp) -> bool {
        let Some(token) = request.bearer() else { return false };
        self.grants
            .iter()
            .filter(|grant| !grant.revoked)
            .any(|grant| grant.access_tokens.get(token).is_some_and(|expiry| expiry.is_none_or(|expiry| now < expiry)))
    }

    pub(super) fn authorize(&mut self, request: &Request) -> Reply {
        let parameters = if request.method == "POST" { request.form() } else { request.query_pairs() };
        let get = |name: &str| parameters.get(name).cloned();
        let (Some(redirect_uri), Some(client_id)) = (get("redirect_uri"), get("client_id")) else {
            return Reply::html(400, "<h1>ALC: client_id or redirect_uri is missing</h1>");
        };
        let Ok(mut target) = url::Url::parse(&redirect_uri) else {
            return Reply::html(400, "<h1>ALC: redirect_uri is no URL</h1>");
        };
        if client_id != self.settings.client_id {
            return Reply::html(400, "<h1>ALC: unknown client_id</h1>");
        }
        let consent = match get("decision").as_deref() {
            Some("allow") => Consent::Allow,
            Some(_) => Consent::Deny,
            None => self.settings.consent,
        };
        let error = if get("response_type").as_deref() != Some("code") {
            Some("unsupported_response_type")
        } else if get("code_challenge").is_some() && get("code_challenge_method").as_deref() != Some("S256") {
            Some("invalid_request")
        } else if consent == Consent::Deny {
            Some("access_denied")
        } else {
            None
        };
        if error.is_none() && consent == Consent::Ask {
            return Reply::html(200, &consent_page(&parameters));
        }
        match error {
            Some(error) => drop(target.query_pairs_mut().append_pair("error", error)),
            None => {
                let code = random("code_");
                let (challenge, scope) = (get("code_challenge"), get("scope"));
                self.codes.insert(code.clone(), Code { redirect_uri, challenge, scope, used: false });
                target.query_pairs_mut().append_pair("code", &code);
            }
        }
        if let Some(state) = get("state") {
            target.query_pairs_mut().append_pair("state", &state);
        }
        Reply::redirect(target.as_str())
    }

    pub(super) fn token(&mut self, request: &Request, now: Timestamp) -> Reply {
        let form = request.form();
        if !self.client_authenticated(request, &form) {
            return refusal(401, "invalid_client").with("www-authenticate", "Basic realm=\"ALC\"");
        }
        let get = |name: &str| form.get(name).map_or("", String::as_str);
        match get("grant_type") {
            "authorization_code" => self.exchange(get("code"), get("redirect_uri"), get("code_verifier"), now),
            "refresh_token" => self.refresh(get("refresh_token"), now),
            _ => refusal(400, "unsupported_grant_type"),
        }
    }

    fn exchange(&mut self, code: &str, redirect_uri: &str, verifier: &str, now: Timestamp) -> Reply {
        let Some(issued) = self.codes.get_mut(code) else { return refusal(400, "invalid_grant") };
        let proven = match &issued.challenge {
            Some(challenge) => *challenge == s256(verifier),
            None => verifier.is_empty(),
        };
        if issued.used {
            // RFC 6749 §4.1.2: a code that comes twice may have been stolen.
            self.grants.iter_mut().filter(|grant| grant.code == code).for_each(|grant| grant.revoked = true);
            return refusal(400, "invalid_grant");
        }
        if issued.redirect_uri != redirect_uri || !proven {
            return refusal(400, "invalid_grant");
        }
        issued.used = true;
        let refresh_token = self.settings.refresh_tokens.then(|| random("alc_refresh_"));
        let mut grant = Grant { access_tokens: BTreeMap::new(), refresh_token, code: code.to_owned(), revoked: false };
        let mut answer = self.add_access_token(&mut grant, now);
        if let Some(refresh_token) = &grant.refresh_token {
            answer["refresh_token"] = json!(refresh_token);
        }
        self.grants.push(grant);
        self.handed_out(answer)
    }

    fn refresh(&mut self, refresh_token: &str, now: Timestamp) -> Reply {
        let at = self
            .grants
            .iter()
            .position(|grant| !grant.revoked && grant.refresh_token.as_deref() == Some(refresh_token));
        let Some(at) = at else { return refusal(400, "invalid_grant") };
        let mut grant = self.grants[at].clone();
        let mut answer = self.add_access_token(&mut grant, now);
        if self.settings.rotate_refresh_tokens {
            grant.refresh_token = Some(random("alc_refresh_"));
        }
        if self.settings.rotate_refresh_tokens || self.settings.repeat_refresh_token {
            answer["refresh_token"] = json!(grant.refresh_token);
        }
        self.grants[at] = grant;
        self.handed_out(answer)
    }

    fn handed_out(&self, mut answer: Value) -> Reply {
        for (name, value) in &self.settings.token_members {
            answer[name.as_str()] = value.clone();
        }
        Reply::json(200, &answer).with("cache-control", "no-store")
    }

    /// Puts a fresh access token into `grant`, and gives the answer that hands it out.
    fn add_access_token(&self, grant: &mut Grant, now: Timestamp) -> Value {
        let access_token = random("alc_access_");
        let expiry = self.settings.expires_in.map(|seconds| now + SignedDuration::from_secs(seconds.into()));
        grant.access_tokens.insert(access_token.clone(), expiry);
        let mut answer = json!({ "access_token": access_token, "token_type": "Bearer" });
        if let Some(seconds) = self.settings.expires_in {
            answer["expires_in"] = json!(seconds);
        }
        answer
    }

    pub(super) fn revoke(&mut self, request: &Request) -> Reply {
        let form = request.form();
        if !self.client_authenticated(request, &form) {
            return refusal(401, "invalid_client");
        }
        let Some(token) = form.get("token") else { return refusal(400, "invalid_request") };
        for grant in &mut self.grants {
            if grant.refresh_token.as_ref() == Some(token) || grant.access_tokens.contains_key(token) {
                grant.revoked = true;
            }
        }
        // RFC 7009 §2.2: an unknown token is revoked already.
        Reply::empty(200)
    }

    pub(super) fn expire_access_tokens(&mut self) {
        self.grants.iter_mut().for_each(|grant| grant.access_tokens.clear());
    }

    pub(super) fn revoke_grants(&mut self) {
        self.grants.iter_mut().for_each(|grant| grant.revoked = true);
    }

    fn client_authenticated(&self, request: &Request, form: &BTreeMap<String, String>) -> bool {
        let (id, secret) = match request.header("authorization").and_then(|value| value.strip_prefix("Basic ")) {
            Some(basic) => {
                let Ok(decoded) = BASE64_STANDARD.decode(basic) else { return false };
                let decoded = String::from_utf8_lossy(&decoded).into_owned();
                let Some((id, secret)) = decoded.split_once(':') else { return false };
                // RFC 6749 §2.3.1: both are form-encoded inside Basic.
                (form_decoded(id), form_decoded(secret))
            }
            None => {
                let get = |name: &str| form.get(name).cloned().unwrap_or_default();
                (get("client_id"), get("client_secret"))
            }
        };
        id == self.settings.client_id && secret == self.settings.client_secret
    }
}

impl Alc {
    /// Ends every access token; refresh tokens go on.
    pub fn expire_access_tokens(&self) {
        self.shared.state().expire_access_tokens();
    }

    /// Ends every grant, as if the customer had withdrawn the consent at ALC.
    pub fn revoke_grants(&self) {
        self.shared.state().revoke_grants();
    }

    /// How many grants there are that still work.
    pub fn living_grants(&self) -> usize {
        self.shared.state().grants.iter().filter(|grant| !grant.revoked).count()
    }

    /// An access token that works, without any dance: for tests that speak to this ALC themselves.
    pub fn issue_access_token(&self) -> String {
        let token = random("alc_access_");
        let access_tokens = BTreeMap::from([(token.clone(), None)]);
        let grant = Grant { access_tokens, refresh_token: None, code: String::new(), revoked: false };
        self.shared.state().grants.push(grant);
        token
    }
}

fn s256(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn form_decoded(text: &str) -> String {
    decode_form(format!("v={text}").as_bytes()).remove("v").unwrap_or_default()
}

fn refusal(status: u16, error: &str) -> Reply {
    Reply::json(status, &json!({ "error": error })).with("cache-control", "no-store")
}

fn consent_page(parameters: &BTreeMap<String, String>) -> String {
    let fields: String = parameters
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value)))
        .collect();
    include_str!("../../assets/consent.html").replace("{{fields}}", &fields)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
