//! The attributes of People that we write: which they are, what they show, and how they are found and made in Attio.
//!
//! Promises that an attribute is found also when it is archived: only then can it be told from one that is missing.

use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallError, Client, error, flag, list, unreadable};

/// The attributes that a person is sent by.
pub const SENT_BY: [&str; 2] = ["name", "phone_numbers"];
/// Attributes asked for at a time.
const PAGE: usize = 100;
/// No workspace has more: an answer without an end is not read for ever.
const MOST: usize = 10_000;
/// The most that is read of a page, in bytes.
const PAGE_CAP: usize = 4 * 1024 * 1024;

/// The slugs of the attributes that we write.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// Shows where the lead stands, by one of the [`Titles`].
    pub status: String,
    /// Shows ALC's id of the lead; `None`: is not written.
    pub lead_id: Option<String>,
    /// Shows ALC's result, or the reason of a failure; `None`: is not written.
    pub result: Option<String>,
}

impl Attributes {
    /// All that are written.
    pub fn slugs(&self) -> Vec<&str> {
        [Some(&self.status), self.lead_id.as_ref(), self.result.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }
}

/// What the status attribute shows: the titles of its options where it is a select.
#[derive(Debug, Clone)]
pub struct Titles {
    /// ALC has the lead.
    pub pending: String,
    /// ALC has given its result.
    pub complete: String,
    /// It came to nothing.
    pub failed: String,
}

impl Titles {
    /// All of them, in the order in which a lead shows them.
    pub fn all(&self) -> [&str; 3] {
        [&self.pending, &self.complete, &self.failed]
    }
}

/// What was found of People.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// Attio's id of the object, where an attribute names it.
    pub object_id: Option<String>,
    /// The attributes that were looked for.
    pub attributes: Vec<Attribute>,
}

impl People {
    /// Attio's ids of the attributes that a person is sent by, as far as they were found.
    pub fn sent_by(&self) -> Vec<String> {
        let sent_by = |attribute: &&Attribute| SENT_BY.contains(&attribute.api_slug.as_str());
        let mut ids: Vec<_> = self.attributes.iter().filter(sent_by).filter_map(|it| it.ids[1].clone()).collect();
        ids.sort_unstable();
        ids
    }
}

/// An attribute of People.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attribute {
    /// Attio's ids of the object that it belongs to, which is People, and of itself.
    #[serde(default, rename = "id", deserialize_with = "ids_named")]
    pub ids: [Option<String>; 2],
    /// Its slug.
    pub api_slug: String,
    /// `text`, `select`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// It holds several values.
    #[serde(default, deserialize_with = "tolerant_flag")]
    pub is_multiselect: bool,
    /// No two records may have the same value.
    #[serde(default, deserialize_with = "tolerant_flag")]
    pub is_unique: bool,
    /// It cannot be written.
    #[serde(default, deserialize_with = "tolerant_flag")]
    pub is_archived: bool,
}

/// An option of a select.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SelectOption {
    /// Attio's id.
    pub id: OptionId,
    /// What the record shows.
    pub title: String,
    /// It cannot be written.
    #[serde(default, deserialize_with = "tolerant_flag")]
    pub is_archived: bool,
}

/// Attio's id of an option.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OptionId {
    /// The part that names the option.
    pub option_id: String,
}

/// An attribute to be made: single-value, neither required nor unique.
#[derive(Debug, Clone, Copy)]
pub struct NewAttribute<'a> {
    /// Its slug.
    pub api_slug: &'a str,
    /// What people see.
    pub title: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// `text` or `select`.
    pub kind: &'a str,
}

/// A flag that is missing, `null` or of another type counts by what it says, and says no if it says nothing.
fn tolerant_flag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(flag(&Value::deserialize(from)?).unwrap_or_default())
}

fn ids_named<'de, D: serde::Deserializer<'de>>(from: D) -> Result<[Option<String>; 2], D::Error> {
    let ids = Value::deserialize(from)?;
    Ok(["object_id", "attribute_id"].map(|name| ids.get(name).and_then(Value::as_str).map(str::to_owned)))
}

