//! What `connections`, a floor below, may ask of a lead's document.

use super::lead::aggregate::Lead;
use crate::{
    connections::FactsOfLead,
    store::{Document, StoreError, decode},
};

/// The webhooks under which the lead's present send may have gone out, which answer until it has finished; and whether
/// Attio is owed something.
pub fn facts_of(document: &Document) -> Result<FactsOfLead, StoreError> {
    let lead = decode::<Lead>(&document.body)?;
    let owes_attio = !lead.attio.gone && (lead.is_to_be_shown() || lead.owes_more());
    let webhooks = lead.send.webhook.into_iter().chain(lead.send.other_webhooks).collect();
    Ok(FactsOfLead { webhooks, owes_attio })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        clock::from_micros,
        ids::{RecordId, SendId, WebhookId},
        leads::lead::{aggregate::Lead, send::PresentSend},
        store::encode,
    };

    fn document(send: &Value) -> Document {
        let now = from_micros(1_700_000_000_000_000);
        let lead = Lead::new(RecordId::random(), PresentSend::new(SendId::random(), now));
        let mut body: Value = serde_json::from_str(&encode(&lead)).expect("JSON");
        for (name, value) in send.as_object().expect("an object") {
            body["send"][name] = value.clone();
        }
        Document {
            body: body.to_string(),
            version: 1,
            status: "pending".to_owned(),
            created_at: now,
            due: None,
            lease: None,
            slot: None,
            urgent: false,
        }
    }

    #[test]
    fn a_lead_names_the_webhooks_it_was_sent_under() {
        let (w, v) = (WebhookId::random(), WebhookId::random());
        for (send, webhooks) in [
            (json!({"webhook": w}), vec![w]),
            (json!({"webhook": w, "other_webhooks": [v]}), vec![w, v]),
            (json!({"webhook": null}), vec![]),
            (json!({}), vec![]),
        ] {
            assert_eq!(facts_of(&document(&send)).expect("reads").webhooks, webhooks, "{send}");
        }
    }

    #[test]
    fn a_document_that_cannot_be_read_names_no_webhook_as_free() {
        for send in [json!({"webhook": "nonsense"}), json!({"id": 1})] {
            assert!(facts_of(&document(&send)).is_err(), "{send}");
        }
    }
}
