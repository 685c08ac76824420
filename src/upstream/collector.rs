//! The way of spans to an OpenTelemetry collector.
//!
//! Promises that a delivery ends within the time it is given, that nothing is read of the answer but its status, and
//! that a collector which does not take spans is one warning, and one line more when it does again; in between only the
//! metrics count.

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

/// Delivers spans. The exporter asks from a thread of its own, outside of the runtime that the client needs.
#[derive(Debug, Clone)]
pub struct Collector {
    http: Client,
    runtime: Handle,
    limit: Duration,
    /// All that goes there, where the collector is ours.
    headers: Option<HeaderMap>,
    is_failing: Arc<AtomicBool>,
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
        Ok(Self { http, runtime: Handle::current(), limit, headers, is_failing: Arc::default() })
    }

    async fn deliver(&self, mut request: Request<Bytes>) -> Result<u16, String> {
        if let Some(headers) = &self.headers {
            let content_type = request.headers_mut().remove(CONTENT_TYPE);
            headers.clone_into(request.headers_mut());
            request.headers_mut().extend(content_type.map(|content_type| (CONTENT_TYPE, content_type)));
        }
        let request = request.try_into().map_err(|error| words::of_error(&error))?;
        match timeout(self.limit, self.http.execute(request)).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(words::of_error(&error)),
            Err(_) => Err("timed out".to_owned()),
        }
    }

    fn note(&self, delivered: &Result<u16, String>) {
        let detail = match delivered {
            Ok(200..300) => None,
            Ok(status) => Some(format!("answered {status}")),
            Err(detail) => Some(detail.clone()),
        };
        telemetry::spans_delivered(if detail.is_none() { "delivered" } else { "failed" });
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
        *response.status_mut() = delivery.await??.try_into()?;
        Ok(response)
    }
}
