//! The callback URLs that presses name: sealed, told apart without opening them, and let wait.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Map;

use super::{
    lead::{
        aggregate::Lead,
        calls::{Hook, Recipient, TooManyWaiting},
    },
    places::{logical_key, place},
    service::Leads,
};
use crate::{
    clock::Timestamp,
    ids::{RecordId, SendId},
    notify::{CallbackUrl, UrlRefused},
    store::Tenant,
};

/// The name of the sealed field.
pub(super) const FIELD: &str = "finish_callback_url";

impl Leads {
    /// A callback URL that may be called, or why not.
    pub fn callback_url(&self, text: &str) -> Result<CallbackUrl, UrlRefused> {
        self.parts.workflows.guard().check(&SecretString::from(text))
    }

    /// The URL as a lead keeps it.
    fn hook(&self, tenant: &Tenant, record: RecordId, url: &CallbackUrl) -> Hook {
        let (logical, url) = (logical_key(tenant, record), url.to_secret());
        let print = self.parts.sealer.fingerprint(&purpose(&logical), url.expose_secret().as_bytes());
        Hook { url: self.parts.sealer.seal(place(&logical, FIELD), &url), print, extra: Map::new() }
    }

    fn is_same(&self, tenant: &Tenant, record: RecordId, url: &CallbackUrl, hook: &Hook) -> bool {
        let purpose = purpose(&logical_key(tenant, record));
        self.parts.sealer.matches(&purpose, url.to_secret().expose_secret().as_bytes(), &hook.print)
    }

    /// Lets `url` wait for the present send; `false` if it does already.
    pub(super) fn let_wait(
        &self,
        tenant: &Tenant,
        lead: &mut Lead,
        url: Option<&CallbackUrl>,
        now: Timestamp,
    ) -> Result<bool, TooManyWaiting> {
        let Some(url) = url.filter(|url| !self.waits(tenant, lead, url)) else { return Ok(false) };
        let hook = self.hook(tenant, lead.record_id, url);
        lead.calls.let_wait(hook, now)?;
        Ok(true)
    }

    fn waits(&self, tenant: &Tenant, lead: &Lead, url: &CallbackUrl) -> bool {
        lead.calls.waiting.iter().any(|waiting| self.is_same(tenant, lead.record_id, url, &waiting.hook))
    }

    /// What a repeated press changes: the URL that it names waits for its send, or is told again what that came to.
    /// `false`: nothing.
    pub(super) fn tell_of_repeat(
        &self,
        tenant: &Tenant,
        lead: &mut Lead,
        send: SendId,
        url: Option<&CallbackUrl>,
        now: Timestamp,
    ) -> Result<bool, TooManyWaiting> {
        let (Some(url), Some(outcome)) = (url, lead.outcome_of(send).cloned()) else { return Ok(false) };
        if outcome.status.is_live() {
            return self.let_wait(tenant, lead, Some(url), now);
        }
        let record = lead.record_id;
        if send == lead.send.outcome.id && self.waits(tenant, lead, url) {
            // Not noted yet: it waits, and is told with the others.
            return Ok(false);
        }
        lead.calls.owed.retain(|owed| match &owed.to.recipient {
            Recipient::Step(hook) => owed.send != send || !self.is_same(tenant, record, url, hook),
            Recipient::Trigger(_) => true,
        });
        let to = Recipient::Step(self.hook(tenant, record, url));
        lead.calls.owe(to, &outcome, now, now, self.settings.deadlines.result);
        Ok(true)
    }
}

pub(super) fn purpose(logical: &str) -> String {
    format!("{FIELD}/{logical}")
}
