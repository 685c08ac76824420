//! Notes on people's records: made, and found again by a line of ours.
//!
//! Promises that nothing of a note's text comes back in an error: it may be a person's own words. Attio cannot tell two
//! equal requests apart, and makes two notes of them; so the request is never repeated here, and its caller has to look
//! before it makes another one.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{CallError, Client, RECORD_CAP, error, list, unreadable};
use crate::ids::RecordId;

/// Notes asked for at a time: the most that Attio gives.
const PAGE: usize = 50;
/// No record has more: an answer without an end is not read for ever.
const MOST: usize = 2_000;

impl Client {
    /// `POST /v2/notes`: a note in Attio's markdown. 404 [`CallError::NotFound`]: there is no such record (any more).
    pub async fn create_note(
        &self,
        token: &SecretString,
        record: RecordId,
        title: &str,
        content: &str,
    ) -> Result<(), CallError> {
        let body = json!({ "data": {
            "parent_object": "people", "parent_record_id": record.to_string(), "title": title, "format": "markdown",
            "content": content,
        } });
        let request = self.request(Method::POST, &["notes"], token).json(&body);
        let answer = self.caller.call("create_note", request).await?;
        // The body repeats the note.
        if answer.is_done() {
            return Ok(());
        }
        Err(match error(&answer, token) {
            CallError::Rejected { status, code, .. } => {
                CallError::Rejected { status, detail: code.clone().unwrap_or_else(|| "no code".to_owned()), code }
            }
            CallError::Conflict { code, id, .. } => {
                CallError::Conflict { id, detail: code.clone().unwrap_or_else(|| "no code".to_owned()), code }
            }
            CallError::Forbidden { .. } => CallError::Forbidden { detail: "status 403".to_owned() },
            CallError::Unknown { retry_after, .. } => {
                CallError::Unknown { retry_after, detail: format!("status {}", answer.status.as_u16()) }
            }
            error => error,
        })
    }

    /// `GET /v2/notes?parent_object=people&parent_record_id=`: whether a note of the record, `from` the one of that
    /// place on, has a line that says just this. Reads one page; more than anybody writes is [`CallError::Unreadable`],
    /// as it could not be said that it is not there.
    pub async fn has_note(
        &self,
        token: &SecretString,
        record: RecordId,
        line: &str,
        from: usize,
    ) -> Result<Looked, CallError> {
        if from >= MOST {
            return Err(unreadable("the record has more notes than are looked through"));
        }
        let (record, limit, offset) = (record.to_string(), PAGE.to_string(), from.to_string());
        let page = [("parent_object", "people"), ("parent_record_id", &record), ("limit", &limit), ("offset", &offset)];
        let request = self.request(Method::GET, &["notes"], token).query(&page);
        let answer = self.caller.call_capped("list_notes", request, RECORD_CAP).await?;
        if !answer.status.is_success() {
            return Err(error(&answer, token));
        }
        let notes = answer.find(list)?.ok_or_else(|| unreadable("it is no list of notes"))?;
        Ok(match notes.len() {
            _ if notes.iter().any(|note| says(note, line)) => Looked::There,
            0 => Looked::NotThere,
            // A short page is no end: how many Attio gives at a time is its own affair.
            read => Looked::NotYet { from: from + read },
        })
    }
}

/// What a page of a record's notes has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The note is there.
    There,
    /// It is on none of the pages.
    NotThere,
    /// It is not on this one.
    NotYet {
        /// Where the next page begins.
        from: usize,
    },
}

/// Whether a line of the note, by either of its texts, says just this.
fn says(note: &Value, line: &str) -> bool {
    ["content_plaintext", "content_markdown"].iter().filter_map(|text| note.get(*text)?.as_str()).any(|text| {
        // Markdown may come back with more or fewer of the backslashes that it was written with.
        text.lines().any(|found| found.replace('\\', "").trim() == line)
    })
}

#[cfg(test)]
mod tests {
    use mockito::{Matcher, Server, ServerGuard};

    use super::*;
    use crate::attio::tests::{RECORD, client, record, token};

    const LINE: &str = "alc-connector: 0e6f6a9e-2a52-4d0f-9a4b-7c1f2a3b4c5d";

    fn note(content: &str) -> Value {
        json!({ "id": { "note_id": "n" }, "content_plaintext": content.replace('\\', ""), "content_markdown": content })
    }

