//! The URLs that we register at ALC and at Attio: how they are made, and how ours are told from others'.
//!
//! Promises that each ends in a fresh secret of which only the hash is kept, and that the webhook remembers under which
//! `PUBLIC_URL` it was made.

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    service::Connections,
    workspace::{side::Side, webhook::Webhook},
};
use crate::ids::{ConnectionId, OpaqueToken, WebhookId, WorkspaceId};

/// Where a side calls, below `PUBLIC_URL`.
const fn path(side: Side) -> &'static str {
    match side {
        Side::Alc => "/webhooks/alc/",
        Side::Attio => "/webhooks/attio/",
    }
}

impl Connections {
    /// A webhook that is about to be made at that side, and its URL.
    pub(super) fn new_webhook(
        &self,
        side: Side,
        workspace: WorkspaceId,
        connection: ConnectionId,
    ) -> (Webhook, SecretString) {
        let (token, base) = (OpaqueToken::new(workspace), self.base());
        let url = SecretString::from(format!("{base}{}{}", path(side), token.to_text().expose_secret()));
        let mut webhook = Webhook::intended(WebhookId::random(), connection, token.hash(), self.clock.now());
        webhook.base = Some(base.to_owned());
        (webhook, url)
    }

    /// `PUBLIC_URL`, as URLs of ours begin.
    pub(super) fn base(&self) -> &str {
        self.settings.public_url.as_str().trim_end_matches('/')
    }
}

/// The length of a secret of ours, base64url.
const SECRET_LENGTH: usize = 43;

/// What a URL as we register them at that side begins with, and its token; `None`: it is none of ours.
pub(super) fn taken_apart(side: Side, url: &str) -> Option<(&str, OpaqueToken)> {
    let (base, token) = url.rsplit_once(path(side))?;
    let token = OpaqueToken::parse(token)?;
    // Masked, cut, or with something behind it, it says nothing of whose it is.
    let secret = token.secret.expose_secret();
    let is_whole = secret.len() == SECRET_LENGTH
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_whole.then_some((base, token))
}
