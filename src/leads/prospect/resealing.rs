//! What of a person whom ALC brings is sealed, and how their document is found.

use secrecy::{ExposeSecret as _, SecretString};

use super::aggregate::{EMAIL, Prospect};
use crate::{
    leads::{
        places::{digest_of, place},
        service::Leads,
    },
    sealing::{Sealed, Sealer},
    store::{CodecError, Document, Resealed, StoreError, Tenant, moving::Examined},
};

/// The logical key under which the fields of a person are sealed.
pub(in crate::leads) fn logical_key(tenant: &Tenant, id: &str) -> String {
    format!("prospect/{tenant}/{id}")
}

impl Leads {
    /// The id of the person with this address. Keyed, since addresses can be guessed; after a change of the sealing key
    /// there may be a second document of one person, and Attio makes one record of both.
    pub(in crate::leads) fn prospect_id(&self, tenant: &Tenant, email: &SecretString) -> String {
        let purpose = logical_key(tenant, EMAIL);
        digest_of(self.parts.sealer.fingerprint(&purpose, email.expose_secret().as_bytes()).as_str())
    }

    /// A field of a person, sealed.
    pub(in crate::leads) fn seal_of_prospect(
        &self,
        tenant: &Tenant,
        id: &str,
        field: &str,
        text: &SecretString,
    ) -> Sealed {
        self.parts.sealer.seal(place(&logical_key(tenant, id), field), text)
    }

    /// Seals anew what the previous key sealed of this person; with `only_look` nothing is written.
    pub async fn reseal_prospect(&self, tenant: &Tenant, id: &str, only_look: bool) -> Result<Resealed, StoreError> {
        let Some(mut prospect) = self.parts.store.find::<Prospect>(tenant, id).await? else {
            return Ok(Resealed::Current);
        };
        let sealer = &self.parts.sealer;
        if prospect.value.sealed().all(|(_, sealed)| sealer.is_current(sealed)) {
            return Ok(Resealed::Current);
        }
        if only_look {
            return Ok(Resealed::Left);
        }
        let resealed = sealer.reseal_all(&logical_key(tenant, id), prospect.value.sealed());
        self.parts.store.put_resealed(tenant, id, &prospect, resealed).await
    }
}

/// What is wrong with a stored person.
pub fn examine(tenant: &Tenant, id: &str, document: &Document, sealer: &Sealer) -> Result<Examined, CodecError> {
    let (mut prospect, mut examined) = Examined::read::<Prospect>(document)?;
    examined.open(sealer, &logical_key(tenant, id), prospect.sealed());
    Ok(examined)
}
