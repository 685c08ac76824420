//! What a press names, and what it is answered.

use crate::{
    connections::Standing,
    ids::RecordId,
    leads::lead::{
        calls::TooManyWaiting,
        outcome::{Reason, Status},
        person::{Name, PhoneNumber},
        view::LeadView,
    },
    notify::CallbackUrl,
    store::StoreError,
};

/// A lead as the Attio app sends it, checked.
#[derive(Debug, Clone)]
pub struct NewLead {
    /// The person record.
    pub record_id: RecordId,
    /// The person's name.
    pub name: Name,
    /// The person's number.
    pub phone_number: PhoneNumber,
    /// The workflow that is told when the send finishes.
    pub finish_callback_url: Option<CallbackUrl>,
}

/// What became of a press.
#[derive(Debug, Clone)]
pub enum Accepted {
    /// ALC has it: 201.
    Sent(LeadView),
    /// It goes on in the background: 202.
    Queued(LeadView),
    /// The record's present send is live: 200, nothing was sent.
    Joined(LeadView),
}

/// Why a press did not lead to a send.
#[derive(Debug, thiserror::Error)]
pub enum SendRefused {
    /// ALC refuses the lead for good.
    #[error("ALC refuses the lead")]
    Rejected(LeadView),
    /// ALC's grant is dead; with the lead if it was stored.
    #[error("ALC has to be connected again")]
    ReauthorizationRequired(Option<LeadView>),
    /// The token's connection may not send.
    #[error("the connection is {0:?}")]
    Standing(Standing),
    /// The key came with another body before.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// As many wait for the send as may.
    #[error(transparent)]
    TooManyWaiting(#[from] TooManyWaiting),
    /// The store cannot take it. Nothing was sent.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The answer of a press.
pub(super) type Answer = Result<Accepted, SendRefused>;

/// The answer once a send is no longer queued.
pub(super) fn settled(view: LeadView) -> Option<Answer> {
    match (view.status, view.reason) {
        (Status::Queued, _) => None,
        (Status::Failed, Some(Reason::Rejected)) => Some(Err(SendRefused::Rejected(view))),
        _ => Some(Ok(Accepted::Sent(view))),
    }
}

/// Merges may have put the lead under another record than the one that the caller knows.
pub(super) fn name_as_asked(answer: &mut Answer, asked: RecordId) {
    match answer {
        Ok(Accepted::Sent(view) | Accepted::Queued(view) | Accepted::Joined(view))
        | Err(SendRefused::Rejected(view) | SendRefused::ReauthorizationRequired(Some(view))) => {
            view.record_id = asked;
        }
        Err(_) => {}
    }
}
