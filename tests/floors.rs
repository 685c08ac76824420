//! Reads the sources and fails on what docs/architecture.md rules out: a path from a room to one that is not below it,
//! a library used outside the rooms that know it, the environment read outside `config`, attics and overlong files.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

/// Top to bottom. A room may use those below its floor, none beside it; the last floor's rooms may use each other.
const FLOORS: [&[&str]; 6] = [
    &["http", "reconciler"],
    &["authorization", "leads"],
    &["connections"],
    &["store", "alc", "attio", "notify"],
    &["upstream"],
    &["sealing", "ids", "clock", "lenient"],
];

/// Usable by all, using no room but those named.
const GROUND: [(&str, &[&str]); 2] = [("lifecycle", &["clock"]), ("telemetry", &["config"])];

/// Who knows a library: modules, each with all that is inside it.
const LIBRARIES: [(&str, &[&str]); 4] = [
    ("actix_web", &["http", "app"]),
    ("redis", &["store::redis"]),
    ("reqwest", &["alc", "attio", "notify", "upstream", "app"]),
    ("std::env", &["config"]),
];

/// What `main` may do with the environment: read the command line.
const COMMAND_LINE: [&str; 2] = ["std::env::args", "std::env::args_os"];

/// Names that say nothing, so that everything ends up there.
const ATTICS: [&str; 5] = ["utils", "common", "core", "helpers", "manager"];

const LONGEST_FILE: usize = 600;

#[test]
fn the_house_keeps_its_floors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let service = sources(root, "src");
    let sandbox = sources(root, "sandbox/src");
    assert!(service.len() > 10, "the sources are not where they are looked for");

    let mut offences: Vec<Offence> = service.iter().flat_map(|(file, source)| floors(file, source)).collect();
    offences.extend(service.iter().chain(&sandbox).flat_map(|(file, source)| names_and_length(file, source)));
    let report: String = offences.iter().map(|offence| format!("{offence}\n")).collect();
    assert!(offences.is_empty(), "{} offences against the floors:\n{report}", offences.len());
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

/// Every source file below a folder, with its path from the root and its text.
fn sources(root: &Path, folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
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
    found.sort();
    found
}

fn names_and_length(file: &str, source: &str) -> Vec<Offence> {
    let offence = |line, rule| Offence { file: file.to_owned(), line, rule };
    let mut offences = Vec::new();
    for name in file.split('/').map(|part| part.trim_end_matches(".rs")) {
        if ATTICS.contains(&name) {
            offences.push(offence(1, format!("`{name}` says nothing: name it after what it does")));
        }
    }
    let lines = source.lines().count();
    if lines > LONGEST_FILE {
        offences.push(offence(lines, format!("{lines} lines, {LONGEST_FILE} at most: it holds more than one idea")));
    }
    offences
}

fn floors(file: &str, source: &str) -> Vec<Offence> {
    if !file.ends_with(".rs") {
        return Vec::new();
    }
    let module = module_of(file);
    let room = module.first().map_or("lib", String::as_str);
    let offence = |line, rule| Offence { file: file.to_owned(), line, rule };
    let mut offences = Vec::new();
    if !is_room(room) {
        offences.push(offence(1, format!("the room `{room}` is on no floor: give it one in tests/floors.rs")));
    }
    let scan = scan(&module, source);
    for path in &scan.paths {
        if let Some(target) = path.target() {
            offences.extend(reaches(room, path, &target).map(|rule| offence(path.line, rule)));
        } else if !scan.local.contains(&path.segments[0]) {
            offences.extend(library(path).map(|rule| offence(path.line, rule)));
        }
    }
    offences
}

/// `src/store/redis/scripts.rs` is `store::redis::scripts`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|part| !["lib", "mod"].contains(part)).map(str::to_owned).collect()
}

