//! Attio's lists, as far as they are looked for: which one a slug or an id names, and what its entries are of.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;

use super::{CallError, Client, error, unreadable};
use crate::ids::ListId;

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its id, by which events name it.
    pub id: ListId,
    /// Slugs or ids of the objects whose records it takes; empty: Attio does not say.
    pub parents: Vec<String>,
}

impl Client {
    /// `GET /v2/lists/{list}`, by slug or id. [`CallError::NotFound`]: there is none that this token may see.
    pub async fn find_list(&self, token: &SecretString, list: &str) -> Result<List, CallError> {
        let request = self.request(Method::GET, &["lists", list], token);
        let answer = self.caller.call("get_list", request).await?;
        if !answer.status.is_success() {
            return Err(error(&answer, token));
        }
        let read = |value: &Value| {
            let list = value.get("data").unwrap_or(value);
            let parents = match list.get("parent_object") {
                Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                Some(Value::String(one)) => vec![one.clone()],
                _ => Vec::new(),
            };
            Some(List { id: list.pointer("/id/list_id")?.as_str()?.trim().parse().ok()?, parents })
        };
        answer.find(read)?.ok_or_else(|| unreadable("it is no list"))
    }
}
