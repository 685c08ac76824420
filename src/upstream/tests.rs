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
async fn a_success_whose_body_is_cut_or_no_json_is_unknown_when_read() {
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
        assert!(matches!(json, Err(CallError::Unknown { .. })), "{json:?}");
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

#[tokio::test]
async fn a_request_that_was_read_is_not_repeated_behind_our_back() {
    let (seen, requests) = mpsc::channel();
    let url = server(move |mut stream| {
        // Each connection answers once and dies at its second request, as a restarting server's does.
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", ""] {
            let request = read_request(&mut stream);
            seen.send(request).expect("the test listens");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let caller = caller(&clock());
    let post = || caller.call("test", caller.request(Method::POST, url.clone()).body("once"));
    assert!(post().await.is_ok());
    // The connection goes back into the pool behind our back.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = post().await;
    assert!(is_unknown(&second), "{second:?}");
    assert_eq!(requests.try_iter().filter(|request| request.ends_with("once")).count(), 2);
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
    assert!(matches!(answer.json(), Err(CallError::Unknown { .. })));
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
