//! Leads: the life of a person record between Attio and ALC.
//!
//! Promises that a lead which was accepted is sent, once; that every accepted result reaches Attio; and that Attio
//! never shows Pending once the result is known. From the pure to what acts on it:
//!
//! - [`lead`]: the aggregate with its transitions and steps. Pure.
//! - [`press`]: the button, from a press to its answer.
//! - [`work`]: what a worker that holds a lead's lease does.
//! - [`inbound`]: what ALC and Attio call us with.
//! - [`merges`]: which lead speaks for a record; [`hooks`]: the callback URLs that presses name; [`reads`]: what is
//!   read; [`operators`]: what operators read and mend; [`facts`]: what connections may ask of a lead's document;
//!   [`words`]: what ALC says besides a result, and the note that it becomes.

mod facts;
mod hooks;
mod inbound;
mod lead;
mod merges;
mod operators;
mod places;
mod press;
mod reads;
mod resealing;
mod service;
mod settings;
mod words;
mod work;

pub use self::{
    facts::facts_of,
    inbound::{
        alc::{CallbackOutcome, CallbackRefused},
        attio::EventsRefused,
    },
    lead::{
        aggregate::Lead,
        calls::MOST_WAITING,
        dead_letters::{BadLetterId, DeadLetter, LetterId, LetterKind},
        next_step::Deadlines,
        outcome::{Reason, Status},
        person::{Name, PhoneNumber},
        story::{AttioStory, CallStory, LeadStory, LeadSummary, NextStep, SendStory},
        view::{AttioView, LeadView, NoteView, OwedView, PlacementView},
    },
    operators::{Looked, Replayed},
    press::{
        answer::{Accepted, NewLead, SendRefused},
        batch::ItemResult,
    },
    reads::{LeadPage, ReadRefused},
    resealing::{examine, examine_receipt},
    service::{Leads, Parts},
    settings::Settings,
};
