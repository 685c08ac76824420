//! Our webhook at ALC: intended, created, kept.
//!
//! Promises that an intent stands in the state before ALC is asked, so that a webhook whose creation is not heard of
//! again is found by its name and deleted, and that what ALC made is recorded before anything else can go wrong.

use secrecy::SecretString;

use super::{
    super::{
        alc_grant::{Grant, NoGrant},
        clean_up::named,
        service::{Connections, WEBHOOK_SECRET, pause},
        settings::WebhookSignature,
        workspace::side::Side,
        writing::Edit,
    },
    attempt::{CALL_AGAIN, CALLS, ConnectAttempt, ConnectError},
};
use crate::{
    alc::{CallError, CreatedWebhook, webhook_key},
    ids::WebhookId,
};

/// A webhook that is stored and about to be created. No `Debug`: the URL is secret.
struct Intent {
    id: WebhookId,
    name: String,
    url: SecretString,
}

/// What came of asking ALC for a webhook once.
enum Creation {
    Made(CreatedWebhook),
    /// ALC refuses the token.
    TokenRefused,
    /// Not made.
    NotMade(String),
    /// ALC may have made it, or make it yet.
    Unheard(String),
    /// Asking again would not help, or could not be told from this time.
    Hopeless(String),
}

impl Connections {
    /// ALC calls us from now on, as far as it is asked.
    pub(super) async fn register_webhook(&self, attempt: &ConnectAttempt) -> Result<(), ConnectError> {
        let mut grant = self.connecting_grant(attempt, None).await?;
        let mut intent = self.intend(attempt, None).await?;
        let mut made = self.make_webhook(attempt, &grant, &mut intent).await?;
        let first = grant.generation;
        for _ in 1..CALLS {
            // Of two tokens that ALC has just given and refuses, the second 401 is no stray.
            if made.is_some() || grant.generation != first {
                break;
            }
            grant = self.connecting_grant(attempt, Some(&grant)).await?;
            made = self.make_webhook(attempt, &grant, &mut intent).await?;
        }
        let made = made.ok_or(ConnectError::ReauthorizationRequired)?;
        self.keep(attempt, intent.id, &made).await?;
        self.judge_secret(&made)
    }

    /// The token of the connection that connects; another one than `refused`, if there can be one.
    async fn connecting_grant(&self, attempt: &ConnectAttempt, refused: Option<&Grant>) -> Result<Grant, ConnectError> {
        self.in_time(attempt)?;
        let mut workspace = self.load(&attempt.tenant).await?.ok_or(ConnectError::Unknown)?;
        let alc = &attempt.find(&workspace.value)?.alc;
        if alc.dead {
            return Err(ConnectError::ReauthorizationRequired);
        }
        let same = refused.is_some_and(|refused| refused.generation == alc.generation);
        if same && !alc.can_refresh() {
            // ALC's one 401 may be a stray.
            pause(CALL_AGAIN).await;
        } else if same || alc.must_refresh(self.clock.now()) {
            let renewed = self.renew(&attempt.tenant, attempt.connection, alc.generation, same).await;
            workspace = renewed.map_err(no_grant)?;
        }
        self.grant(attempt.workspace, attempt.find(&workspace.value)?).map_err(no_grant)
    }

    /// Stores what is about to be created, so that it is found and deleted if its creation is not heard of again;
    /// `instead` of one that may or may not be there, which is not wanted any more.
    async fn intend(&self, attempt: &ConnectAttempt, instead: Option<WebhookId>) -> Result<Intent, ConnectError> {
        self.in_time(attempt)?;
        let (webhook, url) = self.new_webhook(Side::Alc, attempt.workspace, attempt.connection);
        let (intended, _) = self
            .update(&attempt.tenant, |workspace, now| {
                let intended = workspace.is_some_and(|workspace| {
                    if let Some(lost) = instead.and_then(|lost| workspace.webhook_mut(Side::Alc, lost)) {
                        lost.unwanted(now);
                    }
                    workspace.intend_webhook(Side::Alc, webhook.clone(), attempt.owner)
                });
                if intended { Edit::Write(true) } else { Edit::Leave(false) }
            })
            .await?;
        if intended { Ok(Intent { id: webhook.id, name: webhook.name(), url }) } else { Err(ConnectError::Leaving) }
    }

