//! Attio's people by what their status shows, page by page.
//!
//! Owns the shape of `records/query`. Promises that Attio itself picks the people, in the order in which they were
//! made, so that a page costs no more than its people; and that of each of them nothing is kept but the id and the
//! status.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Client, error, shown, unreadable};
use crate::{ids::RecordId, upstream::CallError};

/// The most that is read of a page, in bytes.
const PAGE_CAP: usize = 32 * 1024 * 1024;

/// A person whose status is one of those that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPerson {
    /// The record.
    pub record: RecordId,
    /// What its status shows; `None`: nothing that can be read.
    pub status: Option<String>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeoplePage {
    /// Those of it that can be read.
    pub people: Vec<ListedPerson>,
    /// How many there are on it: a page that is not full is the last.
    pub count: usize,
}

/// Where a page begins, and how long it is at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// So many people come before it.
    pub offset: u64,
    /// At most so many; Attio gives no more than 500.
    pub limit: u32,
}

impl Client {
    /// `POST /v2/objects/people/records/query`: people whose attribute `slug`, a select or a text, shows one of these
    /// titles. People who get or lose such a title between two pages move the pages that follow.
    ///
    /// Errors: 400 [`CallError::Rejected`] with `filter_error` (there is no such attribute); a page of more bytes than
    /// are read [`CallError::Unreadable`].
    pub async fn people_showing(
        &self,
        token: &SecretString,
        slug: &str,
        titles: &[&str],
        part: Part,
    ) -> Result<PeoplePage, CallError> {
        // The shorthand is the one form that text and select both take, as a bare string is for what is written.
        let any: Vec<_> = titles.iter().map(|title| json!({ slug: title })).collect();
        let request = self.request(Method::POST, &["objects", "people", "records", "query"], token).json(&json!({
            "filter": { "$or": any },
            "sorts": [{ "attribute": "created_at", "direction": "asc" }],
            "limit": part.limit,
            "offset": part.offset,
        }));
        let answer = self.caller.call_capped("query_people", request, PAGE_CAP).await?;
        if !answer.status.is_success() {
            return Err(error(&answer, token));
        }
        if !answer.is_complete() {
            return Err(unreadable("the page is cut or too long"));
        }
        let page = answer.json()?;
        let people =
            page.get("data").and_then(Value::as_array).ok_or_else(|| unreadable("it is no page of records"))?;
        let count = people.len();
        Ok(PeoplePage { people: people.iter().filter_map(|person| listed(person, slug)).collect(), count })
    }
}

fn listed(person: &Value, slug: &str) -> Option<ListedPerson> {
    let record = person.pointer("/id/record_id")?.as_str()?.trim().parse().ok()?;
    let values = person.get("values")?.get(slug).and_then(Value::as_array);
    let status = values.and_then(|values| values.iter().find_map(shown)).map(ToOwned::to_owned);
    Some(ListedPerson { record, status })
}