fn is_room(name: &str) -> bool {
    ["lib", "main", "app", "config"].contains(&name)
        || GROUND.iter().any(|(room, _)| *room == name)
        || floor(name).is_some()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rule that a path inside our own crate breaks.
fn reaches(room: &str, path: &Found, target: &[String]) -> Option<String> {
    if ["lib", "main", "app"].contains(&room) {
        return None;
    }
    let Some(other) = target.first().map(String::as_str).filter(|name| is_room(name)) else {
        return Some("reaches into the crate's root: name the room; nothing else lives there".to_owned());
    };
    if room == other {
        return None;
    }
    let allowed = match (floor(room), floor(other)) {
        _ if ["app", "main"].contains(&other) => false,
        _ if room == "config" => true,
        _ if other == "config" && path.is_in_tests() => true,
        (None, _) => GROUND.iter().any(|(ground, uses)| *ground == room && uses.contains(&other)),
        (Some(_), None) => other != "config",
        (Some(from), Some(to)) => from < to || (from == to && from == FLOORS.len() - 1),
    };
    let why = if other == "config" { "it is handed its part by value" } else { "only what is below it" };
    (!allowed).then(|| format!("`{room}` may not use `{other}`: {why}"))
}

/// The rule that a path into a library breaks.
fn library(path: &Found) -> Option<String> {
    let written = path.segments.join("::");
    let is_in = |whole: &str, part: &str| whole == part || whole.starts_with(&format!("{part}::"));
    let (name, knowers) = LIBRARIES.iter().find(|(name, _)| is_in(&written, name))?;
    let module = path.module.join("::");
    let command_line = module == "main" && COMMAND_LINE.contains(&written.as_str());
    // A test that kills its own process again and again speaks to its child through the environment.
    let of_a_test = *name == "std::env" && path.is_in_tests();
    let known = command_line || of_a_test || knowers.iter().any(|knower| is_in(&module, knower));
    (!known).then(|| format!("`{name}` is known to {} alone", knowers.join(", ")))
}

/// A path as it stands in a source.
struct Found {
    segments: Vec<String>,
    line: usize,
    /// Where it stands, inline modules included.
    module: Vec<String>,
}

impl Found {
    fn is_in_tests(&self) -> bool {
        self.module.iter().any(|name| name == "tests")
    }

    /// The module or item of our own crate that it names; nothing if it begins elsewhere.
    fn target(&self) -> Option<Vec<String>> {
        let mut segments = self.segments.iter();
        let mut target = match segments.next().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            _ => return None,
        };
        for segment in segments {
            if segment == "super" {
                target.pop();
            } else if segment != "self" && segment != "*" {
                target.push(segment.clone());
            }
        }
        Some(target)
    }
}

#[derive(Default)]
struct Scan {
    paths: Vec<Found>,
    /// Names that begin a path without being a library: modules declared here, and what is imported from our own crate.
    local: BTreeSet<String>,
}

