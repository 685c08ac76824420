//! What this process knows of whose the operator's API key is. A key is for one workspace for as long as it lives.
//!
//! Promises that what was learnt once is not forgotten, and that an asker who came too early is remembered.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::ids::WorkspaceId;

/// The key's workspace, once Attio has named it.
#[derive(Debug, Default)]
pub(super) struct KeyOwner {
    known: OnceLock<WorkspaceId>,
    /// A lead of the key's workspace may have come to rest before Attio had named it.
    waited: AtomicBool,
}

impl KeyOwner {
    /// Attio has named it.
    pub(super) fn is(&self, workspace: WorkspaceId) {
        let _known_already = self.known.set(workspace);
    }

    pub(super) fn known(&self) -> Option<WorkspaceId> {
        self.known.get().copied()
    }

    /// As [`Self::known`], for an asker who waits if it is not: what it does then is made up for once it is.
    pub(super) fn known_or_waited_for(&self) -> Option<WorkspaceId> {
        self.known().or_else(|| {
            self.waited.store(true, Ordering::SeqCst);
            // Attio may have named it just now, and then nothing makes up for what rests from here on.
            self.known()
        })
    }

    /// Whether there were such askers.
    pub(super) fn was_waited_for(&self) -> bool {
        self.waited.load(Ordering::SeqCst)
    }
}
