//! Each way a call can end, from a real socket.

use std::{
    io::Write as _,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::sleep,
    time::Duration,
};

use futures_util::FutureExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::Method;
use url::Url;

use super::{
    testing::{NOW, answering, caller, clock, impatient, read_request, server},
    *,
};
use crate::clock::later;

/// Long enough to connect within half of it on a busy machine.
const BRIEFLY: Duration = Duration::from_secs(1);

async fn get(url: Url) -> Result<Answer, CallError> {
    let caller = caller(&clock());
    caller.call("test", caller.request(Method::GET, url)).await
}

/// What an answer with this head and body means.
async fn meaning(status: &str, headers: &str, body: &str) -> CallError {
    let length = body.len();
    let url = answering(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"));
    get(url).await.expect("an answer").error(&["s3cret"])
}

fn is_not_sent(result: &Result<Answer, CallError>) -> bool {
    matches!(result, Err(CallError::NotSent { .. }))
}

fn is_unknown(result: &Result<Answer, CallError>) -> bool {
    matches!(result, Err(CallError::Unknown { retry_after: None, .. }))
}

fn https(url: &Url) -> Url {
    url.as_str().replace("http://", "https://").parse().expect("a URL")
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let nobody = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        format!("http://{}/path-of-ours", listener.local_addr().expect("bound"))
    };
    // No resolver has to be asked to know that a label of 64 characters does not exist.
    let nowhere = format!("http://{}.invalid/path-of-ours", "x".repeat(64));
    let no_tls = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n");
    });
    for url in [nobody, nowhere, https(&no_tls).to_string()] {
        let result = get(url.parse().expect("a URL")).await;
        assert!(is_not_sent(&result), "{url}: {result:?}");
        let text = format!("{result:?}");
        assert!(!text.contains("timed out"), "{text}");
        assert!(!text.contains("path-of-ours") && !text.contains("://"), "{text}");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_time_is_certain_too() {
    // Accepts, and never says a word of TLS.
    let silent = server(|stream| {
        sleep(Duration::from_secs(5));
        drop(stream);
    });
    let caller = impatient(&clock(), BRIEFLY);
    let result = caller.call("test", caller.request(Method::POST, https(&silent))).await;
    assert!(is_not_sent(&result), "{result:?}");
}

#[tokio::test]
async fn silence_after_the_request_is_unknown() {
    let silent = server(|mut stream| {
        read_request(&mut stream);
        sleep(Duration::from_secs(5));
    });
    let caller = impatient(&clock(), BRIEFLY);
    let call = caller.call("test", caller.request(Method::POST, silent));
    let result = tokio::time::timeout(Duration::from_secs(3), call).await.expect("we hang up first");
    assert!(is_unknown(&result), "{result:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_before_its_body_is_unknown() {
    let reset = server(|stream| {
        // Closing with the request unread makes the kernel send a reset.
        sleep(Duration::from_millis(50));
        drop(stream);
    });
    let result = get(reset).await;
    assert!(is_unknown(&result), "{result:?}");
    for bytes in ["", "HTTP/1.1 2", "HTTP/1.1 201 Created\r\ncontent-le", "SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0"] {
        let result = get(answering(bytes)).await;
        assert!(is_unknown(&result), "{bytes}: {result:?}");
    }
}

#[tokio::test]
async fn a_success_whose_body_is_cut_or_no_json_is_a_success_that_cannot_be_read() {
    let slow = server(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{\"id");
        sleep(Duration::from_secs(5));
    });
    for url in [
        slow,
        answering("HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{\"id"),
        answering("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n"),
        answering("HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nokay"),
    ] {
        let caller = impatient(&clock(), BRIEFLY);
        let call = caller.call("test", caller.request(Method::GET, url));
        let answer = tokio::time::timeout(Duration::from_secs(3), call).await.expect("we hang up first");
        let answer = answer.expect("a head");
        assert!(answer.status.is_success());
        let json = answer.json();
        assert!(matches!(json, Err(CallError::Unreadable { .. })), "{json:?}");
    }
    let empty = get(answering("HTTP/1.1 204 No Content\r\n\r\n")).await.expect("an answer");
    assert_eq!(empty.json(), Ok(serde_json::Value::Null));
}

#[tokio::test]
async fn the_status_says_what_to_do() {
    let refused = |status| CallError::Rejected { status, code: Some("c".into()), detail: "No.".into() };
    let body = r#"{"code": "c", "message": "No."}"#;
    for status in [400, 402, 403, 405, 410, 422, 451] {
        assert_eq!(meaning(&format!("{status} X"), "", body).await, refused(status));
    }
    assert_eq!(meaning("401 X", "", body).await, CallError::Unauthorized);
    assert_eq!(meaning("404 X", "", body).await, CallError::NotFound);
    let conflict = CallError::Conflict { code: Some("c".into()), id: None, detail: "No.".into() };
    assert_eq!(meaning("409 X", "", body).await, conflict);
    for status in [300, 301, 302, 303, 304, 307, 308, 408, 425, 500, 501, 502, 503, 504, 599] {
        // A body that says otherwise changes nothing.
        let error = meaning(&format!("{status} X"), "", body).await;
        assert!(matches!(error, CallError::Unknown { retry_after: None, .. }), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn a_refusal_whose_reason_is_cut_is_unknown() {
    let cut = |status: u16| answering(format!("HTTP/1.1 {status} X\r\ncontent-length: 99\r\n\r\n{{\"code\": \"mer"));
    for status in [400, 409, 422] {
        let error = get(cut(status)).await.expect("a head").error(&[]);
        assert!(matches!(error, CallError::Unknown { .. }), "{status}: {error:?}");
    }
    assert_eq!(get(cut(401)).await.expect("a head").error(&[]), CallError::Unauthorized);
    assert_eq!(get(cut(404)).await.expect("a head").error(&[]), CallError::NotFound);
}

#[tokio::test]
async fn retry_after_is_a_time_on_our_clock() {
    let limited = |seconds| CallError::RateLimited { until: later(NOW, Duration::from_secs(seconds)) };
    assert_eq!(meaning("429 X", "retry-after: 7\r\n", "").await, limited(7));
    // Their clock is a year behind ours.
    let dates = "date: Sun, 21 Sep 2025 14:13:20 GMT\r\nretry-after: Sun, 21 Sep 2025 14:13:29 GMT\r\n";
    assert_eq!(meaning("429 X", dates, "").await, limited(9));
    for (header, seconds) in [
        ("retry-after: 4.0\r\n", 4),
        ("retry-after: 1790000009\r\n", 9),
        ("retry-after: 5\r\nretry-after: 8\r\n", 8),
        ("Retry-After : 9s\r\n", 9),
        ("retry-after: 86400\r\n", 3600),
    ] {
        assert_eq!(meaning("429 X", header, "").await, limited(seconds), "{header}");
    }
    let url = answering("HTTP/1.1 429 X\r\nretry-after: 86400\r\ncontent-length: 0\r\n\r\n");
    let hasty = caller(&clock()).with_deadline(Duration::from_secs(60));
    let answer = hasty.call("test", hasty.request(Method::GET, url)).await.expect("an answer");
    assert_eq!(answer.error(&[]), limited(15));
    for useless in ["", "retry-after: soon\r\n", "retry-after: 0\r\n"] {
        assert_eq!(meaning("429 X", useless, "").await, limited(1), "{useless}");
    }
    let down = meaning("503 X", "retry-after: 30\r\n", "").await;
    let CallError::Unknown { retry_after, .. } = down else { panic!("{down:?}") };
    assert_eq!(retry_after, Some(later(NOW, Duration::from_secs(30))));
}

#[tokio::test]
async fn what_we_sent_is_not_quoted() {
    for status in ["422 X", "409 X", "500 X"] {
        let error = meaning(status, "", r#"{"message": "s3cret is not +1 (555) 010-9999"}"#).await;
        assert!(format!("{error:?} {error}").contains("is not"), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("010"), "{error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    let elsewhere = server(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    });
    for status in [301, 302, 303, 307, 308] {
        let error = meaning(&format!("{status} X"), &format!("location: {elsewhere}\r\n"), "").await;
        assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

/// A server whose connections answer their first request and treat their second as `second` says (what it returns goes
/// out, then the connection closes); and the requests that come, with the number of their connection.
fn worn_out(
    second: impl Fn(&mut std::net::TcpStream) -> Vec<u8> + Send + Sync + 'static,
) -> (Url, mpsc::Receiver<(usize, String)>) {
    let (seen, requests) = mpsc::channel();
    let (mut connection, second) = (0, Arc::new(second));
    let url = server(move |mut stream| {
        connection += 1;
        let (connection, seen, second) = (connection, seen.clone(), Arc::clone(&second));
        std::thread::spawn(move || {
            let _ = seen.send((connection, read_request(&mut stream)));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
            let _ = seen.send((connection, read_request(&mut stream)));
            let last = second(&mut stream);
            let _ = stream.write_all(&last);
        });
    });
    (url, requests)
}

/// Two calls of this method, the second on the connection of the first; and which connections had the second request.
async fn twice(
    method: Method,
    key: bool,
    second: impl Fn(&mut std::net::TcpStream) -> Vec<u8> + Send + Sync + 'static,
) -> (Result<Answer, CallError>, Vec<usize>) {
    twice_with(method, key, None, second).await
}

/// The same, where the operation says what a dead connection means.
async fn twice_with(
    method: Method,
    key: bool,
    repeat: Option<Repeat<'_>>,
    second: impl Fn(&mut std::net::TcpStream) -> Vec<u8> + Send + Sync + 'static,
) -> (Result<Answer, CallError>, Vec<usize>) {
    let (url, requests) = worn_out(second);
    let caller = caller(&clock());
    // A GET is put on the pool whatever comes after it.
    assert!(caller.call("test", caller.request(Method::GET, url.clone())).await.is_ok());
    // The connection goes back into the pool behind our back.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut request = caller.request(method, url).body("once");
    if key {
        request = request.header("Idempotency-Key", "the same");
    }
    let result = match repeat {
        None => caller.call("test", request).await,
        Some(repeat) => caller.call_with("test", request, BODY_CAP, repeat).await,
    };
    let had_it = requests.try_iter().filter(|(_, request)| request.ends_with("once"));
    (result, had_it.map(|(connection, _)| connection).collect())
}

#[tokio::test]
async fn a_request_on_a_connection_that_dies_is_sent_once_more_on_a_fresh_one() {
    for (method, key) in [(Method::POST, true), (Method::GET, false), (Method::PUT, false), (Method::DELETE, false)] {
        let (result, connections) = twice(method.clone(), key, |_| Vec::new()).await;
        assert!(result.is_ok(), "{method}: {result:?}");
        assert_eq!(connections, [1, 2], "{method}");
    }
    // A reset is an end like any other.
    let runtime = tokio::runtime::Handle::current();
    let (result, connections) = twice(Method::POST, true, move |stream| {
        let _in_it = runtime.enter();
        socket_reset(stream);
        Vec::new()
    })
    .await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(connections, [1, 2]);
}

#[tokio::test]
async fn a_repeat_that_has_to_be_agreed_to_waits_for_that_and_no_longer_than_the_attempt() {
    let (yes, no) = (|| async { true }.boxed(), || async { false }.boxed());
    let never_says = || std::future::pending().boxed();
    let dies = async |repeat| twice_with(Method::POST, true, Some(repeat), |_| Vec::new()).await;
    let (result, connections) = dies(Repeat::OnFreshConnectionIf(&yes)).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(connections, [1, 2]);
    for (result, connections) in
        [dies(Repeat::OnFreshConnectionIf(&no)).await, dies(Repeat::OnFreshConnectionIf(&never_says)).await]
    {
        assert!(is_unknown(&result), "{result:?}");
        assert_eq!(connections, [1]);
    }
}

#[tokio::test]
async fn a_connection_that_another_thread_serves_is_not_waited_for() {
    let (url, requests) = worn_out(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec());
    let caller = caller(&clock());
    let get = || caller.call("test", caller.request(Method::GET, url.clone()));
    // A runtime that nothing drives any more, as that of a thread which is about to end.
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let other = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            assert!(other.block_on(get()).is_ok());
            other
        });
        asked.join().expect("no panic")
    });
    for _ in 0..2 {
        assert!(get().await.is_ok());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let connections: Vec<_> = requests.try_iter().map(|(connection, _)| connection).collect();
    assert_eq!(connections, [1, 2, 2]);
    other.shutdown_background();
}

/// The next close of this socket is a reset.
fn socket_reset(stream: &std::net::TcpStream) {
    let stream = stream.try_clone().expect("a handle");
    stream.set_nonblocking(true).expect("can be set");
    tokio::net::TcpStream::from_std(stream).expect("a runtime").set_zero_linger().expect("can be set");
}

#[tokio::test]
async fn a_patch_without_an_answer_is_not_repeated_but_unknown() {
    let (result, connections) = twice(Method::PATCH, false, |_| Vec::new()).await;
    assert!(matches!(result, Err(CallError::Unknown { .. })), "{result:?}");
    assert_eq!(connections, [1]);
}

#[tokio::test]
async fn what_is_not_safe_to_repeat_never_meets_a_worn_out_connection() {
    let (result, connections) = twice(Method::POST, false, |_| Vec::new()).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(connections, [2], "a connection of its own");
}

#[tokio::test]
async fn a_request_on_a_fresh_connection_is_not_repeated() {
    let (seen, requests) = mpsc::channel();
    let url = server(move |mut stream| seen.send(read_request(&mut stream)).expect("the test listens"));
    for key in ["Idempotency-Key", "X-Other"] {
        let caller = caller(&clock());
        let result = caller.call("test", caller.request(Method::POST, url.clone()).header(key, "k")).await;
        assert!(is_unknown(&result), "{result:?}");
        assert_eq!(requests.try_iter().count(), 1, "{key}");
    }
}

#[tokio::test]
async fn a_repeat_is_the_last_and_an_answer_ends_it() {
    // The fresh connection has no answer either.
    let (seen, requests) = mpsc::channel();
    let url = server(move |mut stream| {
        loop {
            let request = read_request(&mut stream);
            let is_first = request.starts_with("GET");
            if !request.is_empty() {
                let _ = seen.send(());
            }
            if !is_first {
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    let caller = caller(&clock());
    assert!(caller.call("test", caller.request(Method::GET, url.clone())).await.is_ok());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let result = caller.call("test", caller.request(Method::PUT, url)).await;
    assert!(is_unknown(&result), "{result:?}");
    assert_eq!(requests.try_iter().count(), 3);
    // An answer came, if only its head and half of its body: nothing is repeated.
    for answer in ["HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"id"] {
        let (result, connections) = twice(Method::POST, true, |_| answer.as_bytes().to_vec()).await;
        assert!(result.is_ok(), "{answer}: {result:?}");
        assert_eq!(connections, [1], "{answer}");
    }
}

#[tokio::test]
async fn a_repeat_that_finds_nobody_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url: Url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        // Nobody listens any more by the time of the second request.
        drop(listener);
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        read_request(&mut stream);
    });
    let caller = caller(&clock());
    assert!(caller.call("test", caller.request(Method::GET, url.clone())).await.is_ok());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let result = caller.call("test", caller.request(Method::PUT, url)).await;
    assert!(is_unknown(&result), "the first may have been read: {result:?}");
    serving.join().expect("served");
}

#[tokio::test]
async fn what_other_clients_skip_in_a_head_is_skipped() {
    let many = (0..250).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    for header in [
        "Bad Header: x\r\n",
        "Bad\u{e9}: x\r\n",
        ": x\r\n",
        "no colon at all\r\n",
        "[x]: y\r\n",
        "Content-Type : application/json\r\n",
        "x-folded: one\r\n two\r\n",
        "x-text: \u{1f600}\r\n",
        "x-control: a\u{1}b\r\n",
        "content-length: 13\r\n",
        &many,
    ] {
        let url = answering(format!("HTTP/1.1 201 Created\r\n{header}content-length: 13\r\n\r\n{{\"id\": \"L-1\"}}"));
        let answer = get(url).await;
        let answer = answer.unwrap_or_else(|error| panic!("{header}: {error:?}"));
        assert_eq!(answer.status.as_u16(), 201, "{header}");
        assert_eq!(answer.json().expect("JSON")["id"], "L-1", "{header}");
    }
}

#[tokio::test]
async fn an_answer_whose_head_cannot_be_read_has_come_all_the_same() {
    let huge = format!("x: {}\r\n", "y".repeat(1024 * 1024));
    for header in ["content-length: 1\r\ncontent-length: 2\r\n", "content-length: many\r\n", &huge] {
        let result = get(answering(format!("HTTP/1.1 201 Created\r\n{header}\r\n{{}}"))).await;
        assert!(matches!(result, Err(CallError::Unreadable { .. })), "{header:.40}: {result:?}");
        assert!(!result.expect_err("unreadable").is_ailing());
    }
}

#[tokio::test]
async fn a_coded_body_is_decoded_and_none_is_asked_for() {
    use flate2::{Compression, write::GzEncoder};
    let (seen, requests) = mpsc::channel();
    let url = server(move |mut stream| {
        let _ = seen.send(read_request(&mut stream));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(br#"{"id": "L-1"}"#).expect("a vector");
        let body = encoder.finish().expect("a vector");
        let head = format!("HTTP/1.1 201 Created\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    });
    let answer = get(url).await.expect("an answer");
    assert_eq!(answer.json().expect("JSON")["id"], "L-1");
    assert!(!requests.recv().expect("one").to_lowercase().contains("accept-encoding"));
}

#[tokio::test]
async fn a_huge_body_is_left_where_it_is() {
    let written = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&written);
    let url = server(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {
            *counted.lock().expect("unpoisoned") += 65_536;
        }
    });
    let answer = tokio::time::timeout(Duration::from_secs(5), get(url)).await.expect("quick").expect("a head");
    assert_eq!(answer.body.len(), BODY_CAP);
    assert!(matches!(answer.json(), Err(CallError::Unreadable { .. })));
    // What lies in the sockets' buffers has been written too.
    assert!(*written.lock().expect("unpoisoned") < 32 * 1024 * 1024);

    let exact = "x".repeat(BODY_CAP);
    let answer = get(answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_CAP}\r\n\r\n{exact}"))).await;
    assert!(answer.expect("an answer").is_complete());
}

#[tokio::test]
async fn calls_are_counted_and_timed_by_the_clock() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let clock = clock();
    let slow = clock.clone();
    let url = server(move |mut stream| {
        read_request(&mut stream);
        slow.advance(Duration::from_secs(2));
        let _ = stream.write_all(b"HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n");
    });
    let caller = caller(&clock);
    let answer = caller.call("look", caller.request(Method::GET, url)).await;
    assert!(answer.is_ok());
    let text = recorder.handle().render();
    let labels = r#"{upstream="test",operation="look",outcome="rate_limited"}"#;
    for line in [
        format!("alc_connector_upstream_requests_total{labels} 1"),
        format!("alc_connector_upstream_request_duration_seconds_sum{labels} 2"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_https_and_for_nothing_else() {
    let (asked, heard) = mpsc::channel();
    let proxy = server(move |mut stream| {
        asked.send(read_request(&mut stream)).expect("the test waits");
        let _ = stream.write_all(b"HTTP/1.1 503 no way\r\ncontent-length: 0\r\n\r\n");
    });
    let proxy = Proxy { url: proxy.as_str().into(), except: "direct.invalid".to_owned() };
    let limit = Duration::from_secs(10);
    let clients = http_clients_through(Some(&proxy), limit).expect("a CA store");
    let caller = Caller::new(clients, "test", limit, Arc::new(clock()));
    let get = async |url: &str| caller.call("test", caller.request(Method::GET, url.parse().expect("a URL"))).await;
    let refused = get("https://alc.invalid/x").await;
    assert!(is_not_sent(&refused), "nothing went out");
    assert!(heard.try_recv().expect("it was asked").starts_with("CONNECT alc.invalid:443 "));
    drop(get("https://direct.invalid/x").await);
    get(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").as_str()).await.expect("directly");
    assert!(heard.try_recv().is_err(), "it is asked for no more");
}

#[test]
fn a_403_without_a_word_says_what_to_look_at() {
    let forbidden = |detail: &str| CallError::Forbidden { detail: detail.to_owned() };
    assert!(forbidden("").to_string().contains("may lack a permission"));
    assert_eq!(forbidden("no scope").to_string(), "forbidden: no scope");
}
