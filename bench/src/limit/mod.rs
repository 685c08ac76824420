//! The limit: what a service of the same kind costs at least, on the same libraries.
//!
//! A bare actix-web service with the connector's endpoints for leads and callbacks that does only what cannot be left
//! out: for a send one write, one POST to ALC, one PATCH at Attio behind the answer; for a callback the check of its
//! signature, one durable write, and one PATCH behind the 200. It has no tenants, tokens, gates, retries or recovery:
//! the distance to it is what the connector's promises cost. On demand it writes as often as these promises need.

mod store;
mod upstream;

use std::net::SocketAddr;

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, rt,
    web::{self, Bytes, Data},
};
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use self::{
    store::Store,
    upstream::{Lead, Upstream},
};
use crate::upstreams::signing_key;

/// As many of a batch's leads are on their way at once.
const OF_A_BATCH_AT_ONCE: usize = 8;

/// Serves as the limit until it is killed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// Where it listens.
    #[arg(long)]
    bind: SocketAddr,
    /// `redis://…` or `sqlite:<file>`.
    #[arg(long)]
    store: String,
    /// The pretend ALC and Attio.
    #[arg(long)]
    upstreams: String,
    /// Writes ALC's answer, and that Attio was told, too.
    #[arg(long)]
    as_promised: bool,
}

/// What a worker of the limit has for itself, so that no thread hands work to another.
struct Desk {
    store: Store,
    upstream: Upstream,
    key: hmac::Key,
    as_promised: bool,
}

pub(crate) async fn serve(settings: Settings) -> std::io::Result<()> {
    let opened = Data::new(store::Opened::open(&settings.store).map_err(std::io::Error::other)?);
    let (upstreams, as_promised) = (settings.upstreams.clone(), settings.as_promised);
    HttpServer::new(move || {
        let (opened, upstreams) = (opened.clone(), upstreams.clone());
        App::new()
            .data_factory(move || {
                let (opened, upstreams) = (opened.clone(), upstreams.clone());
                async move {
                    let store = opened.of_worker().await?;
                    let upstream = Upstream::new(&upstreams)?;
                    Ok::<_, String>(Desk { store, upstream, key: signing_key(), as_promised })
                }
            })
            .route("/readyz", web::get().to(HttpResponse::Ok))
            .route("/v1/leads", web::post().to(send))
            .route("/v1/leads/batch", web::post().to(batch))
            .route("/webhooks/alc/{token}", web::post().to(callback))
    })
    .bind(settings.bind)?
    .run()
    .await
}

#[derive(Deserialize)]
struct Batch {
    leads: Vec<Lead>,
}

#[derive(Deserialize)]
struct Told {
    record_id: String,
    status: String,
    lead_id: String,
}

async fn send(desk: Data<Desk>, lead: web::Json<Lead>) -> HttpResponse {
    let lead = lead.into_inner();
    if let Err(error) = desk.store.put(&[&lead.record_id], &lead.document()).await {
        return HttpResponse::ServiceUnavailable().body(error);
    }
    let Some(lead_id) = desk.upstream.submit(&lead).await else { return HttpResponse::BadGateway().finish() };
    if let Err(error) = desk.promised(&lead.record_id, &lead.document()).await {
        return HttpResponse::ServiceUnavailable().body(error);
    }
    let answer = json!({ "record_id": lead.record_id, "lead_id": lead_id, "status": "pending" });
    rt::spawn(async move {
        desk.upstream.show(&lead.record_id, &lead_id, "Pending", None).await;
        desk.promised(&lead.record_id, &lead.document()).await
    });
    HttpResponse::Created().json(answer)
}

async fn batch(desk: Data<Desk>, batch: web::Json<Batch>) -> HttpResponse {
    let leads = batch.into_inner().leads;
    let records: Vec<&str> = leads.iter().map(|lead| lead.record_id.as_str()).collect();
    let Some(first) = leads.first() else { return HttpResponse::BadRequest().finish() };
    if let Err(error) = desk.store.put(&records, &first.document()).await {
        return HttpResponse::ServiceUnavailable().body(error);
    }
    let results: Vec<_> =
        records.iter().map(|record| json!({ "record_id": record, "lead_id": null, "status": "queued" })).collect();
    rt::spawn(async move {
        let desk = &desk;
        let each = stream::iter(&leads).for_each_concurrent(OF_A_BATCH_AT_ONCE, |lead| async move {
            if let Some(lead_id) = desk.upstream.submit(lead).await {
                desk.upstream.show(&lead.record_id, &lead_id, "Pending", None).await;
            }
        });
        each.await;
    });
    HttpResponse::Accepted().json(json!({ "results": results }))
}

async fn callback(desk: Data<Desk>, request: HttpRequest, body: Bytes) -> HttpResponse {
    if !desk.is_signed(&request, &body) {
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(told) = serde_json::from_slice::<Told>(&body) else { return HttpResponse::BadRequest().finish() };
    let document = json!({ "record_id": told.record_id, "status": "complete", "result": told.status });
    if let Err(error) = desk.store.put(&[&told.record_id], &document.to_string()).await {
        return HttpResponse::ServiceUnavailable().body(error);
    }
    rt::spawn(async move {
        desk.upstream.show(&told.record_id, &told.lead_id, "Complete", Some(&told.status)).await;
        desk.promised(&told.record_id, &document.to_string()).await
    });
    HttpResponse::Ok().finish()
}

impl Desk {
    /// A write that only a service with promises has to make.
    async fn promised(&self, record: &str, document: &str) -> Result<(), String> {
        if self.as_promised { self.store.put(&[record], document).await } else { Ok(()) }
    }

    /// Standard Webhooks, without the look at the time.
    fn is_signed(&self, request: &HttpRequest, body: &[u8]) -> bool {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signed = [header("webhook-id"), ".", header("webhook-timestamp"), "."].concat();
        let signature = header("webhook-signature").strip_prefix("v1,").unwrap_or_default();
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return false };
        hmac::verify(&self.key, &[signed.as_bytes(), body].concat(), &signature).is_ok()
    }
}
