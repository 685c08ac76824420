//! Bodies over a real socket: what a client sees that sends too much, too little or nonsense, byte by byte.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, middleware::from_fn};
use alc_connector::{
    http::{
        endpoint::Endpoint,
        json::{Body, JsonBody, LIMIT},
        request,
    },
    lifecycle::Lifecycle,
    telemetry,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Sent {
    name: String,
}

impl Body for Sent {}

async fn take(JsonBody(sent): JsonBody<Sent>) -> HttpResponse {
    HttpResponse::Ok().json(sent.name.len())
}

fn serve() -> (SocketAddr, ServerHandle) {
    let server = HttpServer::new(|| {
        App::new().wrap(from_fn(request::track)).configure(|cfg| Endpoint::new("/one").post(take).register(cfg))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("a port");
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    drop(Lifecycle::new().spawn(server));
    (address, handle)
}

/// Sends `parts`, then reads until `until` or the end.
fn exchange(address: SocketAddr, parts: &[&[u8]], until: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    for part in parts {
        stream.write_all(part).expect("it is read");
    }
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer).expect("an answer in time") {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
        if String::from_utf8_lossy(&answer).contains(until) {
            break;
        }
    }
    String::from_utf8(answer).expect("text")
}

const HEAD: &str = "POST /one HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn too_long_a_body_is_refused_before_it_is_sent() {
    let (address, handle) = serve();
    let head = format!("{HEAD}content-length: {}\r\n\r\n", LIMIT + 1);
    let answer = exchange(address, &[head.as_bytes()], "/problems/payload-too-large");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
    handle.stop(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_refused_when_it_is_too_long() {
    let (address, handle) = serve();
    let head = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{:x}\r\n", LIMIT + 1);
    let answer = exchange(address, &[head.as_bytes(), &vec![b' '; LIMIT + 1]], "/problems/payload-too-large");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    handle.stop(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_as_long_as_allowed_is_taken() {
    let (address, handle) = serve();
    let body = format!("{{\"name\":\"{}\"}}", "x".repeat(LIMIT - 11));
    let head = format!("{HEAD}content-length: {}\r\n\r\n", body.len());
    let answer = exchange(address, &[head.as_bytes(), body.as_bytes()], "65525");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    handle.stop(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_body_is_refused() {
    let (address, handle) = serve();
    let head = format!("{HEAD}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{{}}");
    let answer = exchange(address, &[head.as_bytes()], "/problems/unsupported-media-type");
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    handle.stop(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_refused_without_being_quoted() {
    let (address, handle) = serve();
    let answer = exchange(address, &[b"a secret\r\n\r\n"], "nothing");
    assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("secret"), "{answer}");
    handle.stop(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_is_counted() {
    let (address, handle) = serve();
    let head = format!("{HEAD}content-length: 9\r\n\r\n");
    exchange(address, &[format!("{HEAD}content-length: 0\r\n\r\n").as_bytes()], "is not JSON");
    let line = r#"alc_connector_http_requests_total{method="POST",route="/one",status="4"#;
    // A client that hangs up before actix has read the head has asked for nothing: so it is done again and again.
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(head.as_bytes()).expect("it is read");
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(stream);
        let counted = telemetry::metrics().render();
        // actix may still let the handler see that the body has ended: then it is an answer that no client hears.
        let total: u64 = counted
            .lines()
            .filter(|text| text.starts_with(line))
            .filter_map(|text| text.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        if total >= 2 {
            handle.stop(false).await;
            return;
        }
    }
    panic!("not counted: {}", telemetry::metrics().render());
}
