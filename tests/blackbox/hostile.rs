//! A client that speaks bad HTTP, or too slowly, or holds connections open, is answered 4xx or cut off, and no other
//! client notices.

use std::{net::SocketAddr, time::Duration};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    ambient::Stopwatch,
    harness::{Setup, World, run},
    http::send,
    process::Process,
};

/// How long the service may take to get rid of such a client; a body may take 15 s.
const LIMIT: Duration = Duration::from_secs(30);
const IDLE: u64 = 10_000;

/// All that the service says to these bytes until it hangs up; the caller keeps its side open.
async fn told(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.expect("the service listens");
    // It may hang up in the middle.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    drop(read.expect("the service hangs up"));
    String::from_utf8_lossy(&answer).into_owned()
}

async fn responsive(world: &World, to: SocketAddr) {
    let watch = Stopwatch::start();
    send(world.client.get(format!("http://{to}/healthz"))).await.expect(200);
    assert!(watch.elapsed() < Duration::from_secs(5), "it took {:?}", watch.elapsed());
}

/// The statuses of the answers in `text`.
fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[test]
fn nonsense_is_answered_4xx_and_cut_off() {
    run(async {
        let world = Setup::sqlite().start().await;
        let to = world.replicas()[0].public;
        let mut huge = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ".to_vec();
        huge.extend(vec![b'x'; 300 * 1024]);
        let mut many = b"GET /healthz HTTP/1.1\r\nhost: a\r\n".to_vec();
        (0..5000).for_each(|number| many.extend(format!("x-{number}: y\r\n").into_bytes()));
        many.extend(b"\r\n");
        let cases: [&[u8]; 8] = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"\0\0\0\0\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET /healthz HTTP/9.9\r\n\r\n",
            b"POST /v1/leads HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
            b"POST /v1/leads HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
            &huge,
            &many,
        ];
        for bytes in cases {
            let answer = told(to, bytes).await;
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
            assert!(statuses(&answer).iter().all(|status| status.starts_with('4')), "{shown:?}: {answer}");
            responsive(&world, to).await;
        }
    });
}

#[test]
fn nonsense_behind_a_good_request_does_not_spoil_its_answer() {
    run(async {
        let world = Setup::sqlite().start().await;
        let to = world.replicas()[0].public;
        let good = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
        let answer = told(to, format!("{good}{good}\u{1}nonsense\r\n\r\n{good}").as_bytes()).await;
        assert_eq!(statuses(&answer), ["200", "200", "400"], "{answer}");
        responsive(&world, to).await;
    });
}

#[test]
fn a_head_or_a_body_that_does_not_come_is_not_waited_for() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let to = world.replicas()[0].public;
        let head = told(to, b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ");
        let token = app.access_token();
        let slow = format!(
            "POST /v1/leads HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{{\"name\":"
        );
        let (head, body, ()) = futures_util::join!(head, told(to, slow.as_bytes()), responsive(&world, to));
        assert_eq!(statuses(&head), ["408"], "{head}");
        assert_eq!(statuses(&body), ["400"], "{body}");
        assert!(body.contains("did not arrive within 15 s"), "{body}");
    });
}

#[test]
fn a_body_that_does_not_say_how_long_it_is_has_the_same_cap() {
    run(async {
        let (world, app) = Setup::sqlite().connected().await;
        let to = world.replicas()[0].public;
        let webhook = url::Url::parse(&world.alc.webhooks()[0].url).expect("a URL");
        let bearer = format!("authorization: Bearer {}\r\n", app.access_token());
        let (json, form) = ("application/json", "application/x-www-form-urlencoded");
        for (path, kind, more, cap) in [
            ("/v1/leads", json, bearer.as_str(), 64),
            ("/v1/leads/batch", json, &bearer, 1024),
            ("/oauth/token", form, "", 64),
            (webhook.path(), json, "", 64),
        ] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{more}content-type: {kind}\r\n\
                 transfer-encoding: chunked\r\n\r\n"
            );
            let mut bytes = head.into_bytes();
            for _ in 0..=cap {
                bytes.extend(format!("400\r\n{}\r\n", "x".repeat(1024)).into_bytes());
            }
            bytes.extend(b"0\r\n\r\n");
            let answer = told(to, &bytes).await;
            assert_eq!(statuses(&answer), ["413"], "{path}: {answer}");
        }
        responsive(&world, to).await;
    });
}

#[test]
fn ten_thousand_idle_connections_are_borne_and_then_cut_off() {
    run(async {
        let mut world = Setup::sqlite().start().await;
        world.live_in_real_time();
        world.stop().await;
        // Each side needs its descriptors; the process inherits the limit.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(100_000), hard).expect("the limit can be raised");
        let count = IDLE.min(hard.saturating_sub(1000));
        assert!(count >= 1000, "the limit of open files, {hard}, is too low for this test");
        let mut process = Process::new(&world.settings);
        process.start().await;
        let mut idle = Vec::new();
        for _ in 0..count {
            idle.push(TcpStream::connect(process.public).await.expect("the service takes it"));
        }
        responsive(&world, process.public).await;
        for mut stream in idle {
            let mut answer = Vec::new();
            let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await;
            drop(ended.expect("an idle connection is cut off"));
        }
        responsive(&world, process.public).await;
        assert_eq!(process.terminate().await, Some(0));
    });
}
