//! The shapes of ALC's answers, read tolerantly.
//!
//! Only `id` and `webhook_id` are known for certain; the rest is what such APIs commonly do. Nothing here fails: what
//! cannot be read is `None`, and the caller decides what that means. Promises that the known member at its known place
//! is what counts where it is there, whatever stands beside it.

use secrecy::SecretString;
use serde_json::Value;

use super::{ListedLead, ListedWebhook, words::Words};
use crate::{ids::RecordId, lenient};

/// The longest status that is kept, in characters.
const LONGEST_STATUS: usize = 200;
/// Envelopes inside of each other that are opened.
const DEEPEST: usize = 3;
/// What APIs put their answers in, whatever they are about.
const ENVELOPES: [&str; 6] = ["data", "result", "response", "payload", "attributes", "body"];

const LEAD: &[&str] = &["id", "lead_id", "leadId"];
const WEBHOOK: &[&str] = &["webhook_id", "id", "webhookId"];

/// Whether a text can be an id: one that fits into a URL path as a segment of its own (`.` and `..` do not).
pub(super) fn is_usable_id(id: &str) -> bool {
    !id.trim().is_empty()
        && id.chars().count() <= lenient::LONGEST_ID
        && !id.chars().any(char::is_control)
        && !matches!(id, "." | "..")
}

/// An id: a usable text, or a whole number as text; also in an object of its own (`{"$oid": …}`, `{"lead_id": …}`).
fn id(value: &Value, names: &[&str]) -> Option<String> {
    if value.is_object() {
        let inner = names.iter().chain(&["$oid", "value"]).find_map(|name| value.get(name));
        return inner.filter(|inner| !inner.is_object()).and_then(|inner| id(inner, names));
    }
    lenient::id(value).filter(|id| is_usable_id(id))
}

/// The id of a lead, at the top or in an envelope.
pub(super) fn lead_id(value: &Value) -> Option<String> {
    first(value, "lead", &|value| id_under(value, LEAD))
}

/// The id of a lead in what is left of a cut body: only the member that goes before every other one.
pub(super) fn lead_id_of_remains(value: &Value) -> Option<String> {
    id(value.get("id")?, LEAD)
}

/// The id of a webhook; as for a lead.
pub(super) fn webhook_id(value: &Value) -> Option<String> {
    first(value, "webhook", &|value| id_under(value, WEBHOOK))
}

/// The signing secret of a webhook: what stands there, whether or not it can be one.
pub(super) fn webhook_secret(value: &Value) -> Option<SecretString> {
    first(value, "webhook", &|value| match member(value, &["secret", "signing_secret", "signingSecret"])? {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(SecretString::from(text.as_str())),
        // There is one, and nobody can verify by it: that is for the operator to hear.
        other => Some(SecretString::from(other.to_string())),
    })
}

/// The id of a lead and its status, which stands where the id stands or further inside: what an envelope around them
/// calls `status` (`"success"`) is about the answer.
pub(super) fn lead(value: &Value) -> Option<ListedLead> {
    first(value, "lead", &|value| {
        Some(ListedLead { id: id_under(value, LEAD)?, status: status(value), words: words(value) })
    })
}

/// What ALC says of the talk, which stands where the status stands or further inside.
pub(super) fn words(value: &Value) -> Words {
    let found = |name: &str| first(value, "lead", &|value| member(value, &[name]).filter(|it| !it.is_null()).cloned());
    Words::read(&found("summary").unwrap_or_default(), &found("transcript").unwrap_or_default())
}

/// The status of a lead, where ALC does not say its id; as for its id.
pub(super) fn status(value: &Value) -> Option<String> {
    first(value, "lead", &|value| {
        let status = member(value, &["status"])?.as_str()?.trim();
        (!status.is_empty() && status.chars().count() <= LONGEST_STATUS).then(|| status.to_owned())
    })
}

/// The leads of `record` in a list. A lead of another record, or of none, is dropped: an ALC that ignores the filter
/// must not have us take another record's lead for this one's. `None`: this is no list.
pub(super) fn leads(value: &Value, record: RecordId) -> Option<Vec<ListedLead>> {
    let is_ours = |item: &&Value| {
        let named = first(item, "lead", &|item| {
            member(item, &["recordId", "record_id"]).and_then(Value::as_str).map(str::to_owned)
        });
        named.and_then(|id| id.trim().parse::<RecordId>().ok()) == Some(record)
    };
    // An ALC that has one lead of the record may answer with that instead of a list of it.
    let lone = || Some(vec![value]).filter(|_| is_ours(&value) && lead_id(value).is_some());
    let items = items(value, "leads").or_else(lone)?;
    Some(items.into_iter().filter(is_ours).filter_map(lead).collect())
}

