//! The HTTP interface: routes, problem details, bearer tokens, one file per resource.
//!
//! Owns the list of what is served on which listener. Promises that every answer carries a request id, that every error
//! is a problem (RFC 9457), and that a path which exists answers any other method with 405 and `Allow`: resources are
//! registered as an [`endpoint::Endpoint`], which cannot forget it.

pub mod alc_webhooks;
pub mod attio_webhooks;
pub mod batch;
pub mod bearer;
pub mod connection;
pub mod endpoint;
pub mod events;
pub mod health;
pub mod json;
pub mod leads;
pub mod limit;
pub mod oauth;
pub mod operate;
pub mod operator;
pub mod page;
mod probes;
pub mod problem;
mod reading;
pub mod request;
mod request_id;
mod services;
mod shared;
mod standing;
pub mod triggers;
mod waiting;

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};

use self::{
    endpoint::Endpoint,
    problem::{Fault, Problem, Slug},
};
pub use self::{
    probes::Probes,
    services::{Clock, Services},
    waiting::waiting,
};

/// What the public listener serves, all of it: a test holds it against `openapi.yaml`.
pub fn public_endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![Endpoint::new("/openapi.yaml").get(openapi)];
    endpoints.extend(health::probes());
    endpoints.extend(oauth::endpoints());
    endpoints.extend(events::endpoints());
    endpoints.extend(connection::endpoints());
    // Before `/v1/leads/{record_id}`.
    endpoints.extend(batch::endpoints());
    endpoints.extend(leads::endpoints());
    endpoints.extend(triggers::endpoints());
    endpoints.extend(alc_webhooks::endpoints());
    endpoints.extend(attio_webhooks::endpoints());
    endpoints
}

/// What the management listener serves, all of it.
pub fn management_endpoints() -> Vec<Endpoint> {
    health::probes()
        .into_iter()
        .chain(health::operators())
        .chain(operate::endpoints())
        .chain(page::endpoints())
        .collect()
}

/// The public listener's routes.
pub fn public(cfg: &mut ServiceConfig, services: &Services) {
    serve(cfg, services, public_endpoints());
}

/// The management listener's routes.
pub fn management(cfg: &mut ServiceConfig, services: &Services) {
    serve(cfg, services, management_endpoints());
}

fn serve(cfg: &mut ServiceConfig, services: &Services, endpoints: Vec<Endpoint>) {
    share(cfg, services);
    for endpoint in endpoints {
        endpoint.register(cfg);
    }
    cfg.default_service(web::to(nothing_here));
}

/// What every route may extract, and how actix's own extractors fail.
fn share(cfg: &mut ServiceConfig, services: &Services) {
    cfg.app_data(web::Data::new(services.lifecycle.clone()))
        .app_data(web::Data::new(services.clock.clone()))
        .app_data(web::Data::new(services.store.clone()))
        .app_data(web::Data::new(services.authorization.clone()))
        .app_data(web::Data::new(services.connections.clone()))
        .app_data(web::Data::new(services.leads.clone()))
        .app_data(web::Data::new(services.operate.clone()))
        .app_data(web::Data::new(services.operators.clone()))
        .app_data(web::Data::new(services.limits.clone()))
        .app_data(web::Data::new(services.probes.clone()))
        .app_data(web::PathConfig::default().error_handler(|_, _| {
            // What is not of the right form names nothing.
            Problem::new(Slug::NotFound, "There is nothing of that id: a part of the path has the wrong form (records and workspaces are named by UUIDs).").into()
        }))
        .app_data(web::QueryConfig::default().error_handler(|_, _| {
            let detail = "is not valid: see /openapi.yaml for its parameters".to_owned();
            Problem::invalid(vec![Fault { pointer: "#/query".to_owned(), detail }]).into()
        }));
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/yaml").body(include_str!("../../openapi.yaml"))
}

async fn nothing_here() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Slug::NotFound, "There is nothing at this path: see /openapi.yaml for what there is."))
}
