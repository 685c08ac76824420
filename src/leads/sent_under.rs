//! What `connections`, a floor below, may ask of a lead's document.

use super::lead::aggregate::Lead;
use crate::{
    ids::WebhookId,
    store::{Document, StoreError, decode},
};

/// The webhooks under which the lead's present send may have gone out: they answer until it has finished.
pub fn sent_under(document: &Document) -> Result<Vec<WebhookId>, StoreError> {
    let send = decode::<Lead>(&document.body)?.send;
    Ok(send.webhook.into_iter().chain(send.other_webhooks).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        clock::from_micros,
        ids::{RecordId, SendId},
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
            assert_eq!(sent_under(&document(&send)).expect("reads"), webhooks, "{send}");
        }
    }

    #[test]
    fn a_document_that_cannot_be_read_names_no_webhook_as_free() {
        for send in [json!({"webhook": "nonsense"}), json!({"id": 1})] {
            assert!(sent_under(&document(&send)).is_err(), "{send}");
        }
    }
}
