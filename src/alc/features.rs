//! What this ALC turned out to lack.
//!
//! Owns the memory of missing operations: each is forgotten after a day, so that an ALC that learns something new is
//! found out without a restart. Promises that an ALC which answered an operation within the last day is not said to lack
//! it: its 404 is most likely a proxy's, in front of an ALC that is just being deployed. It is a memory of this process;
//! replicas find out for themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::clock::later;

/// How long a missing operation is not asked for again, and how long one that was there is expected to be.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// An operation that an ALC may lack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Feature {
    FindLeads,
    GetLead,
    ListWebhooks,
}

/// Shared by all clones of a client.
#[derive(Debug, Clone, Default)]
pub(super) struct Features {
    /// By [`Feature`]: when it is forgotten that the feature is missing, in microseconds since the epoch.
    missing_until: Arc<[AtomicI64; 3]>,
    /// By [`Feature`]: until when the feature is expected to be there, in microseconds since the epoch.
    there_until: Arc<[AtomicI64; 3]>,
}

impl Features {
    pub(super) fn is_missing(&self, feature: Feature, now: Timestamp) -> bool {
        // No other memory depends on this one, so no order between them is needed.
        now.as_microsecond() < self.missing_until[feature as usize].load(Ordering::Relaxed)
    }

    pub(super) fn remember_there(&self, feature: Feature, now: Timestamp) {
        self.there_until[feature as usize].store(later(now, MEMORY).as_microsecond(), Ordering::Relaxed);
    }

    /// An answer said that the feature is missing; `false`: it was there within the last day, and that is believed.
    pub(super) fn remember_missing(&self, feature: Feature, now: Timestamp) -> bool {
        let is_missing = now.as_microsecond() >= self.there_until[feature as usize].load(Ordering::Relaxed);
        if is_missing {
            self.missing_until[feature as usize].store(later(now, MEMORY).as_microsecond(), Ordering::Relaxed);
        }
        is_missing
    }
}
