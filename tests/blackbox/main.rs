//! The service from outside: real HTTP, a pretend ALC and a pretend Attio, three set-ups for every scenario.
//!
//! Each module holds one promise of the contract. A test waits for events, never for a time; days pass on a manual
//! clock.

#[path = "../support/mod.rs"]
mod support;

mod adopted;
mod api_key;
mod attacks;
mod attio_errors;
mod attio_grant;
mod attio_schema;
mod attio_shapes;
mod attio_webhooks;
mod behind_nginx;
mod between;
mod bulk;
mod by_list;
mod callbacks;
mod chaos;
mod clocks;
mod compat;
mod connect;
mod crash;
mod deadlines;
mod errors;
mod fairness;
mod guests;
mod hostile;
mod idempotency;
mod limits;
mod minimal_alc;
mod newer_version;
mod notes;
mod oauth;
mod operations;
mod operators;
mod operators_page;
mod pipeline;
mod priority;
mod races;
mod reads;
mod real_world_browser;
mod real_world_http;
mod real_world_inbound;
mod real_world_upstream;
mod refused_tokens;
mod removal;
mod replicas;
mod retries;
mod same_tokens;
mod sealing_keys;
mod send;
mod shares;
mod soak;
mod takeover;
mod token_answers;
mod tokens;
mod told;
mod traces;
mod unknown_outcomes;
mod unreadable;
mod watched_webhooks;
mod webhook_answers;
mod who_waits;
mod workflows;
