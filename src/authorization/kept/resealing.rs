//! What of an attempt is sealed, for the rotation of the sealing key: tokens that wait here, or that could not be given
//! back yet, for as long as thirty days.

use super::{ALC_ACCESS_TOKEN, ALC_REFRESH_TOKEN, ATTIO_TOKEN, Held, Kept, Phase};
use crate::{
    authorization::{Authorization, attempt::place},
    sealing::{Sealed, Sealer},
    store::{CodecError, Document, Resealed, StoreError, Tenant, moving::Examined},
};

impl Authorization {
    /// Seals anew what the previous key sealed of the attempt under this state; with `only_look` nothing is written.
    pub async fn reseal(&self, state: &Tenant, only_look: bool) -> Result<Resealed, StoreError> {
        let (id, sealer) = (state.to_string(), &self.inner.sealer);
        let Some(mut kept) = self.inner.store.find::<Kept>(state, &id).await? else { return Ok(Resealed::Current) };
        let is_under_way = kept.value.held.as_ref().is_some_and(|held| held.phase != Phase::Unwanted);
        let fields = kept.value.held.as_mut().map(sealed_of).unwrap_or_default();
        if fields.iter().all(|(_, sealed)| sealer.is_current(sealed)) {
            return Ok(Resealed::Current);
        }
        // A callback or a redemption that is at it would find it changed, and the consent would fail. It ends within
        // minutes.
        if only_look || is_under_way {
            return Ok(Resealed::Left);
        }
        let resealed = sealer.reseal_all(&place(&id), fields);
        self.inner.store.put_resealed(state, &id, &kept, resealed).await
    }
}

/// What is wrong with a stored attempt.
pub fn examine(state: &Tenant, document: &Document, sealer: &Sealer) -> Result<Examined, CodecError> {
    let (mut kept, mut examined) = Examined::read::<Kept>(document)?;
    let fields = kept.held.as_mut().map(sealed_of).unwrap_or_default();
    examined.open(sealer, &place(state.as_str()), fields);
    Ok(examined)
}

fn sealed_of(held: &mut Held) -> Vec<(&'static str, &mut Sealed)> {
    let fields = [
        (ALC_ACCESS_TOKEN, &mut held.alc_access_token),
        (ALC_REFRESH_TOKEN, &mut held.alc_refresh_token),
        (ATTIO_TOKEN, &mut held.attio_token),
    ];
    fields.into_iter().filter_map(|(field, sealed)| Some((field, sealed.as_mut()?))).collect()
}
