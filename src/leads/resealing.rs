//! What of a lead is sealed, for the rotation of the sealing key.
//!
//! Promises that whatever a lead keeps sealed is named here: name and number until ALC has them, what Attio had of them
//! a moment ago, what ALC said until it is written on the record, and the callback URLs of workflows that wait, are
//! owed a call or were given up, with the fingerprints by which they are told apart.

use secrecy::ExposeSecret as _;

use super::{
    hooks,
    lead::{
        aggregate::Lead,
        calls::{Calls, Hook, Recipient},
    },
    places::{logical_key, place},
    press::receipt::Receipt,
    service::Leads,
    words,
};
use crate::{
    sealing::{OpenError, Sealed, Sealer},
    store::{CodecError, Document, Resealed, StoreError, Tenant, Versioned, moving::Examined},
};

impl Leads {
    /// The labels under which the store keeps all leads, those that only forward among them.
    pub fn labels() -> Vec<&'static str> {
        Lead::labels()
    }

    /// Seals anew what the previous key sealed of this lead; with `only_look` nothing is written.
    pub async fn reseal(
        &self,
        tenant: &Tenant,
        mut lead: Versioned<Lead>,
        only_look: bool,
    ) -> Result<Resealed, StoreError> {
        let sealer = &self.parts.sealer;
        if sealed_of(&mut lead.value).iter().all(|(_, sealed)| sealer.is_current(sealed)) {
            return Ok(Resealed::Current);
        }
        if only_look {
            return Ok(Resealed::Left);
        }
        let resealed = self.seal_anew(tenant, &mut lead.value);
        let id = lead.value.record_id.to_string();
        self.parts.store.put_resealed(tenant, &id, &lead, resealed).await
    }

    fn seal_anew(&self, tenant: &Tenant, lead: &mut Lead) -> (bool, Result<(), OpenError>) {
        let (sealer, logical) = (&self.parts.sealer, logical_key(tenant, lead.record_id));
        let sealed = sealer.reseal_all(&logical, sealed_of(lead));
        let purpose = hooks::purpose(&logical);
        for hook in hooks_of(&mut lead.calls) {
            // The previous key made the fingerprint, too.
            if let Ok(url) = sealer.open(place(&logical, hooks::FIELD), &hook.url) {
                hook.print = sealer.fingerprint(&purpose, url.expose_secret().as_bytes());
            }
        }
        sealed
    }
}

/// What is wrong with a stored lead.
pub fn examine(tenant: &Tenant, document: &Document, sealer: &Sealer) -> Result<Examined, CodecError> {
    let (mut lead, mut examined) = Examined::read::<Lead>(document)?;
    let logical = logical_key(tenant, lead.record_id);
    examined.open(sealer, &logical, sealed_of(&mut lead));
    Ok(examined)
}

/// What is wrong with a stored receipt, which seals nothing.
pub fn examine_receipt(document: &Document) -> Result<Examined, CodecError> {
    Examined::read::<Receipt>(document).map(|(_, examined)| examined)
}

/// Everything sealed of a lead, with the name of its field.
fn sealed_of(lead: &mut Lead) -> Vec<(&'static str, &mut Sealed)> {
    let Lead { send, calls, notes, known, .. } = lead;
    let mut sealed = Vec::new();
    let known = known.as_mut().map(|known| &mut known.person);
    for person in send.person.as_mut().into_iter().chain(known) {
        sealed.push(("name", &mut person.name));
        sealed.push(("phone_number", &mut person.phone_number));
    }
    sealed.extend(notes.words_mut().map(|said| (words::FIELD, said)));
    sealed.extend(hooks_of(calls).map(|hook| (hooks::FIELD, &mut hook.url)));
    sealed
}

fn hooks_of(calls: &mut Calls) -> impl Iterator<Item = &mut Hook> {
    let waiting = calls.waiting.iter_mut().map(|waiting| &mut waiting.hook);
    let given_up = calls.given_up.calls_mut();
    waiting.chain(calls.owed.iter_mut().chain(given_up).filter_map(|owed| step_of(&mut owed.to.recipient)))
}

fn step_of(recipient: &mut Recipient) -> Option<&mut Hook> {
    match recipient {
        Recipient::Step(hook) => Some(hook),
        Recipient::Trigger(_) => None,
    }
}
