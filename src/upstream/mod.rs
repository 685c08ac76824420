//! One call to another party's server: what `alc`, `attio` and `notify` have in common.
//!
//! Owns how a call ends ([`CallError`]), `Retry-After`, when to try again ([`Schedule`]), the cap on answers, and the
//! metrics of upstream calls. Promises that an outcome is named by what to do next, chosen by status first and body
//! second; that a 2xx is a fact, whatever its body ([`CallError::Unreadable`] at worst; the exception is
//! [`Answer::is_done`]); and that "not sent for certain" is said only where it is certain: everything else without a
//! clear answer is [`CallError::Unknown`].

mod answer;
pub mod breaker;
mod caller;
mod collector;
mod decoding;
mod http;
mod per_runtime;
pub mod reading;
pub mod retry_after;
mod schedule;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;
pub mod tokens;
mod used;
mod words;

use jiff::Timestamp;

pub use answer::Answer;
pub use caller::{BODY_CAP, Caller};
pub use collector::Collector;
pub use http::{HttpClientError, HttpClients, Proxy, Repeat, http_clients, http_clients_through, http_clients_with};
pub use schedule::Schedule;

/// How a call failed, named by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Certainly not sent: DNS, connect, TLS. Safe to repeat.
    #[error("could not connect: {detail}")]
    NotSent {
        /// Why, without URL or secrets.
        detail: String,
    },
    /// 429: not processed. Repeat after `until`.
    #[error("rate limited")]
    RateLimited {
        /// `Retry-After` (seconds or HTTP date, compared with the answer's own `Date`) on our clock; without the header
        /// a second from now, and never sooner.
        until: Timestamp,
    },
    /// 401: the credential is not good (any more).
    #[error("the credential was refused")]
    Unauthorized,
    /// 403 (Attio): permanent until a person acts.
    #[error("forbidden: {}", or_no_word(.detail))]
    Forbidden {
        /// The upstream's words, capped, no secrets.
        detail: String,
    },
    /// 404 on one id: about that id only.
    #[error("not found")]
    NotFound,
    /// 405, 501, or 404 on a collection: the upstream lacks the feature; remembered for a day.
    #[error("the upstream does not have this operation")]
    Unsupported,
    /// 409. What it means depends on the operation.
    #[error("conflict: {detail}")]
    Conflict {
        /// The upstream's error `code`, where it has one (`concurrent_write_conflict`, `slug_conflict`).
        code: Option<String>,
        /// An id in the body, where there is one.
        id: Option<String>,
        /// The upstream's words, capped, no secrets.
        detail: String,
    },
    /// Refused for good: any other 4xx but 408 and 425.
    #[error("refused with {status}: {detail}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The upstream's error `code`, where it has one (`value_not_found`, `merge_in_progress`, `invalid_grant`).
        code: Option<String>,
        /// The upstream's words, capped, no secrets.
        detail: String,
    },
    /// A 2xx that says nothing that can be read. It has happened, and the upstream is well; what it said is lost.
    #[error("the answer cannot be read: {detail}")]
    Unreadable {
        /// Why, without URL or secrets.
        detail: String,
    },
    /// No clear answer: a timeout, a reset, 3xx, 408, 425, 5xx. It may have happened.
    #[error("no clear answer: {detail}")]
    Unknown {
        /// `Retry-After` of a 503 (or any other answer that came), on our clock.
        retry_after: Option<Timestamp>,
        /// Why, without URL or secrets.
        detail: String,
    },
}

/// A text from outside as it may be shown: shortened, without control characters, URLs and phone numbers.
pub fn masked(text: &str) -> String {
    words::clean(text, &[])
}

/// A 403 without a word is most often a credential whose permissions a person has to look at.
fn or_no_word(detail: &str) -> &str {
    if detail.is_empty() { "no word why; the credential may lack a permission (a scope)" } else { detail }
}

impl CallError {
    /// Whether the upstream itself is ailing, as its gate counts it.
    pub fn is_ailing(&self) -> bool {
        matches!(self, Self::NotSent { .. } | Self::Unknown { .. })
    }

    /// Whether the upstream, or what stands before it, clearly refuses the question.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. } | Self::NotFound | Self::Unsupported | Self::Conflict { .. } | Self::Rejected { .. }
        )
    }

    /// The upstream's own words where there are any, else ours.
    pub fn words(&self) -> String {
        match self {
            Self::Forbidden { detail } | Self::Conflict { detail, .. } | Self::Rejected { detail, .. }
                if !detail.is_empty() =>
            {
                detail.clone()
            }
            other => other.to_string(),
        }
    }

    /// Whether a refusal names this attribute: in the place that it gives, or in its words.
    pub fn is_about(&self, slug: &str) -> bool {
        let (Self::Rejected { detail, .. } | Self::Conflict { detail, .. } | Self::Forbidden { detail }) = self else {
            return false;
        };
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        detail.split(|c| !is_part(c)).any(|word| word == slug)
    }

    /// The label of metrics: a small fixed set.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "not_sent",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound => "not_found",
            Self::Unsupported => "unsupported",
            Self::Conflict { .. } => "conflict",
            Self::Rejected { .. } => "rejected",
            Self::Unreadable { .. } => "unreadable",
            Self::Unknown { .. } => "unknown",
        }
    }
}
