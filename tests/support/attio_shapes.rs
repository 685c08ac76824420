//! Judges what went to the pretend Attio, and what it answered, by the schemas in `tests/attio/` (see the page there).
//!
//! Included by path from the sandbox's own tests too.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use jsonschema::{Draft, Validator};
use sandbox::{Attio, Seen};
use serde_json::{Value, json};

/// Every operation's file.
macro_rules! shapes {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../attio/", $name, ".json")))),*]
    };
}

static SHAPES: LazyLock<HashMap<&'static str, Shape>> = LazyLock::new(|| {
    let files = shapes![
        "authorize",
        "assert_entry",
        "assert_record",
        "create_entry",
        "create_note",
        "delete_note",
        "get_entry",
        "get_list",
        "get_list_attribute",
        "get_note",
        "list_list_attributes",
        "list_list_options",
        "list_lists",
        "list_notes",
        "list_record_entries",
        "list_statuses",
        "query_records",
        "create_attribute",
        "create_option",
        "update_option",
        "create_webhook",
        "delete_webhook",
        "get_attribute",
        "get_record",
        "get_webhook",
        "list_attributes",
        "list_options",
        "list_webhooks",
        "patch_record",
        "revoke",
        "self",
        "token",
        "update_webhook",
        "workflow_callback",
    ];
    files.into_iter().map(|(name, text)| (name, Shape::read(text))).collect()
});

/// What a status that an operation does not list must be.
static ERROR: LazyLock<Validator> = LazyLock::new(|| compile(&json!({ "$ref": "#/$defs/error" })));

/// One operation.
struct Shape {
    bearer: bool,
    query: Validator,
    media_type: String,
    request: Option<Validator>,
    /// `None`: no JSON.
    answers: BTreeMap<u16, Option<Validator>>,
}

impl Shape {
    fn read(text: &str) -> Self {
        let file: Value = serde_json::from_str(text).expect("tests/attio has JSON");
        let answers =
            file["answers"].as_object().expect("answers by status").iter().map(|(status, schema)| {
                (status.parse().expect("a status"), (!schema.is_null()).then(|| compile(schema)))
            });
        Self {
            bearer: file["credential"] == "bearer",
            query: compile(&file["query"]),
            media_type: file["media_type"].as_str().unwrap_or_default().to_owned(),
            request: file.get("request").map(compile),
            answers: answers.collect(),
        }
    }

    fn request_faults(&self, seen: &Seen) -> Vec<String> {
        let mut faults = errors("query", &self.query, &form(&seen.query));
        let authorization = seen.header("authorization").unwrap_or_default();
        if self.bearer && authorization.strip_prefix("Bearer ").is_none_or(str::is_empty) {
            faults.push("no bearer token".to_owned());
        }
        let Some(request) = &self.request else {
            if !seen.body.is_empty() {
                faults.push("a body where there is none".to_owned());
            }
            return faults;
        };
        let sent = seen.header("content-type").unwrap_or_default();
        if sent.split(';').next().unwrap_or_default().trim() != self.media_type {
            faults.push(format!("media type `{sent}`, not {}", self.media_type));
        }
        let body = if self.media_type == "application/json" { seen.json() } else { form(&seen.body) };
        faults.extend(errors("request", request, &body));
        faults
    }

    fn answer_faults(&self, seen: &Seen) -> Vec<String> {
        let (Some(status), Some(answer)) = (seen.status, &seen.answer) else { return Vec::new() };
        let validator = match self.answers.get(&status) {
            Some(None) => return Vec::new(),
            Some(Some(validator)) => validator,
            None if matches!(status, 401 | 403 | 429 | 500..) => &*ERROR,
            None => return vec![format!("{status} is no answer of Attio's")],
        };
        let body: Value = match serde_json::from_str(answer) {
            Ok(body) => body,
            Err(error) => return vec![format!("the answer is no JSON: {error}")],
        };
        let mut faults = errors("answer", validator, &body);
        if status >= 400 && body.get("status_code").is_some_and(|code| *code != json!(status)) {
            faults.push(format!("the answer names another status: {body}"));
        }
        faults
    }
}

/// Everything that departs from Attio's shapes, in the requests to a pretend Attio and in its answers to them.
pub fn faults(attio: &Attio) -> Vec<String> {
    judge(attio, |shape, seen| [shape.request_faults(seen), shape.answer_faults(seen)].concat())
}

/// As [`faults`], of the answers alone.
pub fn answer_faults(attio: &Attio) -> Vec<String> {
    judge(attio, Shape::answer_faults)
}

/// Everything that departs from the shape of one of Attio's deliveries.
pub fn delivery_faults(headers: &Value, body: &Value) -> Vec<String> {
    let file: Value = serde_json::from_str(include_str!("../attio/delivery.json")).expect("tests/attio has JSON");
    let judged = [("headers", headers), ("request", body)];
    judged.into_iter().flat_map(|(part, value)| errors(part, &compile(&file[part]), value)).collect()
}

fn judge(attio: &Attio, faults: impl Fn(&Shape, &Seen) -> Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    for mut seen in attio.journal().all() {
        if seen.fault.is_some() {
            // What was answered is the test's doing; what was asked is not.
            seen.answer = None;
        }
        let said = match SHAPES.get(seen.operation) {
            Some(shape) => faults(shape, &seen),
            None => vec!["no operation of Attio's".to_owned()],
        };
        let what = format!("{} {} ({})", seen.method, seen.path, seen.operation);
        found.extend(said.into_iter().map(|fault| format!("{what}: {fault}")));
    }
    found
}

/// A query or form as an object of strings.
fn form(text: &str) -> Value {
    url::form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), json!(value))).collect()
}

fn errors(what: &str, validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{what}{}: {error}", error.instance_path())).collect()
}

fn compile(schema: &Value) -> Validator {
    let common: Value = serde_json::from_str(include_str!("../attio/common.json")).expect("tests/attio has JSON");
    let root = json!({ "allOf": [schema], "$defs": common["$defs"] });
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(&root)
        .unwrap_or_else(|error| panic!("tests/attio has a bad schema: {error}"))
}
