//! The pure folders: no I/O, no clock, no task. What they promise can then be told by property tests, and a reader of
//! their callers knows that nothing waits, and nothing fails, inside.

use crate::Offence;
use crate::rooms::module_of;
use crate::source::{Found, scan, tokens, without_tests};

/// Modules, each with all that is inside it.
const PURE: [&str; 3] = ["leads::lead", "leads::press::decide", "connections::workspace"];

/// What only a service may hold or be.
const OF_SERVICES: [&str; 7] = ["async", "await", "Store", "Clock", "SharedClock", "Client", "Lifecycle"];

/// Libraries that do I/O or wait.
const OF_IO: [&str; 5] = ["tokio", "reqwest", "redis", "rusqlite", "std::fs"];

pub(crate) fn impurities(files: &[(String, String)]) -> Vec<Offence> {
    let rust = files.iter().filter(|(file, _)| file.ends_with(".rs") && !file.contains("tests"));
    rust.filter(|(file, _)| is_pure(&module_of(file))).flat_map(|(file, source)| inside(file, source)).collect()
}

fn is_pure(module: &[String]) -> bool {
    let module = module.join("::");
    PURE.iter().any(|pure| is_in(&module, pure))
}

fn is_in(whole: &str, part: &str) -> bool {
    whole == part || whole.starts_with(&format!("{part}::"))
}

fn inside(file: &str, source: &str) -> Vec<Offence> {
    let tokens = without_tests(&tokens(source));
    let offence = |line, rule| Offence { file: file.to_owned(), line, rule };
    let words = tokens.iter().filter(|token| OF_SERVICES.contains(&token.text.as_str()));
    let mut offences: Vec<Offence> =
        words.map(|token| offence(token.line, format!("`{}` in a pure folder", token.text))).collect();
    for path in scan(&module_of(file), &tokens).all() {
        offences.extend(impure(path).map(|rule| offence(path.line, rule)));
    }
    offences.sort_by_key(|offence| offence.line);
    offences
}

fn impure(path: &Found) -> Option<String> {
    let Some(target) = path.target() else {
        let written = path.segments.join("::");
        let library = OF_IO.iter().find(|library| is_in(&written, library))?;
        return Some(format!("`{library}` in a pure folder"));
    };
    // The room's own root and its pure parts; what does I/O beside them is above them.
    let room = &path.module[..1];
    let beside = target.starts_with(room) && target.get(1).is_some_and(|part| part.starts_with(char::is_lowercase));
    (beside && !is_pure(&target)).then(|| format!("`{}` is above the pure folder", target.join("::")))
}

mod checker {
    use super::impurities;

    fn found(file: &str, source: &str) -> Vec<String> {
        impurities(&[(file.to_owned(), source.to_owned())]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_waits_or_does_io_inside() {
        for (source, expected) in [
            ("\npub async fn f() {}", "2: `async`"),
            ("use crate::store::Store;", "1: `Store`"),
            ("use crate::store::{Kind, Store as S};", "1: `Store`"),
            ("use crate::alc; fn f(_: &alc::Client) {}", "1: `Client`"),
            ("fn f(clock: &dyn crate::clock::Clock) {}", "1: `Clock`"),
            ("use crate::clock::{SharedClock, Timestamp};", "1: `SharedClock`"),
            ("fn f(_: crate::lifecycle::Lifecycle) {}", "1: `Lifecycle`"),
            ("fn f() { tokio::task::yield_now(); }", "1: `tokio`"),
            ("use std::{fmt, fs::File};", "1: `std::fs`"),
        ] {
            for file in ["src/leads/lead/send.rs", "src/leads/press/decide.rs", "src/connections/workspace/mod.rs"] {
                let found = found(file, source);
                assert!(found.len() == 1 && found[0].starts_with(&format!("{file}:{expected}")), "{source}: {found:?}");
            }
        }
    }

    #[test]
    fn what_is_pure_uses_of_its_own_room_only_what_is_pure() {
        let above = "use crate::leads::{Titles, lead::Lead, press::decide::Answer, work::alc::Report};";
        assert_eq!(
            found("src/leads/lead/send.rs", above),
            ["src/leads/lead/send.rs:1: `leads::work::alc::Report` is above the pure folder"]
        );
        assert_eq!(found("src/connections/workspace/mod.rs", "use super::connect::Connect;").len(), 1);
        assert!(found("src/connections/workspace/mod.rs", "use self::facts::Fact; use super::Settings;").is_empty());
    }

    #[test]
    fn what_is_not_pure_by_place_or_by_test_is_left_alone() {
        let source = "use crate::store::Store; async fn f() {}";
        assert!(found("src/leads/work/alc.rs", source).is_empty());
        assert!(found("src/leads/press/store.rs", source).is_empty());
        assert!(found("src/leads/lead/tests.rs", source).is_empty());
        let tests = format!("#[cfg(test)]\nmod tests {{ {source} }}");
        assert!(found("src/leads/lead/send.rs", &tests).is_empty());
        assert!(found("src/leads/lead/send.rs", "//! Store, async\nuse crate::clock::Timestamp;").is_empty());
    }
}
