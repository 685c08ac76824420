//! Judges every answer of the service by `openapi.yaml`.
//!
//! Finds the operation by its path template and checks the status, the required headers, the content type and the body
//! against what the document says, so that neither can drift from the other. Remembers which operations were answered.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::{Draft, Validator};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// The document at the top level, read once.
pub static CONTRACT: LazyLock<Contract> = LazyLock::new(|| Contract::read(include_str!("../../openapi.yaml")));

/// `openapi.yaml`, and what it has judged so far in this process.
pub struct Contract {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
    answered: Mutex<BTreeSet<Operation>>,
}

/// `POST /v1/leads`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// Upper case.
    pub method: String,
    /// As the document writes it.
    pub template: String,
}

impl Contract {
    fn read(yaml: &str) -> Self {
        let document = serde_yaml_ng::from_str(yaml).expect("openapi.yaml is YAML");
        Self { document, validators: Mutex::default(), answered: Mutex::default() }
    }

    /// The document as JSON.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Every operation of the document.
    pub fn operations(&self) -> BTreeSet<Operation> {
        let mut operations = BTreeSet::new();
        for (template, item) in object(&self.document["paths"]) {
            for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
                operations.insert(Operation { method: method.to_uppercase(), template: template.clone() });
            }
        }
        operations
    }

    /// The operations of the listener that its server's `description` calls so; a path without servers is public.
    pub fn operations_of(&self, listener: &str) -> BTreeSet<Operation> {
        let served = |operation: &Operation| match self.document["paths"][&operation.template]["servers"].as_array() {
            Some(servers) => servers.iter().any(|server| server["description"] == listener),
            None => listener == "public",
        };
        self.operations().into_iter().filter(served).collect()
    }

    /// The operations that no answer in this process belonged to.
    pub fn never_answered(&self) -> Vec<Operation> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        self.operations().difference(&answered).cloned().collect()
    }

    /// Every way in which an answer departs from the document; empty: none.
    pub fn faults(&self, method: &str, path: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> Vec<String> {
        let Some(pointer) = self.response_of(method, path, status) else {
            return vec![format!("{method} {path} → {status} is not documented")];
        };
        let mut faults = self.header_faults(&pointer, headers);
        faults.extend(self.body_faults(&pointer, headers, body));
        faults.iter_mut().for_each(|fault| *fault = format!("{method} {path} → {status}: {fault}"));
        faults
    }

    /// The pointer to the response object, followed through its reference.
    fn response_of(&self, method: &str, path: &str, status: u16) -> Option<String> {
        let path = path.split('?').next().unwrap_or(path);
        let template = self.template_of(path);
        let operation = template.and_then(|template| {
            let pointer = format!("/paths/{}/{}", escape(template), method.to_lowercase());
            self.document.pointer(&pointer).map(|_| (template, pointer))
        });
        let Some((template, pointer)) = operation else {
            return match (template, status) {
                (None, 404) | (Some(_), 405) => Some(self.followed(format!("/x-everywhere/{status}"))),
                _ => None,
            };
        };
        // Documented everywhere, and yet never meant to happen.
        if status == 500 {
            return None;
        }
        let operation = Operation { method: method.to_uppercase(), template: template.to_owned() };
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(operation);
        let response = format!("{pointer}/responses/{status}");
        self.document.pointer(&response)?;
        Some(self.followed(response))
    }

    /// A template without parameters goes before one with.
    fn template_of(&self, path: &str) -> Option<&str> {
        let parts: Vec<&str> = path.split('/').collect();
        object(&self.document["paths"])
            .map(|(template, _)| template.as_str())
            .filter(|template| {
                let pattern: Vec<&str> = template.split('/').collect();
                let fits = |(want, is): (&&str, &&str)| want == is || (want.starts_with('{') && !is.is_empty());
                pattern.len() == parts.len() && pattern.iter().zip(&parts).all(fits)
            })
            .min_by_key(|template| template.matches('{').count())
    }

    fn header_faults(&self, pointer: &str, headers: &HeaderMap) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, declared) in object(&self.at(pointer)["headers"]) {
            let declared = self.resolved(declared);
            let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else {
                if declared["required"] == true {
                    faults.push(format!("header {name} is missing"));
                }
                continue;
            };
            let at = self.followed(format!("{pointer}/headers/{}", escape(name)));
            let validator = self.validator(&format!("{at}/schema"));
            faults.extend(validator.iter_errors(&json!(value)).map(|error| format!("header {name}: {error}")));
        }
        faults
    }

    fn body_faults(&self, pointer: &str, headers: &HeaderMap, body: &[u8]) -> Vec<String> {
        let declared = &self.at(pointer)["content"];
        if !declared.is_object() {
            let text = String::from_utf8_lossy(body);
            return if body.is_empty() { Vec::new() } else { vec![format!("a body where none is documented: {text}")] };
        }
        let sent = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
        let media = sent.split(';').next().unwrap_or(sent).trim();
        if declared.get(media).is_none() {
            return vec![format!("content type `{sent}` is not documented")];
        }
        if !media.ends_with("json") {
            return if body.is_empty() { vec!["the body is empty".to_owned()] } else { Vec::new() };
        }
        let body = match serde_json::from_slice::<Value>(body) {
            Ok(body) => body,
            Err(error) => return vec![format!("the body is no JSON: {error}")],
        };
        let validator = self.validator(&format!("{pointer}/content/{}/schema", escape(media)));
        validator.iter_errors(&body).map(|error| format!("{}: {error} in {body}", error.instance_path())).collect()
    }

    fn validator(&self, pointer: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(compile(&self.document, self.at(pointer)));
        Arc::clone(validators.entry(pointer.to_owned()).or_insert_with(make))
    }

    /// The examples of every body, by the pointer to its media type. A body without one is among them.
    pub fn examples(&self) -> Vec<(String, Vec<&Value>)> {
        let mut found = Vec::new();
        self.visit("", &self.document, &mut |pointer, node| {
            // A member of `content`, by its name: a media type.
            let is_body = pointer.rsplit_once("/content/").is_some_and(|(_, name)| !name.contains('/'));
            if is_body && node.get("schema").is_some() {
                let named = object(&node["examples"]).map(|(_, named)| &self.resolved(named)["value"]);
                found.push((pointer.to_owned(), node.get("example").into_iter().chain(named).collect()));
            }
        });
        found
    }

    /// Every example in the document that its own schema refuses.
    pub fn bad_examples(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (pointer, examples) in self.examples() {
            let validator = self.validator(&format!("{pointer}/schema"));
            for example in examples {
                found.extend(validator.iter_errors(example).map(|error| format!("{pointer}: {error} in {example}")));
            }
        }
        found
    }

    fn visit<'a>(&'a self, pointer: &str, node: &'a Value, see: &mut impl FnMut(&str, &'a Value)) {
        see(pointer, node);
        match node {
            Value::Object(members) => {
                members
                    .iter()
                    .for_each(|(name, member)| self.visit(&format!("{pointer}/{}", escape(name)), member, see));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.visit(&format!("{pointer}/{at}"), item, see));
            }
            _ => {}
        }
    }

    fn at(&self, pointer: &str) -> &Value {
        self.document.pointer(pointer).unwrap_or_else(|| panic!("openapi.yaml has no {pointer}"))
    }

    fn followed(&self, pointer: String) -> String {
        match self.at(&pointer)["$ref"].as_str() {
            Some(reference) => self.followed(reference.trim_start_matches('#').to_owned()),
            None => pointer,
        }
    }

    fn resolved<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str() {
            Some(reference) => self.resolved(self.at(reference.trim_start_matches('#'))),
            None => node,
        }
    }
}

fn compile(document: &Value, schema: &Value) -> Validator {
    let root = json!({ "allOf": [schema], "components": document["components"] });
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(&root)
        .unwrap_or_else(|error| panic!("openapi.yaml has a bad schema: {error}"))
}

fn object(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node.as_object().into_iter().flatten()
}

fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