/// The webhooks in a list; those without a usable id are dropped. `None`: this is no list.
pub(super) fn webhooks(value: &Value) -> Option<Vec<ListedWebhook>> {
    let text = |item: &Value, key| first(item, "webhook", &|item| Some(member(item, &[key])?.as_str()?.to_owned()));
    let read =
        |item: &Value| Some(ListedWebhook { id: webhook_id(item)?, name: text(item, "name"), url: text(item, "url") });
    Some(items(value, "webhooks")?.into_iter().filter_map(read).collect())
}

/// What `read` finds at the top, else in an envelope called `own` or as [`ENVELOPES`] are, else in the only item of a
/// list.
fn first<T>(value: &Value, own: &str, read: &dyn Fn(&Value) -> Option<T>) -> Option<T> {
    fn at<T>(value: &Value, own: &str, read: &dyn Fn(&Value) -> Option<T>, depth: usize) -> Option<T> {
        if let Some(found) = read(value) {
            return Some(found);
        }
        if depth == DEEPEST {
            return None;
        }
        match value {
            Value::Array(items) if items.len() == 1 => at(&items[0], own, read, depth + 1),
            Value::Object(_) => {
                let inside = |name: &&str| at(member(value, &[*name])?, own, read, depth + 1);
                [own].iter().chain(&ENVELOPES).find_map(inside)
            }
            _ => None,
        }
    }
    at(value, own, read, 0)
}

fn id_under(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| id(member(value, &[*name])?, names))
}

/// The member of one of these names: as they are written first, else in other letters (`ID`, `Webhook-Id`).
fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    let bare = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let members = value.as_object()?;
    let exact = names.iter().find_map(|name| members.get(*name));
    exact.or_else(|| {
        names.iter().find_map(|name| members.iter().find(|(key, _)| bare(key) == bare(name)).map(|(_, value)| value))
    })
}

