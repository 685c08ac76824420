//! docs/architecture.md names the files that there are: all of them, and no others.

use std::collections::BTreeSet;

use crate::Offence;
use crate::circles::tests_of;

const MAP: &str = "docs/architecture.md";
/// The rooms that the map has a table for, file by file.
const ROOMS: [&str; 5] = ["leads", "connections", "store", "http", "authorization"];

pub(crate) fn gaps(map: &str, files: &[(String, String)]) -> Vec<Offence> {
    let tests = tests_of(files);
    let product = files.iter().map(|(file, _)| file.as_str()).filter(|file| !tests.contains(file));
    let product: Vec<&str> = product.filter(|file| file.ends_with(".rs")).collect();
    let mut gaps = Vec::new();
    for room in ROOMS {
        let heading = format!("### `{room}`");
        let Some(at) = map.lines().position(|line| line.starts_with(&heading)) else {
            let rule = format!("has no table for the room `{room}`");
            gaps.push(Offence { file: MAP.to_owned(), line: 1, rule });
            continue;
        };
        let section: Vec<&str> = map.lines().skip(at + 1).take_while(|line| !line.starts_with('#')).collect();
        let named = named(&section);
        let here = product.iter().filter_map(|file| file.strip_prefix(&format!("src/{room}/")));
        let here: BTreeSet<&str> = here.filter(|file| is_worth_a_name(room, file)).map(last).collect();
        let line = at + 1;
        let missing = here.difference(&named).map(|file| format!("does not say what {file} of `{room}` holds"));
        let gone = named.iter().filter(|file| **file != "mod.rs" && !here.contains(*file));
        let gone = gone.map(|file| format!("names {file}, which `{room}` does not have"));
        gaps.extend(missing.chain(gone).map(|rule| Offence { file: MAP.to_owned(), line, rule }));
    }
    gaps
}

/// The engines inside the store are named as folders, and a `mod.rs` only hands on.
fn is_worth_a_name(room: &str, file: &str) -> bool {
    last(file) != "mod.rs" && !(room == "store" && ["sqlite/", "redis/"].iter().any(|engine| file.starts_with(engine)))
}

fn last(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// What stands in the first column of a table, and the files in backticks in the others.
fn named<'a>(section: &[&'a str]) -> BTreeSet<&'a str> {
    let rows = section.iter().filter(|line| line.starts_with('|'));
    let words = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    words.filter(|word| word.ends_with(".rs")).map(last).collect()
}

mod checker {
    use super::gaps;

    fn found(map: &str, files: &[&str]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(|file| ((*file).to_owned(), String::new())).collect();
        gaps(map, &files).iter().map(|gap| gap.rule.clone()).filter(|rule| !rule.starts_with("has no table")).collect()
    }

    #[test]
    fn the_map_and_the_files_agree() {
        let map = "### `leads`: x\n| `lead/send.rs`, `outcome.rs` | a |\n## Next\n| `other.rs` |";
        let both = ["src/leads/lead/send.rs", "src/leads/lead/outcome.rs", "src/leads/mod.rs", "src/leads/tests/x.rs"];
        assert_eq!(found(map, &both), [""; 0]);
        assert_eq!(found(map, &both[..1]), ["names outcome.rs, which `leads` does not have"]);
        let more = [both[0], both[1], "src/leads/merges.rs"];
        assert_eq!(found(map, &more), ["does not say what merges.rs of `leads` holds"]);
        assert_eq!(gaps(map, &[]).len(), 4 + 2, "four rooms without a table, two files that are not there");
    }
}
