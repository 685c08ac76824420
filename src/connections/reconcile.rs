//! The workspace's steps, taken by whoever leased it.
use std::time::Duration;

use super::Connections;
use crate::store::{Leased, StoreError};

impl Connections {
    /// Takes the leased workspace's steps until nothing is to be done now, and ends the lease.
    pub async fn step(&self, _leased: Leased, _lease_duration: Duration) -> Result<(), StoreError> {
        std::future::pending().await
    }
}