/// `[…]`, or a list in an envelope called `own`, as [`ENVELOPES`] are, or `items`. PHP writes a list that has been
/// filtered as an object with the items' numbers for names. Where there is no list, a `null` under `own` or `data` is
/// an empty one; elsewhere a `null` says nothing (`{"result": null, "error": …}`).
fn items<'a>(value: &'a Value, own: &str) -> Option<Vec<&'a Value>> {
    fn at<'a>(value: &'a Value, own: &str, depth: usize) -> Option<Vec<&'a Value>> {
        match value {
            Value::Array(items) => Some(items.iter().collect()),
            Value::Object(members)
                if !members.is_empty() && members.keys().all(|name| name.bytes().all(|byte| byte.is_ascii_digit())) =>
            {
                Some(members.values().collect())
            }
            Value::Object(_) if depth < DEEPEST => {
                let more = ["items", "results", "records", "content"];
                let names = [own].into_iter().chain(ENVELOPES).chain(more);
                let mut inside = names.filter_map(|name| member(value, &[name]));
                let is_null = |name: &str| member(value, &[name]).is_some_and(Value::is_null);
                let found = inside.find_map(|inner| at(inner, own, depth + 1));
                found.or_else(|| (is_null(own) || is_null("data")).then(Vec::new))
            }
            _ => None,
        }
    }
    at(value, own, 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_of_an_envelope_is_not_the_leads() {
        for (answer, status) in [
            (json!({"status": "success", "data": {"id": 17, "status": "processing"}}), Some("processing")),
            (json!({"status": "ok", "lead": {"id": 17, "status": "done"}}), Some("done")),
            (json!({"status": "success", "data": {"id": 17}}), None),
            (json!({"id": 17, "lead": {"status": "done"}}), Some("done")),
            (json!({"status": "done", "id": 17}), Some("done")),
        ] {
            let lead = lead(&answer).expect("a lead");
            assert_eq!((lead.id.as_str(), lead.status.as_deref()), ("17", status), "{answer}");
        }
    }

    #[test]
    fn what_was_said_is_read_where_the_lead_is() {
        let answer = json!({"data": {"id": 17, "status": "done", "summary": "short", "transcript": ["a", "b"]}});
        let lead = lead(&answer).expect("a lead");
        assert_eq!((lead.words.summary.as_deref(), lead.words.transcript.as_deref()), (Some("short"), Some("a\nb")));
    }

    #[test]
    fn of_a_cut_answer_only_the_id_counts_that_nothing_behind_the_cut_could_replace() {
        assert_eq!(lead_id_of_remains(&json!({"id": 17, "more": 1})).as_deref(), Some("17"));
        for left in [json!({"lead_id": "ext-5"}), json!({"data": {"id": 3}}), json!([{"id": 3}])] {
            assert_eq!(lead_id_of_remains(&left), None, "{left}");
        }
    }

    #[test]
    fn a_null_hides_no_list_and_is_none_unless_it_stands_for_one() {
        let ours = RecordId::random();
        let list = json!([{"id": 1, "recordId": ours}]);
        for value in [json!({"data": null, "items": list}), json!({"result": null, "leads": list})] {
            assert_eq!(leads(&value, ours).map(|leads| leads.len()), Some(1), "{value}");
        }
        for value in [json!({"leads": null}), json!({"data": null})] {
            assert_eq!(leads(&value, ours), Some(Vec::new()), "{value}");
        }
        for value in [json!({"result": null, "error": "down"}), json!({"items": null}), json!(null)] {
            assert_eq!(leads(&value, ours), None, "{value}");
        }
    }

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
        for odd in [
            json!({"id": 17.0}),
            json!({"id": " 17 "}),
            json!({"ID": 17}),
            json!({"lead": {"data": {"id": 17}}}),
            json!({"result": {"lead": {"Lead-Id": "17"}}}),
            json!([{"id": 17}]),
            json!({"data": [{"id": 17}]}),
            json!({"id": {"$oid": "17"}}),
            json!({"id": {"lead_id": "17", "workspace_id": "3"}}),
            json!({"id": 17, "data": {"id": 3}, "lead": {"id": 4}, "ID": 5}),
            json!({"id": null, "lead_id": "", "leadId": 17, "data": {"id": 3}}),
            json!({"id": true, "lead": {"id": 17}, "data": {"id": 3}}),
        ] {
            assert_eq!(lead_id(&odd).as_deref(), Some("17"), "{odd}");
        }
        for nobody in [
            json!({"user": {"id": 3}}),
            json!({"data": {"user": {"id": 3}}}),
            json!([{"id": 3}, {"id": 4}]),
            json!({"id": {"value": {"id": 3}}}),
            json!({"a": {"data": {"id": 3}}}),
        ] {
            assert_eq!(lead_id(&nobody), None, "{nobody}");
        }
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
            ListedLead { id: "a".into(), status: Some("done".into()), words: Words::default() },
            ListedLead { id: "4".into(), status: None, words: Words::default() },
        ];
        for value in [list.clone(), json!({"leads": list}), json!({"data": list, "total": 6})] {
            assert_eq!(leads(&value, ours), Some(expected.clone()));
        }
        for value in [
            json!({"data": {"leads": list}}),
            json!({"items": list}),
            json!({"Leads": list}),
            json!({"result": {"items": list}}),
            json!({"leads": {"0": list[0], "1": list[1], "3": list[4]}}),
            json!({"0": list[0], "7": list[4]}),
        ] {
            assert_eq!(leads(&value, ours), Some(expected.clone()), "{value}");
        }
        let odd = json!({"leads": [{"lead": {"id": 4.0, "record_id": ours.to_string()}}, {"data": {"id": 5, "recordId": ours}}]});
        let ids: Vec<_> = leads(&odd, ours).expect("a list").into_iter().map(|lead| lead.id).collect();
        assert_eq!(ids, ["4", "5"]);
        for lone in [list[0].clone(), json!({"data": list[0]}), json!({"lead": list[0]})] {
            assert_eq!(leads(&lone, ours), Some(expected[..1].to_vec()), "{lone}");
        }
        assert_eq!(leads(&list[1], ours), None, "another record's");
        assert_eq!(leads(&json!({"leads": null}), ours), Some(vec![]));
        assert_eq!(leads(&json!({"leads": null, "data": list}), ours), Some(expected));
        for value in [json!({}), json!({"leads": 3}), json!("x"), json!(null)] {
            assert_eq!(leads(&value, ours), None, "{value}");
        }
    }
}
