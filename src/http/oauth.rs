//! `/oauth/*` and what clients discover about it: the authorization server in HTTP.
//!
//! Promises that nothing here is cached or leaks into a `Referer`, that people see pages and programs see RFC 6749
//! JSON, and that pages run no script and show nothing that a request brought along.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
    web,
};
use askama::Template;

use super::{endpoint::Endpoint, json, problem::Slug};
use crate::{
    authorization::{Authorization, AuthorizeFault, CompleteFault, OAuthError, Provider, StateFault},
    telemetry::warn_sparingly,
};

/// Marks a request that was sent on to the public host, so that it is not sent on again: behind a proxy that changes
/// `Host` it would go round for ever.
const SENT_ON: &str = "alc_connector_sent_on=1";

/// The endpoints; the handlers want a `web::Data<Authorization>`.
pub fn endpoints() -> [Endpoint; 7] {
    // A HEAD of a callback would use up the state and throw the code away.
    [
        Endpoint::new("/oauth/authorize").get(authorize),
        Endpoint::new("/oauth/callback").get_without_head(alc_callback),
        Endpoint::new("/oauth/callback/attio").get_without_head(attio_callback),
        Endpoint::new("/oauth/token").post(token),
        Endpoint::new("/oauth/revoke").post(revoke),
        Endpoint::new("/.well-known/oauth-authorization-server").get(metadata),
        Endpoint::new("/.well-known/jwks.json").get(jwks),
    ]
}

async fn authorize(request: HttpRequest, authorization: web::Data<Authorization>) -> HttpResponse {
    let query = request.query_string();
    let sent_on = query.split('&').any(|pair| pair == SENT_ON);
    let plain = came_by_plain_http(&request, &authorization);
    if sent_on && plain {
        // It may be the proxy that says so of a browser which did come by TLS: that works.
        warn_sparingly!(
            "a browser came by plain HTTP, or the proxy says so, and its cookie works by https only: let the proxy \
             redirect http to https, and set X-Forwarded-Proto to what the browser used"
        );
    }
    if !sent_on && (plain || !authorization.is_public_host(request.connection_info().host())) {
        // The callback comes to the public URL, and the cookie must be there.
        let separator = if query.is_empty() { "" } else { "&" };
        return redirect(&format!("{}/oauth/authorize?{query}{separator}{SENT_ON}", authorization.issuer()), &[]);
    }
    let cookies = cookies(&request);
    match authorization.begin(query, &cookies.iter().map(AsRef::as_ref).collect::<Vec<_>>()) {
        Ok(begun) => redirect(&begun.location, &begun.set_cookies),
        Err(AuthorizeFault::Redirect { location }) => redirect(&location, &[]),
        Err(AuthorizeFault::BadClient) => page(
            StatusCode::BAD_REQUEST,
            &Page {
                title: "This app is not known here",
                happened: "The request does not name the app that this service is configured for.",
                advice: "Whoever runs this service should compare ATTIO_APP__CLIENT_ID with the client id of the \
                         connection in Attio's developer dashboard.",
            },
        ),
        Err(AuthorizeFault::BadRedirectUri) => page(
            StatusCode::BAD_REQUEST,
            &Page {
                title: "This address is not registered",
                happened: "The request asks to be sent back to an address that is not registered for the app, so you \
                           were not sent there.",
                advice: "Whoever runs this service should compare ATTIO_APP__REDIRECT_URIS with the redirect address \
                         that Attio uses; they must be equal to the letter.",
            },
        ),
    }
}

async fn alc_callback(request: HttpRequest, authorization: web::Data<Authorization>) -> HttpResponse {
    callback(Provider::Alc, &request, &authorization).await
}

async fn attio_callback(request: HttpRequest, authorization: web::Data<Authorization>) -> HttpResponse {
    callback(Provider::Attio, &request, &authorization).await
}

