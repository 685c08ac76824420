//! Tells a workflow what became of its lead: the guard over callback URLs, and the client that calls them.
//!
//! A callback URL is chosen by the caller that holds an access token, so it must lead nowhere but to the hosts that the
//! operator has listed. Owns the rules ([`guard`], [`address`]) and what an answer means. Promises that the rules hold
//! when a URL is taken *and* again when it is called, down to the address that is connected to (a name that resolves to
//! something private in between is not connected to); that no redirect is followed and no proxy used; and that no URL
//! shows in a log, an error or `Debug`: its secrecy is all that protects it.

pub mod address;
mod guard;
mod resolver;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde::Serialize;

pub use self::{
    guard::{CallbackUrl, Guard, UrlRefused, is_loopback},
    resolver::{Lookup, system_lookup},
};
use crate::{
    clock::SharedClock,
    upstream::{Caller, HttpClientError, http_clients_with},
};

/// The metrics label.
const UPSTREAM: &str = "workflow";
/// What is read of an answer: only its status counts.
const BODY_CAP: usize = 16 * 1024;

/// What a workflow is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News<'a> {
    /// The person record.
    pub record_id: String,
    /// ALC's id, if known.
    pub lead_id: Option<&'a str>,
    /// `complete` or `failed`.
    pub status: &'a str,
    /// ALC's word.
    pub result: Option<&'a str>,
    /// Why it failed.
    pub reason: Option<&'a str>,
}

/// What came of a call, named by what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A 2xx: that is all.
    Heard,
    /// 404 or 410: no step waits there any more, or none yet.
    NobodyThere,
    /// Again later.
    Again {
        /// The `Retry-After` of the answer, on our clock.
        after: Option<Timestamp>,
        /// There was no answer at all: the host itself may be ailing.
        silent: bool,
    },
    /// The URL is not one that may be called (any more).
    Forbidden,
}

/// Calls workflows. Clones share connections.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    guard: Guard,
}

impl Client {
    /// A client of its own: no other upstream's resolver is guarded, and none of its connections are used here.
    /// `timeout` is for one whole attempt.
    pub fn new(guard: Guard, lookup: Lookup, timeout: Duration, clock: SharedClock) -> Result<Self, HttpClientError> {
        let resolver = resolver::Guarded::new(guard.clone(), lookup);
        let http = http_clients_with(timeout, |settings| settings.dns_resolver(resolver.clone()))?;
        Ok(Self { caller: Caller::new(http, UPSTREAM, timeout, clock), guard })
    }

    /// The rules.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// One call. The rules are applied again: the operator may have changed them since the URL was taken.
    pub async fn tell(&self, url: &SecretString, news: &News<'_>) -> Told {
        let Ok(url) = self.guard.check(url) else { return Told::Forbidden };
        let request = self.caller.request(Method::POST, url.to_url()).json(news);
        let Ok(answer) = self.caller.call_capped("tell", request, BODY_CAP).await else {
            return Told::Again { after: None, silent: true };
        };
        match answer.status.as_u16() {
            200..300 => Told::Heard,
            404 | 410 => Told::NobodyThere,
            _ => Told::Again { after: answer.retry_after(), silent: false },
        }
    }
}
