//! The floors: a path from a room to one that is not below it, a library used outside the rooms that know it, the
//! environment read outside `config`.

use crate::Offence;
use crate::source::{Found, scan, tokens};

/// Top to bottom. A room may use those below its floor, none beside it; the last floor's rooms may use each other.
const FLOORS: [&[&str]; 7] = [
    &["http", "reconciler"],
    &["operate"],
    &["authorization", "leads"],
    &["connections", "seats"],
    &["store", "alc", "attio", "notify"],
    &["upstream"],
    &["sealing", "ids", "clock", "lenient"],
];

/// Usable by all, using no room but those named.
const GROUND: [(&str, &[&str]); 2] = [("lifecycle", &["clock", "telemetry"]), ("telemetry", &["config"])];

/// Who knows a library: modules, each with all that is inside it.
const LIBRARIES: [(&str, &[&str]); 4] = [
    ("actix_web", &["http", "app"]),
    ("redis", &["store::redis"]),
    ("reqwest", &["alc", "attio", "notify", "upstream", "app", "cli"]),
    ("std::env", &["config"]),
];

/// What `main` may do with the environment: read the command line.
const COMMAND_LINE: [&str; 2] = ["std::env::args", "std::env::args_os"];

pub(crate) fn floors(file: &str, source: &str) -> Vec<Offence> {
    if !file.ends_with(".rs") {
        return Vec::new();
    }
    let module = module_of(file);
    let room = module.first().map_or("lib", String::as_str);
    let offence = |line, rule| Offence { file: file.to_owned(), line, rule };
    let mut offences = Vec::new();
    if !is_room(room) {
        offences.push(offence(1, format!("the room `{room}` is on no floor: give it one in tests/floors/rooms.rs")));
    }
    let scan = scan(&module, &tokens(source));
    for path in scan.all() {
        if let Some(target) = path.target() {
            offences.extend(reaches(room, path, &target).map(|rule| offence(path.line, rule)));
        } else if !scan.is_local(&path.segments[0]) {
            offences.extend(library(path).map(|rule| offence(path.line, rule)));
        }
    }
    offences
}

/// `src/store/redis/scripts.rs` is `store::redis::scripts`.
pub(crate) fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|part| !["lib", "mod"].contains(part)).map(str::to_owned).collect()
}

fn is_room(name: &str) -> bool {
    ["lib", "main", "app", "cli", "config"].contains(&name)
        || GROUND.iter().any(|(room, _)| *room == name)
        || floor(name).is_some()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rule that a path inside our own crate breaks.
fn reaches(room: &str, path: &Found, target: &[String]) -> Option<String> {
    if ["lib", "main", "app", "cli"].contains(&room) {
        return None;
    }
    let Some(other) = target.first().map(String::as_str).filter(|name| is_room(name)) else {
        return Some("reaches into the crate's root: name the room; nothing else lives there".to_owned());
    };
    if room == other {
        return None;
    }
    let allowed = match (floor(room), floor(other)) {
        _ if ["app", "cli", "main"].contains(&other) => false,
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

mod checker {
    use super::floors;

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
}
