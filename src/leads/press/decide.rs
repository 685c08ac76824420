//! What a press comes to, before anything is written. Pure.

use crate::{
    clock::Timestamp,
    connections::Standing,
    ids::SendId,
    leads::{SendRefused, lead::aggregate::Lead, lead::view::LeadView},
};

/// What the idempotency key of a press is known for.
pub(super) enum KeySeen {
    /// There is no key, or its send is forgotten.
    Never,
    /// It came with another body.
    WithAnotherBody,
    /// It made or joined this send.
    ForThisSend(SendId, LeadView),
}

/// What is to be done about a press.
pub(super) enum Turn<'a> {
    /// Refused: nothing is stored.
    Refuse(SendRefused),
    /// A repeat: answered from the state of the send that the key made or joined.
    Repeat(SendId, LeadView),
    /// The record's send is live: the press joins it.
    Join(&'a Lead),
    /// Another send begins.
    Start,
}

/// How a lead was pressed.
#[derive(Clone, Copy)]
pub(super) enum Pressed {
    /// By itself: its caller waits until then.
    Alone {
        /// The end of the wait.
        until: Timestamp,
    },
    /// Among many.
    InABatch {
        /// When its turn comes.
        at: Timestamp,
    },
}

/// How a send goes on once it is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// A task of this press takes the steps, and the caller waits for it.
    Here,
    /// The worker that has the lease goes on with it, and the caller watches.
    WithItsWorker,
    /// The reconciler takes it up then; the caller waits for nothing.
    WithTheReconciler {
        /// When its turn comes.
        at: Timestamp,
    },
}

/// What a press comes to.
pub(super) fn decide(standing: Standing, key: KeySeen, lead: Option<&Lead>) -> Turn<'_> {
    // A caller whose token is no good learns nothing, not even what a key of the workspace has made.
    if matches!(standing, Standing::Unknown | Standing::Replaced) {
        return Turn::Refuse(SendRefused::Standing(standing));
    }
    match key {
        KeySeen::Never => {}
        KeySeen::WithAnotherBody => return Turn::Refuse(SendRefused::KeyReused),
        KeySeen::ForThisSend(send, view) => return Turn::Repeat(send, view),
    }
    match standing {
        Standing::Current => match lead {
            Some(lead) if lead.send.outcome.status.is_live() => Turn::Join(lead),
            _ => Turn::Start,
        },
        Standing::ReauthorizationRequired => Turn::Refuse(SendRefused::ReauthorizationRequired(None)),
        other => Turn::Refuse(SendRefused::Standing(other)),
    }
}

/// How a send goes on. `leased`: another worker has the lead; `stopping`: this process takes up no more work.
pub(super) fn course(pressed: Pressed, leased: bool, stopping: bool) -> Course {
    match pressed {
        Pressed::InABatch { at } => Course::WithTheReconciler { at },
        Pressed::Alone { .. } if leased || stopping => Course::WithItsWorker,
        Pressed::Alone { .. } => Course::Here,
    }
}
