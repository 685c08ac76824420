//! The demo's page: a person record, and the log.
//!
//! Owns what the browser sees. Promises that the status shown is what Attio shows, and that the browser gets no token:
//! its buttons ask this server, which plays Attio.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{app::App, button::Button};
use crate::wire::{Reply, Request, Service};

pub(super) struct Page {
    pub(super) app: Arc<App>,
    pub(super) button: Arc<Button>,
}

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
        let (app, person) = (&self.app, self.app.person());
        let shown = |slug: &str| app.attio.value(&person.record_id, slug);
        json!({
            "connected": app.connected(),
            "notice": app.notice(),
            "shown": self.button.shown(),
            "button": self.button.told(),
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
        let url = self.app.authorize_url();
        let target = url.strip_prefix(&self.app.connector_url()).unwrap_or_default();
        let order = self.app.log.begin("Browser", "Connector", "GET", target, "");
        self.app.log.end(order, 302);
        Reply::redirect(&url)
    }

    async fn connected(&self, query: &BTreeMap<String, String>) -> Reply {
        let notice = match self.app.exchange(query).await {
            Ok(_) => refusal("Not connected", &self.app.connection_added().await),
            Err(error) => Some(format!("Not connected: {error}")),
        };
        self.app.note(notice);
        Reply::redirect("/")
    }

    async fn send(&self) -> Reply {
        self.button.press(&self.app).await;
        self.done(None)
    }

    async fn answer_of_alc(&self, result: &str) -> Reply {
        self.button.clear();
        let notice = match self.app.answer(result).await {
            Some(answer) if answer.status == 200 => None,
            Some(answer) => Some(format!("The connector answered ALC with {}", answer.status)),
            None => Some("ALC has nobody to call: connect first".to_owned()),
        };
        self.done(notice)
    }

    async fn disconnect(&self) -> Reply {
        self.button.clear();
        let reply = self.app.connection_removed().await;
        self.done(refusal("Still connected", &reply))
    }

    fn done(&self, notice: Option<String>) -> Reply {
        self.app.note(notice);
        Reply::empty(204)
    }
}

fn refusal(what: &str, reply: &super::http::Reply) -> Option<String> {
    (!(200..300).contains(&reply.status)).then(|| format!("{what}: {}", reply.told()))
}
