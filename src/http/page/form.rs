//! What a form sends.
//!
//! Promises the limits of a JSON body (size, time), and that nothing of a form is quoted.

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload, web};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use serde::de::DeserializeOwned;

use super::{
    super::{
        json,
        problem::{Fault, Problem, Slug},
    },
    answer::Failure,
};

/// Extracts a form of type `T`.
pub(super) struct Form<T>(pub(super) T);

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        async move {
            if !request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                let detail = "Send the form as `application/x-www-form-urlencoded`.";
                return Err(Problem::new(Slug::UnsupportedMediaType, detail).into());
            }
            let body = json::read(&request, payload, json::LIMIT).await?;
            let text = String::from_utf8_lossy(&body);
            web::Query::from_query(&text).map(|form: web::Query<T>| Self(form.into_inner())).map_err(|_| {
                let detail = "is not valid: see /openapi.yaml for its fields".to_owned();
                Problem::invalid(vec![Fault { pointer: String::new(), detail }]).into()
            })
        }
        .boxed_local()
    }
}

/// A field that is filled in: a form sends the others as empty texts.
pub(super) fn given(field: &Option<String>) -> Option<&String> {
    field.as_ref().filter(|text| !text.is_empty())
}
