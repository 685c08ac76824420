//! The shapes of ALC's answers, read tolerantly.
//!
//! Only `id` and `webhook_id` are known for certain; the rest is what such APIs commonly do. Nothing here fails: what
//! cannot be read is `None`, and the caller decides what that means.

use secrecy::SecretString;
use serde_json::Value;

use super::{ListedLead, ListedWebhook};
use crate::ids::RecordId;

/// The longest id that is kept, in characters.
const LONGEST_ID: usize = 200;
/// The longest status that is kept, in characters.
const LONGEST_STATUS: usize = 200;

/// Whether a text can be an id: one that fits into a URL path as a segment of its own (`.` and `..` do not).
pub(super) fn is_usable_id(id: &str) -> bool {
    !id.trim().is_empty()
        && id.chars().count() <= LONGEST_ID
        && !id.chars().any(char::is_control)
        && !matches!(id, "." | "..")
}

/// An id: a usable text, or an integer as text.
pub(super) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => is_usable_id(text).then(|| text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// The id of a lead, at the top or in the envelope `lead` or `data`.
pub(super) fn lead_id(value: &Value) -> Option<String> {
    first(value, &["lead", "data"], |value| id_under(value, &["id", "lead_id", "leadId"]))
}

/// The id of a webhook; as for a lead.
pub(super) fn webhook_id(value: &Value) -> Option<String> {
    first(value, &["webhook", "data"], |value| id_under(value, &["webhook_id", "id", "webhookId"]))
}

/// The signing secret of a webhook.
pub(super) fn webhook_secret(value: &Value) -> Option<SecretString> {
    first(value, &["webhook", "data"], |value| {
        let secret = value.get("secret")?.as_str()?;
        (!secret.trim().is_empty()).then(|| SecretString::from(secret))
    })
}

/// The status of a lead; as for its id.
pub(super) fn status(value: &Value) -> Option<String> {
    first(value, &["lead", "data"], |value| {
        let status = value.get("status")?.as_str()?.trim();
        (!status.is_empty() && status.chars().count() <= LONGEST_STATUS).then(|| status.to_owned())
    })
}

/// The leads of `record` in a list. A lead of another record, or of none, is dropped: an ALC that ignores the filter
/// must not have us take another record's lead for this one's. `None`: this is no list.
pub(super) fn leads(value: &Value, record: RecordId) -> Option<Vec<ListedLead>> {
    let is_ours = |item: &&Value| {
        let id = item.get("recordId").or_else(|| item.get("record_id")).and_then(Value::as_str);
        id.and_then(|id| id.parse::<RecordId>().ok()) == Some(record)
    };
    let read = |item: &Value| Some(ListedLead { id: lead_id(item)?, status: status(item) });
    Some(items(value, &["leads", "data"])?.iter().filter(is_ours).filter_map(read).collect())
}

/// The webhooks in a list; those without a usable id are dropped. `None`: this is no list.
pub(super) fn webhooks(value: &Value) -> Option<Vec<ListedWebhook>> {
    let name = |item: &Value| Some(item.get("name")?.as_str()?.to_owned());
    let read = |item: &Value| Some(ListedWebhook { id: webhook_id(item)?, name: name(item) });
    Some(items(value, &["webhooks", "data"])?.iter().filter_map(read).collect())
}

fn first<T>(value: &Value, envelopes: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    read(value).or_else(|| envelopes.iter().find_map(|envelope| read(value.get(envelope)?)))
}

fn id_under(value: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| id(value.get(key)?))
}

/// `[…]`, or `{"<envelope>": […]}`; a `null` in the envelope is an empty list.
fn items<'a>(value: &'a Value, envelopes: &[&str]) -> Option<&'a [Value]> {
    if let Value::Array(items) = value {
        return Some(items);
    }
    match envelopes.iter().find_map(|envelope| value.get(envelope))? {
        Value::Array(items) => Some(items),
        Value::Null => Some(&[]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_a_text_or_an_integer() {
        assert_eq!(lead_id(&json!({"id": "L-1"})).as_deref(), Some("L-1"));
        assert_eq!(lead_id(&json!({"id": 17})).as_deref(), Some("17"));
        assert_eq!(lead_id(&json!({"id": u64::MAX})).as_deref(), Some("18446744073709551615"));
        assert_eq!(lead_id(&json!({"id": null, "lead_id": "L-2"})).as_deref(), Some("L-2"));
        assert_eq!(lead_id(&json!({"data": {"leadId": "L-3"}})).as_deref(), Some("L-3"));
        assert_eq!(webhook_id(&json!({"id": "no", "webhook_id": 5})).as_deref(), Some("5"));
        for bad in [
            json!(""),
            json!(" "),
            json!(1.5),
            json!(true),
            json!({}),
            json!("a\nb"),
            json!(".."),
            json!("x".repeat(201)),
        ] {
            assert_eq!(lead_id(&json!({"id": bad})), None, "{bad}");
        }
        assert!(lead_id(&json!({"id": "é".repeat(200)})).is_some());
        assert_eq!(lead_id(&json!([1])), None);
    }

    #[test]
    fn only_leads_of_the_record_asked_for_are_taken() {
        let ours = RecordId::random();
        let list = json!([
            {"id": "a", "recordId": ours, "status": "done"},
            {"id": "b", "recordId": RecordId::random(), "status": "done"},
            {"id": "c"},
            {"recordId": ours},
            {"id": 4, "record_id": ours.to_string().to_uppercase(), "status": ""},
            "junk",
        ]);
        let expected = vec![
            ListedLead { id: "a".into(), status: Some("done".into()) },
            ListedLead { id: "4".into(), status: None },
        ];
        for value in [list.clone(), json!({"leads": list}), json!({"data": list, "total": 6})] {
            assert_eq!(leads(&value, ours), Some(expected.clone()));
        }
        assert_eq!(leads(&json!({"leads": null}), ours), Some(vec![]));
        for value in [json!({}), json!({"leads": 3}), json!("x"), json!(null)] {
            assert_eq!(leads(&value, ours), None, "{value}");
        }
    }
}
