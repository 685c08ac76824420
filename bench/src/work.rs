//! What the callers of each job send: the requests of a run's leads, each in its workspace.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{
    caller::{Call, post_json, request, whole},
    connect::Workspace,
    ledger::{Ledger, Shown},
    load::Units,
    plan::Work,
    upstreams::{lead_id, signing_key},
};

/// The leads of one job of one round.
pub(crate) struct Leads {
    service: SocketAddr,
    workspaces: Arc<[Workspace]>,
    ledger: Arc<Ledger>,
    work: Work,
    first: usize,
    count: usize,
    batch: usize,
    key: hmac::Key,
}

impl Leads {
    pub(crate) fn fresh(
        service: SocketAddr,
        workspaces: &Arc<[Workspace]>,
        ledger: &Arc<Ledger>,
        (work, count, batch): (Work, usize, usize),
    ) -> Self {
        // A batch is always full.
        let count = if work == Work::Batch { count.div_ceil(batch) * batch } else { count };
        let (workspaces, ledger) = (Arc::clone(workspaces), Arc::clone(ledger));
        let first = ledger.take(count);
        Self { service, workspaces, ledger, work, first, count, batch, key: signing_key() }
    }

    /// The same leads at other work.
    pub(crate) fn at(&self, work: Work) -> Self {
        let (workspaces, ledger, key) = (Arc::clone(&self.workspaces), Arc::clone(&self.ledger), self.key.clone());
        Self { workspaces, ledger, key, work, ..*self }
    }

    /// What throughput and costs are told for: the leads of a batch, else the requests.
    pub(crate) fn items(&self) -> usize {
        if self.work == Work::Mixed { self.count * 2 } else { self.count }
    }

    fn goal(&self) -> Shown {
        if matches!(self.work, Work::Send | Work::Batch) { Shown::Pending } else { Shown::Complete }
    }

    /// How many leads Attio was not told about yet.
    pub(crate) fn owed(&self) -> usize {
        let goal = self.goal();
        self.numbers().filter(|number| self.ledger.shown(*number, goal).is_none()).count()
    }

    /// For each lead how long it took from its request until Attio was told.
    pub(crate) fn lags(&self) -> impl Iterator<Item = u64> {
        self.numbers().filter_map(|number| self.ledger.lag(number, self.goal()))
    }

    /// The record of one of these leads, which is in the first workspace.
    pub(crate) fn record_in_the_first_workspace(&self) -> Option<String> {
        let number = self.numbers().find(|number| number % self.workspaces.len() == 0)?;
        Some(self.ledger.id(number).to_string())
    }

    fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }

    fn of_unit(&self, unit: usize) -> std::ops::Range<usize> {
        let size = if self.work == Work::Batch { self.batch } else { 1 };
        let first = self.first + unit * size;
        first..first + size
    }

    fn workspace(&self, number: usize) -> &Workspace {
        &self.workspaces[number % self.workspaces.len()]
    }

    fn lead(&self, number: usize) -> Value {
        json!({ "record_id": self.ledger.id(number), "name": "Ada Lovelace", "phone_number": "+12015550123" })
    }

    fn send(&self, number: usize) -> (Call, StatusCode) {
        let body = self.lead(number).to_string();
        (post_json(self.service, "/v1/leads", &self.workspace(number).bearer, body), StatusCode::CREATED)
    }

    fn send_batch(&self, unit: usize) -> (Call, StatusCode) {
        let leads: Vec<_> = self.of_unit(unit).map(|number| self.lead(number)).collect();
        let body = json!({ "leads": leads }).to_string();
        (post_json(self.service, "/v1/leads/batch", &self.workspace(unit).bearer, body), StatusCode::ACCEPTED)
    }

    /// Signed as Standard Webhooks says.
    fn call_back(&self, number: usize) -> (Call, StatusCode) {
        let record = self.ledger.id(number).to_string();
        let body = json!({ "record_id": record, "status": "qualified", "lead_id": lead_id(&record),
            "event": "lead.processed" });
        let (body, id, at) = (body.to_string(), format!("msg_{record}"), unix_seconds());
        let tag = hmac::sign(&self.key, format!("{id}.{at}.{body}").as_bytes());
        let request = request("POST", self.service, &self.workspace(number).webhook_path)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", format!("v1,{}", BASE64_STANDARD.encode(tag)));
        (whole(request, body), StatusCode::OK)
    }
}

#[expect(clippy::disallowed_methods, reason = "a callback is signed with the real time")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Units for Leads {
    fn count(&self) -> usize {
        if self.work == Work::Batch { self.count / self.batch } else { self.count }
    }

    fn requests(&self, unit: usize) -> Vec<(Call, StatusCode)> {
        let number = self.first + unit;
        match self.work {
            Work::Send => vec![self.send(number)],
            Work::Callback => vec![self.call_back(number)],
            Work::Mixed => vec![self.send(number), self.call_back(number)],
            Work::Batch => vec![self.send_batch(unit)],
        }
    }

    fn begin(&self, unit: usize, _request: usize, at: u64) {
        self.of_unit(unit).for_each(|number| self.ledger.begin(number, at));
    }
}
