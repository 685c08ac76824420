//! What reaches Acme Lead Checker, and what it is asked for.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::hints::{AN_URL, DURATION, LONGEST_TIMEOUT};
use crate::{
    alc::oauth::ClientAuthentication,
    config::{check, reader::Reader},
    connections::WebhookSignature,
};

/// `ALC__…`.
#[derive(Debug, Clone)]
pub struct Alc {
    /// ALC's API.
    pub base_url: Url,
    /// Where a browser consents.
    pub authorize_url: Url,
    /// Where codes and refresh tokens are exchanged.
    pub token_url: Url,
    /// RFC 7009; `None`: ALC cannot revoke.
    pub revoke_url: Option<Url>,
    /// Our id there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: SecretString,
    /// What is asked for; may be none.
    pub scopes: Vec<String>,
    /// How we authenticate.
    pub client_authentication: ClientAuthentication,
    /// Which callbacks must be signed.
    pub webhook_signature: WebhookSignature,
    /// Whether an unknown outcome is sent again where ALC can neither look up nor deduplicate.
    pub resend_unknown: bool,
    /// When a lead is first looked up for which ALC has not called back; `None`: never.
    pub poll_after: Option<Duration>,
    /// One attempt, connect included.
    pub timeout: Duration,
}

impl Alc {
    pub(in crate::config) fn read(r: &mut Reader) -> Option<Self> {
        let base_url = r.parsed("alc.base_url", AN_URL, check::alc_base);
        let authorize_url =
            r.parsed("alc.authorize_url", "set it to ALC's OAuth authorization endpoint", check::authorize);
        let token_url = r.parsed("alc.token_url", "set it to ALC's OAuth token endpoint", check::endpoint);
        let revoke_url = r.parsed_if_set("alc.revoke_url", check::endpoint);
        let client_id = r.credential("alc.client_id", "set it to the client id that ALC gave you");
        let client_secret = r.credential("alc.client_secret", "set it to the client secret that ALC gave you");
        r.judge("alc.client_secret", check::are_two(client_id.as_deref(), client_secret.as_deref()));
        let scopes = r.parsed_if_set("alc.scopes", check::scopes).unwrap_or_default();
        let client_authentication =
            r.parsed("alc.client_authentication", "set it to basic or post", |text| match text {
                "basic" => Ok(ClientAuthentication::Basic),
                "post" => Ok(ClientAuthentication::Post),
                _ => Err("must be basic or post".to_owned()),
            });
        let webhook_signature = r.parsed("alc.webhook_signature", "set it to when-secret-known", |text| match text {
            "when-secret-known" => Ok(WebhookSignature::WhenSecretKnown),
            "required" => Ok(WebhookSignature::Required),
            "off" => Ok(WebhookSignature::Off),
            _ => Err("must be when-secret-known, required or off".to_owned()),
        });
        let resend_unknown = r.parsed("alc.resend_unknown", "set it to true or false", check::boolean);
        let poll_after = r.parsed("alc.poll_after", "set it to a duration such as 6h, or to 0s", check::duration);
        let timeout = r.parsed("alc.timeout", DURATION, check::duration_up_to(LONGEST_TIMEOUT));
        Some(Self {
            base_url: base_url?,
            authorize_url: authorize_url?,
            token_url: token_url?,
            revoke_url,
            client_id: client_id?,
            client_secret: client_secret?.into(),
            scopes,
            client_authentication: client_authentication?,
            webhook_signature: webhook_signature?,
            resend_unknown: resend_unknown?,
            poll_after: poll_after.map(|after| Some(after).filter(|after| !after.is_zero()))?,
            timeout: timeout?,
        })
    }
}
