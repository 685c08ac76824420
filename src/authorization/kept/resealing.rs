//! What of an attempt is sealed, for the rotation of the sealing key: tokens that wait here, or that could not be given
//! back yet, for as long as thirty days.

use super::{ALC_ACCESS_TOKEN, ALC_REFRESH_TOKEN, ATTIO_TOKEN, Held, Kept};
use crate::{
    authorization::{Authorization, attempt::place},
    sealing::{Place, Sealed},
    store::{Resealed, StoreError, Tenant},
};

impl Authorization {
    /// Seals anew what the previous key sealed of the attempt under this state; with `only_look` nothing is written.
    pub async fn reseal(&self, state: &Tenant, only_look: bool) -> Result<Resealed, StoreError> {
        let (id, sealer) = (state.to_string(), &self.inner.sealer);
        let Some(mut kept) = self.inner.store.find::<Kept>(state, &id).await? else { return Ok(Resealed::Current) };
        let mut fields = kept.value.held.as_mut().map(sealed_of).unwrap_or_default();
        if fields.iter().all(|(_, sealed)| sealer.is_current(sealed)) {
            return Ok(Resealed::Current);
        }
        if only_look {
            return Ok(Resealed::Left);
        }
        let aggregate = place(&id);
        for (field, sealed) in &mut fields {
            sealer
                .reseal(Place { aggregate: &aggregate, field }, sealed)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        }
        self.inner.store.put_resealed(state, &id, &kept).await
    }
}

fn sealed_of(held: &mut Held) -> Vec<(&'static str, &mut Sealed)> {
    let fields = [
        (ALC_ACCESS_TOKEN, &mut held.alc_access_token),
        (ALC_REFRESH_TOKEN, &mut held.alc_refresh_token),
        (ATTIO_TOKEN, &mut held.attio_token),
    ];
    fields.into_iter().filter_map(|(field, sealed)| Some((field, sealed.as_mut()?))).collect()
}
