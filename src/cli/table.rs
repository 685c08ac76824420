//! Columns for people, out of JSON.

use serde_json::Value;

/// The widest cell: one long error must not push all else off the screen.
const WIDEST: usize = 60;

/// Lines of columns; the last column is as long as it is.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let cut = |cell: &str| match cell.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell.to_owned(),
    };
    let last = headings.len().saturating_sub(1);
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = rows.iter().map(|row| cut(&row[column]).chars().count());
            cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let heading = line(headings.iter().map(|heading| heading.to_uppercase()).collect());
    let rows = rows.iter().map(|row| {
        line(row.iter().enumerate().map(|(at, cell)| if at == last { cell.clone() } else { cut(cell) }).collect())
    });
    std::iter::once(heading).chain(rows).collect::<Vec<_>>().join("\n")
}

/// These members of each item, one a column. A dot goes into a member.
pub(super) fn columns(items: &Value, names: &[&str]) -> String {
    let headings: Vec<_> = names.iter().map(|name| name.rsplit('.').next().unwrap_or(name)).collect();
    let rows: Vec<Vec<_>> = items
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| names.iter().map(|name| cell(item.pointer(&format!("/{}", name.replace('.', "/"))))).collect())
        .collect();
    table(&headings, &rows)
}

/// A value in a cell; what is not there is a dash.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => clean(text),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

/// A text that a terminal shows and does not obey.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// JSON, indented, that says the same to a program and that a terminal does not obey: outside of texts JSON has no such
/// characters but the line breaks that are made here.
pub(super) fn json(answer: &Value) -> String {
    let mut shown = String::new();
    for c in format!("{answer:#}").chars() {
        if c != '\n' && is_obeyed(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Controls of either kind, what turns the direction of writing, and what has no width.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let items = json!([{ "a": "x", "b": { "c": 1 } }, { "a": "longer", "b": { "c": null } }]);
        assert_eq!(columns(&items, &["a", "b.c"]), "A       C\nx       1\nlonger  -");
    }

    #[test]
    fn what_an_upstream_said_does_not_command_the_terminal() {
        let items = json!([{ "said": "\u{1b}[2J\u{9b}31m\n\u{202e}evil", "n": 1 }]);
        let shown = columns(&items, &["said", "n"]);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n') && shown.lines().count() == 2, "{shown:?}");
        assert!(!shown.contains('\u{202e}'));
    }

    #[test]
    fn what_an_upstream_said_does_not_command_the_terminal_as_json_either() {
        let answer = json!({ "said": "\u{9b}31m\u{202e}evil\u{61c}\u{1b}[2J \u{e9}", "n": [1, "\n"] });
        let shown = super::json(&answer);
        assert!(!shown.chars().any(|c| c != '\n' && is_obeyed(c)), "{shown:?}");
        assert!(shown.contains("\\u009b31m\\u202eevil\\u061c") && shown.contains('\u{e9}'), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), answer, "a program reads the same");
    }

    #[test]
    fn only_the_last_column_is_as_long_as_it_is() {
        let long = "x".repeat(100);
        let shown = table(&["a", "b"], &[vec![long.clone(), long.clone()]]);
        assert!(shown.contains(&format!("{}…  {long}", "x".repeat(60))), "{shown}");
    }
}
