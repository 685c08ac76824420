//! Each rule of a callback URL, and what the client makes of an answer.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::upstream::testing::{answering, clock};

fn guard(hosts: &[&str]) -> Guard {
    Guard::new(hosts.iter().map(|host| (*host).to_owned()).collect())
}

fn check(hosts: &[&str], url: &str) -> Result<(), String> {
    guard(hosts).check(&SecretString::from(url)).map(drop).map_err(|refused| refused.to_string())
}

fn client(hosts: &[&str], lookup: Lookup) -> Client {
    Client::new(guard(hosts), lookup, Duration::from_secs(2), Arc::new(clock())).expect("a CA store")
}

const NEWS: News<'static> = News {
    record_id: String::new(),
    lead_id: Some("4711"),
    status: "complete",
    result: Some("qualified"),
    reason: None,
};

#[test]
fn a_listed_host_and_its_subdomains_may_be_called() {
    for url in [
        "https://attio.com/x",
        "https://api.attio.com/hooks/1?key=2",
        "https://a.b.attio.com:8443/",
        "https://API.ATTIO.COM/x",
        "https://api.attio.com/x#fragment",
    ] {
        assert_eq!(check(&["attio.com"], url), Ok(()), "{url}");
    }
}

#[test]
fn another_host_is_refused_and_host_and_variable_are_named() {
    for (url, host) in [
        ("https://example.com/hook", "example.com"),
        ("https://notattio.com/hook", "notattio.com"),
        ("https://attio.com.example.com/hook", "attio.com.example.com"),
        ("https://attio.com./hook", "attio.com."),
        ("https://localhost/hook", "localhost"),
        ("https://attio.com\u{3002}example.com/hook", "attio.com.example.com"),
    ] {
        let refused = check(&["attio.com"], url).expect_err(url);
        assert!(refused.contains(&format!("the host {host},")), "{refused}");
        assert!(refused.contains("ATTIO__CALLBACK_HOSTS"), "{refused}");
        assert!(!refused.contains("hook"), "the URL is a secret: {refused}");
    }
}

#[test]
fn only_https() {
    assert!(check(&["attio.com"], "http://api.attio.com/").expect_err("plain").contains("https://"));
    for url in ["ftp://api.attio.com/", "file:///etc/passwd", "javascript:alert(1)", "api.attio.com", "", "https://"] {
        assert!(check(&["attio.com"], url).is_err(), "{url}");
    }
}

#[test]
fn no_credentials() {
    for url in ["https://user@api.attio.com/", "https://user:word@api.attio.com/", "https://:word@api.attio.com/"] {
        assert!(check(&["attio.com"], url).expect_err(url).contains("credentials"), "{url}");
    }
    assert!(check(&["attio.com"], "https://api.attio.com@example.com/").is_err());
}

#[test]
fn no_address_in_whatever_dress() {
    for url in [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://93.184.216.34/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2606:4700::1]/",
    ] {
        let refused = check(&["attio.com", "localhost"], url).expect_err(url);
        assert!(refused.contains("address") && refused.contains("ATTIO__CALLBACK_HOSTS"), "{url}: {refused}");
    }
    assert!(check(&["93.184.216.34"], "https://93.184.216.34/").is_err(), "not even a listed one, unless loopback");
}

#[test]
fn a_listed_loopback_host_may_be_plain_and_literal() {
    for (listed, url) in [
        ("127.0.0.1", "http://127.0.0.1:7072/callbacks/1"),
        ("127.0.0.1", "http://2130706433/"),
        ("localhost", "http://localhost:7072/"),
        ("localhost", "http://attio.localhost/"),
        ("[::1]", "http://[::1]:7072/"),
    ] {
        assert_eq!(check(&[listed], url), Ok(()), "{url}");
    }
    assert!(check(&["127.0.0.1"], "http://127.0.0.2/").is_err(), "another one");
    assert!(check(&["127.0.0.1"], "http://[::ffff:127.0.0.1]/").is_err(), "another form");
    assert!(check(&["127.0.0.1"], "http://localhost/").is_err(), "another name");
}

