//! `POST /webhooks/alc/{token}`: ALC calls back.

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
use crate::{
    alc::signature::Headers,
    leads::{CallbackOutcome, CallbackRefused, Leads},
};

/// The endpoints of this resource.
pub fn endpoints() -> [Endpoint; 1] {
    [Endpoint::new("/webhooks/alc/{token}").post(call_back)]
}

async fn call_back(
    request: HttpRequest,
    token: web::Path<String>,
    payload: Payload,
    leads: web::Data<Leads>,
) -> Result<HttpResponse, Problem> {
    if !json::is_json_or_none(&request) {
        return Err(counted(
            "unsupported_media_type",
            Problem::new(
                Slug::UnsupportedMediaType,
                "Send the callback as JSON, with `content-type: application/json` or none.",
            ),
        ));
    }
    let body = json::read(&request, payload.into_inner(), json::LIMIT)
        .await
        .map_err(|problem| counted("unreadable", problem))?;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let headers = Headers {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    match leads.call_back(&token, headers, &body).await {
        Ok(outcome) => {
            count(match outcome {
                CallbackOutcome::Finished => "finished",
                CallbackOutcome::Adopted => "adopted",
                CallbackOutcome::Repeated => "repeated",
                CallbackOutcome::Unfinished => "unfinished",
                CallbackOutcome::OtherEvent => "other_event",
            });
            Ok(HttpResponse::Ok().json(serde_json::json!({})))
        }
        Err(CallbackRefused::Gone) => {
            Err(counted("gone", Problem::new(Slug::WebhookGone, "This webhook was removed: stop calling it.")))
        }
        Err(CallbackRefused::Signature(refused)) => Err(counted(
            "invalid_signature",
            Problem::new(
                Slug::InvalidSignature,
                format!("{refused}: sign `webhook-id.webhook-timestamp.body` with the secret of this webhook."),
            ),
        )),
        Err(CallbackRefused::Malformed(malformed)) => Err(counted(
            "malformed",
            Problem::invalid(vec![Fault { pointer: malformed.pointer, detail: malformed.detail }]),
        )),
        Err(CallbackRefused::Store(error)) => Err(counted("store_unavailable", standing::store(&error))),
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("alc_connector_callbacks_total", "outcome" => outcome).increment(1);
}

fn counted(outcome: &'static str, problem: Problem) -> Problem {
    count(outcome);
    problem
}
