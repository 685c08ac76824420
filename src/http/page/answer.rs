//! Pages and redirects as they go out.
//!
//! Promises that no page is kept, framed, or runs anything, and that what fails is a page, too: one that says what to
//! do.

use std::{fmt, sync::LazyLock};

use actix_web::{
    HttpResponse, ResponseError,
    dev::ServiceResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
};
use askama::Template;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    super::{
        problem::{Fault, Problem},
        request_id, standing,
    },
    notice::Told,
};
use crate::{store::StoreError, telemetry};

const STYLE: &str = include_str!("../../../templates/operate/style.css");

/// Of all styles only the page's own may apply: an upstream's words bring none along.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// What stands around every page.
pub(super) struct Frame {
    pub(super) title: &'static str,
    /// `content` of the meta element, if the page loads itself again.
    pub(super) refresh: Option<String>,
    pub(super) notice: Option<Told>,
    pub(super) style: &'static str,
    pub(super) version: &'static str,
}

impl Frame {
    /// A page that stays as it is.
    pub(super) fn new(title: &'static str) -> Self {
        Self { title, refresh: None, notice: None, style: STYLE, version: telemetry::VERSION.version }
    }

    /// Goes to that address after so many seconds.
    pub(super) fn refreshed(self, seconds: u32, to: &str) -> Self {
        Self { refresh: Some(format!("{seconds}; url={to}")), ..self }
    }

    /// Tells what a change came to.
    pub(super) fn telling(self, notice: Option<&String>) -> Self {
        Self { notice: notice.and_then(|notice| Told::read(notice)), ..self }
    }
}

/// A page.
pub(super) fn page(template: &impl Template) -> Result<HttpResponse, Failure> {
    let body = template.render().map_err(|error| {
        tracing::error!(%error, "a page was not made");
        Failure::from(Problem::own_fault())
    })?;
    let mut response = HttpResponse::Ok();
    let mut response = response.body(body);
    protect(response.headers_mut());
    Ok(response)
}

/// To where what a change came to is told.
pub(super) fn see(address: &str) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, address));
    let mut response = response.finish();
    protect(response.headers_mut());
    response
}

/// The address of a page, with what is there of its parameters.
pub(super) fn address(path: &str, query: &[(&str, Option<String>)]) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).for_each(|(name, value)| {
        pairs.append_pair(name, value);
    });
    match pairs.finish().as_str() {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

fn protect(headers: &mut HeaderMap) {
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::CACHE_CONTROL, "no-store");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Not `no-referrer`: a browser then hides the origin of this page's own forms, and the guard refuses them.
    set(header::REFERRER_POLICY, "same-origin");
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// What an extractor has refused is a page, too: of a caller who is no operator, say.
pub(super) fn as_page(response: ServiceResponse) -> ServiceResponse {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    match problem {
        Some(problem) => response.into_response(Failure(problem).error_response()),
        None => response,
    }
}

/// A problem, as a page.
#[derive(Debug)]
pub(super) struct Failure(Problem);

#[derive(Template)]
#[template(path = "operate/failure.html")]
struct FailurePage {
    frame: Frame,
    title: &'static str,
    detail: String,
    faults: Vec<Fault>,
    request_id: Option<String>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(standing::store(&error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let response = self.0.error_response();
        let passes = response.headers().contains_key(header::RETRY_AFTER);
        let frame = Frame::new(self.0.slug().title());
        let page = FailurePage {
            // What could not be read now is read when the store is back, without anybody's doing.
            frame: if passes { frame.refreshed(15, "/operate") } else { frame },
            title: self.0.slug().title(),
            detail: self.0.to_value(None)["detail"].as_str().unwrap_or_default().to_owned(),
            // Of one alone the detail says it.
            faults: Some(self.0.faults()).filter(|faults| faults.len() > 1).unwrap_or_default().to_vec(),
            request_id: request_id::current().map(|id| id.to_string()),
        };
        let body = page.render().unwrap_or_else(|_| page.title.to_owned());
        let mut response = response.set_body(actix_web::body::BoxBody::new(body));
        protect(response.headers_mut());
        response
    }
}