#[test]
fn a_url_has_a_length() {
    let long = format!("https://api.attio.com/{}", "x".repeat(2_000));
    assert!(check(&["attio.com"], &long).expect_err("long").contains("2000 bytes"));
}

#[test]
fn a_url_that_grows_too_long_when_it_is_parsed_is_refused_at_once_and_not_when_it_is_called() {
    let guard = guard(&["attio.com"]);
    let begin = "https://api.attio.com/";
    for (blanks, passes) in [(0, true), (1, true), (2, false)] {
        let text = format!("{begin}{}{}", "x".repeat(1_997 - begin.len() - blanks), " x".repeat(blanks));
        let passed = guard.check(&SecretString::from(text));
        assert_eq!(passed.is_ok(), passes, "{blanks}");
        assert!(passed.is_err() || guard.check(&passed.expect("just seen").to_secret()).is_ok(), "{blanks}");
    }
}

#[test]
fn a_url_does_not_show_itself() {
    let url = guard(&["attio.com"]).check(&SecretString::from("https://api.attio.com/secret")).expect("fine");
    assert_eq!(format!("{url:?}"), "CallbackUrl");
}

#[tokio::test]
async fn an_answer_says_what_to_do_next() {
    let client = client(&["127.0.0.1"], system_lookup());
    for (status, told) in [
        ("200 OK", Told::Heard),
        ("204 No Content", Told::Heard),
        ("404 Not Found", Told::NobodyThere),
        ("410 Gone", Told::NobodyThere),
        ("401 Unauthorized", Told::Again { after: None, silent: false }),
        ("500 Oh", Told::Again { after: None, silent: false }),
    ] {
        let url = answering(format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n"));
        assert_eq!(client.tell(&SecretString::from(url.as_str()), &NEWS).await, told, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let elsewhere = listener.local_addr().expect("bound");
    let head = format!("HTTP/1.1 307 Elsewhere\r\nlocation: http://{elsewhere}/\r\nconnection: close\r\n\r\n");
    let client = client(&["127.0.0.1"], system_lookup());
    let told = client.tell(&SecretString::from(answering(head).as_str()), &NEWS).await;
    assert_eq!(told, Told::Again { after: None, silent: false });
    assert!(listener.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_reaches_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("bound").port();
    let rebound: Lookup =
        Arc::new(|_| Box::pin(async { Ok(vec![SocketAddr::new("127.0.0.1".parse().expect("an address"), 0)]) }));
    let told = client(&["attio.com"], rebound)
        .tell(&SecretString::from(format!("https://api.attio.com:{port}/hook")), &NEWS)
        .await;
    assert_eq!(told, Told::Again { after: None, silent: true });
    assert!(listener.accept().is_err(), "nobody came");
}

#[tokio::test]
async fn a_url_that_is_no_longer_allowed_is_not_called() {
    let url = answering("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    let told = client(&["attio.com"], system_lookup()).tell(&SecretString::from(url.as_str()), &NEWS).await;
    assert_eq!(told, Told::Forbidden);
}

#[test]
fn every_refusal_names_the_host_and_the_variable_and_nothing_else_of_the_url() {
    let long = format!("https://api.attio.com/{}", "s".repeat(3_000));
    let urls = [
        "ftp://api.attio.com/secret",
        "http://api.attio.com/secret",
        "https://user:secret@api.attio.com/x",
        "https://example.com/secret",
        "https://192.0.2.1/secret",
        long.as_str(),
    ];
    for url in urls {
        let refused = check(&["attio.com"], url).expect_err(url);
        let host = url::Url::parse(url).expect("a URL").host_str().expect("a host").to_owned();
        assert!(refused.contains(&host) && refused.contains("ATTIO__CALLBACK_HOSTS"), "{refused}");
        assert!(!refused.contains("secret") && !refused.contains("sss"), "{refused}");
    }
}
