//! The running log: every request between the four parties.
//!
//! Owns the demo's own entries, and the masking of everything shown. Promises that no token, code, state, callback path
//! or whole phone number is in an entry.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::wire::{Seen, decode_form, next_order};

/// One request.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    order: u64,
    from: &'static str,
    to: &'static str,
    method: String,
    path: String,
    detail: String,
    /// None while under way, 0 when no answer came.
    status: Option<u16>,
}

/// The requests that the demo itself makes.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Vec<Entry>>);

impl Log {
    /// Notes a request before it is made.
    pub(super) fn begin(&self, from: &'static str, to: &'static str, method: &str, target: &str, body: &str) -> u64 {
        let order = next_order();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, path, detail) = (method.to_owned(), masked_path(path), details(query, body));
        let entry = Entry { order, from, to, method, path, detail, status: None };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        order
    }

    /// Notes its answer.
    pub(super) fn end(&self, order: u64, status: u16) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.iter_mut().rev().find(|entry| entry.order == order) {
            entry.status = Some(status);
        }
    }

    /// Notes the body that was really sent, once it is known.
    pub(super) fn sent(&self, order: u64, body: &str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.iter_mut().rev().find(|entry| entry.order == order) {
            entry.detail = details("", body);
        }
    }

    /// The last requests of all parties, oldest first.
    pub(super) fn merged(&self, alc: &[Seen], attio: &[Seen]) -> Vec<Entry> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(alc.iter().map(|seen| entry_of(seen, "ALC")));
        all.extend(attio.iter().map(|seen| entry_of(seen, "Attio")));
        all.sort_by_key(|entry| entry.order);
        all.split_off(all.len().saturating_sub(200))
    }
}

fn entry_of(seen: &Seen, to: &'static str) -> Entry {
    Entry {
        order: seen.order,
        from: if seen.operation == "authorize" { "Browser" } else { "Connector" },
        to,
        method: seen.method.clone(),
        path: masked_path(&seen.path),
        detail: details(&seen.query, &seen.body),
        status: seen.status,
    }
}

const MASK: &str = "••••";

/// What must not be shown, wherever it stands.
const SECRETS: &[&str] = &[
    "code",
    "state",
    "code_verifier",
    "code_challenge",
    "access_token",
    "refresh_token",
    "client_secret",
    "token",
    "secret",
    "value",
];

/// The path without what is unguessable in it.
pub(super) fn masked_path(path: &str) -> String {
    for callbacks in ["/webhooks/alc/", "/webhooks/attio/"] {
        if let Some((before, _)) = path.split_once(callbacks) {
            return format!("{before}{callbacks}{MASK}");
        }
    }
    path.to_owned()
}

fn details(query: &str, body: &str) -> String {
    let mut shown = Vec::new();
    if !query.is_empty() {
        shown.push(form_shown(query));
    }
    match serde_json::from_str::<Value>(body) {
        Ok(mut json) => {
            mask(&mut json);
            shown.push(json.to_string());
        }
        Err(_) if !body.is_empty() => shown.push(form_shown(body)),
        Err(_) => {}
    }
    shown.join("  ")
}

fn form_shown(form: &str) -> String {
    let shown: Vec<_> = decode_form(form.as_bytes())
        .into_iter()
        .map(|(name, value)| format!("{name}={}", masked_value(&name, &value)))
        .collect();
    shown.join("&")
}

fn mask(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) => *value = Value::String(masked_value(name, text)),
                    None => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

fn masked_value(name: &str, value: &str) -> String {
    if SECRETS.contains(&name) {
        return MASK.to_owned();
    }
    if matches!(name, "phoneNumber" | "phone_number") {
        return masked_phone(value);
    }
    masked_path(value)
}

/// `+49••••33`.
fn masked_phone(phone: &str) -> String {
    let characters: Vec<char> = phone.chars().collect();
    if characters.len() < 8 {
        return MASK.to_owned();
    }
    let start: String = characters[..3].iter().collect();
    let end: String = characters[characters.len() - 2..].iter().collect();
    format!("{start}{MASK}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_queries_bodies_and_paths() {
        let log = Log::default();
        let body = r#"{"connection":{"id":"c1","value":"eyJ"},"phone_number":"+4915223433333",
            "url":"http://h/webhooks/alc/tok","target_url":"http://h/webhooks/attio/tok"}"#;
        log.begin("Browser", "Connector", "POST", "/webhooks/alc/tok?code=abc&state=xyz&client_id=a", body);
        let entry = &log.merged(&[], &[])[0];
        assert_eq!(entry.path, "/webhooks/alc/••••");
        assert!(entry.detail.contains("client_id=a") && entry.detail.contains("+49••••33"));
        for secret in ["abc", "xyz", "eyJ", "tok", "52234"] {
            assert!(!entry.detail.contains(secret), "{secret} in {}", entry.detail);
        }
    }
}
