//! ALC's leads.
//!
//! Owns leads and idempotency receipts. Promises that with keys honoured a repeated key gives the first answer and
//! makes no lead, and that with keys ignored every POST makes one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    errors::problem,
    handle::Alc,
    state::{Lead, Receipt, State},
};
use crate::wire::{Reply, Request};

impl State {
    pub(super) fn create_lead(&mut self, request: &Request, now: Timestamp) -> Reply {
        let json = request.json();
        let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let (Some(record_id), Some(name), Some(phone_number)) = (text("recordId"), text("name"), text("phoneNumber"))
        else {
            return problem(400, "bad_request", "recordId, name and phoneNumber are needed");
        };
        let idempotency_key = request.header("idempotency-key").map(str::to_owned);
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if let Some(receipt) = idempotency_key.as_ref().and_then(|key| self.keys.get(key))
            && self.settings.idempotency
        {
            return match self.leads.iter().find(|lead| lead.id == receipt.lead_id) {
                Some(lead) if receipt.body == body => self.lead_taken(lead),
                _ => problem(422, "idempotency_key_reused", "this key came with another body"),
            };
        }
        let lead = Lead {
            id: if self.settings.numeric_ids {
                (1001 + self.leads.len()).to_string()
            } else {
                format!("lead_{}", uuid::Uuid::new_v4().simple())
            },
            record_id,
            name,
            phone_number,
            status: "processing".to_owned(),
            idempotency_key: idempotency_key.clone(),
            created_at: now,
        };
        if let Some(key) = idempotency_key {
            self.keys.insert(key, Receipt { body, lead_id: lead.id.clone() });
        }
        let reply = self.lead_taken(&lead);
        self.leads.push(lead);
        reply
    }

    fn lead_taken(&self, lead: &Lead) -> Reply {
        let mut answer = json!({ "status": "processing" });
        if self.settings.lead_ids {
            answer["id"] = self.id_of(lead);
        }
        Reply::json(201, &answer)
    }

    fn id_of(&self, lead: &Lead) -> Value {
        match lead.id.parse::<u64>() {
            Ok(number) if self.settings.numeric_ids => json!(number),
            _ => json!(lead.id),
        }
    }

    fn shown(&self, lead: &Lead) -> Value {
        json!({ "id": self.id_of(lead), "recordId": lead.record_id, "status": lead.status })
    }

    pub(super) fn list_leads(&self, query: &BTreeMap<String, String>) -> Reply {
        let wanted = query.get("recordId");
        let leads: Vec<_> = self
            .leads
            .iter()
            .filter(|lead| wanted.is_none_or(|record_id| *record_id == lead.record_id))
            .map(|lead| self.shown(lead))
            .collect();
        Reply::json(200, &json!({ "leads": leads }))
    }

    pub(super) fn get_lead(&self, id: &str) -> Reply {
        self.leads
            .iter()
            .find(|lead| lead.id == id)
            .map_or_else(|| problem(404, "not_found", "no such lead"), |lead| Reply::json(200, &self.shown(lead)))
    }
}

impl Alc {
    /// Every lead, oldest first.
    pub fn leads(&self) -> Vec<Lead> {
        self.shared.state().leads.clone()
    }

    /// The leads about one record, oldest first.
    pub fn leads_of(&self, record_id: &str) -> Vec<Lead> {
        self.shared.state().leads.iter().filter(|lead| lead.record_id == record_id).cloned().collect()
    }

    /// Gives the newest lead of a record a result without a callback, as a lost one would leave it.
    pub fn finish_silently(&self, record_id: &str, status: &str) {
        if let Some(lead) = self.shared.state().leads.iter_mut().rev().find(|lead| lead.record_id == record_id) {
            status.clone_into(&mut lead.status);
        }
    }

    /// Forgets every lead and key, as an ALC that lost its data.
    pub fn forget_leads(&self) {
        let mut state = self.shared.state();
        state.leads.clear();
        state.keys.clear();
    }
}
