//! Bodies that come in.
//!
//! Owns their limits. Promises that a body is JSON by its media type (415), within its cap (413) and here in time (400),
//! that what it gets wrong is named by a pointer, and that nothing of it is quoted.

use std::{fmt, time::Duration};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    web::{Bytes, BytesMut},
};
use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Fault, Problem, Slug};

/// What a body may have.
pub const LIMIT: usize = 64 * 1024;
/// What a batch may have.
pub const BATCH_LIMIT: usize = 1024 * 1024;
/// Slower than this is not a slow line but somebody who holds connections open.
const PATIENCE: Duration = Duration::from_secs(15);

/// The type of a body.
pub trait Body: DeserializeOwned {
    /// How long it may be.
    const LIMIT: usize = LIMIT;
    /// Top-level fields whose feature is still to come: refused by name unless absent or null, never ignored.
    const NOT_LANDED: &'static [&'static str] = &[];
}

/// Extracts a body of type `T`.
pub struct JsonBody<T>(pub T);

impl<T: Body + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        async move {
            if !is_json(&request) {
                let detail = "Send the body as JSON, with `content-type: application/json`.";
                return Err(Problem::new(Slug::UnsupportedMediaType, detail));
            }
            parse(&read(&request, payload, T::LIMIT).await?).map(Self)
        }
        .boxed_local()
    }
}

/// Whether the media type is JSON's, or one that ends in `+json`.
pub fn is_json(request: &HttpRequest) -> bool {
    let Some(kind) = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || essence.split_once('/').is_some_and(|(kind, subtype)| !kind.is_empty() && subtype.ends_with("+json"))
}

/// The whole body, at most `limit` bytes of it.
pub async fn read(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    if request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes() != b"identity") {
        return Err(Problem::new(Slug::UnsupportedMediaType, "Send the body without a content-encoding."));
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    tokio::time::timeout(PATIENCE, collect(payload, limit)).await.unwrap_or_else(|_| {
        Err(invalid("", format!("The body did not arrive within {} s. Send it again.", PATIENCE.as_secs())))
    })
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| invalid("", "The body ended too early. Send it again."))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// `body` as a `T`.
pub fn parse<T: Body>(body: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        invalid("", format!("The body is not JSON (line {}, column {}).", error.line(), error.column()))
    })?;
    let faults = refused(&value, T::NOT_LANDED);
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    convert(value)
}

/// The faults of fields whose feature is still to come. For the items of a batch, which are judged one by one.
pub fn refused(value: &Value, not_landed: &[&str]) -> Vec<Fault> {
    let is_set = |name: &&&str| value.get(**name).is_some_and(|value| !value.is_null());
    let refuse = |name: &&str| Fault {
        pointer: format!("/{name}"),
        detail: format!("`{name}` is not available yet: leave it out"),
    };
    not_landed.iter().filter(is_set).map(refuse).collect()
}

/// `value` as a `T`; a fault has a pointer to where it is.
pub fn convert<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let words = error.inner().to_string();
        let mut pointer = pointer(error.path());
        if let Some(name) = words.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            pointer.push('/');
            pointer.push_str(name);
            return invalid(pointer, "is missing");
        }
        // What stands before "expected" quotes the value.
        let detail = match words.rsplit_once(", expected ") {
            Some((_, expected)) => format!("must be {expected}"),
            None => "is not of the form that /openapi.yaml gives it".to_owned(),
        };
        invalid(pointer, detail)
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![Fault { pointer: pointer.into(), detail: detail.into() }])
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Slug::PayloadTooLarge, format!("Send at most {} KiB.", limit / 1024))
}

impl<T> fmt::Debug for JsonBody<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and phone numbers are in it.
        f.write_str("JsonBody")
    }
}
