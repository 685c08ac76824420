//! What both listeners serve while the store is not there yet: the process lives, and nothing can be done.

use std::time::Duration;

use actix_web::{
    HttpResponse, Responder,
    web::{self, ServiceConfig},
};
use serde_json::json;

use super::{
    endpoint::Endpoint,
    problem::{Problem, Slug},
};

/// The routes of that time.
pub fn waiting(cfg: &mut ServiceConfig) {
    Endpoint::new("/healthz").get(alive).register(cfg);
    cfg.default_service(web::to(not_yet));
}

async fn alive() -> impl Responder {
    web::Json(json!({ "status": "ok" }))
}

async fn not_yet() -> Result<HttpResponse, Problem> {
    let detail = "The store is not there yet: this process waits for it. Send the same request again in a few seconds.";
    Err(Problem::new(Slug::StoreUnavailable, detail).retry_after(Duration::from_secs(2)))
}
