//! Attio's OAuth 2.0 and its tokens.
//!
//! Owns tokens: API keys and grants. They never expire, and there is no refresh. Promises that an unknown or revoked
//! one makes `GET /v2/self` say `{"active": false}` with status 200, as the real one does.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::json;

use super::{
    handle::Attio,
    state::{State, Token},
};
use crate::{
    ambient::random,
    wire::{Reply, Request},
};

const SCOPE: &str = "record_permission:read-write object_configuration:read-write webhook:read-write";

impl Token {
    pub(super) fn new(workspace_id: &str, now: Timestamp) -> Self {
        Self {
            workspace_id: workspace_id.to_owned(),
            member_id: uuid::Uuid::new_v4().to_string(),
            issued_at: now.as_second(),
            active: true,
            by_code: false,
        }
    }
}

impl State {
    pub(super) fn authorized(&self, request: &Request) -> bool {
        request.bearer().and_then(|token| self.tokens.get(token)).is_some_and(|token| token.active)
    }

    pub(super) fn identify(&self, request: &Request) -> Reply {
        let token = request.bearer().and_then(|token| self.tokens.get(token)).filter(|token| token.active);
        let Some(token) = token else { return Reply::json(200, &json!({ "active": false })) };
        let client_id = &self.settings.client_id;
        Reply::json(
            200,
            &json!({
                "active": true,
                "scope": SCOPE,
                "client_id": client_id,
                "token_type": "Bearer",
                "exp": null,
                "iat": token.issued_at,
                "sub": token.workspace_id,
                "aud": client_id,
                "iss": "attio.com",
                "authorized_by_workspace_member_id": token.member_id,
                "workspace_id": token.workspace_id,
                "workspace_name": "Sandbox Workspace",
                "workspace_slug": "sandbox-workspace",
                "workspace_logo_url": null,
            }),
        )
    }

    pub(super) fn authorize(&mut self, request: &Request) -> Reply {
        let query = request.query_pairs();
        let get = |name: &str| query.get(name).map_or("", String::as_str);
        let Ok(mut target) = url::Url::parse(get("redirect_uri")) else {
            return Reply::html(400, "<h1>Attio: redirect_uri is no URL</h1>");
        };
        if get("client_id") != self.settings.client_id || get("response_type") != "code" {
            return Reply::html(400, "<h1>Attio: unknown client_id or response_type</h1>");
        }
        let code = random("attio_code_");
        self.codes.insert(code.clone(), get("redirect_uri").to_owned());
        target.query_pairs_mut().append_pair("code", &code).append_pair("state", get("state"));
        Reply::redirect(target.as_str())
    }

    pub(super) fn token(&mut self, request: &Request, now: Timestamp) -> Reply {
        let form = request.form();
        if !self.client_authenticated(request, &form) {
            return Reply::json(401, &json!({ "error": "invalid_client" }));
        }
        let code = form.get("code").map_or("", String::as_str);
        let grant_type = form.get("grant_type").map_or("", String::as_str);
        // Removed by looking: a code works once, whatever comes of it.
        let redirect_uri = self.codes.remove(code);
        let same = redirect_uri.is_some_and(|uri| form.get("redirect_uri").is_none_or(|given| *given == uri));
        if grant_type != "authorization_code" || !same {
            return Reply::json(400, &json!({ "error": "invalid_grant" }));
        }
        let access_token = random("attio_access_");
        let workspace_id = self.settings.workspace_id.clone();
        let token = Token { by_code: true, ..Token::new(&workspace_id, now) };
        self.tokens.insert(access_token.clone(), token);
        Reply::json(200, &json!({ "access_token": access_token, "token_type": "Bearer" }))
    }

    pub(super) fn revoke(&mut self, request: &Request) -> Reply {
        let form = request.form();
        let Some(token) = form.get("token") else {
            return Reply::json(400, &json!({ "error": "invalid_request" }));
        };
        if let Some(token) = self.tokens.get_mut(token) {
            token.active = false;
        }
        Reply::empty(204)
    }

    fn client_authenticated(&self, request: &Request, form: &BTreeMap<String, String>) -> bool {
        let wanted = (&self.settings.client_id, &self.settings.client_secret);
        let basic = BASE64_STANDARD.encode(format!("{}:{}", wanted.0, wanted.1));
        request.header("authorization") == Some(&format!("Basic {basic}"))
            || (form.get("client_id") == Some(wanted.0) && form.get("client_secret") == Some(wanted.1))
    }
}

impl Attio {
    /// Ends a token, API key or grant.
    pub fn revoke_token(&self, token: &str) {
        if let Some(token) = self.shared.state().tokens.get_mut(token) {
            token.active = false;
        }
    }

    /// `ATTIO__OAUTH__CLIENT_ID`.
    pub fn client_id(&self) -> String {
        self.shared.state().settings.client_id.clone()
    }

    /// `ATTIO__OAUTH__CLIENT_SECRET`.
    pub fn client_secret(&self) -> String {
        self.shared.state().settings.client_secret.clone()
    }

    /// `ATTIO__OAUTH__AUTHORIZE_URL`.
    pub fn authorize_url(&self) -> String {
        format!("{}/authorize", self.url())
    }

    /// `ATTIO__OAUTH__TOKEN_URL`.
    pub fn token_url(&self) -> String {
        format!("{}/oauth/token", self.url())
    }

    /// `ATTIO__OAUTH__REVOKE_URL`.
    pub fn revoke_url(&self) -> String {
        format!("{}/oauth/revoke", self.url())
    }

    /// How many grants had by code stand: not revoked, neither by us nor by the client.
    pub fn living_grants(&self) -> usize {
        self.shared.state().tokens.values().filter(|token| token.by_code && token.active).count()
    }

    /// Ends every grant had by code, as a person does in Attio's settings.
    pub fn revoke_grants(&self) {
        self.shared.state().tokens.values_mut().filter(|token| token.by_code).for_each(|token| token.active = false);
    }

    /// Adds a token for a workspace, e.g. another one.
    pub fn add_token(&self, workspace_id: &str) -> String {
        let token = random("attio_access_");
        let now = self.shared.time.now();
        self.shared.state().tokens.insert(token.clone(), Token::new(workspace_id, now));
        token
    }
}