async fn callback(provider: Provider, request: &HttpRequest, authorization: &Authorization) -> HttpResponse {
    if is_speculative(request) {
        return page(
            StatusCode::SERVICE_UNAVAILABLE,
            &Page {
                title: "Not opened yet",
                happened: "Your browser asked for this page before you did.",
                advice: "Open it again: nothing was taken by that.",
            },
        );
    }
    let cookies = cookies(request);
    let cookies: Vec<&str> = cookies.iter().map(AsRef::as_ref).collect();
    match authorization.complete(provider, request.query_string(), &cookies).await {
        Ok(completed) => redirect(&completed.location, &completed.set_cookies),
        Err(CompleteFault::State(fault)) => {
            tracing::info!(%fault, "a callback was refused");
            page(StatusCode::BAD_REQUEST, &refused(fault, came_by_plain_http(request, authorization)))
        }
        Err(CompleteFault::Unavailable) => page(
            StatusCode::SERVICE_UNAVAILABLE,
            &Page {
                title: "Not connected: try again shortly",
                happened: "This service could not store the connection.",
                advice: "Wait a moment, then go back to Attio and connect again from there.",
            },
        ),
        Err(CompleteFault::TooMany { seconds }) => {
            warn_sparingly!("more people connect at once than this service lets, or a stranger sends callbacks");
            let mut page = page(
                StatusCode::TOO_MANY_REQUESTS,
                &Page {
                    title: "Not connected yet: too many at once",
                    happened: "Too many people are connecting just now.",
                    advice: "Wait a few seconds, then open this page again: nothing was taken by that.",
                },
            );
            page.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            page
        }
    }
}

/// The `Cookie` headers. Another application's cookie may have any byte in it; ours stands beside it.
fn cookies(request: &HttpRequest) -> Vec<Cow<'_, str>> {
    request.headers().get_all(header::COOKIE).map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
}

/// Whether the browser, not yet a person, asks: by the Fetch standard's header, or one of those before it.
fn is_speculative(request: &HttpRequest) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].into_iter().any(|name| {
        request.headers().get_all(name).any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            [&b"prefetch"[..], b"prerender", b"preview"]
                .into_iter()
                .any(|word| value.split(|byte| b";, =".contains(byte)).any(|part| part == word))
        })
    })
}

/// Whether what is in front of us says that the browser used plain HTTP where the public URL is https. If it says
/// nothing, nothing is known.
fn came_by_plain_http(request: &HttpRequest, authorization: &Authorization) -> bool {
    let is_told = ["x-forwarded-proto", "forwarded"].iter().any(|name| request.headers().contains_key(*name));
    is_told && request.connection_info().scheme() == "http" && authorization.issuer().starts_with("https:")
}

fn refused(fault: StateFault, plain: bool) -> Page {
    let happened = match fault {
        StateFault::Foreign if plain => {
            "This address was opened by plain HTTP, where your browser does not show what proves that you began here. \
             Whoever runs this service should let its proxy redirect http to https."
        }
        StateFault::Missing => "This address was opened without the data that belongs to it.",
        StateFault::Foreign => "This attempt to connect was not begun in this browser, or cookies are blocked.",
        StateFault::Expired => "More than ten minutes have passed since you began to connect.",
        StateFault::Used => "This attempt to connect was completed already.",
    };
    Page {
        title: "Not connected: please start again",
        happened,
        advice: "Nothing was changed. Go back to Attio and connect again from there, in this browser.",
    }
}

async fn token(
    request: HttpRequest,
    authorization: web::Data<Authorization>,
    body: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let body = form(&request, body).await?;
    let granted = authorization.token(credentials(&request), &body).await.map_err(Refusal::from)?;
    Ok(uncached(StatusCode::OK).content_type("application/json").body(granted.to_body()))
}

async fn revoke(
    request: HttpRequest,
    authorization: web::Data<Authorization>,
    body: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let body = form(&request, body).await?;
    authorization.revoke(credentials(&request), &body).await.map_err(Refusal::from)?;
    // RFC 7009 §2.2 ignores the body, but some clients read every answer as JSON.
    Ok(uncached(StatusCode::OK).json(serde_json::json!({})))
}

