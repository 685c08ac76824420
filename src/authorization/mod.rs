//! stub
use crate::store::{Leased, StoreError};
/// stub
#[derive(Clone)]
pub struct Authorization {}
impl Authorization {
    /// stub
    pub async fn reconcile(&self, _leased: Leased) -> Result<(), StoreError> {
        Ok(())
    }
}
