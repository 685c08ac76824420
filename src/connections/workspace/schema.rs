//! What Attio has of what is needed there, as it was found when last looked at: the attributes that are written, and
//! the list whose entries send.
//!
//! Owns how that is stored; `schema_looks` owns its transitions. Promises that the id by which events name the list is
//! kept together with the name that the operator gave it, so that it is never taken for another list's.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::retry::Retry;
use crate::ids::ListId;

/// The list whose entries send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connections) struct EntryList {
    /// As `ATTIO__SEND_ON_LIST` named it.
    pub(super) asked: String,
    /// As events name it.
    pub(super) id: ListId,
    /// Attio's ids of the attributes that a person of it is sent by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sent_by: Vec<String>,
    #[serde(flatten)]
    pub(super) extra: Map<String, Value>,
}

/// The last look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::connections) struct Schema {
    /// When it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checked_at: Option<Timestamp>,
    /// What a person has to mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<SchemaProblem>,
    /// When the next is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) look_at: Option<Timestamp>,
    /// Of looking.
    #[serde(flatten)]
    pub(in crate::connections) retry: Retry,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Schema {
    /// Whether nothing was looked at or planned.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Something of Attio's that a person has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaProblem {
    /// The attribute of People that it is about, by its slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The list that it is about, as the operator names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// What is wrong, and what to do.
    pub problem: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl SchemaProblem {
    /// Of an attribute.
    pub fn of_attribute(slug: &str, problem: String) -> Self {
        Self { attribute: Some(slug.to_owned()), list: None, problem, extra: Map::new() }
    }

    /// Of a list.
    pub fn of_list(list: &str, problem: String) -> Self {
        Self { attribute: None, list: Some(list.to_owned()), problem, extra: Map::new() }
    }
}

/// What a look has found.
#[derive(Debug, Clone, Default)]
pub(in crate::connections) struct Found {
    /// What a person has to mend.
    pub(in crate::connections) problems: Vec<SchemaProblem>,
    /// The list that was asked for, and its id if it is there; `None`: no list is to send.
    pub(in crate::connections) list: Option<(String, Option<ListId>)>,
    /// Attio's ids of the attributes that a person is sent by.
    pub(in crate::connections) sent_by: Vec<String>,
}

impl Found {
    /// Results put people into the list of that `id`. If that list sends, too, as was found now or is `known`, none
    /// does: the entry that a result makes would send the person again.
    pub(in crate::connections) fn keep_apart(&mut self, pipeline: &str, id: ListId, known: Option<ListId>) {
        let sends = self.list.as_ref().and_then(|(_, id)| *id).or(known);
        if sends == Some(id) {
            self.list = None;
            let problem = "ATTIO__PIPELINE__LIST and ATTIO__SEND_ON_LIST name the same list: name two lists";
            self.problems.push(SchemaProblem::of_list(pipeline, problem.to_owned()));
        }
    }
}