async fn metadata(authorization: web::Data<Authorization>) -> HttpResponse {
    HttpResponse::Ok().json(authorization.metadata())
}

async fn jwks(authorization: web::Data<Authorization>) -> HttpResponse {
    HttpResponse::Ok().json(authorization.jwks())
}

/// The form of a request, or what is wrong with it.
async fn form(request: &HttpRequest, body: web::Payload) -> Result<web::Bytes, Refusal> {
    let invalid = |status, what| Refusal { status, fault: OAuthError::InvalidRequest(what) };
    if !request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-www-form-urlencoded"));
    }
    json::read(request, body.into_inner(), json::LIMIT).await.map_err(|problem| match problem.slug() {
        Slug::PayloadTooLarge => invalid(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        Slug::UnsupportedMediaType => {
            invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body without a content-encoding")
        }
        _ => invalid(StatusCode::BAD_REQUEST, "the body could not be read"),
    })
}

/// The `Authorization` header. Two of them, or one that is no text, prove nothing; but they are there.
fn credentials(request: &HttpRequest) -> Option<&str> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let first = headers.next()?;
    Some(if headers.next().is_some() { "" } else { first.to_str().unwrap_or_default() })
}

/// An error as RFC 6749 §5.2 has it, instead of a problem.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    status: StatusCode,
    fault: OAuthError,
}

impl From<OAuthError> for Refusal {
    fn from(fault: OAuthError) -> Self {
        let status = match fault {
            OAuthError::InvalidClient => StatusCode::UNAUTHORIZED,
            OAuthError::TooManyFailures { .. } => StatusCode::TOO_MANY_REQUESTS,
            OAuthError::Unavailable | OAuthError::CodeUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            OAuthError::InvalidRequest(_)
            | OAuthError::InvalidGrant
            | OAuthError::UnsupportedGrantType
            | OAuthError::UnsupportedTokenType => StatusCode::BAD_REQUEST,
        };
        Self { status, fault }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.code())
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = uncached(self.status);
        match self.status {
            // RFC 9110 §15.5.2 wants a challenge on every 401, not only after Basic.
            StatusCode::UNAUTHORIZED => {
                response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"alc-connector\", charset=\"UTF-8\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, "2"));
            }
            _ => {}
        }
        if let OAuthError::TooManyFailures { seconds } = self.fault {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        response.json(serde_json::json!({"error": self.fault.code(), "error_description": self.fault.description()}))
    }
}

/// Sends the browser on; with a code in the address, so nobody may keep or pass on where it went.
fn redirect(location: &str, set_cookies: &[String]) -> HttpResponse {
    let mut response = uncached(StatusCode::FOUND);
    response.insert_header((header::LOCATION, location));
    for cookie in set_cookies {
        response.append_header((header::SET_COOKIE, cookie.as_str()));
    }
    response.finish()
}

fn uncached(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

/// What a person sees when there is nowhere to send them. Fixed words only: nothing of the request is shown.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: Canvas; color: CanvasText; }
main { max-width: 32rem; margin: 2rem; padding: 2rem; border: 1px solid GrayText; border-radius: .75rem; }
h1 { margin-top: 0; font-size: 1.375rem; line-height: 1.25; }
p:last-child { margin-bottom: 0; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p>{{ happened }}</p>
<p>{{ advice }}</p>
</main>
</body>
</html>
"#
)]
struct Page {
    title: &'static str,
    happened: &'static str,
    advice: &'static str,
}

fn page(status: StatusCode, page: &Page) -> HttpResponse {
    let mut response = uncached(status);
    response.content_type("text/html; charset=utf-8").insert_header((
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, "2"));
    }
    // Rendering fixed words into a string cannot fail; a bare title still says what matters.
    response.body(page.render().unwrap_or_else(|_| page.title.to_owned()))
}