    async fn found(pages: &[(&str, Value)]) -> Result<bool, CallError> {
        let mut server = Server::new_async().await;
        let mut mocks = Vec::new();
        for (offset, notes) in pages {
            let query =
                [("parent_object", "people"), ("parent_record_id", RECORD), ("limit", "50"), ("offset", *offset)];
            let query = query.map(|(name, value)| Matcher::UrlEncoded(name.to_owned(), value.to_owned()));
            let mock = server.mock("GET", "/v2/notes").match_query(Matcher::AllOf(query.to_vec()));
            mocks.push(mock.with_body(json!({ "data": notes }).to_string()).create_async().await);
        }
        let found = look_through(&server).await;
        for mock in mocks {
            mock.assert_async().await;
        }
        found
    }

    async fn look_through(server: &ServerGuard) -> Result<bool, CallError> {
        let mut from = 0;
        loop {
            match client(server).has_note(&token(), record(), LINE, from).await? {
                Looked::There => return Ok(true),
                Looked::NotThere => return Ok(false),
                Looked::NotYet { from: next } => from = next,
            }
        }
    }

    #[tokio::test]
    async fn a_note_is_made_with_exactly_these_members() {
        let mut server = Server::new_async().await;
        let body = json!({ "data": {
            "parent_object": "people", "parent_record_id": RECORD, "title": "ALC: yes", "format": "markdown",
            "content": "**yes**",
        } });
        let mock = server.mock("POST", "/v2/notes").match_header("authorization", "Bearer attio-token");
        // What comes back is not read.
        let mock = mock.match_body(Matcher::Json(body)).with_body("{").create_async().await;
        assert_eq!(client(&server).create_note(&token(), record(), "ALC: yes", "**yes**").await, Ok(()));
        mock.assert_async().await;
    }

    #[tokio::test]
    async fn a_refusal_quotes_nothing_of_the_note() {
        for (status, code) in
            [(400, "validation_type"), (403, "forbidden"), (409, "conflict"), (422, "odd"), (500, "oops")]
        {
            let mut server = Server::new_async().await;
            let body = json!({ "code": code, "message": "I cannot take \"she is at home on Mondays\"." });
            let mock = server.mock("POST", "/v2/notes").with_status(status).with_body(body.to_string());
            let _mock = mock.create_async().await;
            let refused = client(&server).create_note(&token(), record(), "t", "she is at home on Mondays").await;
            let refused = refused.expect_err("refused");
            assert!(!format!("{refused} {refused:?}").contains("Mondays"), "{refused:?}");
        }
        let mut server = Server::new_async().await;
        let _mock = server.mock("POST", "/v2/notes").with_status(404).create_async().await;
        assert_eq!(client(&server).create_note(&token(), record(), "t", "c").await, Err(CallError::NotFound));
    }

    #[tokio::test]
    async fn a_note_is_found_by_its_line_on_whichever_page() {
        let ours = note(&format!("**Result:** yes\n\n{LINE}"));
        let others: Vec<_> = (0..50).map(|n| note(&format!("{n}"))).collect();
        assert_eq!(found(&[("0", json!([note("a"), ours]))]).await, Ok(true));
        let few = json!([note("a")]);
        assert_eq!(found(&[("0", json!(others)), ("50", few.clone()), ("51", json!([ours]))]).await, Ok(true));
        assert_eq!(found(&[("0", few), ("1", json!([]))]).await, Ok(false));
        let escaped = note(&format!("x\n  {}  ", LINE.replace('-', "\\-")));
        assert_eq!(found(&[("0", json!([escaped]))]).await, Ok(true));
    }

    #[tokio::test]
    async fn what_only_holds_the_line_is_not_it() {
        let near = [format!("see {LINE}"), format!("{LINE}0"), LINE[..40].to_owned()];
        let near: Vec<_> = near.iter().map(|text| note(text)).chain([json!("odd"), json!({})]).collect();
        assert_eq!(found(&[("0", json!(near)), ("5", json!([]))]).await, Ok(false));
    }

    #[tokio::test]
    async fn a_list_without_an_end_says_nothing() {
        let mut server = Server::new_async().await;
        let page: Vec<_> = (0..50).map(|n| note(&format!("{n}"))).collect();
        let mock = server.mock("GET", "/v2/notes").match_query(Matcher::Any);
        let _mock = mock.with_body(json!({ "data": page }).to_string()).create_async().await;
        let looked = look_through(&server).await;
        assert!(matches!(looked, Err(CallError::Unreadable { .. })), "{looked:?}");
    }
}
