//! The report: a Markdown table of medians, with the ratio of the connector's to the limit's under each pair.

use crate::round::Measured;

const HEAD: [&str; 14] = [
    "job",
    "who",
    "per second",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "p99.9 ms",
    "shown p50 ms",
    "shown p99 ms",
    "CPU µs",
    "Redis CPU µs",
    "scripts",
    "Redis bytes",
    "peak MB",
];

/// The table's first two lines.
pub(crate) fn head() -> String {
    format!("| {} |\n|{}", HEAD.join(" | "), " --- |".repeat(HEAD.len()))
}

/// The three lines of one job: the limit, the connector, the ratio.
pub(crate) fn rows(job: &str, limit: &[Measured], connector: &[Measured]) -> String {
    let (limit, connector) = (medians(limit), medians(connector));
    let ratios: Vec<String> = limit.iter().zip(&connector).map(|(limit, ours)| ratio(*limit, *ours)).collect();
    let line = |job: &str, who: &str, cells: &[String]| format!("| {job} | {who} | {} |", cells.join(" | "));
    let figures = |figures: &[f64]| figures.iter().map(|figure| shown(*figure)).collect::<Vec<_>>();
    [
        line(job, "limit", &figures(&limit)),
        line("", "connector", &figures(&connector)),
        line("", "**connector ÷ limit**", &ratios),
    ]
    .join("\n")
}

fn columns(measured: &Measured) -> [f64; 12] {
    let Measured { per_second, latency, shown, cpu, redis_cpu, scripts, redis_bytes, memory } = *measured;
    let [p50, p95, p99, p999] = latency;
    [per_second, p50, p95, p99, p999, shown[0], shown[1], cpu, redis_cpu, scripts, redis_bytes, memory]
}

/// Of each column for itself: a round that another process disturbed then spoils no row.
fn medians(rounds: &[Measured]) -> Vec<f64> {
    let rounds: Vec<_> = rounds.iter().map(columns).collect();
    (0..HEAD.len() - 2).map(|column| median(rounds.iter().map(|round| round[column]).collect())).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Three digits that mean something.
fn shown(figure: f64) -> String {
    match figure.abs() {
        size if size >= 10_000.0 => thousands(figure),
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

fn ratio(limit: f64, connector: f64) -> String {
    if limit <= 0.0 { "–".to_owned() } else { format!("**{:.2}**", connector / limit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_each_column_and_its_ratio_are_shown() {
        let of = |per_second, cpu| Measured { per_second, cpu, ..Measured::default() };
        let limit = [of(10_000.0, 10.0), of(30_000.0, 30.0), of(20_000.0, 20.0)];
        let ours = [of(5_000.0, 90.0), of(7_000.0, 30.0)];
        let rows = rows("send", &limit, &ours);
        let lines: Vec<Vec<&str>> = rows.lines().map(|line| line.split(" | ").collect()).collect();
        assert_eq!(lines.iter().map(|line| line[2]).collect::<Vec<_>>(), ["20,000", "6000", "**0.30**"]);
        assert_eq!(lines.iter().map(|line| line[9]).collect::<Vec<_>>(), ["20.0", "60.0", "**3.00**"]);
        assert_eq!(lines[2][10], "–", "nothing can be told beside nothing");
        assert!(lines.iter().all(|line| line.len() == HEAD.len()), "{rows}");
    }
}
