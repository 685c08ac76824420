//! `/oauth/*` and what clients discover about it: the authorization server in HTTP.
//!
//! Promises that nothing here is cached or leaks into a `Referer`, that people see pages and programs see RFC 6749 JSON,
//! and that pages run no script and show nothing that a request brought along.

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web,
};
use askama::Template;
use serde_json::json;

use super::endpoint::Endpoint;
use crate::authorization::{Authorization, AuthorizeFault, CompleteFault, Fault, Provider, StateFault};

/// Bodies over this are refused with 413.
const MAX_BODY: usize = 64 * 1024;

/// Marks a request that was sent on to the public host, so that it is not sent on again: behind a proxy that changes
/// `Host` it would go round for ever.
const SENT_ON: &str = "alc_connector_sent_on=1";

/// The routes.
pub fn routes(cfg: &mut web::ServiceConfig) {
    Endpoint::new("/oauth/authorize").get(authorize).register(cfg);
    Endpoint::new("/oauth/callback").get(callback).register(cfg);
    Endpoint::new("/oauth/token").post(token).register(cfg);
    Endpoint::new("/oauth/revoke").post(revoke).register(cfg);
    Endpoint::new("/.well-known/oauth-authorization-server").get(metadata).register(cfg);
    Endpoint::new("/.well-known/jwks.json").get(jwks).register(cfg);
}

async fn authorize(request: HttpRequest, authorization: web::Data<Authorization>) -> HttpResponse {
    let query = request.query_string();
    let sent_on = query.split('&').any(|pair| pair == SENT_ON);
    if !sent_on && !authorization.is_public_host(request.connection_info().host()) {
        // The callback comes to the public host, and the cookie must be there.
        let separator = if query.is_empty() { "" } else { "&" };
        return redirect(&format!("{}/oauth/authorize?{query}{separator}{SENT_ON}", authorization.issuer()), None);
    }
    match authorization.begin(query) {
        Ok(begun) => redirect(&begun.location, Some(&begun.set_cookie)),
        Err(AuthorizeFault::Redirect { location }) => redirect(&location, None),
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

async fn callback(request: HttpRequest, authorization: web::Data<Authorization>) -> HttpResponse {
    let cookies: Vec<&str> =
        request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok()).collect();
    match authorization.complete(Provider::Alc, request.query_string(), &cookies).await {
        Ok(completed) => redirect(&completed.location, Some(&completed.clear_cookie)),
        Err(CompleteFault::State(fault)) => {
            tracing::info!(%fault, "a callback was refused");
            page(StatusCode::BAD_REQUEST, &refused(fault))
        }
        Err(CompleteFault::Unavailable) => page(
            StatusCode::SERVICE_UNAVAILABLE,
            &Page {
                title: "Not connected: try again shortly",
                happened: "This service could not store the connection.",
                advice: "Wait a moment, then go back to Attio and connect again from there.",
            },
        ),
    }
}

fn refused(fault: StateFault) -> Page {
    let happened = match fault {
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
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let body = match form(&request, body) {
        Ok(body) => body,
        Err((status, what)) => return refusal_with(status, Fault::InvalidRequest(what)),
    };
    match authorization.token(credentials(&request), &body).await {
        Ok(granted) => uncached(StatusCode::OK).content_type("application/json").body(granted.to_body()),
        Err(fault) => refusal(fault),
    }
}

async fn revoke(
    request: HttpRequest,
    authorization: web::Data<Authorization>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let body = match form(&request, body) {
        Ok(body) => body,
        Err((status, what)) => return refusal_with(status, Fault::InvalidRequest(what)),
    };
    match authorization.revoke(credentials(&request), &body).await {
        Ok(()) => uncached(StatusCode::OK).finish(),
        Err(fault) => refusal(fault),
    }
}

async fn metadata(authorization: web::Data<Authorization>) -> HttpResponse {
    HttpResponse::Ok().json(authorization.metadata())
}

async fn jwks(authorization: web::Data<Authorization>) -> HttpResponse {
    HttpResponse::Ok().json(authorization.jwks())
}

/// The form of a request, or what is wrong with it.
fn form(
    request: &HttpRequest,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<web::Bytes, (StatusCode, &'static str)> {
    if !request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/x-www-form-urlencoded"));
    }
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    match body {
        Ok(body) if body.len() <= MAX_BODY => Ok(body),
        Ok(_) => Err(too_large),
        Err(error) if error.as_response_error().status_code() == too_large.0 => Err(too_large),
        Err(_) => Err((StatusCode::BAD_REQUEST, "the body could not be read")),
    }
}

/// The `Authorization` header. Two of them, or one that is no text, prove nothing; but they are there.
fn credentials(request: &HttpRequest) -> Option<&str> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let first = headers.next()?;
    Some(if headers.next().is_some() { "" } else { first.to_str().unwrap_or_default() })
}

fn refusal(fault: Fault) -> HttpResponse {
    let status = match fault {
        Fault::InvalidClient => StatusCode::UNAUTHORIZED,
        Fault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Fault::InvalidRequest(_) | Fault::InvalidGrant | Fault::UnsupportedGrantType | Fault::UnsupportedTokenType => {
            StatusCode::BAD_REQUEST
        }
    };
    refusal_with(status, fault)
}

/// RFC 6749 §5.2.
fn refusal_with(status: StatusCode, fault: Fault) -> HttpResponse {
    let mut response = uncached(status);
    match status {
        // RFC 9110 §15.5.2 wants a challenge on every 401, not only after Basic.
        StatusCode::UNAUTHORIZED => {
            response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"alc-connector\", charset=\"UTF-8\""));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response.insert_header((header::RETRY_AFTER, "2"));
        }
        _ => {}
    }
    response.json(json!({"error": fault.code(), "error_description": fault.description()}))
}

/// Sends the browser on; with a code in the address, so nobody may keep or pass on where it went.
fn redirect(location: &str, set_cookie: Option<&str>) -> HttpResponse {
    let mut response = uncached(StatusCode::FOUND);
    response.insert_header((header::LOCATION, location));
    if let Some(cookie) = set_cookie {
        response.insert_header((header::SET_COOKIE, cookie));
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
