//! TLS with an authority of one's own, a user and a password.
//!
//! Whom to trust is told by the environment, which is a process's: each attempt is a process of its own, this test
//! binary asked for the one test that opens a store.

use std::{path::Path, process::Command};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::store::conformance::{redis_cluster::RedisCluster, redis_server::ports};

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
            // Something in every partition: of a cluster, at every server.
            for n in 0..100 {
                create(&engine, &Tenant::new(format!("t{n}")), &lead(uuid::Uuid::new_v4()), IDLE).await;
            }
            engine.ping().await.expect("every partition answers");
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
    let port = ports::free();
    let arguments = tls(ours.path(), port);
    let server = RedisServer::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(server.command(USER).starts_with("+OK"));
    let url = |user: &str| format!("rediss://{user}@localhost:{port}/0");
    only_the_right_ones_get_in(url, ours.path(), others.path());
}

#[test]
fn a_cluster_is_as_strict_at_every_server() {
    let (ours, others) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    certify(ours.path());
    certify(others.path());
    let at: Vec<_> = (0..3).map(|_| ports::free()).collect();
    let between = ["--tls-cluster", "yes"].map(str::to_owned);
    let cluster = RedisCluster::start_with(|n| [tls(ours.path(), at[n]), between.to_vec()].concat());
    for server in &cluster.servers {
        assert!(server.command(USER).starts_with("+OK"));
        assert!(server.command("ACL LOG RESET").starts_with("+OK"));
    }
    // One of them is named, the others are learnt from it.
    let url = |user: &str| format!("rediss+cluster://{user}@localhost:{}", at[0]);
    only_the_right_ones_get_in(url, ours.path(), others.path());
    for server in &cluster.servers {
        let kept = server.command("DBSIZE");
        assert!(!kept.starts_with(":0"), "every server has got something: {kept}");
        let stats = server.command("ACL LOG");
        assert!(!stats.contains("NOPERM") && !stats.contains("command"), "{stats}");
    }
}

/// A client with the password may use the connector's own keys and no more.
const USER: &str = "ACL SETUSER app on >hunter2 ~alc:* +@all -@dangerous +info";

/// A server's arguments for TLS on that port.
fn tls(folder: &Path, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    [
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", file("server.pem")),
        ("--tls-key-file", file("server.key")),
        ("--tls-ca-cert-file", file("ca.pem")),
        ("--tls-auth-clients", "no".to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

fn only_the_right_ones_get_in(url: impl Fn(&str) -> String, ours: &Path, others: &Path) {
    let trusted = ours.join("ca.pem");
    let said = attempt(&url("app:hunter2"), &trusted);
    assert!(said.contains("OPENED"), "{said}");
    let said = attempt(&url("app:hunter2"), &others.join("ca.pem"));
    assert!(said.contains("REFUSED") && said.contains("certificate"), "{said}");
    let said = attempt(&url("app:hunter3"), &trusted);
    assert!(said.contains("REFUSED") && said.contains("authentication failed"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    let said = attempt(&url("app:hunter2").replace("rediss", "redis"), &trusted);
    assert!(said.contains("REFUSED") && !said.contains("hunter"), "{said}");
}
