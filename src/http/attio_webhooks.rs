//! `POST /webhooks/attio/{token}`: Attio tells what became of records.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload},
};

use super::{
    endpoint::Endpoint,
    json,
    problem::{Fault, Problem, Slug},
    standing,
};
use crate::leads::{EventsRefused, Leads};

/// The endpoints of this resource.
pub fn endpoints() -> [Endpoint; 1] {
    [Endpoint::new("/webhooks/attio/{token}").post(take)]
}

async fn take(
    request: HttpRequest,
    token: web::Path<String>,
    payload: Payload,
    leads: web::Data<Leads>,
) -> Result<HttpResponse, Problem> {
    if !json::is_json_or_none(&request) {
        return Err(Problem::new(Slug::UnsupportedMediaType, "Send the events as JSON."));
    }
    let body = json::read(&request, payload.into_inner(), json::LIMIT).await?;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (signature, call) = (header("attio-signature"), header("idempotency-key"));
    match leads.take_attio_events(&token, signature, call, &body).await {
        Ok(()) => Ok(HttpResponse::Ok().json(serde_json::json!({}))),
        Err(EventsRefused::Gone) => Err(Problem::new(Slug::WebhookGone, "This webhook was removed: stop calling it.")),
        Err(EventsRefused::Signature) => Err(Problem::new(
            Slug::InvalidSignature,
            "Sign the body with the secret of this webhook, in `Attio-Signature`.",
        )),
        Err(EventsRefused::Malformed(malformed)) => {
            let detail = malformed.detail.to_owned();
            Err(Problem::invalid(vec![Fault { pointer: malformed.pointer, detail }]))
        }
        Err(EventsRefused::Store(error)) => Err(standing::store(&error)),
    }
}
