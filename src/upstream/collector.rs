//! The way of spans to an OpenTelemetry collector.
//!
//! Promises that a delivery ends within the time it is given, that nothing is read of the answer but its status and, in
//! a first piece of bounded length, how many spans were rejected, and that a collector which does not take spans is one
//! warning, and one line more when it does again; in between only the metrics count.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::{
    Client,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{runtime::Handle, time::timeout};

use super::{HttpClientError, Proxy, http::http_clients_through, words};
use crate::telemetry;

/// Of an answer so much is read: it says nothing, or how many spans were rejected and why.
const ANSWER_CAP: usize = 16 * 1024;

/// What came of a delivery.
#[derive(Debug)]
struct Delivered {
    status: u16,
    /// How many of its spans the collector has thrown away though it took the delivery, and why.
    rejected: Option<(u64, String)>,
}

/// Delivers spans. The exporter asks from a thread of its own, outside of the runtime that the client needs.
#[derive(Debug, Clone)]
pub struct Collector {
    http: Client,
    runtime: Handle,
    limit: Duration,
    /// All that goes there, where the collector is ours.
    headers: Option<HeaderMap>,
    is_failing: Arc<AtomicBool>,
    /// That it rejects spans was told: each delivery may have some.
    has_rejected: Arc<AtomicBool>,
}

impl Collector {
    /// One whose deliveries take at most `limit` each, on the present runtime. With `headers` nothing but these and the
    /// content type is sent: the exporter adds what the platform's variables say, which is for another collector.
    pub fn new(
        proxy: Option<&Proxy>,
        limit: Duration,
        headers: Option<&[(String, SecretString)]>,
    ) -> Result<Self, HttpClientError> {
        let http = http_clients_through(proxy, limit)?.client().clone();
        let header = |(name, value): &(String, SecretString)| {
            let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        };
        // The configuration has judged them.
        let headers = headers.map(|headers| headers.iter().filter_map(header).collect());
        Ok(Self {
            http,
            runtime: Handle::current(),
            limit,
            headers,
            is_failing: Arc::default(),
            has_rejected: Arc::default(),
        })
    }

    async fn deliver(&self, mut request: Request<Bytes>) -> Result<Delivered, String> {
        if let Some(headers) = &self.headers {
            let content_type = request.headers_mut().remove(CONTENT_TYPE);
            headers.clone_into(request.headers_mut());
            request.headers_mut().extend(content_type.map(|content_type| (CONTENT_TYPE, content_type)));
        }
        let request = request.try_into().map_err(|error| words::of_error(&error))?;
        let delivery = async {
            let response = self.http.execute(request).await.map_err(|error| words::of_error(&error))?;
            let status = response.status().as_u16();
            let rejected = if (200..300).contains(&status) { rejected_of(&beginning(response).await) } else { None };
            Ok(Delivered { status, rejected })
        };
        timeout(self.limit, delivery).await.unwrap_or_else(|_| Err("timed out".to_owned()))
    }

    fn note(&self, delivered: &Result<Delivered, String>) {
        let (detail, rejected) = match delivered {
            Ok(Delivered { status: 200..300, rejected }) => (None, rejected.as_ref()),
            Ok(Delivered { status, .. }) => (Some(format!("answered {status}")), None),
            Err(detail) => (Some(detail.clone()), None),
        };
        telemetry::spans_delivered(match (&detail, rejected) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "rejected",
            (None, None) => "delivered",
        });
        if let Some((spans, why)) = rejected
            && !self.has_rejected.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                spans,
                detail = words::clean(why, &[]),
                "the collector has thrown spans away: they are lost"
            );
        }
        let was_failing = self.is_failing.swap(detail.is_some(), Ordering::Relaxed);
        match detail {
            Some(detail) if !was_failing => {
                tracing::warn!(detail, "the collector does not take spans: they are lost until it does");
            }
            None if was_failing => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let collector = self.clone();
        let delivery = self.runtime.spawn(async move {
            let delivered = collector.deliver(request).await;
            collector.note(&delivered);
            delivered
        });
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = delivery.await??.status.try_into()?;
        Ok(response)
    }
}

/// The answer, or so much of it as is read.
async fn beginning(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ANSWER_CAP
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body
}

/// What `ExportTraceServiceResponse` (OTLP, protobuf) says was rejected, and why; `None`: nothing, or that cannot be
/// read.
fn rejected_of(answer: &[u8]) -> Option<(u64, String)> {
    // partial_success { rejected_spans = 1; error_message = 2; } = 1
    let partial = fields(answer)?.into_iter().find_map(|(number, field)| field.bytes().filter(|_| number == 1))?;
    let (mut spans, mut why) = (0, String::new());
    for (number, field) in fields(partial)? {
        match (number, field) {
            (1, Field::Number(count)) => spans = count,
            (2, Field::Bytes(text)) => why = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    (spans > 0).then_some((spans, why))
}

/// A field of a protobuf message.
#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Field<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// The fields of a protobuf message, each with its number; `None`: it is none.
fn fields(mut rest: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = number(&mut rest)?;
        let field = match key & 7 {
            0 => Field::Number(number(&mut rest)?),
            1 => rest.split_off(..8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(number(&mut rest)?).ok()?;
                Field::Bytes(rest.split_off(..length)?)
            }
            5 => rest.split_off(..4).map(|_| Field::Other)?,
            _ => return None,
        };
        found.push((key >> 3, field));
    }
    Some(found)
}

/// A number of protobuf's: seven bits a byte, the lowest first, the highest bit of a byte for more to come.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
    use prost::Message as _;

    use super::*;

    fn answer(rejected_spans: i64, why: &str) -> Vec<u8> {
        let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message: why.to_owned() });
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    }

    #[test]
    fn what_a_collector_has_thrown_away_is_read_from_its_answer() {
        assert_eq!(rejected_of(&answer(3, "too old")), Some((3, "too old".to_owned())));
        assert_eq!(rejected_of(&answer(100_000, "")), Some((100_000, String::new())));
        assert_eq!(rejected_of(&answer(0, "a warning alone")), None);
        assert_eq!(rejected_of(&[]), None);
        // A newer collector may say more, in every form that a field may have.
        let more = [&[0x10, 0x96, 0x01, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x25, 0, 0, 0, 0][..], &answer(1, "x")].concat();
        assert_eq!(rejected_of(&more), Some((1, "x".to_owned())));
    }

    #[test]
    fn an_answer_that_is_no_message_says_nothing() {
        let whole = answer(3, "too old");
        for end in 0..whole.len() {
            assert_eq!(rejected_of(&whole[..end]), None, "cut at {end}");
        }
        for odd in
            [&[0x0a, 0xff][..], &[0xff; 20], &[0x0b], &[0x09, 1, 2], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], b"{}"]
        {
            assert_eq!(rejected_of(odd), None, "{odd:?}");
        }
    }
}
