//! How the pretend ALC behaves.

use serde::{Deserialize, Serialize};

/// What the consent page does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Shows a page with two buttons.
    Ask,
    /// Redirects at once with a code.
    Allow,
    /// Redirects at once with `error=access_denied`.
    Deny,
}

/// The switches of the pretend ALC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The one OAuth client.
    pub client_id: String,
    /// Its secret; accepted by Basic and in the body.
    pub client_secret: String,
    /// What the consent page does.
    pub consent: Consent,
    /// `expires_in` of access tokens; none: not said, and never expiring.
    pub expires_in: Option<u32>,
    /// Whether a refresh token is handed out.
    pub refresh_tokens: bool,
    /// Whether a refresh ends the old refresh token and hands out a new one.
    pub rotate_refresh_tokens: bool,
    /// Whether a refresh answer repeats the refresh token when it is not rotated.
    pub repeat_refresh_token: bool,
    /// Whether there is a revocation endpoint.
    pub revocation: bool,
    /// Whether `Idempotency-Key` is honoured on leads.
    pub idempotency: bool,
    /// Whether leads can be looked up.
    pub look_ups: bool,
    /// Whether webhooks can be listed.
    pub webhook_list: bool,
    /// Whether webhooks get a secret, and callbacks a signature.
    pub secrets: bool,
    /// With which method a webhook's URL is tried before it is registered; one that does not answer 2xx is refused.
    pub tries_urls: Option<String>,
    /// Whether callbacks carry `lead_id` and `event`.
    pub rich_callbacks: bool,
    /// Whether lead ids are JSON numbers.
    pub numeric_ids: bool,
    /// Whether the answer to a lead has an `id`.
    pub lead_ids: bool,
    /// How a collection answers a method that ALC lacks: 404, 405 or 501.
    pub lacking: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self::rich()
    }
}

impl Settings {
    /// All that such services commonly have.
    pub fn rich() -> Self {
        Self {
            client_id: "alc-client".to_owned(),
            client_secret: "alc-client-secret".to_owned(),
            consent: Consent::Allow,
            expires_in: Some(3600),
            refresh_tokens: true,
            rotate_refresh_tokens: true,
            repeat_refresh_token: false,
            revocation: true,
            idempotency: true,
            look_ups: true,
            webhook_list: true,
            secrets: true,
            tries_urls: None,
            rich_callbacks: true,
            numeric_ids: false,
            lead_ids: true,
            lacking: 405,
        }
    }

    /// Nothing but the calls that ALC is known to have.
    pub fn minimal() -> Self {
        Self {
            expires_in: None,
            refresh_tokens: false,
            rotate_refresh_tokens: false,
            revocation: false,
            idempotency: false,
            look_ups: false,
            webhook_list: false,
            secrets: false,
            rich_callbacks: false,
            ..Self::rich()
        }
    }
}
