//! The sections: what each setting means, and what it may be.

mod alc;
mod attio;
mod hints;
mod leads;
mod pipeline;
mod service;
pub(super) mod traces;

pub use self::{
    alc::Alc,
    attio::{Attio, AttioApp, AttioCredential, AttioOAuth},
    leads::Leads,
    service::{Http, Keys, Management, Retry, Store, Telemetry},
};
