//! The report: a Markdown table of medians, pair by pair, with the ratio of the second to the first under each.

use crate::round::Measured;

/// A column: its name, its figure, and whether only Redis has it.
type Column = (&'static str, fn(&Measured) -> f64, bool);

const COLUMNS: [Column; 12] = [
    ("per second", |row| row.per_second, false),
    ("p50 ms", |row| row.latency[0], false),
    ("p95 ms", |row| row.latency[1], false),
    ("p99 ms", |row| row.latency[2], false),
    ("p99.9 ms", |row| row.latency[3], false),
    ("shown p50 ms", |row| row.shown[0], false),
    ("shown p99 ms", |row| row.shown[1], false),
    ("CPU µs", |row| row.cpu, false),
    ("Redis CPU µs", |row| row.redis_cpu, true),
    ("scripts", |row| row.scripts, true),
    ("Redis bytes", |row| row.redis_bytes, true),
    ("peak MB", |row| row.memory, false),
];

/// The table of one store.
pub(crate) struct Table {
    columns: Vec<Column>,
    pair: [&'static str; 2],
}

impl Table {
    /// What is compared, and whether there is a Redis to tell of.
    pub(crate) fn of(pair: [&'static str; 2], with_redis: bool) -> Self {
        Self { columns: COLUMNS.into_iter().filter(|(_, _, of_redis)| with_redis || !of_redis).collect(), pair }
    }

    /// Its first two lines.
    pub(crate) fn head(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _, _)| *name).collect();
        format!("| job | | {} |\n|{}", names.join(" | "), " --- |".repeat(names.len() + 2))
    }

    /// The three lines of one job: what is compared, and the ratio.
    pub(crate) fn rows(&self, job: &str, [first, second]: [&[Measured]; 2]) -> String {
        let (first, second) = (self.medians(first), self.medians(second));
        let ratios: Vec<String> = first.iter().zip(&second).map(|(first, second)| ratio(*first, *second)).collect();
        let line = |job: &str, who: &str, cells: &[String]| format!("| {job} | {who} | {} |", cells.join(" | "));
        let figures = |figures: &[f64]| figures.iter().map(|figure| shown(*figure)).collect::<Vec<_>>();
        [
            line(job, self.pair[0], &figures(&first)),
            line("", self.pair[1], &figures(&second)),
            line("", &format!("**{} ÷ {}**", self.pair[1], self.pair[0]), &ratios),
        ]
        .join("\n")
    }

    /// Of each column for itself: a round that another process disturbed then spoils no row.
    fn medians(&self, rounds: &[Measured]) -> Vec<f64> {
        self.columns.iter().map(|(_, figure, _)| median(rounds.iter().map(figure).collect())).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Three digits that mean something; not a number: there is nothing to tell.
fn shown(figure: f64) -> String {
    match figure.abs() {
        size if size.is_nan() => "–".to_owned(),
        size if size >= 1_000.0 => thousands(figure),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn thousands(figure: f64) -> String {
    let digits = format!("{:.0}", figure.abs());
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    format!("{}{}", if figure < 0.0 { "-" } else { "" }, groups.join(","))
}

/// Beside next to nothing a ratio says nothing.
fn ratio(first: f64, second: f64) -> String {
    if first < 0.001 || first.is_nan() { "–".to_owned() } else { format!("**{:.2}**", second / first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(per_second: f64, cpu: f64) -> Measured {
        Measured { per_second, cpu, ..Measured::default() }
    }

    fn cells(rows: &str) -> Vec<Vec<&str>> {
        rows.lines().map(|line| line.trim_matches(['|', ' ']).split(" | ").collect()).collect()
    }

    #[test]
    fn the_median_of_each_column_and_its_ratio_are_shown() {
        let limit = [of(10_000.0, 10.0), of(30_000.0, 30.0), of(20_000.0, 20.0)];
        let rows =
            Table::of(["limit", "connector"], true).rows("send", [&limit, &[of(5_000.0, 90.0), of(7_000.0, 30.0)]]);
        let lines = cells(&rows);
        assert_eq!(lines[0][..3], ["send", "limit", "20,000"]);
        assert_eq!(lines[1][1], "6,000", "the mean of two");
        assert_eq!(lines[2][1], "**0.30**");
        assert_eq!([lines[0][9], lines[1][8], lines[2][8]], ["20.0", "60.0", "**3.00**"]);
        assert_eq!(lines[2][9], "–", "nothing can be told beside nothing");
        let untold = Measured { shown: [f64::NAN; 2], ..Measured::default() };
        let rows = Table::of(["empty", "full"], true).rows("GET", [&[untold], &[untold]]);
        assert!(cells(&rows).iter().all(|cells| cells[cells.len() - 7] == "–"), "{rows}");
    }

    #[test]
    fn every_line_has_as_many_cells_as_the_head() {
        for with_redis in [true, false] {
            let table = Table::of(["empty", "full"], with_redis);
            let text = format!("{}\n{}", table.head(), table.rows("send", [&[of(1.0, 1.0)], &[of(1.0, 1.0)]]));
            let bars: Vec<_> = text.lines().map(|line| line.matches('|').count()).collect();
            assert!(bars.iter().all(|count| *count == bars[0]), "{text}");
            assert_eq!(text.contains("Redis"), with_redis);
        }
    }
}
