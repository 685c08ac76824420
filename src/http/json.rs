//! Bodies that come in.
//!
//! Owns their limits. Promises that a body is JSON by its media type (415), within its cap (413) and here in time
//! (400); that what is not read of it cannot fail it; that what it gets wrong is named by a pointer, and that nothing
//! of it is quoted.

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    web::{Bytes, BytesMut},
};
use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::{Fault, Problem, Slug};
use crate::lenient;

/// What a body may have.
pub const LIMIT: usize = 64 * 1024;
/// What a batch may have.
pub const BATCH_LIMIT: usize = 1024 * 1024;
/// Slower than this is not a slow line but a client that holds connections open.
const PATIENCE: Duration = Duration::from_secs(15);

/// The type of a body.
pub trait Body: DeserializeOwned {
    /// How long it may be.
    const LIMIT: usize = LIMIT;
}

/// Extracts a body of type `T`.
pub struct JsonBody<T>(pub T);

impl<T: Body + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        async move {
            if !is_json(&request) {
                let detail = "Send the body as JSON, with `content-type: application/json`.";
                return Err(Problem::new(Slug::UnsupportedMediaType, detail));
            }
            parse(&read(&request, payload, T::LIMIT).await?).map(Self)
        }
        .boxed_local()
    }
}

/// Whether the media type is JSON's, or one that ends in `+json`.
fn is_json(request: &HttpRequest) -> bool {
    let essence = essence(request);
    essence == "application/json"
        || essence.split_once('/').is_some_and(|(kind, subtype)| !kind.is_empty() && subtype.ends_with("+json"))
}

/// The media type without its parameters, lower-case; empty if there is none.
fn essence(request: &HttpRequest) -> String {
    let Some(kind) = request.headers().get(CONTENT_TYPE) else { return String::new() };
    String::from_utf8_lossy(kind.as_bytes()).split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The whole body, at most `limit` bytes of it.
pub async fn read(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    if is_coded(request) {
        return Err(Problem::new(Slug::UnsupportedMediaType, "Send the body without a content-encoding."));
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    tokio::time::timeout(PATIENCE, collect(payload, limit)).await.unwrap_or_else(|_| {
        Err(invalid("", format!("The body did not arrive within {} s. Send it again.", PATIENCE.as_secs())))
    })
}

/// Whether the body is in any coding but `identity` (RFC 9110 §8.4: a list, in any letter case, empty items allowed).
fn is_coded(request: &HttpRequest) -> bool {
    let lists = request.headers().get_all(CONTENT_ENCODING);
    lists
        .flat_map(|list| list.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| invalid("", "The body ended too early. Send it again."))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// `body` as a `T`: what `T` does not read may hold whatever it likes.
pub fn parse<T: Body>(body: &[u8]) -> Result<T, Problem> {
    let text = lenient::json_keeping_faults(body);
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&text) {
        // A place in what was repaired is none that the caller knows.
        let place = match text {
            Cow::Borrowed(_) => format!(" (line {}, column {})", error.line(), error.column()),
            Cow::Owned(_) => String::new(),
        };
        return Err(invalid("", format!("The body is not JSON{place}.")));
    }
    convert(&text)
}

/// A JSON text as a `T`; a fault has a pointer to where it is.
pub fn convert<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    // serde would take a list's items for the members, in the order in which we happen to write them.
    if text.trim_start().starts_with('[') {
        return Err(invalid("", "must be an object"));
    }
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
        let mut pointer = pointer(error.path());
        // The text is JSON: what cannot be read all the same is a text that is none.
        if error.inner().is_syntax() {
            return invalid(pointer, "holds half a character, or bytes that are not UTF-8: write this text anew");
        }
        let words = error.inner().to_string();
        let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
        for (fault, detail) in [("missing", "is missing"), ("duplicate", "must occur once")] {
            let name = words.strip_prefix(fault).and_then(|rest| rest.strip_prefix(" field `"));
            if let Some(name) = name.and_then(|rest| rest.split('`').next()) {
                pointer.push('/');
                pointer.push_str(name);
                return invalid(pointer, detail);
            }
        }
        // What stands before "expected" quotes the value.
        let detail = match words.rsplit_once(", expected ") {
            Some((_, expected)) => format!("must be {expected}"),
            None => "is not of the form that /openapi.yaml gives it".to_owned(),
        };
        invalid(pointer, detail)
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![Fault { pointer: pointer.into(), detail: detail.into() }])
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Slug::PayloadTooLarge, format!("Send at most {} KiB.", limit / 1024))
}