fn scan(file_module: &[String], source: &str) -> Scan {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut scan = Scan::default();
    let mut module = file_module.to_vec();
    // For each open brace, whether it opened a module.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "mod" if is_name(text(at + 1)) => {
                scan.local.insert(text(at + 1).to_owned());
                if text(at + 2) == "{" {
                    module.push(text(at + 1).to_owned());
                    braces.push(true);
                }
                at += 3;
            }
            "{" => {
                braces.push(false);
                at += 1;
            }
            "}" => {
                if braces.pop() == Some(true) {
                    module.pop();
                }
                at += 1;
            }
            // `use<'a>` is a bound, not an import.
            "use" if text(at + 1) != "<" => {
                at += 1;
                import(&tokens, &mut at, &[], &module, &mut scan);
            }
            name if is_name(name) && !(at > 0 && text(at - 1) == ".") => {
                let start = at;
                while text(at + 1) == "::" && is_name(text(at + 2)) {
                    at += 2;
                }
                // Alone it is a variable, or the `crate` of `pub(crate)`.
                if at > start {
                    let segments = tokens[start..=at].iter().map(|token| &token.text).filter(|part| *part != "::");
                    let line = tokens[start].line;
                    scan.paths.push(Found { segments: segments.cloned().collect(), line, module: module.clone() });
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    scan
}

/// One branch of a `use`, from `at` to where it ends.
fn import(tokens: &[Token], at: &mut usize, prefix: &[String], module: &[String], scan: &mut Scan) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut segments = prefix.to_vec();
    loop {
        match text(*at) {
            "::" => *at += 1,
            "{" => {
                *at += 1;
                while !["}", ""].contains(&text(*at)) {
                    import(tokens, at, &segments, module, scan);
                    if text(*at) == "," {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            part if part == "*" || is_name(part) => {
                segments.push(part.to_owned());
                *at += 1;
                if text(*at) == "::" {
                    continue;
                }
                let line = tokens[*at - 1].line;
                let mut name = segments.iter().rfind(|part| *part != "self").cloned().unwrap_or_default();
                if text(*at) == "as" {
                    text(*at + 1).clone_into(&mut name);
                    *at += 2;
                }
                let found = Found { segments, line, module: module.to_vec() };
                if found.target().is_some() {
                    scan.local.insert(name);
                }
                scan.paths.push(found);
                return;
            }
            _ => {
                *at += 1;
                return;
            }
        }
    }
}

struct Token {
    text: String,
    line: usize,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single signs; comments, strings, characters and lifetimes are left out.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let char_at = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        match char_at(at) {
            '/' if char_at(at + 1) == '/' => {
                while at < chars.len() && char_at(at) != '\n' {
                    at += 1;
                }
            }
            '/' if char_at(at + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (char_at(at), char_at(at + 1)) {
                        ('/', '*') => (depth, at) = (depth + 1, at + 2),
                        ('*', '/') => (depth, at) = (depth - 1, at + 2),
                        _ => at += 1,
                    }
                    if depth == 0 || at >= chars.len() {
                        break;
                    }
                }
            }
            '"' => {
                at += 1;
                while at < chars.len() && char_at(at) != '"' {
                    at += if char_at(at) == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            '\'' if char_at(at + 1) == '\\' => {
                at += 3;
                while at < chars.len() && char_at(at) != '\'' {
                    at += 1;
                }
                at += 1;
            }
            '\'' if char_at(at + 2) == '\'' => at += 3,
            '\'' => {
                at += 1;
                while char_at(at).is_alphanumeric() || char_at(at) == '_' {
                    at += 1;
                }
            }
            c if c.is_alphanumeric() || c == '_' => {
                while char_at(at).is_alphanumeric() || char_at(at) == '_' {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && char_at(at + hashes) == '"' {
                    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    at += hashes + 1;
                    while at < chars.len() && !chars[at..].starts_with(&closing) {
                        at += 1;
                    }
                    at += closing.len();
                } else if word == "r" && hashes == 1 {
                    at += 1; // a raw name: `r#type`
                } else {
                    tokens.push(Token { text: word, line });
                }
            }
            ':' if char_at(at + 1) == ':' => {
                tokens.push(Token { text: "::".to_owned(), line });
                at += 2;
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line });
                }
                at += 1;
            }
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// The checker itself, on made-up sources: a rule that can't be seen to fail is no rule.
mod checker {
    use super::{LONGEST_FILE, floors, names_and_length};

    fn offences(file: &str, source: &str) -> Vec<String> {
        floors(file, source).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn refused(file: &str, source: &str, expected: &str) {
        let found = offences(file, source);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{file}:{expected}")), "{source}: {found:?}");
    }

    #[track_caller]
    fn accepted(file: &str, source: &str) {
        assert_eq!(offences(file, source), Vec::<String>::new(), "{source}");
    }

    #[test]
    fn a_room_uses_what_is_below_it() {
        accepted("src/http/leads.rs", "use crate::leads::Lead; use crate::store::Store; use crate::clock::Clock;");
        accepted("src/leads/mod.rs", "use crate::connections::Workspace;\nfn f() { crate::alc::Client::new(); }");
        accepted("src/store/mod.rs", "use crate::{clock, ids::LeadId, lifecycle::Lifecycle};");
        accepted("src/sealing.rs", "fn f() { crate::ids::fill(&mut []); }");
        accepted("src/app.rs", "use crate::{http, reconciler, config::Config};");
        accepted("src/main.rs", "use alc_connector::app::App;");
    }

    #[test]
    fn a_room_does_not_reach_up() {
        refused("src/leads/mod.rs", "\nuse crate::http::Problem;", "2: `leads` may not use `http`");
        refused("src/store/sqlite.rs", "use crate::leads::Lead;", "1: `store` may not use `leads`");
        refused("src/connections/mod.rs", "use crate::leads;", "1: `connections` may not use `leads`");
        refused("src/upstream/mod.rs", "use crate::alc::Client;", "1: `upstream` may not use `alc`");
        refused("src/clock.rs", "use crate::store::Store;", "1: `clock` may not use `store`");
        refused("src/reconciler.rs", "use crate::app::App;", "1: `reconciler` may not use `app`");
        refused("src/config.rs", "use crate::app::App;", "1: `config` may not use `app`");
    }

    #[test]
    fn a_room_does_not_reach_aside() {
        refused("src/http/mod.rs", "use crate::reconciler::Reconciler;", "1: `http` may not use `reconciler`");
        refused("src/leads/mod.rs", "use crate::authorization::Bearer;", "1: `leads` may not use `authorization`");
        refused("src/alc/mod.rs", "use crate::attio::Client;", "1: `alc` may not use `attio`");
    }

    #[test]
    fn every_way_to_write_a_path_is_read() {
        refused("src/alc/mod.rs", "use crate::{\n    clock,\n    store::{Store as S},\n};", "3: `alc`");
        refused("src/alc/mod.rs", "fn f() -> Option<crate::leads::Lead> { None }", "1: `alc`");
        refused("src/alc/mod.rs", "fn f() { let x = <crate::leads::Lead as Clone>::clone; }", "1: `alc`");
        refused("src/alc/oauth.rs", "use super::super::leads::Lead;", "1: `alc` may not use `leads`");
        refused("src/clock.rs", "use super::store;", "1: `clock` may not use `store`");
        refused("src/alc/mod.rs", "mod inner { fn f() { super::super::http::g(); } }", "1: `alc`");
        refused("src/alc/mod.rs", "pub(in crate::leads) fn f() {}", "1: `alc`");
        refused("src/alc/mod.rs", "use crate::*;", "1: reaches into the crate's root");
        refused("src/alc/mod.rs", "use crate::shared_thing;", "1: reaches into the crate's root");
        refused("src/alc/mod.rs", "fn f() { '\\''; '\"'; } use crate::http; // \"", "1: `alc`");
        refused("src/alc/mod.rs", "const A: &str = r#\"\"\n\"#; use crate::http;", "2: `alc`");
    }

    #[test]
    fn what_only_looks_like_a_path_is_not_read() {
        accepted("src/clock.rs", "//! See [`crate::http`].\n/* crate::http::x /* nested */ crate::leads::y */");
        accepted("src/clock.rs", "const A: &str = \"crate::http\"; const B: &str = r\"\\\"; pub(crate) fn f<'a>() {}");
        accepted("src/clock.rs", "pub(super) fn f() {} mod tests { use super::*; }");
        accepted("src/alc/oauth.rs", "use super::Client; use self::inner::X;");
        accepted("src/clock.rs", "fn f<'a>(x: &'a str) -> impl Sized + use<'a> { let redis = 1; x.redis; redis }");
    }

    #[test]
    fn only_app_and_main_see_the_whole_configuration() {
        refused("src/leads/mod.rs", "use crate::config::Leads;", "1: `leads` may not use `config`: it is handed");
        refused("src/lifecycle.rs", "use crate::config::Config;", "1: `lifecycle` may not use `config`");
        accepted("src/telemetry.rs", "use crate::config::Telemetry;");
        accepted("src/alc/mod.rs", "#[cfg(test)] mod tests { use crate::config::Config; }");
        accepted("src/config.rs", "use crate::sealing::Key; use crate::attio::Attributes;");
    }

    #[test]
    fn the_ground_floor_uses_no_room() {
        accepted("src/lifecycle.rs", "use crate::clock::SharedClock;");
        refused("src/lifecycle.rs", "use crate::ids::LeadId;", "1: `lifecycle` may not use `ids`");
        refused("src/telemetry.rs", "use crate::store::Store;", "1: `telemetry` may not use `store`");
    }

    #[test]
    fn a_library_stays_in_its_room() {
        refused("src/leads/mod.rs", "use actix_web::web;", "1: `actix_web` is known to http, app alone");
        refused("src/main.rs", "#[actix_web::main] async fn main() {}", "1: `actix_web` is known to");
        accepted("src/http/mod.rs", "use actix_web::web;");
        refused("src/store/sqlite.rs", "fn f() -> redis::Client {}", "1: `redis` is known to store::redis alone");
        accepted("src/store/redis/scripts.rs", "use redis::Script;");
        accepted("src/store/mod.rs", "mod redis; fn f() { redis::open(); }");
        accepted("src/app.rs", "use crate::store::redis; fn f() { redis::open(); }");
        refused("src/leads/mod.rs", "use reqwest::Client;", "1: `reqwest` is known to");
        accepted("src/notify.rs", "use reqwest::Client;");
    }

    #[test]
    fn only_config_reads_the_environment() {
        refused("src/app.rs", "use std::env;", "1: `std::env` is known to config alone");
        refused("src/app.rs", "use std::{fmt, env::var};", "1: `std::env` is known to config alone");
        refused("src/main.rs", "fn f() { std::env::var(\"A\"); }", "1: `std::env` is known to config alone");
        accepted("src/main.rs", "fn f() { std::env::args_os(); env!(\"CARGO_PKG_VERSION\"); }");
        accepted("src/config.rs", "fn f() { std::env::vars(); }");
        accepted("src/store/sqlite/tests.rs", "fn f() { std::env::var(\"A\"); }");
    }

    #[test]
    fn a_new_room_needs_a_floor() {
        refused("src/billing.rs", "", "1: the room `billing` is on no floor");
        assert!(offences("src/leads/steps.rs", "").is_empty());
    }

    #[test]
    fn attics_and_overlong_files_are_refused() {
        assert_eq!(names_and_length("src/http/utils.rs", "").len(), 1);
        assert_eq!(names_and_length("sandbox/src/helpers/mod.rs", "").len(), 1);
        assert_eq!(names_and_length("src/leads/steps.rs", &"\n".repeat(LONGEST_FILE)).len(), 0);
        assert_eq!(names_and_length("src/leads/steps.rs", &"\n".repeat(LONGEST_FILE + 1)).len(), 1);
    }
}
