//! What is measured, what the alerts and the dashboard ask for, and what docs/operations.md says of both: one does not
//! change without the others.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml_ng::Value;

use crate::Offence;

/// The texts that speak of metrics.
pub(crate) struct Texts<'a> {
    pub(crate) catalogue: &'a str,
    pub(crate) sources: &'a [(String, String)],
    pub(crate) dashboard: &'a str,
    pub(crate) rules: &'a str,
    pub(crate) tests: &'a str,
    pub(crate) operations: &'a str,
}

const CATALOGUE: &str = "src/telemetry/catalogue.rs";
const RULES: &str = "deploy/prometheus/alc-connector.rules.yaml";
const OPERATIONS: &str = "docs/operations.md";
const PREFIX: &str = "alc_connector_";

pub(crate) fn offences(texts: &Texts<'_>) -> Vec<Offence> {
    let mut found = unknown_metrics(texts);
    found.extend(unwatched(texts));
    found.extend(alerts(texts));
    found
}

/// The names that a source hands to the macros of `metrics`: cookies have the same prefix.
fn measured(source: &str) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for call in ["counter!(", "gauge!(", "histogram!("] {
        for (at, _) in source.match_indices(call) {
            let rest = source[at + call.len()..].trim_start().strip_prefix('"');
            if let Some((name, _)) =
                rest.and_then(|rest| rest.split_once('"')).filter(|(name, _)| name.starts_with(PREFIX))
            {
                found.insert(name, source[..at].lines().count().max(1));
            }
        }
    }
    found
}

/// The names of metrics in a text, each with its line.
fn names(text: &str) -> BTreeMap<&str, usize> {
    let mut names = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices(PREFIX) {
            let rest = &line[at..];
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
            let name = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| rest[..end].strip_suffix(suffix));
            names.entry(name.unwrap_or(&rest[..end])).or_insert(index + 1);
        }
    }
    names
}

fn unknown_metrics(texts: &Texts<'_>) -> Vec<Offence> {
    let known: BTreeSet<&str> = names(texts.catalogue).into_keys().collect();
    let others = [("deploy/grafana/alc-connector.json", texts.dashboard), (RULES, texts.rules)];
    let others = others.into_iter().chain([(OPERATIONS, texts.operations)]).map(|(file, text)| (file, names(text)));
    let sources = texts.sources.iter().map(|(file, text)| (file.as_str(), measured(text)));
    let mut found = Vec::new();
    for (file, names) in others.chain(sources) {
        for (name, line) in names.into_iter().filter(|(name, _)| !known.contains(name)) {
            found.push(Offence { file: file.to_owned(), line, rule: format!("{name} is not in {CATALOGUE}") });
        }
    }
    found
}

/// A metric that nobody looks at is not worth its cost.
fn unwatched(texts: &Texts<'_>) -> Vec<Offence> {
    let (shown, told) = (names(texts.dashboard), names(texts.operations));
    let mut found = Vec::new();
    for (name, line) in names(texts.catalogue) {
        if !shown.contains_key(name) {
            found.push(Offence { file: CATALOGUE.to_owned(), line, rule: format!("{name} is not on the dashboard") });
        }
        if !told.contains_key(name) {
            found.push(Offence {
                file: CATALOGUE.to_owned(),
                line,
                rule: format!("{OPERATIONS} says nothing of {name}"),
            });
        }
    }
    found
}

