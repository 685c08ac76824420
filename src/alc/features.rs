//! What this ALC turned out to lack.
//!
//! Owns the memory of missing operations: each is forgotten after a day, so that an ALC that learns something new is
//! found out without a restart. Promises that an ALC which has given a list is said to lack that list only once it has
//! said so for an hour: the first 404 is most likely a proxy's, in front of an ALC that is just being deployed. It is a
//! memory of this process; replicas find out for themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::clock::later;

/// How long a missing operation is not asked for again.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an ALC that has answered an operation has to say that it lacks it before that is believed.
const DISBELIEF: Duration = Duration::from_secs(60 * 60);

/// An operation that an ALC may lack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Feature {
    FindLeads,
    GetLead,
    ListWebhooks,
}

/// Shared by all clones of a client.
#[derive(Debug, Clone, Default)]
pub(super) struct Features(Arc<[Memory; 3]>);

/// Of one [`Feature`]; times in microseconds since the epoch.
#[derive(Debug, Default)]
struct Memory {
    /// When it is forgotten that the feature is missing.
    missing_until: AtomicI64,
    /// Whether the feature was answered.
    was_there: AtomicBool,
    /// When it is believed that a feature which was answered is missing now; 0 while nothing says so.
    believed_at: AtomicI64,
}

impl Features {
    pub(super) fn is_missing(&self, feature: Feature, now: Timestamp) -> bool {
        // No other memory depends on this one, so no order between them is needed.
        now.as_microsecond() < self.of(feature).missing_until.load(Ordering::Relaxed)
    }

    /// Whether the feature was answered, and is not believed to be missing since.
    pub(super) fn is_there(&self, feature: Feature) -> bool {
        self.of(feature).was_there.load(Ordering::Relaxed)
    }

    /// Whether it is in question that a feature which was answered is there still.
    pub(super) fn is_in_question(&self, feature: Feature) -> bool {
        self.is_there(feature) && self.of(feature).believed_at.load(Ordering::Relaxed) != 0
    }

    pub(super) fn remember_there(&self, feature: Feature) {
        let memory = self.of(feature);
        memory.was_there.store(true, Ordering::Relaxed);
        memory.believed_at.store(0, Ordering::Relaxed);
        memory.missing_until.store(0, Ordering::Relaxed);
    }

    /// An answer says that the feature is missing; `false`: that is not believed yet.
    pub(super) fn remember_missing(&self, feature: Feature, now: Timestamp) -> bool {
        let memory = self.of(feature);
        if self.is_there(feature) {
            let at = later(now, DISBELIEF).as_microsecond();
            let begun = memory.believed_at.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
            if now.as_microsecond() < begun.map_or_else(|believed_at| believed_at, |_| at) {
                return false;
            }
            memory.was_there.store(false, Ordering::Relaxed);
            memory.believed_at.store(0, Ordering::Relaxed);
        }
        memory.missing_until.store(later(now, MEMORY).as_microsecond(), Ordering::Relaxed);
        true
    }

    fn of(&self, feature: Feature) -> &Memory {
        &self.0[feature as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn begin() -> Timestamp {
        "2026-11-29T12:00:00Z".parse().expect("a time")
    }

    #[test]
    fn what_was_never_answered_is_missing_for_a_day() {
        let (features, now) = (Features::default(), begin());
        assert!(features.remember_missing(Feature::FindLeads, now));
        assert!(features.is_missing(Feature::FindLeads, later(now, MEMORY - MINUTE)));
        assert!(!features.is_missing(Feature::FindLeads, later(now, MEMORY)));
        assert!(!features.is_missing(Feature::ListWebhooks, now), "each for itself");
    }

    #[test]
    fn what_was_answered_is_missing_only_after_an_hour_of_saying_so() {
        let (features, now) = (Features::default(), begin());
        features.remember_there(Feature::FindLeads);
        let long_after = later(now, 30 * MEMORY);
        assert!(!features.remember_missing(Feature::FindLeads, long_after));
        assert!(features.is_in_question(Feature::FindLeads));
        assert!(!features.remember_missing(Feature::FindLeads, later(long_after, DISBELIEF - MINUTE)));
        assert!(!features.is_missing(Feature::FindLeads, later(long_after, DISBELIEF)));
        assert!(features.remember_missing(Feature::FindLeads, later(long_after, DISBELIEF)));
        assert!(features.is_missing(Feature::FindLeads, later(long_after, DISBELIEF + MINUTE)));
        assert!(!features.is_in_question(Feature::FindLeads));
        assert!(!features.is_there(Feature::FindLeads));
    }

    #[test]
    fn an_answer_ends_every_question() {
        let (features, now) = (Features::default(), begin());
        assert!(features.remember_missing(Feature::FindLeads, now));
        features.remember_there(Feature::FindLeads);
        assert!(!features.is_missing(Feature::FindLeads, now), "the answer came, whatever an earlier one said");
        assert!(!features.remember_missing(Feature::FindLeads, now));
        features.remember_there(Feature::FindLeads);
        assert!(!features.is_in_question(Feature::FindLeads));
        // An hour counts from the first time after the last answer.
        let later_on = later(now, 2 * DISBELIEF);
        assert!(!features.remember_missing(Feature::FindLeads, later_on));
    }
}
