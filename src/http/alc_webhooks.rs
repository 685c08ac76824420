//! `/webhooks/alc/{token}`: ALC calls back. What it declares as the body's type does not matter: it is not ours to
//! teach.

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
    [Endpoint::new("/webhooks/alc/{token}").get(try_out).post(call_back)]
}

/// ALC may try the URL while it registers it, before it knows the secret: the answer is the same for every known one.
async fn try_out(token: web::Path<String>, leads: web::Data<Leads>) -> Result<HttpResponse, Problem> {
    known(&token, &leads).await
}

async fn known(token: &str, leads: &Leads) -> Result<HttpResponse, Problem> {
    match leads.is_called_at(token).await {
        Ok(true) => {
            count("tried");
            Ok(HttpResponse::Ok().json(serde_json::json!({})))
        }
        Ok(false) => Err(counted("gone", gone())),
        Err(error) => Err(counted("store_unavailable", standing::store(&error))),
    }
}

fn gone() -> Problem {
    Problem::new(Slug::WebhookGone, "This webhook was removed: stop calling it.")
}

async fn call_back(
    request: HttpRequest,
    token: web::Path<String>,
    payload: Payload,
    leads: web::Data<Leads>,
) -> Result<HttpResponse, Problem> {
    let body = json::read(&request, payload.into_inner(), json::LIMIT)
        .await
        .map_err(|problem| counted("unreadable", problem))?;
    if body.trim_ascii().is_empty() {
        return known(&token, &leads).await;
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    // What the specification grew out of has its own names for the same three, and libraries of it write those.
    let own = request.headers().contains_key("webhook-signature") || !request.headers().contains_key("svix-signature");
    let [id, timestamp, signature] = if own {
        ["webhook-id", "webhook-timestamp", "webhook-signature"]
    } else {
        ["svix-id", "svix-timestamp", "svix-signature"]
    };
    let headers = Headers { id: header(id), timestamp: header(timestamp), signature: header(signature) };
    match leads.call_back(&token, headers, &body).await {
        Ok(outcome) => {
            count(match outcome {
                CallbackOutcome::Finished => "finished",
                CallbackOutcome::Adopted => "adopted",
                CallbackOutcome::Repeated => "repeated",
                CallbackOutcome::Unfinished => "unfinished",
                CallbackOutcome::OtherEvent => "other_event",
                CallbackOutcome::Prospect => "prospect",
            });
            Ok(HttpResponse::Ok().json(serde_json::json!({})))
        }
        Err(CallbackRefused::Gone) => Err(counted("gone", gone())),
        Err(CallbackRefused::Signature(refused)) => Err(counted(
            "invalid_signature",
            Problem::new(
                Slug::InvalidSignature,
                format!("{refused}: sign `webhook-id.webhook-timestamp.body` with the secret of this webhook."),
            ),
        )),
        Err(CallbackRefused::NoSecret) => Err(counted(
            "no_secret",
            Problem::new(
                Slug::InvalidSignature,
                "This service believes signed callbacks only (ALC__WEBHOOK_SIGNATURE=required), and ALC told no secret \
                 for this webhook: connect the workspace again, with an ALC that tells one; or set \
                 ALC__WEBHOOK_SIGNATURE=when-secret-known.",
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
