//! The command line, by the real binary in an environment of its own.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    process::{Command, Output},
};

fn run(arguments: &[&str], variables: &BTreeMap<String, String>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_alc-connector"))
        .args(arguments)
        .env_clear()
        .envs(variables)
        .output()
        .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Everything that production needs, but for the keys.
fn production() -> BTreeMap<String, String> {
    variables(&[
        ("ALC_CONNECTOR_ENV", "production"),
        ("ALC_CONNECTOR__STORE__URL", "redis://127.0.0.1"),
        ("ALC_CONNECTOR__ATTIO_APP__CLIENT_ID", "app"),
        ("ALC_CONNECTOR__ATTIO_APP__CLIENT_SECRET", "secret"),
        ("ALC_CONNECTOR__ATTIO_APP__REDIRECT_URIS", "https://app.attio.com/callback"),
        ("ALC_CONNECTOR__ALC__AUTHORIZE_URL", "https://alc.example/authorize"),
        ("ALC_CONNECTOR__ALC__TOKEN_URL", "https://alc.example/token"),
        ("ALC_CONNECTOR__ALC__CLIENT_ID", "connector"),
        ("ALC_CONNECTOR__ALC__CLIENT_SECRET", "secret"),
        ("ALC_CONNECTOR__ATTIO__API_KEY", "key"),
    ])
}

#[test]
fn production_with_nothing_set_is_refused_with_everything_that_is_missing() {
    let environment = variables(&[("ALC_CONNECTOR_ENV", "production")]);
    for command in ["check-config", "serve"] {
        let output = run(&[command], &environment);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert_eq!(stdout(&output), "", "{command}");
        let faults = stderr(&output);
        for name in production().keys().filter(|name| *name != "ALC_CONNECTOR_ENV") {
            assert!(faults.lines().any(|line| line.starts_with(&format!("{name} "))), "{command}: {name} in {faults}");
        }
        for name in ["ALC_CONNECTOR__KEYS__SEALING", "ALC_CONNECTOR__KEYS__SIGNING"] {
            assert!(faults.lines().any(|line| line.starts_with(&format!("{name} "))), "{command}: {name} in {faults}");
        }
    }
}

#[test]
fn fresh_keys_are_two_lines_that_make_a_configuration_whole() {
    let output = run(&["keys", "generate"], &BTreeMap::new());
    assert!(output.status.success());
    let text = stdout(&output);
    let keys: Vec<_> = text.lines().map(|line| line.split_once('=').expect("NAME=value")).collect();
    let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["ALC_CONNECTOR__KEYS__SEALING", "ALC_CONNECTOR__KEYS__SIGNING"]);

    let mut environment = production();
    assert_eq!(run(&["check-config"], &environment).status.code(), Some(1), "without keys");
    environment.extend(keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let output = run(&["check-config"], &environment);
    assert_eq!(
        (output.status.code(), stdout(&output).trim()),
        (Some(0), "configuration is valid"),
        "{}",
        stderr(&output)
    );

    assert_ne!(stdout(&run(&["keys", "generate"], &BTreeMap::new())), text, "fresh each time");
}

#[test]
fn a_typo_is_named() {
    let output = run(&["check-config"], &variables(&[("ALC_CONNECTOR__HTTP__BNID", "127.0.0.1:1")]));
    assert!(
        stderr(&output).contains("ALC_CONNECTOR__HTTP__BNID is not a setting: did you mean ALC_CONNECTOR__HTTP__BIND?")
    );
}

#[test]
fn a_service_that_is_not_there_is_not_healthy() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let output = run(&["healthcheck"], &variables(&[("ALC_CONNECTOR__MANAGEMENT__BIND", &address.to_string())]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("does not answer"), "{}", stderr(&output));
}
