//! Series of a metric whose labels are known only as something is measured.
//!
//! Promises that the process's metrics are searched for each of them once: the search writes the name and every label
//! anew, and a request meets a dozen of them. What is measured before there is a recorder goes nowhere, and is searched
//! for again.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

static IS_RECORDED: AtomicBool = AtomicBool::new(false);

/// There is a recorder: what is found from now on is worth keeping.
pub(super) fn begin() {
    IS_RECORDED.store(true, Ordering::Release);
}

/// The series of one place, by what tells them apart there. Clones share them.
///
/// As many are kept as there are label values: each comes from a small fixed set.
pub(crate) struct Series<Labels, Handles>(Arc<RwLock<HashMap<Labels, Handles>>>);

impl<Labels, Handles> Clone for Series<Labels, Handles> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Labels, Handles> Default for Series<Labels, Handles> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<Labels: Eq + Hash, Handles: Clone> Series<Labels, Handles> {
    /// Those with these labels; `register` finds them the first time.
    pub(crate) fn of(&self, labels: Labels, register: impl FnOnce(&Labels) -> Handles) -> Handles {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&labels).cloned();
        known.unwrap_or_else(|| {
            let is_recorded = IS_RECORDED.load(Ordering::Acquire);
            let handles = register(&labels);
            if !is_recorded {
                return handles;
            }
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(labels, handles.clone());
            handles
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_looked_up_once() {
        begin();
        let (series, mut looked_up) = (Series::default(), Vec::new());
        for labels in [("a", 1), ("b", 1), ("a", 2), ("a", 1), ("b", 1)] {
            let found = series.clone().of(labels, |labels| {
                looked_up.push(*labels);
                format!("{labels:?}")
            });
            assert_eq!(found, format!("{labels:?}"));
        }
        assert_eq!(looked_up, [("a", 1), ("b", 1), ("a", 2)]);
    }
}