impl Client {
    /// `GET /v2/objects/people/attributes`: the attributes with these slugs, archived ones too. Reads on until all are
    /// found or there are no more: how many Attio gives at a time is not documented.
    pub async fn find_attributes(&self, token: &SecretString, slugs: &[&str]) -> Result<People, CallError> {
        let (mut people, mut offset) = (People::default(), 0);
        loop {
            let page = [("show_archived", "true"), ("limit", &PAGE.to_string()), ("offset", &offset.to_string())];
            let request = self.request(Method::GET, &["objects", "people", "attributes"], token).query(&page);
            let page: Vec<Option<Attribute>> = self.listed("list_attributes", request, token).await?;
            let last = page.is_empty() || page.len() > PAGE;
            offset += page.len();
            let page: Vec<_> = page.into_iter().flatten().collect();
            let object_id = page.iter().find_map(|attribute| attribute.ids[0].clone());
            people.object_id = people.object_id.or(object_id);
            let found = page.into_iter().filter(|attribute| slugs.contains(&attribute.api_slug.as_str()));
            people.attributes.extend(found);
            if last || people.attributes.len() >= slugs.len() || offset > MOST {
                return Ok(people);
            }
        }
    }

    /// `POST /v2/objects/people/attributes`. A slug that is taken is a [`CallError::Conflict`].
    pub async fn create_attribute(&self, token: &SecretString, new: NewAttribute<'_>) -> Result<(), CallError> {
        let body = json!({ "data": {
            "title": new.title, "description": new.description, "api_slug": new.api_slug, "type": new.kind,
            "is_required": false, "is_unique": false, "is_multiselect": false, "config": {},
        } });
        let request = self.request(Method::POST, &["objects", "people", "attributes"], token).json(&body);
        self.done("create_attribute", request, token).await
    }

    /// `GET /v2/objects/people/attributes/{slug}/options`, archived ones too.
    pub async fn list_options(&self, token: &SecretString, slug: &str) -> Result<Vec<SelectOption>, CallError> {
        let request = self.request(Method::GET, &["objects", "people", "attributes", slug, "options"], token);
        let listed: Vec<Option<_>> =
            self.listed("list_options", request.query(&[("show_archived", "true")]), token).await?;
        Ok(listed.into_iter().flatten().collect())
    }

    /// `POST /v2/objects/people/attributes/{slug}/options`. A title that is taken is a [`CallError::Conflict`].
    pub async fn create_option(&self, token: &SecretString, slug: &str, title: &str) -> Result<(), CallError> {
        let request = self.request(Method::POST, &["objects", "people", "attributes", slug, "options"], token);
        self.done("create_option", request.json(&json!({ "data": { "title": title } })), token).await
    }

    /// `PATCH /v2/objects/people/attributes/{slug}/options/{id}`: the option can be written again.
    pub async fn restore_option(&self, token: &SecretString, slug: &str, id: &OptionId) -> Result<(), CallError> {
        let path = ["objects", "people", "attributes", slug, "options", &id.option_id];
        let request = self.request(Method::PATCH, &path, token);
        self.done("update_option", request.json(&json!({ "data": { "is_archived": false } })), token).await
    }

    /// The items of a list, one that cannot be read as `None`: it counts for where the next page begins.
    pub(super) async fn listed<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        request: reqwest::RequestBuilder,
        token: &SecretString,
    ) -> Result<Vec<Option<T>>, CallError> {
        let answer = self.caller.call_capped(operation, request, PAGE_CAP).await?;
        if !answer.status.is_success() {
            return Err(error(&answer, token));
        }
        let listed = answer.find(list)?.ok_or_else(|| unreadable("it is no list of what was asked for"))?;
        // What cannot be read is passed over: an attribute of a kind to come must not hide the ones beside it.
        Ok(listed.into_iter().map(|item| serde_json::from_value(item).ok()).collect())
    }

    pub(super) async fn done(
        &self,
        operation: &'static str,
        request: reqwest::RequestBuilder,
        token: &SecretString,
    ) -> Result<(), CallError> {
        let answer = self.caller.call(operation, request).await?;
        if answer.is_done() { Ok(()) } else { Err(error(&answer, token)) }
    }
}
