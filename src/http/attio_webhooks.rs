//! `POST /webhooks/attio/{token}`: Attio tells what became of records. What it declares as the body's type does not
//! matter: it is not ours to teach.

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
    let body = json::read(&request, payload.into_inner(), json::LIMIT).await?;
    let call = request.headers().get("idempotency-key").and_then(|value| value.to_str().ok());
    // Attio sends both, and says of neither that it is the one to rely on.
    let signatures = ["attio-signature", "x-attio-signature"]
        .into_iter()
        .flat_map(|name| request.headers().get_all(name).filter_map(|value| value.to_str().ok()));
    let signatures: Vec<&str> = signatures.collect();
    match leads.take_attio_events(&token, &signatures, call, &body).await {
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