impl<T> fmt::Debug for JsonBody<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and phone numbers are in it.
        f.write_str("JsonBody")
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse,
        http::StatusCode,
        middleware::from_fn,
        test::{TestRequest, init_service, read_body},
    };
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::http::{endpoint::Endpoint, request};

    #[derive(Deserialize)]
    struct Sent {
        name: String,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Deserialize)]
    struct Item {
        #[serde(rename = "a/b")]
        count: u32,
    }

    impl Body for Sent {}

    #[derive(Deserialize)]
    struct Batch {
        leads: Vec<String>,
    }

    impl Body for Batch {
        const LIMIT: usize = BATCH_LIMIT;
    }

    async fn take(JsonBody(sent): JsonBody<Sent>) -> HttpResponse {
        HttpResponse::Ok()
            .body(sent.name.len().to_string() + &sent.items.iter().map(|item| item.count).sum::<u32>().to_string())
    }

    async fn take_batch(JsonBody(batch): JsonBody<Batch>) -> HttpResponse {
        HttpResponse::Ok().body(batch.leads.len().to_string())
    }

    async fn panics(JsonBody(sent): JsonBody<Sent>) -> HttpResponse {
        panic!("{} items", sent.items.len())
    }

    async fn plain() -> Result<HttpResponse, actix_web::Error> {
        Err(actix_web::error::ErrorBadRequest("quotes a secret"))
    }

    /// Status and body of a request with this media type and body.
    async fn post(path: &str, kind: Option<&str>, body: impl Into<Bytes>) -> (StatusCode, Value) {
        let app = App::new().wrap(from_fn(request::track)).configure(|cfg| {
            Endpoint::new("/one").post(take).register(cfg);
            Endpoint::new("/batch").post(take_batch).register(cfg);
            Endpoint::new("/panics").post(panics).register(cfg);
            Endpoint::new("/plain").post(plain).register(cfg);
        });
        let app = init_service(app).await;
        let mut request = TestRequest::post().uri(path).set_payload(body);
        if let Some(kind) = kind {
            request = request.insert_header((CONTENT_TYPE, kind));
        }
        let (status, headers, body) = match actix_web::dev::Service::call(&app, request.to_request()).await {
            Ok(response) => (response.status(), response.headers().clone(), read_body(response).await),
            Err(error) => {
                let response = error.error_response();
                let (status, headers) = (response.status(), response.headers().clone());
                (status, headers, actix_web::body::to_bytes(response.into_body()).await.expect("a body"))
            }
        };
        let id = headers.get("x-request-id").expect("an id").to_str().expect("text").to_owned();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        if status != StatusCode::OK {
            assert_eq!(headers.get(CONTENT_TYPE).expect("a type"), "application/problem+json");
            assert_eq!(body["request_id"], id.as_str());
        }
        (status, body)
    }

    #[actix_web::test]
    async fn any_json_media_type_is_taken_and_no_other() {
        let body = r#"{"name":"abc","items":[{"a/b":4}],"unknown":1}"#;
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.attio+json"] {
            assert_eq!(post("/one", Some(kind), body).await, (StatusCode::OK, 34.into()), "{kind}");
        }
        for kind in [None, Some("text/plain"), Some("application/jsonx"), Some("+json"), Some("")] {
            let (status, problem) = post("/one", kind, body).await;
            assert_eq!(
                (status.as_u16(), &problem["type"]),
                (415, &"/problems/unsupported-media-type".into()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn identity_is_no_coding_in_any_letter_case_or_list() {
        let coded = |lines: &[&str]| {
            let request = lines
                .iter()
                .fold(TestRequest::post(), |request, line| request.append_header((CONTENT_ENCODING, *line)));
            is_coded(&request.to_http_request())
        };
        for plain in
            [&[][..], &[""], &["Identity"], &["identity,IDENTITY"], &[" , identity ,,"], &["identity", "iDENTITY"]]
        {
            assert!(!coded(plain), "{plain:?}");
        }
        for other in [&["gzip"][..], &["identity, gzip"], &["identity", "br"], &["identity;q=1"], &["x"]] {
            assert!(coded(other), "{other:?}");
        }
    }

    #[actix_web::test]
    async fn a_body_has_a_cap_and_a_batch_a_larger_one() {
        let of = |len: usize| format!("{{\"name\":\"{}\"}}", "x".repeat(len - 11));
        assert_eq!(post("/one", Some("application/json"), of(LIMIT)).await.0, 200);
        let (status, problem) = post("/one", Some("application/json"), of(LIMIT + 1)).await;
        assert_eq!((status.as_u16(), &problem["type"]), (413, &"/problems/payload-too-large".into()));
        let of = |len: usize| format!("{{\"leads\":[\"{}\"]}}", "x".repeat(len - 14));
        assert_eq!(post("/batch", Some("application/json"), of(BATCH_LIMIT)).await.0, 200);
        assert_eq!(post("/batch", Some("application/json"), of(BATCH_LIMIT + 1)).await.0, 413);
    }

    #[actix_web::test]
    async fn what_is_wrong_is_pointed_at_and_never_quoted() {
        for (body, pointer, detail) in [
            ("", "", "is not JSON"),
            ("{\"name\": zzz}", "", "line 1, column 1"),
            ("{\"name\": \"a\"} zzz", "", "is not JSON"),
            ("\"zzz\"", "", "must be"),
            (" [\"zzz\", []]", "", "must be an object"),
            ("{}", "/name", "is missing"),
            ("{\"name\": 5}", "/name", "must be a string"),
            (
                "{\"name\": \"a\", \"items\": [{\"a/b\": 1}, {\"a/b\": \"zzz, expected\"}]}",
                "/items/1/a~1b",
                "must be u32",
            ),
            ("{\"name\": \"a\", \"items\": [{}]}", "/items/0/a/b", "is missing"),
        ] {
            let (status, problem) = post("/one", Some("application/json"), body).await;
            assert_eq!((status.as_u16(), &problem["type"]), (400, &"/problems/invalid-request".into()), "{body}");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
            assert!(
                problem["errors"][0]["detail"].as_str().is_some_and(|text| text.contains(detail)),
                "{body}: {problem}"
            );
            assert!(!problem.to_string().contains("zzz"), "{body} is quoted: {problem}");
        }
    }

    #[actix_web::test]
    async fn a_panic_and_an_error_of_actix_own_are_problems_too() {
        let (status, problem) = post("/panics", Some("application/json"), "{\"name\": \"a\"}").await;
        assert_eq!((status.as_u16(), &problem["type"]), (500, &"/problems/internal-error".into()));
        let (status, problem) = post("/plain", None, "").await;
        assert_eq!((status.as_u16(), &problem["type"]), (400, &"/problems/invalid-request".into()));
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
}
