//! No circle of imports between files: each can be read, and understood, after those that it names.
//!
//! A path counts as an edge to the file that defines what it names, also if it goes through another's `pub use`. So a
//! `mod.rs` that only hands on what its children define depends on none of them, and two children that meet through it
//! depend on each other alone. Tests don't count: they may know everything.

use std::collections::{BTreeMap, BTreeSet};

use crate::Offence;
use crate::source::{Found, Scan, scan, tokens, without_tests};

/// The offences of one crate, whose sources lie below `root`.
pub(crate) fn circles(root: &str, files: &[(String, String)]) -> Vec<Offence> {
    let tests = tests_of(files);
    let product = files.iter().filter(|(file, _)| file.ends_with(".rs") && !tests.contains(file.as_str()));
    let house = House::new(root, product);
    let edges = house.edges();
    rings(&edges).iter().map(|ring| offence(ring, &edges)).collect()
}

/// The files that are compiled for tests alone: by their name, or since their parent declares them so.
pub(crate) fn tests_of(files: &[(String, String)]) -> BTreeSet<&str> {
    let mut folders = Vec::new();
    for (file, source) in files.iter().filter(|(file, _)| file.ends_with(".rs")) {
        let all = scan(&[], &tokens(source)).modules;
        let product = scan(&[], &without_tests(&tokens(source))).modules;
        let home = home_of(file);
        folders.extend(all.difference(&product).map(|module| format!("{home}{module}")));
    }
    let is_test = |file: &str| {
        let stem = file.trim_end_matches(".rs");
        let declared = folders.iter().any(|folder| stem == folder || stem.starts_with(&format!("{folder}/")));
        declared || stem.split('/').any(|part| part == "tests")
    };
    files.iter().map(|(file, _)| file.as_str()).filter(|file| is_test(file)).collect()
}

/// Where the children of a file lie: `src/store/` for `src/store/mod.rs`, `src/config/` for `src/config.rs`.
fn home_of(file: &str) -> String {
    let stem = file.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => format!("{folder}/"),
        _ => format!("{stem}/"),
    }
}

/// One crate's files by their modules.
struct House<'a> {
    files: BTreeMap<Vec<String>, (&'a str, Scan)>,
}

impl<'a> House<'a> {
    fn new(root: &str, files: impl Iterator<Item = &'a (String, String)>) -> House<'a> {
        let read = |(file, source): &'a (String, String)| {
            let path = file.trim_start_matches(root).trim_start_matches('/').trim_end_matches(".rs");
            let module: Vec<String> =
                path.split('/').filter(|part| !["lib", "mod"].contains(part)).map(str::to_owned).collect();
            let scan = scan(&module, &without_tests(&tokens(source)));
            (module, (file.as_str(), scan))
        };
        House { files: files.map(read).collect() }
    }

    /// For each file those that it depends on, each with the line that first says so.
    fn edges(&self) -> Edges<'a> {
        let mut edges = Edges::new();
        for (file, scan) in self.files.values() {
            let used = |name: &str| scan.words.contains(name);
            let imports = scan.imports.iter().flat_map(|(name, imports)| imports.iter().map(move |one| (name, one)));
            // What is handed on alone is no use of it; what is used besides is.
            let imports = imports.filter(|(name, import)| !import.is_public || used(name)).map(|(_, one)| &one.path);
            let mut found: Vec<&Found> = imports.chain(&scan.paths).collect();
            found.sort_by_key(|path| path.line);
            for path in found {
                if let Some(other) = self.definer(scan, path).filter(|other| other != file) {
                    edges.entry(*file).or_default().entry(other).or_insert(path.line);
                }
            }
        }
        edges
    }

    /// The file that defines what a path in our own crate names. Nothing for a path that names a module, and for one
    /// that goes elsewhere.
    fn definer(&self, scan: &Scan, path: &Found) -> Option<&'a str> {
        self.resolve(&self.absolute(scan, path)?, 0)
    }

    fn absolute(&self, scan: &Scan, path: &Found) -> Option<Vec<String>> {
        if let Some(target) = path.target() {
            return Some(target);
        }
        let (first, rest) = path.segments.split_first()?;
        let mut target = path.module.clone();
        target.push(first.clone());
        if !self.files.contains_key(&target) {
            let imported = scan.imports.get(first)?.iter().find_map(|import| import.path.target())?;
            target = imported;
        }
        target.extend(rest.iter().cloned());
        Some(target)
    }

    /// Follows what others hand on, to the file where the name is at home.
    fn resolve(&self, target: &[String], hops: usize) -> Option<&'a str> {
        let home = (0..=target.len()).rev().find(|length| self.files.contains_key(&target[..*length]))?;
        let (file, scan) = &self.files[&target[..home]];
        let item = target.get(home)?;
        let imports = scan.imports.get(item).into_iter().flatten();
        let mut handed_on = imports.filter_map(|import| self.absolute(scan, &import.path));
        match handed_on.find(|next| next != target) {
            Some(mut next) if hops < 8 => {
                next.extend(target[home + 1..].iter().cloned());
                self.resolve(&next, hops + 1)
            }
            _ => Some(file),
        }
    }
}

type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

