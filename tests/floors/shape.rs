//! The shape of a file: its name, its length, its comments' lines and words.

use crate::Offence;
use crate::circles::tests_of;
use crate::source;

/// Names that say nothing, so that everything ends up there.
const ATTICS: [&str; 5] = ["utils", "common", "core", "helpers", "manager"];

const LONGEST_FILE: usize = 400;
/// Scenarios stand side by side and need less to be held in mind at once.
const LONGEST_TESTS: usize = 600;

/// rustfmt keeps the code to this width, but leaves comments alone.
const WIDEST_COMMENT: usize = 120;

/// A comment that says one of these leaves its reader to find out which worker, replica, caller or upstream it means.
const NAMELESS: [&str; 4] = ["whoever", "whomever", "somebody", "someone"];

pub(crate) fn names_and_length(files: &[(String, String)]) -> Vec<Offence> {
    let tests = tests_of(files);
    let mut offences = Vec::new();
    for (file, source) in files {
        let mut offence = |line, rule| offences.push(Offence { file: file.clone(), line, rule });
        for name in file.split('/').map(|part| part.trim_end_matches(".rs")) {
            if ATTICS.contains(&name) {
                offence(1, format!("`{name}` says nothing: name it after what it does"));
            }
        }
        let lines = source.lines().count();
        let longest = if tests.contains(file.as_str()) { LONGEST_TESTS } else { LONGEST_FILE };
        if lines > longest {
            offence(lines, format!("{lines} lines, {longest} at most: it holds more than one idea"));
        }
    }
    offences
}

pub(crate) fn comments(file: &str, source: &str) -> Vec<Offence> {
    if !file.ends_with(".rs") {
        return Vec::new();
    }
    let mut lines: Vec<usize> = source::comments(source).into_iter().map(|(line, _)| line).collect();
    lines.dedup();
    let width = |line: &usize| source.lines().nth(line - 1).map_or(0, |text| text.chars().count());
    let too_wide = lines.into_iter().filter(|line| width(line) > WIDEST_COMMENT);
    let rule = format!("the comment goes beyond column {WIDEST_COMMENT}");
    too_wide.map(|line| Offence { file: file.to_owned(), line, rule: rule.clone() }).collect()
}

pub(crate) fn nameless(file: &str, source: &str) -> Vec<Offence> {
    if !file.ends_with(".rs") {
        return Vec::new();
    }
    let is_nameless = |word: &&str| NAMELESS.contains(&word.to_lowercase().as_str());
    let word_in = |text: &str| text.split(|c: char| !c.is_alphabetic()).find(is_nameless).map(str::to_owned);
    let found = source::comments(source).into_iter().filter_map(|(line, text)| Some((line, word_in(&text)?)));
    let rule = |word| format!("\"{word}\": say which worker, replica, caller, upstream or person");
    found.map(|(line, word)| Offence { file: file.to_owned(), line, rule: rule(word) }).collect()
}

mod checker {
    use super::{LONGEST_FILE, LONGEST_TESTS, comments, nameless, names_and_length};

    #[test]
    fn a_comment_names_its_actor() {
        let refused = |source: &str| nameless("src/a.rs", source).iter().map(|found| found.line).collect::<Vec<_>>();
        assert_eq!(refused("//! A.\n/// Whoever comes later waits.\nfn f() {} // somebody's lead"), [2, 3]);
        assert_eq!(refused("/* until\nsomeone acts */"), [2]);
        assert_eq!(refused("// The worker that comes later waits.\nlet whoever = \"somebody\";"), [0; 0]);
    }

    fn shape(file: &str, lines: usize) -> usize {
        names_and_length(&[(file.to_owned(), "\n".repeat(lines))]).len()
    }

    #[test]
    fn attics_are_refused() {
        assert_eq!(shape("src/http/utils.rs", 0), 1);
        assert_eq!(shape("sandbox/src/helpers/mod.rs", 0), 1);
        assert_eq!(shape("src/http/problem.rs", 0), 0);
    }

    #[test]
    fn overlong_files_are_refused() {
        for file in ["src/leads/steps.rs", "src/store/redis/scripts/commit.lua", "sandbox/src/ambient.rs"] {
            assert_eq!(shape(file, LONGEST_FILE), 0, "{file}");
            assert_eq!(shape(file, LONGEST_FILE + 1), 1, "{file}");
        }
    }

    #[test]
    fn tests_may_be_longer() {
        for file in ["src/leads/tests.rs", "src/leads/tests/merge.rs"] {
            assert_eq!(shape(file, LONGEST_TESTS), 0, "{file}");
            assert_eq!(shape(file, LONGEST_TESTS + 1), 1, "{file}");
        }
        let parent = ("src/store/mod.rs".to_owned(), "#[cfg(test)]\nmod conformance;".to_owned());
        let child = ("src/store/conformance/mod.rs".to_owned(), "\n".repeat(LONGEST_TESTS));
        assert!(names_and_length(&[parent, child.clone()]).is_empty());
        assert_eq!(names_and_length(&[child]).len(), 1);
    }

    #[test]
    fn a_comment_ends_at_its_column() {
        let fits = format!("// {}", "é".repeat(117));
        let wide = format!("\n//! {}", "é".repeat(117));
        let behind = format!("let a = 1; /* {} */", "a".repeat(110));
        let long = format!("let a = \"{}\";", "a".repeat(130));
        assert_eq!(comments("src/a.rs", &fits).len(), 0);
        assert_eq!(comments("src/a.rs", &wide)[0].line, 2);
        assert_eq!(comments("src/a.rs", &behind).len(), 1);
        assert_eq!(comments("src/a.rs", &long).len(), 0);
    }
}
