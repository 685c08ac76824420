//! Lists of people: what a list has, and a person's entry in it.
//!
//! Promises that writing an entry twice does no more than writing it once: Attio finds the entry of a record that is
//! there already.

use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallError, Client, attributes::Attribute, error, unreadable};
use crate::ids::{ListId, RecordId};

/// `ATTIO__PIPELINE__…`: where a person is put once ALC's result is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The list, by its slug or id.
    pub list: String,
    /// The slug of the list's attribute that shows the stage.
    pub stage_attribute: String,
    /// ALC's result, and the title of the stage that it names.
    pub stages: Vec<(String, String)>,
}

impl Pipeline {
    /// The stage that a result names, in whatever letter case.
    pub fn stage_of(&self, result: &str) -> Option<&str> {
        let result = result.trim().to_lowercase();
        self.stages.iter().find(|(word, _)| word.to_lowercase() == result).map(|(_, stage)| stage.as_str())
    }
}

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its id, by which events name it.
    pub id: ListId,
    /// Slugs or ids of the objects whose records it takes; empty: Attio does not say.
    pub parents: Vec<String>,
}

/// A stage: a status, or an option of a select.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stage {
    /// What the entry shows.
    pub title: String,
    /// It cannot be written.
    #[serde(default)]
    pub is_archived: bool,
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

    /// `GET /v2/lists/{list}/attributes/{slug}`.
    pub async fn list_attribute(&self, token: &SecretString, list: &str, slug: &str) -> Result<Attribute, CallError> {
        self.got("get_list_attribute", &["lists", list, "attributes", slug], token).await
    }

    /// `GET /v2/lists/{list}/attributes/{slug}/statuses`, or `…/options` of a select; archived ones too.
    pub async fn list_stages(
        &self,
        token: &SecretString,
        list: &str,
        attribute: &Attribute,
    ) -> Result<Vec<Stage>, CallError> {
        let below = if attribute.kind == "status" { "statuses" } else { "options" };
        let path = ["lists", list, "attributes", &attribute.api_slug, below];
        let request = self.request(Method::GET, &path, token).query(&[("show_archived", "true")]);
        let listed: Vec<Option<_>> = self.listed("list_stages", request, token).await?;
        Ok(listed.into_iter().flatten().collect())
    }

    /// `PUT /v2/lists/{list}/entries`: the record is in the list, at this stage. 404 [`CallError::NotFound`]: there is
    /// no such list, or no such record.
    pub async fn assert_entry(
        &self,
        token: &SecretString,
        list: &str,
        record: RecordId,
        (slug, stage): (&str, &str),
    ) -> Result<(), CallError> {
        let body = json!({ "data": {
            "parent_record_id": record.to_string(), "parent_object": "people", "entry_values": { slug: [stage] },
        } });
        let request = self.request(Method::PUT, &["lists", list, "entries"], token).json(&body);
        self.done("assert_entry", request, token).await
    }

    /// The `data` of an answer.
    async fn got<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &[&str],
        token: &SecretString,
    ) -> Result<T, CallError> {
        let answer = self.caller.call(operation, self.request(Method::GET, path, token)).await?;
        if !answer.status.is_success() {
            return Err(error(&answer, token));
        }
        let read = |value: &Value| serde_json::from_value(value.get("data").unwrap_or(value).clone()).ok();
        answer.find(read)?.ok_or_else(|| unreadable("it is not what was asked for"))
    }
}

#[cfg(test)]
mod tests {
    use mockito::{Matcher, Server};

    use super::*;
    use crate::attio::tests::{RECORD, client, token};

    #[test]
    fn a_result_names_its_stage_in_any_letter_case() {
        let stages = vec![("qualified".to_owned(), "Won".to_owned()), ("Not interested".to_owned(), "Lost".to_owned())];
        let pipeline = Pipeline { list: "l".to_owned(), stage_attribute: "s".to_owned(), stages };
        assert_eq!(pipeline.stage_of(" QUALIFIED\n"), Some("Won"));
        assert_eq!(pipeline.stage_of("not Interested"), Some("Lost"));
        assert_eq!(pipeline.stage_of("qualified?"), None);
    }

    #[tokio::test]
    async fn an_entry_is_asserted_with_exactly_these_members() {
        let mut server = Server::new_async().await;
        let body = json!({ "data": {
            "parent_record_id": RECORD, "parent_object": "people", "entry_values": { "stage": ["Won / now"] },
        } });
        let mock = server.mock("PUT", "/v2/lists/sales/entries").match_body(Matcher::Json(body));
        let mock = mock.match_header("authorization", "Bearer attio-token").with_body("{}").create_async().await;
        let record = RECORD.parse().expect("a UUID");
        let asserted = client(&server).assert_entry(&token(), "sales", record, ("stage", "Won / now")).await;
        assert_eq!(asserted, Ok(()));
        mock.assert_async().await;
    }

    #[tokio::test]
    async fn a_list_its_attribute_and_its_stages_are_read() {
        let mut server = Server::new_async().await;
        let list = json!({ "data": { "id": { "list_id": "33ebdbe9-e529-47c9-b894-0ba25e9c15c0" }, "api_slug": "sales", "parent_object": ["people"] } });
        let _list = server.mock("GET", "/v2/lists/sales").with_body(list.to_string()).create_async().await;
        let attribute = json!({ "data": { "api_slug": "stage", "type": "status", "is_archived": false } });
        let mock = server.mock("GET", "/v2/lists/sales/attributes/stage");
        let _attribute = mock.with_body(attribute.to_string()).create_async().await;
        let stages =
            json!({ "data": [{ "title": "Won", "is_archived": false }, 5, { "title": "Lost", "is_archived": true }] });
        let mut mocks = Vec::new();
        for below in ["statuses", "options"] {
            let mock = server.mock("GET", format!("/v2/lists/sales/attributes/stage/{below}").as_str());
            let mock = mock.match_query(Matcher::UrlEncoded("show_archived".to_owned(), "true".to_owned()));
            mocks.push(mock.with_body(stages.to_string()).create_async().await);
        }
        let client = client(&server);
        assert_eq!(client.find_list(&token(), "sales").await.expect("a list").parents, ["people"]);
        let status = client.list_attribute(&token(), "sales", "stage").await.expect("an attribute");
        assert_eq!(status.kind, "status");
        let select = Attribute { kind: "select".to_owned(), ..status.clone() };
        for attribute in [status, select] {
            let stages = client.list_stages(&token(), "sales", &attribute).await.expect("stages");
            let stages: Vec<_> = stages.iter().map(|stage| (stage.title.as_str(), stage.is_archived)).collect();
            assert_eq!(stages, [("Won", false), ("Lost", true)]);
        }
        for mock in mocks {
            mock.assert_async().await;
        }
        let unknown = client.find_list(&token(), "no_such_list").await;
        assert!(unknown.is_err(), "{unknown:?}");
    }
}