/// Each alert says where it is explained, is explained there, and has a test in which it fires.
fn alerts(texts: &Texts<'_>) -> Vec<Offence> {
    let rules: Value = serde_yaml_ng::from_str(texts.rules).expect("the rules are YAML");
    let tests: Value = serde_yaml_ng::from_str(texts.tests).expect("their tests are YAML");
    let mut found = Vec::new();
    let mut offence = |rule: String| found.push(Offence { file: RULES.to_owned(), line: 1, rule });
    let fired: BTreeSet<&str> = items(&tests["tests"])
        .flat_map(|test| items(&test["alert_rule_test"]))
        .filter(|test| items(&test["exp_alerts"]).next().is_some())
        .filter_map(|test| test["alertname"].as_str())
        .collect();
    let mut known = BTreeSet::new();
    for rule in items(&rules["groups"]).flat_map(|group| items(&group["rules"])) {
        let name = rule["alert"].as_str().unwrap_or_default();
        known.insert(name);
        let anchor = format!("{OPERATIONS}#{}", name.to_lowercase());
        if rule["annotations"]["runbook_url"].as_str() != Some(&anchor) {
            offence(format!("{name}: its runbook_url is not {anchor}"));
        }
        if !fired.contains(name) {
            offence(format!("{name}: no test lets it fire"));
        }
        let paragraph = texts.operations.split(&format!("### {name}\n")).nth(1).unwrap_or_default();
        if paragraph.split("\n#").next().is_none_or(|text| text.trim().is_empty()) {
            offence(format!("{name}: {OPERATIONS} does not say what to do"));
        }
    }
    let explained = texts.operations.lines().filter_map(|line| line.strip_prefix("### AlcConnector"));
    for rest in explained.filter(|rest| !known.contains(format!("AlcConnector{rest}").as_str())) {
        offence(format!("{OPERATIONS} explains AlcConnector{rest}, which is no alert"));
    }
    found
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_sequence().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "groups: [{ rules: [{ alert: AlcConnectorDown, annotations: { runbook_url: docs/operations.md#alcconnectordown } }] }]";
    const TEST: &str =
        "tests: [{ alert_rule_test: [{ alertname: AlcConnectorDown, exp_alerts: [{ exp_labels: {} }] }] }]";
    const TOLD: &str = "alc_connector_a_total\n### AlcConnectorDown\n\nStart it.\n\n## Next\n";

    fn texts<'a>() -> Texts<'a> {
        Texts {
            catalogue: "\"alc_connector_a_total\"",
            sources: &[],
            dashboard: "rate(alc_connector_a_total[5m])",
            rules: RULE,
            tests: TEST,
            operations: TOLD,
        }
    }

    #[track_caller]
    fn one(texts: &Texts<'_>, rule: &str) {
        let found: Vec<_> = offences(texts).into_iter().map(|offence| offence.rule).collect();
        assert!(found.len() == 1 && found[0].contains(rule), "{found:?}");
    }

    #[test]
    fn what_fits_together_passes() {
        assert!(offences(&texts()).is_empty());
    }

    #[test]
    fn a_name_that_is_not_measured_is_found_in_each_text() {
        let sources = [("src/a.rs".to_owned(), "counter!(\"alc_connector_b_total\")".to_owned())];
        one(&Texts { sources: &sources, ..texts() }, "alc_connector_b_total is not in");
        one(
            &Texts { dashboard: "alc_connector_a_total alc_connector_b_seconds_bucket", ..texts() },
            "b_seconds is not in",
        );
    }

    #[test]
    fn a_metric_that_nobody_is_shown_or_told_of_is_found() {
        one(&Texts { dashboard: "", ..texts() }, "is not on the dashboard");
        one(&Texts { operations: &TOLD.replace("alc_connector_a_total", ""), ..texts() }, "says nothing of");
    }

    #[test]
    fn an_alert_without_words_or_test_is_found() {
        one(&Texts { rules: &RULE.replace("#alcconnectordown", ""), ..texts() }, "its runbook_url is not");
        one(&Texts { tests: &TEST.replace("[{ exp_labels: {} }]", "[]"), ..texts() }, "no test lets it fire");
        one(&Texts { operations: &TOLD.replace("Start it.", ""), ..texts() }, "does not say what to do");
        one(&Texts { rules: "groups: []", tests: "tests: []", ..texts() }, "which is no alert");
    }
}