/// The groups of files of which each reaches each.
fn rings<'a>(edges: &Edges<'a>) -> Vec<BTreeSet<&'a str>> {
    let reaches: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|file| (*file, reachable(edges, file))).collect();
    let mut rings = BTreeSet::new();
    for (file, reached) in &reaches {
        let ring: BTreeSet<&str> = reached
            .iter()
            .copied()
            .filter(|other| reaches.get(other).is_some_and(|back| back.contains(file)))
            .collect();
        if !ring.is_empty() {
            rings.insert(ring);
        }
    }
    rings.into_iter().collect()
}

fn reachable<'a>(edges: &Edges<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for (other, _) in edges.get(file).into_iter().flatten() {
            if reached.insert(*other) {
                open.push(*other);
            }
        }
    }
    reached
}

fn offence(ring: &BTreeSet<&str>, edges: &Edges<'_>) -> Offence {
    let inside = |file: &str| edges[file].iter().filter(|(other, _)| ring.contains(*other));
    let says = |file: &str| inside(file).map(|(other, line)| format!("\n    {file}:{line} names {other}")).collect();
    let report: String = ring.iter().map(|file| says(file)).collect::<Vec<String>>().concat();
    let first = ring.first().copied().unwrap_or_default();
    let line = inside(first).map(|(_, line)| *line).min().unwrap_or(1);
    Offence {
        file: first.to_owned(),
        line,
        rule: format!("{} files import each other in a circle:{report}", ring.len()),
    }
}

mod checker {
    use super::{circles, tests_of};

    fn house(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(file, source)| (format!("src/{file}"), (*source).to_owned())).collect()
    }

    #[track_caller]
    fn refused(files: &[(&str, &str)], expected: &[&str]) {
        let found: Vec<String> = circles("src", &house(files)).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        for part in expected {
            assert!(found[0].contains(part), "{part:?} in {}", found[0]);
        }
    }

    #[track_caller]
    fn accepted(files: &[(&str, &str)]) {
        let found: Vec<String> = circles("src", &house(files)).iter().map(ToString::to_string).collect();
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn two_files_that_name_each_other_are_a_circle() {
        let root = ("a/mod.rs", "mod b; mod c;");
        refused(
            &[root, ("a/b.rs", "use super::c::C;"), ("a/c.rs", "\nuse crate::a::b::B;")],
            &["src/a/b.rs:1: 2 files", "src/a/b.rs:1 names src/a/c.rs", "src/a/c.rs:2 names src/a/b.rs"],
        );
        refused(
            &[root, ("a/b.rs", "fn f() { super::c::g() }"), ("a/c.rs", "use super::b; fn g() { b::f() }")],
            &["2 files"],
        );
        accepted(&[root, ("a/b.rs", "use super::c::C;"), ("a/c.rs", "use std::fmt; mod d {} fn f() { d::x() }")]);
    }

    #[test]
    fn a_circle_of_three_is_seen_across_folders() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a/mod.rs", "pub mod x;"),
            ("a/x.rs", "use crate::b::{self, y::Y};"),
            ("b.rs", "use crate::a::x;\npub mod y;"),
            ("b/y.rs", "use super::z::Z;"),
            ("b/z.rs", "impl From<crate::a::x::X> for Z {}"),
        ];
        refused(&files, &["3 files", "src/b/y.rs:1 names src/b/z.rs", "src/b/z.rs:1 names src/a/x.rs"]);
    }

    #[test]
    fn a_parent_that_hands_on_depends_on_no_child() {
        let parent = "mod b; mod c; pub use self::{b::B, c::C};";
        accepted(&[("a/mod.rs", parent), ("a/b.rs", "use super::C;"), ("a/c.rs", "struct C;")]);
        accepted(&[("a/mod.rs", "mod b; pub use b::B; pub struct A;"), ("a/b.rs", "use super::A;")]);
        // Through the parent they are a circle all the same.
        refused(
            &[("a/mod.rs", parent), ("a/b.rs", "use super::C;"), ("a/c.rs", "use super::B as X;")],
            &["src/a/b.rs:1 names src/a/c.rs"],
        );
    }

    #[test]
    fn a_parent_that_uses_its_child_is_not_used_by_it() {
        let child = ("a/b.rs", "use super::A;");
        refused(&[("a/mod.rs", "mod b; pub struct A(b::B);"), child], &["src/a/mod.rs:1 names src/a/b.rs"]);
        refused(&[("a/mod.rs", "mod b;\nuse self::b::B; pub struct A;"), child], &["src/a/mod.rs:2"]);
        refused(&[("a/mod.rs", "mod b;\npub use self::b::B; pub struct A(B);"), child], &["src/a/mod.rs:2"]);
        refused(&[("a.rs", "mod b; pub struct A(b::B);"), child], &["src/a.rs:1 names src/a/b.rs"]);
    }

    #[test]
    fn tests_may_know_everything() {
        let parent = "mod b; pub struct A;\n#[cfg(test)]\nmod conformance; #[cfg(test)] use b::{B, C}; fn f() {}";
        let child = "use super::A; struct B; #[cfg(test)] mod tests { use super::super::{B, d::D}; }";
        let files = [
            ("a/mod.rs", parent),
            ("a/b.rs", child),
            ("a/d.rs", "use super::b::B;"),
            ("a/conformance.rs", "use super::A;"),
            ("a/tests/x.rs", "use super::y::Y;"),
            ("a/tests/y.rs", "use super::x::X;"),
        ];
        accepted(&files);
        let house = house(&files);
        let tests: Vec<&str> = tests_of(&house).into_iter().collect();
        assert_eq!(tests, ["src/a/conformance.rs", "src/a/tests/x.rs", "src/a/tests/y.rs"]);
    }
}
