//! What the service is told by its operator.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::{attio, store::gate::Gate, upstream::Schedule};

/// Whether callbacks have to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebhookSignature {
    /// A registration without a secret fails.
    Required,
    /// If ALC gave a secret.
    #[default]
    WhenSecretKnown,
    /// Never.
    Off,
}

/// How a callback of a webhook is judged.
pub enum WebhookSecret {
    /// By no signature.
    NotNeeded,
    /// By a signature that was made with this.
    Known(SecretString),
    /// By a signature that nothing can verify: ALC told no secret, and a callback without one must not be believed.
    NeverTold,
    /// The same, but ALC's answer with the secret may still come.
    OnItsWay,
}

impl WebhookSecret {
    /// The secret.
    pub fn known(self) -> Option<SecretString> {
        if let Self::Known(secret) = self { Some(secret) } else { None }
    }
}

/// What the service is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What ALC reaches us by.
    pub public_url: Url,
    /// The workspace access token that every connection uses; `None`: each brings a grant of its own.
    pub attio_api_key: Option<SecretString>,
    /// What Attio's People need.
    pub attributes: attio::Attributes,
    /// `ATTIO__SEND_ON_LIST`.
    pub send_on_list: Option<String>,
    /// What the status attribute shows.
    pub titles: attio::Titles,
    /// Where results put people; `None`: nowhere.
    pub pipeline: Option<attio::Pipeline>,
    /// What every write to Attio goes through.
    pub attio_gate: Gate,
    /// Whether callbacks have to be signed.
    pub webhook_signature: WebhookSignature,
    /// When what must be done is tried again.
    pub retry_schedule: Schedule,
    /// How long one call to ALC or Attio may take.
    pub upstream_timeout: Duration,
    /// How long finished leads are kept. What they came to is owed to Attio, so no workspace is forgotten before.
    pub retention: Duration,
}
