//! The demo's page: a person record, and the log.
//!
//! Owns what the browser sees. Promises that the status shown is what Attio shows, and that the browser gets no token:
//! its buttons ask this server, which plays the Attio app.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::app::App;
use crate::wire::{Reply, Request, Service};

pub(super) struct Page(pub(super) Arc<App>);

impl Service for Page {
    fn operations(&self) -> &'static [&'static str] {
        &[]
    }

    fn operation(&self, _: &Request) -> Option<&'static str> {
        None
    }

    fn answer<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            match (request.method.as_str(), request.path.as_str()) {
                ("GET", "/") => Reply::html(200, include_str!("../../assets/page.html")),
                ("GET", "/page.css") => Reply::of(200, "text/css", include_str!("../../assets/page.css").to_owned()),
                ("GET", "/page.js") => {
                    Reply::of(200, "text/javascript", include_str!("../../assets/page.js").to_owned())
                }
                ("GET", "/connect") => self.connect(),
                ("GET", "/attio/redirect") => self.connected(&request.query_pairs()).await,
                ("POST", "/send") => self.send().await,
                ("POST", "/answer") => self.answer_of_alc(request.json()["result"].as_str().unwrap_or_default()).await,
                ("POST", "/disconnect") => self.disconnect().await,
                _ => Reply::html(404, "<h1>Nothing here</h1><p><a href=\"/\">To the record</a></p>"),
            }
        })
    }

    /// Polled by the page; below `/_sandbox/`, so that polling fills no journal.
    fn state(&self) -> Value {
        let (app, person) = (&self.0, self.0.person());
        let shown = |slug: &str| app.attio.value(&person.record_id, slug);
        json!({
            "connected": app.connected(),
            "notice": app.notice(),
            "person": { "name": person.name, "phone": person.phone },
            "status": shown("alc_status"),
            "lead_id": shown("alc_lead_id"),
            "result": shown("alc_result"),
            "log": app.log.merged(&app.alc.journal().all(), &app.attio.journal().all()),
        })
    }

    fn control<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Option<Reply>> {
        Box::pin(async { None })
    }
}

impl Page {
    /// Sends the browser off; its way through the connector is logged here, as nobody else sees it.
    fn connect(&self) -> Reply {
        let url = self.0.authorize_url();
        let target = url.strip_prefix(&self.0.connector_url()).unwrap_or_default();
        let order = self.0.log.begin("Browser", "Connector", "GET", target, "");
        self.0.log.end(order, 302);
        Reply::redirect(&url)
    }

    async fn connected(&self, query: &BTreeMap<String, String>) -> Reply {
        let notice = match self.0.exchange(query).await {
            Ok(_) => refusal("Not connected", &self.0.connection_added().await),
            Err(error) => Some(format!("Not connected: {error}")),
        };
        self.0.note(notice);
        Reply::redirect("/")
    }

    async fn send(&self) -> Reply {
        let reply = self.0.send().await;
        self.done(refusal("Not sent", &reply))
    }

    async fn answer_of_alc(&self, result: &str) -> Reply {
        let notice = match self.0.answer(result).await {
            Some(answer) if answer.status == 200 => None,
            Some(answer) => Some(format!("The connector answered ALC with {}", answer.status)),
            None => Some("ALC has nobody to call: connect first".to_owned()),
        };
        self.done(notice)
    }

    async fn disconnect(&self) -> Reply {
        let reply = self.0.connection_removed().await;
        self.done(refusal("Still connected", &reply))
    }

    fn done(&self, notice: Option<String>) -> Reply {
        self.0.note(notice);
        Reply::empty(204)
    }
}

fn refusal(what: &str, reply: &super::app::Reply) -> Option<String> {
    (!(200..300).contains(&reply.status)).then(|| format!("{what}: {}", reply.told()))
}
