//! The command line, by the real binary in an environment of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
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
        ("ALC_CONNECTOR__ATTIO_APP__CLIENT_SECRET", "a-secret-of-thirty-two-characters"),
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
fn fresh_keys_and_a_secret_are_lines_that_make_a_configuration_whole() {
    let output = run(&["keys", "generate"], &BTreeMap::new());
    assert!(output.status.success());
    let text = stdout(&output);
    let keys: Vec<_> = text.lines().map(|line| line.split_once('=').expect("NAME=value")).collect();
    let names: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["ALC_CONNECTOR__KEYS__SEALING", "ALC_CONNECTOR__KEYS__SIGNING", "ALC_CONNECTOR__ATTIO_APP__CLIENT_SECRET",]
    );

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
    assert!(stderr(&output).contains("PUBLIC_URL is a loopback address"), "{}", stderr(&output));

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

/// `serve` on free ports, and its log lines as they come.
struct Serving {
    child: Child,
    lines: Receiver<String>,
    environment: BTreeMap<String, String>,
}

impl Serving {
    fn start(directory: &Path) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let mut environment = production();
        let keys = stdout(&run(&["keys", "generate"], &BTreeMap::new()));
        environment
            .extend(keys.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
        for (name, value) in [
            ("STORE__URL", format!("sqlite:{}", directory.join("store.db").display())),
            ("HTTP__BIND", free().to_string()),
            ("MANAGEMENT__BIND", free().to_string()),
        ] {
            environment.insert(format!("ALC_CONNECTOR__{name}"), value);
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_alc-connector"))
            .arg("serve")
            .env_clear()
            .envs(&environment)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, environment }
    }

    /// The next log line with these words.
    fn says(&self, words: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("never says {words}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("it can be sent");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_served_process_is_healthy_logs_json_and_ends_with_0() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut serving = Serving::start(directory.path());
    assert!(serving.says("PUBLIC_URL").contains("is a loopback address"), "production warns of it");
    let line = serving.says("serving");
    assert!(line.starts_with('{') && line.contains("\"public\":\"127.0.0.1:"), "{line}");
    let output = run(&["healthcheck"], &serving.environment);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serving.send(Signal::SIGTERM);
    assert_eq!(serving.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut environment = production();
    let keys = stdout(&run(&["keys", "generate"], &BTreeMap::new()));
    environment.extend(keys.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
    let store = format!("sqlite:{}", directory.path().join("store.db").display());
    environment.insert("ALC_CONNECTOR__STORE__URL".to_owned(), store);
    let address = taken.local_addr().expect("bound").to_string();
    environment.insert("ALC_CONNECTOR__HTTP__BIND".to_owned(), address);
    let output = run(&["serve"], &environment);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("ALC_CONNECTOR__HTTP__BIND cannot be bound: "), "{}", stderr(&output));
}

#[test]
fn a_second_process_waits_for_the_first_to_go_and_takes_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut first = Serving::start(directory.path());
    first.says("serving");
    let second = Serving::start(directory.path());
    thread::sleep(Duration::from_millis(500));
    let early: Vec<_> = second.lines.try_iter().collect();
    assert!(!early.iter().any(|line| line.contains("serving")), "it serves beside the first: {early:?}");
    first.send(Signal::SIGINT);
    assert_eq!(first.child.wait().expect("it ends").code(), Some(0));
    second.says("serving");
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut serving = Serving::start(directory.path());
    serving.says("serving");
    // A request without an end keeps the first signal waiting.
    let address = &serving.environment["ALC_CONNECTOR__HTTP__BIND"];
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    std::io::Write::write_all(
        &mut stream,
        b"POST /webhooks/alc/x.y HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n",
    )
    .expect("it is read");
    thread::sleep(Duration::from_millis(200));
    serving.send(Signal::SIGTERM);
    serving.says("stopping");
    serving.send(Signal::SIGTERM);
    serving.says("second signal");
    assert_eq!(serving.child.wait().expect("it ends").code(), Some(1));
}
