//! `alc-connector` joins Attio, a CRM, with Acme Lead Checker (ALC), whose agent chats with leads by SMS.
//!
//! # The life of a lead
//!
//! The button in Attio calls `POST /v1/leads`. The lead is written to the store, already leased, marked as attempted,
//! and posted to ALC under the id of its send; ALC's id is committed and the record in Attio turns Pending. Some time
//! later ALC calls `POST /webhooks/alc/{token}`: the result is committed, ALC gets its 200, and the record turns
//! Complete. Whatever could not be done now has a *due time*; the [`reconciler`] leases what is due, asks the aggregate
//! for its next step, takes it, commits, and so on until nothing is left to do now. The state is the queue.
//!
//! # The floors
//!
//! `http`, `reconciler` → `operate` → `authorization`, `leads` → `connections`, `seats` → `store`, `alc`, `attio`,
//! `notify` → `upstream` → `sealing`, `ids`, `clock`, `lenient`. [`app`] builds and sees all; `config` hands out its
//! parts by value; `telemetry` and `lifecycle` are the ground floor. Nobody reaches back up: `tests/floors` reads the
//! sources and fails on a `use` that does.

pub mod alc;
pub mod app;
pub mod attio;
pub mod authorization;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod http;
pub mod ids;
pub mod leads;
pub mod lenient;
pub mod lifecycle;
pub mod notify;
pub mod operate;
pub mod reconciler;
pub mod sealing;
pub mod seats;
pub mod store;
pub mod telemetry;
pub mod upstream;
