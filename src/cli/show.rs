//! Each answer of the management listener as an operator reads it.

use serde_json::Value;

use super::table::{cell, columns};

fn each<'a>(answer: &'a Value, items: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    answer[items].as_array().into_iter().flatten()
}

/// A list, or that it is empty; and whether there is more.
fn list(answer: &Value, items: &str, names: &[&str], none: &str) -> String {
    if each(answer, items).next().is_none() {
        return none.to_owned();
    }
    let more = if answer["next_cursor"].is_null() { "" } else { "\nThere are more: raise --limit." };
    format!("{}{more}", columns(&answer[items], names))
}

pub(super) fn leads(answer: &Value) -> String {
    let names = [
        "workspace_id",
        "record_id",
        "status",
        "reason",
        "attio",
        "attempts",
        "owed_calls",
        "dead_letters",
        "due",
        "last_error",
    ];
    list(answer, "leads", &names, "There are no such leads.")
}

pub(super) fn stories(answer: &Value) -> String {
    each(answer, "leads").map(story).collect::<Vec<_>>().join("\n\n")
}

fn story(lead: &Value) -> String {
    let of = |pointer: &str| cell(lead.pointer(pointer));
    let mut lines = vec![
        format!("Record {} of workspace {}", of("/record_id"), of("/workspace_id")),
        format!("Status      {} (reason {}), attio {}", of("/status"), of("/reason"), of("/attio")),
        format!("Next        {} at {}: {}", of("/next/step"), of("/next/at"), of("/next/why")),
        format!("Last error  {}", of("/last_error")),
        format!(
            "Attio       shows {}, is owed {}, {} failures in a row, next try {}",
            of("/attio_record/shows"),
            of("/attio_record/owed"),
            of("/attio_record/failures"),
            of("/attio_record/retry_at")
        ),
        format!("Workflows   {} wait for the end", of("/workflows_waiting")),
    ];
    if !lead["attio_record"]["last_error"].is_null() {
        lines.insert(5, format!("Attio says  {}", of("/attio_record/last_error")));
    }
    if !lead["note"].is_null() {
        lines.push(format!("Note        {}, last error {}", of("/note/state"), of("/note/last_error")));
    }
    if !lead["pipeline"].is_null() {
        let [state, stage, error] = ["state", "stage", "last_error"].map(|name| of(&format!("/pipeline/{name}")));
        lines.push(format!("Pipeline    {state} at {stage}, last error {error}"));
    }
    if !lead["leased_until"].is_null() {
        lines.push(format!("In hand     of a worker until {}", of("/leased_until")));
    }
    if !lead["joined"].is_null() {
        lines.push(format!("Merged      record {} speaks for this one", of("/joined")));
    }
    let sends = [
        "send_id",
        "status",
        "reason",
        "at_alc",
        "attempts",
        "failures",
        "lead_id",
        "created_at",
        "result",
        "last_error",
    ];
    lines.push(format!("\nSends, the present one first\n{}", columns(&lead["sends"], &sends)));
    if each(lead, "history").next().is_some() {
        lines.push(format!("\nWhat happened\n{}", columns(&lead["history"], &["at", "what", "times", "last", "said"])));
    }
    if each(lead, "calls").next().is_some() {
        let calls = ["number", "to", "trigger", "status", "failures", "due", "until"];
        lines.push(format!("\nCalls that workflows are owed\n{}", columns(&lead["calls"], &calls)));
    }
    if each(lead, "letters").next().is_some() {
        lines.push(format!("\nGiven up\n{}", columns(&lead["letters"], &LETTERS[2..])));
    }
    lines.join("\n")
}

const LETTERS: [&str; 8] = ["workspace_id", "record_id", "id", "kind", "reason", "since", "last_error", "advice"];

pub(super) fn letters(answer: &Value) -> String {
    list(answer, "dead_letters", &LETTERS, "Nothing was given up.")
}

pub(super) fn replayed(answer: &Value) -> String {
    let names = ["workspace_id", "record_id", "id", "outcome", "advice"];
    list(answer, "replayed", &names, "There was nothing to replay.")
}

pub(super) fn tried(answer: &Value) -> String {
    let advice = answer["advice"].as_str().map(|advice| format!("\n{advice}")).unwrap_or_default();
    match cell(answer.get("tried")).as_str() {
        "-" => format!(
            "Nothing that may be hurried waits for its next try; `leads show` has what comes next, and when. A send whose \
             AT_ALC is unknown keeps its time.{advice}"
        ),
        tried => format!("Tried now: {tried}{advice}"),
    }
}

/// Those that are tried now, and how many others were found.
pub(super) fn retried(answer: &Value) -> String {
    let is_tried = |lead: &&Value| lead["tried"].as_array().is_some_and(|tried| !tried.is_empty());
    let tried: Vec<_> = each(answer, "retried").filter(is_tried).cloned().collect();
    let left = each(answer, "retried").count() - tried.len();
    let mut lines = Vec::new();
    if !tried.is_empty() {
        lines.push(columns(&Value::Array(tried), &["workspace_id", "record_id", "tried"]));
    }
    if left > 0 {
        lines.push(format!(
            "Of {left} more leads nothing waits for a next try that may be hurried; `leads show` has what comes next."
        ));
    }
    if lines.is_empty() { "There are no such leads.".to_owned() } else { lines.join("\n") }
}

pub(super) fn connections(answer: &Value) -> String {
    let names = ["workspace_id", "status", "triggers", "next_step", "due", "advice"];
    list(answer, "connections", &names, "No workspace has connected yet.")
}

pub(super) fn connection(workspace: &Value) -> String {
    let of = |name: &str| cell(workspace.get(name));
    let connections =
        ["id", "phase", "created_at", "alc_dead", "alc_expires_at", "alc_refresh_at", "alc_failures", "attio_dead"];
    let webhooks = ["id", "at", "status", "lost", "outdated", "confirmed_at", "look_at", "failures"];
    [
        format!("Workspace {}: {}", of("workspace_id"), of("status")),
        format!("Advice    {}", of("advice")),
        format!("Next      {} at {}", of("next_step"), of("due")),
        format!("Triggers  {}", of("triggers")),
        format!("\nConnections\n{}", columns(&workspace["connections"], &connections)),
        format!("\nWebhooks\n{}", columns(&workspace["webhooks"], &webhooks)),
    ]
    .join("\n")
}

const GATES: [&str; 4] = ["workspace_id", "upstream", "failures", "closed_until"];

pub(super) fn gates(answer: &Value) -> String {
    let all = if answer["all_of_alc_held_back"] == true {
        "\nThis process holds back all calls to ALC: ALC answers no workspace."
    } else {
        ""
    };
    format!("{}{all}", list(answer, "gates", &GATES, "No such gate is closed."))
}

pub(super) fn opened(answer: &Value) -> String {
    let opened = list(answer, "opened", &GATES, "No such gate was closed.");
    format!("{opened}\nLeads woken: {}", cell(answer.get("leads_woken")))
}
