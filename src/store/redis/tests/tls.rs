//! TLS with an authority of one's own, a user and a password.
//!
//! Whom to trust is told by the environment, which is a process's: each attempt is a process of its own, this test binary
//! asked for the one test that opens a store.

use std::{path::Path, process::Command};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

const URL: &str = "STORE_URL_OF_THE_TEST";

/// Writes the authority's certificate, and a certificate and key by it for this machine.
fn certify(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "an authority of our own");
    let key = KeyPair::generate().expect("a key");
    std::fs::write(folder.join("ca.pem"), authority.self_signed(&key).expect("signed").pem()).expect("written");
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("parameters");
    let certificate = server.signed_by(&key, &issuer).expect("signed");
    std::fs::write(folder.join("server.pem"), certificate.pem()).expect("written");
    std::fs::write(folder.join("server.key"), key.serialize_pem()).expect("written");
}

/// What a process that trusts `authority` says about `url`.
fn attempt(url: &str, authority: &Path) -> String {
    let output = Command::new(std::env::current_exe().expect("this test binary"))
        .args(["--exact", "store::redis::tests::tls::opens_what_the_environment_names", "--ignored", "--nocapture"])
        .env(URL, url)
        .env("SSL_CERT_FILE", authority)
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn opens_what_the_environment_names() {
    #[expect(clippy::disallowed_methods, reason = "told by the test that started this process")]
    let url = std::env::var(URL).expect("a URL");
    match RedisEngine::open(&url.into(), "alc", &Lifecycle::new()).await {
        Ok(engine) => {
            assert_eq!(commit(&engine, vec![put(&lead(uuid::Uuid::new_v4()), None, IDLE)], at(0)).await, DONE);
            println!("OPENED");
        }
        Err(error) => println!("REFUSED {error} {error:?}"),
    }
}

#[test]
fn only_who_has_the_right_certificate_and_password_gets_in() {
    let (ours, others) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    certify(ours.path());
    certify(others.path());
    let port = crate::store::conformance::redis_server::ports::free();
    let file = |name: &str| ours.path().join(name).display().to_string();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    assert!(server.command("ACL SETUSER app on >hunter2 ~alc:* +@all -@dangerous +info").starts_with("+OK"));
    let url = |user: &str| format!("rediss://{user}@localhost:{port}/0");
    let trusted = ours.path().join("ca.pem");

    let said = attempt(&url("app:hunter2"), &trusted);
    assert!(said.contains("OPENED"), "{said}");
    let said = attempt(&url("app:hunter2"), &others.path().join("ca.pem"));
    assert!(said.contains("REFUSED") && said.contains("certificate"), "{said}");
    let said = attempt(&url("app:hunter3"), &trusted);
    assert!(said.contains("REFUSED") && said.contains("authentication failed"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    let said = attempt(&url("app:hunter2").replace("rediss", "redis"), &trusted);
    assert!(said.contains("REFUSED") && !said.contains("hunter"), "{said}");
}
