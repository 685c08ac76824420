//! What came back, and what it means: status first, body second.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use serde_json::Value;

use super::{CallError, reading, retry_after, words};
use crate::clock::later;

/// How long a 429 keeps us away at least, and if it does not say: HTTP dates have no fractions, so a date of this very
/// second would have us knock again at once.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// What an operator has to look for.
const PAGE: &str = "a web page came in its place: a proxy stands before the API and wants something";

/// An answer with a status, whatever the status says.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or as much of it as was read: see [`Answer::is_complete`].
    pub body: Vec<u8>,
    pub(super) ending: Ending,
    /// What `Retry-After` can ask at most.
    pub(super) longest_wait: Duration,
    /// When the headers were here, on our clock.
    pub received: Timestamp,
    /// It answers the second copy of the request; the peer may have read the first one as well.
    pub repeated: bool,
}

/// How the reading of a body ended.
#[derive(Debug)]
pub(super) enum Ending {
    Complete,
    TooLong,
    Cut { detail: String },
}

impl Answer {
    /// Whether the body was read to its end.
    pub fn is_complete(&self) -> bool {
        matches!(self.ending, Ending::Complete)
    }

    /// Whether it says that what needs no answer's body was carried out: a 2xx, but no web page. A proxy's login or
    /// maintenance page is answered with 200 and has asked the peer behind it nothing.
    pub fn is_done(&self) -> bool {
        self.status.is_success() && !reading::is_page(&self.body)
    }

    /// The body of a 2xx as JSON, read tolerantly; [`Value::Null`] for a complete empty one. What cannot be read is
    /// [`CallError::Unreadable`].
    pub fn json(&self) -> Result<Value, CallError> {
        if self.is_complete() && self.body.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        // What has its own end needs no other: a cut behind it took nothing.
        let is_all = |value: &Value| self.is_complete() || value.is_object() || value.is_array();
        reading::whole(&self.body).filter(is_all).ok_or_else(|| self.unreadable())
    }

    /// What `read` finds in the body of a 2xx: in the JSON that it is, else in what stands in it somewhere. `Ok(None)`
    /// if the body is JSON, or empty, and has nothing for `read`.
    pub fn find<T>(&self, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, CallError> {
        match (self.json(), reading::find(&self.body, &read)) {
            (_, Some(Some(found))) => Ok(Some(found)),
            (whole, _) => whole.map(|_| None),
        }
    }

    /// [`Answer::find`], and where the end of the body is missing also in what came before the cut.
    pub fn find_in_remains<T>(&self, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, CallError> {
        self.find_or_in_remains(&read, &read)
    }

    /// The same where the whole body may have something that goes before what is left of it: `certain` reads from a cut
    /// body only what no member behind the cut could have changed.
    pub fn find_or_in_remains<T>(
        &self,
        read: impl Fn(&Value) -> Option<T>,
        certain: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, CallError> {
        let found = self.find(&read);
        if found.is_ok() {
            return found;
        }
        reading::remains(&self.body).as_ref().and_then(certain).map_or(found, |found| Ok(Some(found)))
    }

    fn unreadable(&self) -> CallError {
        CallError::Unreadable {
            detail: match &self.ending {
                Ending::TooLong => "its body is too long".to_owned(),
                Ending::Cut { detail } => format!("its body was cut: {detail}"),
                Ending::Complete => "its body is no JSON".to_owned(),
            },
        }
    }

    /// What an answer that is no 2xx means where the operation has nothing to add: 401, 404, 409, 429 by name, any
    /// other 4xx but 408 and 425 as [`CallError::Rejected`], everything else as [`CallError::Unknown`]. A 2xx that is
    /// not [`Answer::is_done`] is [`CallError::Unknown`] too.
    ///
    /// `secrets` (token, name, phone number, URL) are masked wherever the upstream quotes them. A 4xx whose reason was
    /// cut on its way is unknown too, since the reason may have said "try again"; only where the status alone says
    /// what to do (401, 404, 429) is it enough.
    pub fn error(&self, secrets: &[&str]) -> CallError {
        let status = self.status.as_u16();
        match status {
            200..=299 => return CallError::Unknown { retry_after: self.retry_after(), detail: PAGE.to_owned() },
            401 => return CallError::Unauthorized,
            404 => return CallError::NotFound,
            429 => {
                let soonest = later(self.received, SHORTEST_PAUSE);
                return CallError::RateLimited { until: self.retry_after().map_or(soonest, |time| time.max(soonest)) };
            }
            _ => {}
        }
        if !(400..500).contains(&status) || matches!(status, 408 | 425) {
            let detail = format!("status {status}: {}", words::of_body(&self.body, secrets));
            return CallError::Unknown { retry_after: self.retry_after(), detail };
        }
        if let Ending::Cut { detail } = &self.ending {
            let detail = format!("status {status}, and its body was cut: {detail}");
            return CallError::Unknown { retry_after: self.retry_after(), detail };
        }
        let (code, detail) = (words::code(&self.body, secrets), words::of_body(&self.body, secrets));
        match status {
            409 => CallError::Conflict { code, id: None, detail },
            _ => CallError::Rejected { status, code, detail },
        }
    }

    /// The metrics label.
    pub(super) fn outcome(&self) -> &'static str {
        match &self.ending {
            Ending::Complete if self.is_done() => "ok",
            _ if self.status.is_success() => "unreadable",
            _ => self.error(&[]).outcome(),
        }
    }

    /// `Retry-After`, on our clock.
    pub fn retry_after(&self) -> Option<Timestamp> {
        let values = self.headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
        let date = self.headers.get(DATE).and_then(|date| date.to_str().ok());
        retry_after::parse(values, date, self.received, self.longest_wait)
    }
}
