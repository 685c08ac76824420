//! Problem details (RFC 9457): the only place that knows which status an error has.
//!
//! Promises that every error answer is `application/problem+json` with a stable `type`, says what to do, and carries
//! the request's id. There is no `From` for library errors: a stray `?` must not pick a status.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::request_id;

macro_rules! slugs {
    ($($(#[$doc:meta])* $variant:ident = $slug:literal, $status:literal, $title:literal;)+) => {
        /// What went wrong; each has a stable slug, a status and a title. `openapi.yaml` lists them all.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Slug {
            $($(#[$doc])* $variant,)+
        }

        impl Slug {
            /// Every slug.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The last part of `type`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $slug,)+ }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The `title`.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

slugs! {
    /// The request breaks a rule that `errors` names.
    InvalidRequest = "invalid-request", 400, "The request is not valid";
    /// No bearer token, or one that is no good.
    Unauthorized = "unauthorized", 401, "A valid access token is required";
    /// The token's connection was replaced by a newer one of the same workspace.
    ConnectionReplaced = "connection-replaced", 401, "This connection was replaced by a newer one";
    /// A callback's signature is missing or wrong.
    InvalidSignature = "invalid-signature", 401, "The signature is missing or wrong";
    /// The caller may not operate the service.
    Forbidden = "forbidden", 403, "This caller may not operate the service";
    /// No such thing.
    NotFound = "not-found", 404, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "Method not allowed";
    /// The event is about another workspace than the token.
    WorkspaceMismatch = "workspace-mismatch", 409, "The connection belongs to another workspace";
    /// ALC's grant is dead: a person has to connect again.
    ReauthorizationRequired = "reauthorization-required", 409, "ALC has to be connected again";
    /// The connection is not connected yet, or on its way out.
    ConnectionNotReady = "connection-not-ready", 409, "The connection is not ready";
    /// The service serves one workspace (an API key belongs to one), and it is another one.
    WorkspaceRefused = "workspace-refused", 409, "This service serves another workspace";
    /// The webhook is not, or no longer, ours.
    WebhookGone = "webhook-gone", 410, "This webhook is gone";
    /// The body is too long.
    PayloadTooLarge = "payload-too-large", 413, "The body is too large";
    /// Not JSON.
    UnsupportedMediaType = "unsupported-media-type", 415, "The media type is not supported";
    /// ALC refuses the lead for good.
    LeadRejected = "lead-rejected", 422, "ALC refuses this lead";
    /// The same key, another body.
    IdempotencyKeyReused = "idempotency-key-reused", 422, "The idempotency key was used with another body";
    /// As many callback URLs as may be.
    TooManyCallbacks = "too-many-callbacks", 422, "There are too many callback URLs";
    /// A user's connection, where the workspace's is needed.
    WorkspaceConnectionRequired = "workspace-connection-required", 422, "A workspace connection is required";
    /// Attio or ALC refuses what the connection needs.
    ConnectRefused = "connect-refused", 422, "The connection cannot be completed";
    /// Too many requests.
    TooManyRequests = "too-many-requests", 429, "Too many requests";
    /// A bug of ours; the log has the rest under the request's id.
    Internal = "internal-error", 500, "Something went wrong here";
    /// ALC or Attio did not answer as it should.
    UpstreamFailed = "upstream-failed", 502, "An upstream did not answer as it should";
    /// The store cannot take it now.
    StoreUnavailable = "store-unavailable", 503, "The store is unavailable";
    /// A loop of the process gives no sign of life.
    LoopStalled = "loop-stalled", 503, "The process has stopped working";
    /// The process is on its way out.
    Stopping = "stopping", 503, "The process is stopping";
    /// Not done in time.
    Timeout = "timeout", 504, "Not done in time";
}

/// A fault in one place of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// RFC 6901 pointer into the body (empty: the whole of it); `#/query/…` or `#/header/…` style names for what is not
    /// in the body.
    pub pointer: String,
    /// What is wrong, and what would be right. Never quotes the value.
    pub detail: String,
}

/// An error on its way to the caller.
#[derive(Debug, Clone)]
pub struct Problem {
    slug: Slug,
    detail: String,
    faults: Vec<Fault>,
    retry_after: Option<Duration>,
    extensions: Map<String, Value>,
    challenges: &'static [&'static str],
}

impl Problem {
    /// What no caller can have caused, nor mend.
    pub fn own_fault() -> Self {
        Self::new(Slug::Internal, "Report this with the request id: it is a fault of this service.")
    }

    /// A problem; `detail` says what to do.
    pub fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Self {
            slug,
            detail: detail.into(),
            faults: Vec::new(),
            retry_after: None,
            extensions: Map::new(),
            challenges: &[],
        }
    }

    /// `unauthorized` for a request without any credentials: its challenge has no error code (RFC 6750 §3.1).
    pub fn credentials_missing() -> Self {
        let detail = "Send `Authorization: Bearer <access token>` with the connection's access token.";
        Self::new(Slug::Unauthorized, detail).challenged(&["Bearer"])
    }

    /// With these `WWW-Authenticate` instead of the usual one, each as a line of its own: of two challenges in one line
    /// Chromium sees the first alone.
    #[must_use]
    pub fn challenged(self, challenges: &'static [&'static str]) -> Self {
        Self { challenges, ..self }
    }

    /// `invalid-request` with its faults.
    pub fn invalid(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("Correct {}: {}", only.pointer, only.detail),
            _ => "Correct what `errors` names and send the request again.".to_owned(),
        };
        Self { faults, ..Self::new(Slug::InvalidRequest, detail) }
    }

    /// `store-unavailable`.
    pub fn store_unavailable() -> Self {
        // Not "nothing was done": the store may have taken it and failed before it said so.
        let detail = "The store cannot take it now. Send the same request again in a few seconds. A lead sent with an \
                      Idempotency-Key is not sent twice so; without one, ask for the lead first.";
        Self::new(Slug::StoreUnavailable, detail).retry_after(Duration::from_secs(2))
    }

    /// Adds `Retry-After`.
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Adds a member of its own (RFC 9457 §3.2).
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.extensions.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }

    /// For an error of actix's own, by its status. Its words stay out: they may quote the request.
    pub fn of_status(status: StatusCode) -> Self {
        let (slug, detail) = match status.as_u16() {
            404 => (Slug::NotFound, "There is nothing at this path."),
            405 => (Slug::MethodNotAllowed, "Use another method."),
            413 => (Slug::PayloadTooLarge, "Send less."),
            415 => (Slug::UnsupportedMediaType, "Send `content-type: application/json`."),
            400..500 => (Slug::InvalidRequest, "The request cannot be understood: see /openapi.yaml."),
            _ => (Slug::Internal, "Send it again later; if it fails again, report the request's id."),
        };
        Self::new(slug, detail)
    }

    /// What went wrong.
    pub fn slug(&self) -> Slug {
        self.slug
    }

    /// What is wrong with the request, place by place.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The body, as `application/problem+json` has it. For an item of a batch there is no `request_id`.
    pub fn to_value(&self, request_id: Option<&str>) -> Value {
        let mut body = self.extensions.clone();
        body.insert("type".to_owned(), format!("/problems/{}", self.slug.name()).into());
        body.insert("title".to_owned(), self.slug.title().into());
        body.insert("status".to_owned(), self.slug.status().into());
        body.insert("detail".to_owned(), self.detail.clone().into());
        if let Some(id) = request_id {
            body.insert("request_id".to_owned(), id.into());
        }
        if !self.faults.is_empty() {
            body.insert("errors".to_owned(), serde_json::to_value(&self.faults).unwrap_or(Value::Null));
        }
        Value::Object(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug.name())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.slug.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json");
        if let Some(after) = self.retry_after {
            // Rounded up: a caller that comes a second early is told to wait again.
            response.insert_header((header::RETRY_AFTER, after.as_millis().div_ceil(1000).max(1).to_string()));
        }
        if self.slug.status() == 401 && self.slug != Slug::InvalidSignature {
            if self.challenges.is_empty() {
                let title = self.slug.title();
                let usual = format!("Bearer error=\"invalid_token\", error_description=\"{title}\"");
                response.insert_header((header::WWW_AUTHENTICATE, usual));
            }
            for challenge in self.challenges {
                response.append_header((header::WWW_AUTHENTICATE, *challenge));
            }
        }
        response.body(self.to_value(request_id::current().as_deref()).to_string())
    }
}
