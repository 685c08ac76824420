//! Bearer tokens (RFC 6750): which workspace and connection a request speaks for.
//!
//! Permission is an extractor, so a handler cannot forget it. Promises that the `Authorization` header alone decides:
//! no query parameter, no cookie, no body. Whether the connection still stands is for the services to say, on the
//! workspace that they load anyway. The request is counted against its workspace's share here, before
//! anything is read of the body.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use secrecy::SecretString;
use tracing::Span;

use super::{
    limit::{Limits, Share},
    problem::{Problem, Slug},
};
use crate::{
    authorization::{Authorization, BadToken, Subject},
    ids::{ConnectionId, WorkspaceId},
    telemetry::traces,
};

/// The caller's access token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// The workspace that the request is about.
    pub workspace: WorkspaceId,
    /// The connection that the token was given to.
    pub connection: ConnectionId,
}

/// The caller's access token is one that we once signed, perhaps an expired one: all that it may do is stop things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnyBearer {
    /// The workspace that the request is about.
    pub workspace: WorkspaceId,
    /// The connection that the token was given to.
    pub connection: ConnectionId,
}

impl FromRequest for Bearer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let subject = subject(request, Authorization::verify, Share::Usual);
        ready(subject.map(|Subject { workspace, connection }| Self { workspace, connection }))
    }
}

impl FromRequest for AnyBearer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let subject = subject(request, Authorization::verify_ignoring_expiry, Share::Ending);
        ready(subject.map(|Subject { workspace, connection }| Self { workspace, connection }))
    }
}

fn subject(
    request: &HttpRequest,
    verify: impl FnOnce(&Authorization, &SecretString) -> Result<Subject, BadToken>,
    share: Share,
) -> Result<Subject, Problem> {
    let token = token(request)?;
    let subject = verify(service::<Authorization>(request)?, &token).map_err(|BadToken| bad_token())?;
    // Each line of the request says from here on whose it is.
    let span = Span::current();
    tracing::record_all!(span, workspace = display(subject.workspace), connection = display(subject.connection));
    traces::tell("alc_connector.workspace", subject.workspace);
    traces::tell("alc_connector.connection", subject.connection);
    service::<Limits>(request)?.count(subject.workspace, share)?;
    Ok(subject)
}

/// Whether the caller has a token that we once signed. For what comes before the handler; it refuses nobody.
pub(super) fn is_known(request: &HttpRequest) -> bool {
    let verify = |token| service::<Authorization>(request).ok()?.verify_ignoring_expiry(&token).ok();
    token(request).ok().and_then(verify).is_some()
}

fn service<T: 'static>(request: &HttpRequest) -> Result<&T, Problem> {
    let service = request.app_data::<web::Data<T>>();
    service.map(web::Data::get_ref).ok_or_else(Problem::own_fault)
}

fn token(request: &HttpRequest) -> Result<SecretString, Problem> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let header = headers.next().ok_or_else(Problem::credentials_missing)?;
    if headers.next().is_some() {
        // A proxy that takes the first and a server that takes the last would disagree about the caller.
        return Err(bad_token());
    }
    let header = header.to_str().map_err(|_| bad_token())?;
    match header.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(SecretString::from(token.trim_start())),
        _ => Err(Problem::credentials_missing()),
    }
}

fn bad_token() -> Problem {
    Problem::new(
        Slug::Unauthorized,
        "The access token is expired or not one of this service. Get a new one with the refresh token, or connect again.",
    )
}

#[cfg(test)]
mod tests {
    use actix_web::{ResponseError as _, test::TestRequest};
    use secrecy::ExposeSecret as _;

    use super::*;

    fn shown(request: TestRequest) -> Result<String, Option<String>> {
        let request = request.to_http_request();
        token(&request).map(|token| token.expose_secret().to_owned()).map_err(|problem| {
            assert_eq!(problem.slug(), Slug::Unauthorized);
            let response = problem.error_response();
            assert_eq!(response.status(), 401);
            response.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).map(str::to_owned)
        })
    }

    fn with(value: &str) -> TestRequest {
        TestRequest::default().insert_header((header::AUTHORIZATION, value.to_owned()))
    }

    #[test]
    fn the_header_alone_counts() {
        assert_eq!(shown(with("Bearer a.b.c")).as_deref(), Ok("a.b.c"));
        assert_eq!(shown(with("bEARER  a.b.c")).as_deref(), Ok("a.b.c"));
        let elsewhere = TestRequest::with_uri("/v1/leads?access_token=a.b.c");
        assert_eq!(shown(elsewhere), Err(Some("Bearer".to_owned())));
    }

    #[test]
    fn without_credentials_the_challenge_has_no_error() {
        for request in [TestRequest::default(), with("Basic YTpi"), with("Bearer"), with("")] {
            assert_eq!(shown(request), Err(Some("Bearer".to_owned())));
        }
    }

    #[test]
    fn two_headers_are_a_bad_token() {
        let twice = with("Bearer a.b.c").append_header((header::AUTHORIZATION, "Bearer d.e.f"));
        let challenge = shown(twice).expect_err("refused").expect("a challenge");
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    }
}