    /// Creates the webhook at ALC; `None`: ALC refuses the token.
    async fn make_webhook(
        &self,
        attempt: &ConnectAttempt,
        grant: &Grant,
        intent: &mut Intent,
    ) -> Result<Option<CreatedWebhook>, ConnectError> {
        let mut last = String::new();
        for tries in 0..CALLS {
            if tries > 0 {
                pause(CALL_AGAIN).await;
            }
            self.in_time(attempt)?;
            match self.create_webhook(attempt, grant, intent).await? {
                Creation::Made(made) => return Ok(Some(made)),
                Creation::TokenRefused => return Ok(None),
                Creation::NotMade(why) => last = why,
                Creation::Unheard(why) => {
                    last = why;
                    if tries + 1 < CALLS {
                        // It is cleaned up under its own name. Its secret was in the answer, so the next one has a
                        // name, a URL and a secret of its own.
                        *intent = self.intend(attempt, Some(intent.id)).await?;
                    }
                }
                Creation::Hopeless(why) => {
                    last = why;
                    break;
                }
            }
        }
        Err(ConnectError::Unavailable(format!("ALC could not register the webhook: {last}")))
    }

    async fn create_webhook(
        &self,
        attempt: &ConnectAttempt,
        grant: &Grant,
        intent: &Intent,
    ) -> Result<Creation, ConnectError> {
        let token = &grant.access_token;
        Ok(match self.alc.create_webhook(token, &intent.name, &intent.url).await {
            Ok(created) if created.id.is_some() => Creation::Made(created),
            Ok(created) => {
                // Made, but ALC did not say what it is called. Without an id it cannot be deleted later.
                let id = self.alc.list_webhooks(token).await.ok().and_then(|listed| named(listed, &intent.name));
                Creation::Made(CreatedWebhook { id, ..created })
            }
            Err(CallError::Unauthorized) => Creation::TokenRefused,
            Err(error @ CallError::RateLimited { until }) => {
                if until >= attempt.deadline {
                    return Ok(Creation::Hopeless(error.to_string()));
                }
                self.clock.sleep_until(until).await;
                Creation::NotMade(error.to_string())
            }
            Err(error @ CallError::NotSent { .. }) => Creation::NotMade(error.to_string()),
            Err(error @ (CallError::Unknown { .. } | CallError::Unreadable { .. })) => {
                self.in_time(attempt)?;
                match self.alc.list_webhooks(token).await {
                    Ok(_) => Creation::Unheard(error.to_string()),
                    // ALC made it and lists nothing: it can never be deleted, so it is used. Its secret is lost with
                    // the answer; where one is required the connection is refused.
                    Err(CallError::Unsupported) if matches!(error, CallError::Unreadable { .. }) => {
                        Creation::Made(CreatedWebhook { id: None, secret: None })
                    }
                    // Whatever is made now could never be told from what comes of this one.
                    Err(_) => Creation::Hopeless(error.to_string()),
                }
            }
            Err(error) => return Err(ConnectError::Refused(format!("ALC does not register the webhook: {error}"))),
        })
    }

    /// Records what ALC made before anything else can go wrong: an ALC that lists nothing tells its id only once.
    async fn keep(
        &self,
        attempt: &ConnectAttempt,
        webhook: WebhookId,
        made: &CreatedWebhook,
    ) -> Result<(), ConnectError> {
        let secret = made.secret.as_ref().map(|secret| self.seal(attempt.workspace, webhook, WEBHOOK_SECRET, secret));
        self.record_unleased(&attempt.tenant, |workspace, now| {
            workspace.webhook_registered(Side::Alc, webhook, made.id.clone(), secret.clone(), now);
        })
        .await?;
        Ok(())
    }

    /// A secret that no signature can be checked with would refuse every callback, one by one, for ever.
    pub(in crate::connections) fn judge_secret(&self, created: &CreatedWebhook) -> Result<(), ConnectError> {
        match (self.settings.webhook_signature, &created.secret) {
            (WebhookSignature::Off, _) | (WebhookSignature::WhenSecretKnown, None) => Ok(()),
            (WebhookSignature::Required, None) => Err(ConnectError::Refused(
                "ALC gave no secret to sign its callbacks with, and ALC__WEBHOOK_SIGNATURE is `required`".to_owned(),
            )),
            (_, Some(secret)) => webhook_key::check(secret).map_err(|unusable| {
                ConnectError::Refused(format!(
                    "the secret of the webhook {unusable}. Have ALC give a proper one, or set ALC__WEBHOOK_SIGNATURE=off"
                ))
            }),
        }
    }
}

fn no_grant(error: NoGrant) -> ConnectError {
    match error {
        NoGrant::ReauthorizationRequired => ConnectError::ReauthorizationRequired,
        NoGrant::NotConnected => ConnectError::Leaving,
        NoGrant::Unavailable { detail, .. } => ConnectError::Unavailable(format!("ALC's token endpoint: {detail}")),
        NoGrant::Unopened { detail, .. } => {
            ConnectError::Unavailable(format!("ALC's token cannot be opened: {detail}"))
        }
        NoGrant::Store(error) => ConnectError::Store(error),
    }
}
