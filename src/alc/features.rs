//! What this ALC turned out to lack.
//!
//! Owns the memory of missing operations: each is forgotten after a day, so that an ALC that learns something new is
//! found out without a restart. Promises that an ALC which has given a list is said to lack that list only once it has
//! said so for an hour: the first 404 is most likely a proxy's, in front of an ALC that is just being deployed. It is a
//! memory of this process; replicas find out for themselves.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::clock::later;

/// How long a missing operation is not asked for again.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an ALC that has answered an operation has to say that it lacks it before that is believed.
const DISBELIEF: Duration = Duration::from_secs(60 * 60);
/// After so long without another word the first one counts for nothing: two deployments a week apart are no loss. More
/// than the longest pause between two tries of one lead.
const LAPSES: Duration = Duration::from_secs(3 * 60 * 60);

/// An operation that an ALC may lack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Feature {
    FindLeads,
    GetLead,
    ListWebhooks,
}

/// Shared by all clones of a client.
#[derive(Debug, Clone, Default)]
pub(super) struct Features(Arc<[Mutex<Memory>; 3]>);

/// Of one [`Feature`].
#[derive(Debug, Default)]
struct Memory {
    /// Whether the feature was answered, and is not believed to be missing since.
    was_there: bool,
    /// Since when answers say that a feature which was answered is missing, and the last of them.
    doubted: Option<(Timestamp, Timestamp)>,
    /// When it is forgotten that the feature is missing.
    missing_until: Option<Timestamp>,
}

impl Features {
    pub(super) fn is_missing(&self, feature: Feature, now: Timestamp) -> bool {
        self.of(feature).missing_until.is_some_and(|until| now < until)
    }

    /// Whether the feature was answered, and is not believed to be missing since.
    pub(super) fn is_there(&self, feature: Feature) -> bool {
        self.of(feature).was_there
    }

    /// Whether answers have begun to say that a feature which was answered is missing, and are not believed yet.
    pub(super) fn is_in_question(&self, feature: Feature, now: Timestamp) -> bool {
        self.of(feature).doubted.is_some_and(|(since, _)| now < later(since, DISBELIEF))
    }

    pub(super) fn remember_there(&self, feature: Feature) {
        *self.of(feature) = Memory { was_there: true, doubted: None, missing_until: None };
    }

    /// An answer says that the feature is missing; `false`: that is not believed yet.
    pub(super) fn remember_missing(&self, feature: Feature, now: Timestamp) -> bool {
        let mut memory = self.of(feature);
        if memory.was_there {
            let since = memory.doubted.filter(|(_, last)| now < later(*last, LAPSES)).map_or(now, |(since, _)| since);
            if now < later(since, DISBELIEF) {
                memory.doubted = Some((since, now));
                return false;
            }
        }
        *memory = Memory { was_there: false, doubted: None, missing_until: Some(later(now, MEMORY)) };
        true
    }

    fn of(&self, feature: Feature) -> MutexGuard<'_, Memory> {
        self.0[feature as usize].lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(features.is_in_question(Feature::FindLeads, long_after));
        assert!(!features.remember_missing(Feature::FindLeads, later(long_after, DISBELIEF - MINUTE)));
        assert!(!features.is_in_question(Feature::FindLeads, later(long_after, DISBELIEF)), "no lead waits for longer");
        assert!(!features.is_missing(Feature::FindLeads, later(long_after, DISBELIEF)));
        assert!(features.remember_missing(Feature::FindLeads, later(long_after, DISBELIEF)));
        assert!(features.is_missing(Feature::FindLeads, later(long_after, DISBELIEF + MINUTE)));
        assert!(!features.is_there(Feature::FindLeads));
    }

    #[test]
    fn what_was_said_long_ago_counts_for_nothing() {
        let (features, monday) = (Features::default(), begin());
        features.remember_there(Feature::FindLeads);
        assert!(!features.remember_missing(Feature::FindLeads, monday));
        let thursday = later(monday, 3 * MEMORY);
        assert!(!features.remember_missing(Feature::FindLeads, thursday), "the hour begins anew");
        assert!(features.remember_missing(Feature::FindLeads, later(thursday, DISBELIEF + DISBELIEF)));
    }

    #[test]
    fn an_answer_ends_every_question() {
        let (features, now) = (Features::default(), begin());
        assert!(features.remember_missing(Feature::FindLeads, now));
        features.remember_there(Feature::FindLeads);
        assert!(!features.is_missing(Feature::FindLeads, now), "the answer came, whatever an earlier one said");
        assert!(!features.remember_missing(Feature::FindLeads, now));
        features.remember_there(Feature::FindLeads);
        assert!(!features.is_in_question(Feature::FindLeads, now));
        // An hour counts from the first time after the last answer.
        let later_on = later(now, 2 * DISBELIEF);
        assert!(!features.remember_missing(Feature::FindLeads, later_on));
    }
}
