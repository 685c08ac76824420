//! A person whom ALC brings: durable before ALC is answered.

use super::alc::CallbackOutcome;
use crate::{
    alc::prospect as told,
    ids::WebhookId,
    leads::{
        places::digest_of,
        prospect::{
            aggregate::{EMAIL, NAME, Prospect, Told},
            resealing::logical_key,
        },
        service::Leads,
    },
    store::{Decision, LeaseChange, Patience, StoreError, Tenant, Versioned},
};

impl Leads {
    /// Commits what ALC says of a person; `id` is the call's own, which ALC keeps over its repeats.
    pub(super) async fn take_prospect(
        &self,
        tenant: &Tenant,
        webhook: WebhookId,
        prospect: &told::Prospect,
        id: Option<&str>,
    ) -> Result<CallbackOutcome, StoreError> {
        if told::is_under_way(prospect) {
            return Ok(CallbackOutcome::Unfinished);
        }
        let key = self.prospect_id(tenant, &prospect.email);
        let seal = |field, text| self.seal_of_prospect(tenant, &key, field, text);
        let told = Told {
            email: seal(EMAIL, &prospect.email),
            name: prospect.name.as_ref().map(|name| seal(NAME, name)),
            lead_id: prospect.lead_id.clone(),
            result: prospect.status.clone(),
            words: self.seal_words(&logical_key(tenant, &key), &prospect.words),
            webhook,
            call: id.map(digest_of),
        };
        let change = |found: &mut Option<Versioned<Prospect>>, now| {
            let told = told.clone();
            match found {
                Some(known) => {
                    if !known.value.tell(told) {
                        return Decision::Leave(CallbackOutcome::Repeated);
                    }
                }
                None => *found = Some(Versioned::new(Prospect::new(told, now))),
            }
            let due = found.as_ref().and_then(|known| known.value.retry_at).filter(|at| *at > now).unwrap_or(now);
            Decision::Write(LeaseChange::Leave { due: Some(due) }, CallbackOutcome::Prospect)
        };
        let (outcome, _) = self.parts.store.change(tenant, &key, Patience::CALLER, change).await?;
        Ok(outcome)
    }
}
