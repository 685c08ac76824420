//! A workspace's connections: how they come, work and go.
//!
//! Two layers. `workspace` is pure: the [`Workspace`] aggregate, its connections, webhooks and triggers, and what may
//! happen to them. Above it stands [`Connections`], the service: codes and refresh tokens towards our client (`codes`,
//! `consent`), the tokens that ALC and Attio gave (`alc_grant`, `renewal`, `attio_grant`, `give_back`),
//! connection-added (`connect`), and what a worker does with a workspace that it leased (`reconcile`, `work`,
//! `clean_up`, `watch`).
//!
//! Promises that what an upstream answered is recorded however the worker fared, that an outage disconnects no
//! workspace, and that tokens are erased last. Knows nothing of leads but, by a function that is handed in, which
//! webhooks they were sent under and whether Attio is owed something.

mod alc_grant;
mod attio_gate;
mod attio_grant;
mod clean_up;
mod codes;
mod connect;
mod consent;
mod entry_list;
mod give_back;
mod identify;
mod key_owner;
mod key_workspace;
mod operators;
mod reconcile;
mod renewal;
mod resealing;
mod service;
mod settings;
mod triggers;
mod unprovable;
mod watch;
mod webhook_url;
mod work;
mod workspace;
mod writing;

#[cfg(test)]
mod tests;

pub use self::{
    alc_grant::{Grant, NoGrant},
    attio_grant::AttioRefusal,
    codes::{RedeemError, Redeemed, RefreshTokenError},
    connect::attempt::{ConnectError, Connected},
    consent::{Consent, MayNotConnect},
    give_back::Granted,
    identify::IdentifyError,
    key_workspace::AttioAccess,
    resealing::examine,
    service::{Connections, FactsOfLead, Parts, ReadLead, tenant},
    settings::{Settings, WebhookSecret, WebhookSignature},
    workspace::{
        aggregate::Workspace,
        code::Code,
        connection::{Connection, Phase},
        story::{ConnectionStory, WebhookStory, WorkspaceStory},
        triggers::{MOST_TRIGGERS, TriggerPut, TriggerRefused, TriggerView},
        view::{ConnectionView, Standing, WebhookView},
        webhook::{Webhook, WebhookState},
    },
};
