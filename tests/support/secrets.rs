//! Nothing that is secret or personal may stand in a log line, a metric or an error's body.
//!
//! Everything that the services under test log (those in this process and those of their own), their metrics and the
//! bodies of all refusals are collected; so are the secrets and people that the tests meet. When a world ends, what was
//! told while it stood is searched for all that is known.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Write},
    sync::{
        LazyLock, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;

/// How much of a secret is looked for first: eight bytes, which are a number.
const HEAD: usize = 8;

/// The logarithm of the table's length.
const SIEVE: u32 = 20;

static TOLD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static IS_DEAF: AtomicBool = AtomicBool::new(false);
static KNOWN: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

fn locked<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the log lines of this process go.
struct Ear;

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        hear(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Listens to this process's log from now on, and says how much was told before.
pub fn listen() -> usize {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if IS_DEAF.load(Ordering::Relaxed) {
            return;
        }
        let lines = tracing_subscriber::fmt().with_env_filter("info,alc_connector=trace").with_ansi(false);
        lines.with_writer(|| Ear).init();
    });
    locked(&TOLD).len()
}

/// Listens to nothing from now on, and has nothing told: for a test that has a process of its own, and lasts too long
/// for all that is said in it to be kept.
pub fn be_deaf() {
    IS_DEAF.store(true, Ordering::Relaxed);
}

/// Takes what a service said.
pub fn hear(bytes: &[u8]) {
    if IS_DEAF.load(Ordering::Relaxed) {
        return;
    }
    locked(&TOLD).extend_from_slice(bytes);
}

/// The lines told so far, by all tests of this process, that have this in them.
pub fn lines_with(text: &str) -> Vec<String> {
    let told = String::from_utf8_lossy(&locked(&TOLD)).into_owned();
    told.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// From now on nobody may tell this. Too short to be told from chance: not a secret.
pub fn learn(secret: &str) {
    if secret.len() >= HEAD {
        locked(&KNOWN).insert(secret.to_owned());
    }
}

/// Learns what stands in the members of these names, wherever they are; of a map, its keys.
pub fn learn_members(value: &Value, names: &[&str]) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if names.contains(&name.as_str()) => learn(text),
                    Value::Object(map) if names.contains(&name.as_str()) => map.keys().for_each(|key| learn(key)),
                    _ => {}
                }
                learn_members(member, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| learn_members(item, names)),
        _ => {}
    }
}

/// Learns what a form has under this name.
pub fn learn_form(form: &str, name: &str) {
    url::form_urlencoded::parse(form.as_bytes()).filter(|(key, _)| key == name).for_each(|(_, value)| learn(&value));
}

/// Every line since `start` that tells something known, with what it tells.
pub fn leaks(start: usize, more: &str) -> Vec<String> {
    let known = locked(&KNOWN).clone();
    let mut heads: HashMap<u64, Vec<&str>> = HashMap::new();
    // Nearly every head of a line is that of no secret, and a table that says so is much faster than the map.
    let mut may_be = vec![false; 1 << SIEVE];
    for secret in &known {
        let head = secret.bytes().take(HEAD).fold(0, moved);
        may_be[sieved(head)] = true;
        heads.entry(head).or_default().push(secret);
    }
    let told = locked(&TOLD)[start..].to_vec();
    let lines = told.split(|byte| *byte == b'\n').chain(more.as_bytes().split(|byte| *byte == b'\n'));
    let mut found = BTreeSet::new();
    for line in lines {
        let mut head = 0;
        for (last, byte) in line.iter().enumerate() {
            head = moved(head, *byte);
            if last + 1 < HEAD || !may_be[sieved(head)] {
                continue;
            }
            let rest = &line[last + 1 - HEAD..];
            let starting = heads.get(&head).into_iter().flatten();
            if let Some(secret) = starting.into_iter().find(|secret| rest.starts_with(secret.as_bytes())) {
                found.insert(format!("`{secret}` in: {}", String::from_utf8_lossy(line)));
            }
        }
    }
    found.into_iter().collect()
}

/// The last eight bytes, one further on.
fn moved(head: u64, byte: u8) -> u64 {
    (head << 8) | u64::from(byte)
}

/// The place of a head in the table: the upper bits of a product, which all eight bytes have a part in.
fn sieved(head: u64) -> usize {
    usize::try_from(head.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SIEVE)).expect("below the table's length")
}

#[test]
fn a_secret_is_found_wherever_a_line_tells_it() {
    let secret = "0f6e1c52-never-to-be-told";
    learn(secret);
    let start = locked(&TOLD).len();
    let told = |line: &str| leaks(start, line).iter().any(|leak| leak.contains(secret));
    assert!(told(secret) && told(&format!("x{secret}")) && told(&format!("one line\nwith={secret}&more")));
    assert!(told(&format!("0f6e1c5{secret}")), "its beginning, and then all of it");
    assert!(!told(&secret[..secret.len() - 1]) && !told(&secret[1..]) && !told("") && !told("short"));
}
