//! The id of a request: the caller's own, if it can do no harm in a log, or one of ours.
//!
//! Promises that whatever is answered or logged on behalf of a request can ask for its id, without being handed it.

use std::{future::Future, rc::Rc};

use actix_web::http::header::{HeaderMap, HeaderName};

use crate::ids;

/// Carries the id, in the request and in its answer.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST: usize = 64;

tokio::task_local! {
    static CURRENT: Rc<str>;
}

/// The id of the request that this task answers; `None` outside of one. A task spawned from a handler has to be given
/// it.
pub(super) fn current() -> Option<Rc<str>> {
    CURRENT.try_with(Rc::clone).ok()
}

/// Does `work` as the one that answers the request of that id.
pub(super) async fn within<F: Future>(id: Rc<str>, work: F) -> F::Output {
    CURRENT.scope(id, work).await
}

/// The id of a request with these headers.
pub(super) fn of(headers: &HeaderMap) -> Rc<str> {
    incoming(headers).unwrap_or_else(|| ids::random_uuid().to_string()).into()
}

fn incoming(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let harmless = (1..=LONGEST).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    harmless.then(|| id.to_owned())
}
