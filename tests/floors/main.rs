//! Reads the sources and fails on what docs/architecture.md and CONTRIBUTING.md rule out. One file for each wall, and
//! in each the checker itself on made-up sources: a rule that can't be seen to fail is no rule.

mod circles;
mod map;
mod pure;
mod rooms;
mod shape;
mod source;
mod watched;

use std::fmt;
use std::fs;
use std::path::Path;

/// The service, the sandbox and the bench are crates: the paths inside each begin at its own root.
const CRATES: [&str; 3] = ["src", "sandbox/src", "bench/src"];

#[test]
fn a_room_uses_only_what_is_below_it() {
    nothing_against(read(&["src"]).iter().flat_map(|(file, source)| rooms::floors(file, source)));
}

#[test]
fn pure_state_stays_pure() {
    nothing_against(pure::impurities(&read(&["src"])));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    nothing_against(CRATES.iter().flat_map(|root| circles::circles(root, &read(&[root]))));
}

#[test]
fn files_are_small_and_named_for_what_they_hold() {
    nothing_against(shape::names_and_length(&read(&CRATES)));
}

#[test]
fn comments_fit_their_lines() {
    let all = read(&["src", "sandbox/src", "sandbox/tests", "bench", "tests", "fuzz/targets"]);
    nothing_against(all.iter().flat_map(|(file, source)| shape::comments(file, source)));
}

#[test]
fn comments_name_their_actors() {
    nothing_against(read(&CRATES).iter().flat_map(|(file, source)| shape::nameless(file, source)));
}

#[test]
fn the_map_names_every_file() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    nothing_against(map::gaps(&fs::read_to_string(map).expect("the map is readable"), &read(&["src"])));
}

#[test]
fn metrics_alerts_and_what_is_said_of_them_fit_together() {
    let text =
        |file: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("it is readable");
    let texts = watched::Texts {
        catalogue: &text("src/telemetry/catalogue.rs"),
        sources: &read(&["src"]),
        dashboard: &text("deploy/grafana/alc-connector.json"),
        rules: &text("deploy/prometheus/alc-connector.rules.yaml"),
        tests: &text("deploy/prometheus/alc-connector.rules.test.yaml"),
        operations: &text("docs/operations.md"),
    };
    nothing_against(watched::offences(&texts));
}

#[track_caller]
fn nothing_against(offences: impl IntoIterator<Item = Offence>) {
    let report: Vec<String> = offences.into_iter().map(|offence| offence.to_string()).collect();
    assert!(report.is_empty(), "{} offences:\n{}", report.len(), report.join("\n"));
}

struct Offence {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Every source file below these folders, with its path from the root and its text.
fn read(below: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<_> = below.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "lua") {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("the file is readable")));
            }
        }
    }
    assert!(found.len() > 4, "the sources are not where they are looked for");
    found.sort();
    found
}
