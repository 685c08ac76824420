//! `alc-connector sync`: has a running service look both sides through, and waits for what that comes to.
//!
//! Promises that the syncs go on when the command ends, and that the same command then finds them again.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    ByWhom, Output,
    client::Client,
    members, runtime,
    table::{self, cell, clean},
};
use crate::config::Environment;

/// How often the service is asked how far it is.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// Where nobody watches a bar, so many answers make a line.
const LINE_EVERY: u32 = 30;
/// A service that restarts is away for so many answers at most.
const AWAY_AT_MOST: u32 = 60;
/// The bar.
const WIDTH: u64 = 30;

/// What the command's help says below its options.
pub const SYNC_HELP: &str = "\
  alc-connector sync
  alc-connector sync --workspace 3a6ae7e0-5b0f-4a51-9d0b-3c4a1b2c3d4e --mend

A result that Attio does not show is shown again; ALC is asked for results that it has not called back with. A person
who is Pending in Attio and of whom neither this service nor ALC knows is reported, and set to Failed with --mend.
It takes its time: at most a tenth of ATTIO__WRITES_PER_SECOND. It goes on in the service when this command is ended.
Exit code 0: nothing differs any more; 1: differences are left; 2: it could not be done, or a
workspace was passed over: it is not connected to Attio.";

/// What is to be synced.
#[derive(Args)]
pub struct SyncArgs {
    /// This workspace only.
    #[arg(long)]
    workspace: Option<String>,
    /// Sets to Failed what is Pending in Attio and unknown to this service and to ALC.
    #[arg(long)]
    mend: bool,
    /// Who asks.
    #[command(flatten)]
    by: ByWhom,
    /// How the answer is printed.
    #[command(flatten)]
    output: Output,
}

/// `alc-connector sync`: what it came to, and whether nothing is left.
pub fn sync(environment: &Environment, arguments: SyncArgs) -> Result<(String, bool), String> {
    let client = Client::of(environment)?;
    runtime()?.block_on(async {
        let is_json = arguments.output.json;
        let (mut syncs, passed_over) = begin(&client, arguments).await?;
        let (mut bar, mut away) = (Bar::new(), 0);
        while syncs.values().any(runs) {
            bar.show(&syncs);
            tokio::time::sleep(ASKED_EVERY).await;
            match look(&client, &mut syncs).await {
                Ok(()) => away = 0,
                // A service that is deployed anew meanwhile goes on where it was.
                Err(error) if away >= AWAY_AT_MOST => return Err(error),
                Err(_) => away += 1,
            }
        }
        bar.clear();
        let told = told(&syncs);
        let text = if is_json { table::json(&told) } else { as_text(&told) };
        let is_done = syncs.values().all(|sync| sync["state"] == "done");
        match not_looked_through(is_done, &passed_over) {
            None => Ok((text, told["left"] == 0)),
            Some(why) => {
                let _unheard = writeln!(io::stdout(), "{text}");
                Err(why)
            }
        }
    })
}

/// What is told of workspaces that were not looked through, or not to the end.
fn not_looked_through(is_done: bool, passed_over: &Value) -> Option<String> {
    // Of a workspace that has left nothing can be missed.
    let workspaces = passed_over.as_array().into_iter().flatten().filter(|one| one["reason"] != "left");
    let passed_over = workspaces
        .map(|one| format!("workspace {} was passed over: {}", cell(one.get("workspace_id")), cell(one.get("reason"))));
    let unfinished = "not everything was looked through: see the state and the last error of each workspace";
    let lines: Vec<_> = passed_over.chain((!is_done).then(|| unfinished.to_owned())).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The syncs by workspace, as they begin, and the workspaces of which none does.
async fn begin(client: &Client, arguments: SyncArgs) -> Result<(BTreeMap<String, Value>, Value), String> {
    let mut body = members([("workspace_id", arguments.workspace), ("by", arguments.by.by)]);
    body["all"] = json!(body["workspace_id"].is_null());
    body["mend"] = json!(arguments.mend);
    let (mut begun, error) = client.post_pages("/operate/syncs", body, "syncs").await?;
    if let Some(error) = error {
        return Err(error);
    }
    let mut syncs = BTreeMap::new();
    take(&mut syncs, &begun, false);
    Ok((syncs, begun["passed_over"].take()))
}

/// How far they are.
async fn look(client: &Client, syncs: &mut BTreeMap<String, Value>) -> Result<(), String> {
    let one = if syncs.len() == 1 { syncs.keys().next().cloned() } else { None };
    let query = [("workspace_id", one)];
    let page = client.list("/operate/syncs", &query, "syncs", usize::MAX).await?;
    for sync in syncs.values_mut().filter(|sync| runs(sync)) {
        // Unless the answer has it: it has left with its workspace.
        sync["state"] = json!("gone");
    }
    take(syncs, &page, true);
    Ok(())
}

fn take(syncs: &mut BTreeMap<String, Value>, page: &Value, known_alone: bool) {
    for sync in page["syncs"].as_array().into_iter().flatten() {
        let workspace = sync["workspace_id"].as_str().unwrap_or_default();
        if !known_alone || syncs.contains_key(workspace) {
            syncs.insert(workspace.to_owned(), sync.clone());
        }
    }
}

fn runs(sync: &Value) -> bool {
    sync["state"] == "running"
}

fn sum(syncs: &BTreeMap<String, Value>, name: &str) -> u64 {
    syncs.values().filter_map(|sync| sync[name].as_u64()).sum()
}

fn told(syncs: &BTreeMap<String, Value>) -> Value {
    let [checked, mended, left] = ["checked", "mended", "left"].map(|name| sum(syncs, name));
    json!({ "checked": checked, "mended": mended, "left": left, "syncs": syncs.values().collect::<Vec<_>>() })
}

fn as_text(told: &Value) -> String {
    let mut lines = Vec::new();
    let syncs = told["syncs"].as_array().into_iter().flatten();
    for sync in syncs.clone().filter(|sync| sync["state"] != "done") {
        let of = |name: &str| cell(sync.get(name));
        lines.push(format!("workspace {}: {}, last error {}", of("workspace_id"), of("state"), of("last_error")));
    }
    let mut left = Vec::new();
    for sync in syncs {
        for difference in sync["differences"].as_array().into_iter().flatten() {
            left.push(json!({
                "workspace_id": sync["workspace_id"], "record_id": difference["record_id"],
                "reason": difference["reason"],
            }));
        }
    }
    if !left.is_empty() {
        lines.push(table::columns(&Value::Array(left), &["workspace_id", "record_id", "reason"]));
    }
    let of = |name: &str| cell(told.get(name));
    lines.push(format!("{} checked, {} mended, {} left", of("checked"), of("mended"), of("left")));
    lines.join("\n")
}

/// How far it is: a bar on a terminal, else a line now and then.
struct Bar {
    is_terminal: bool,
    shown: u32,
}

impl Bar {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), shown: 0 }
    }

    fn show(&mut self, syncs: &BTreeMap<String, Value>) {
        let text = progress(syncs, self.shown);
        let is_line = !self.is_terminal && self.shown.is_multiple_of(LINE_EVERY);
        self.shown = self.shown.wrapping_add(1);
        let mut stderr = io::stderr();
        // Whether it is seen or not, the sync goes on.
        let _unseen = match (self.is_terminal, is_line) {
            (true, _) => write!(stderr, "\r\u{1b}[K{text}").and_then(|()| stderr.flush()),
            (false, true) => writeln!(stderr, "{text}"),
            (false, false) => Ok(()),
        };
    }

    fn clear(&self) {
        if self.is_terminal {
            let _unseen = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// One line. How many there are is known only from the last time; without that the bar just moves.
fn progress(syncs: &BTreeMap<String, Value>, shown: u32) -> String {
    let [checked, mended, left] = ["checked", "mended", "left"].map(|name| sum(syncs, name));
    let is_known = !syncs.is_empty() && syncs.values().all(|sync| sync["expected"].as_u64().is_some_and(|n| n > 0));
    let expected = sum(syncs, "expected").max(1);
    let bar: String = match is_known {
        true => (0..WIDTH).map(|at| if at * expected < checked * WIDTH { '#' } else { '.' }).collect(),
        false => (0..WIDTH).map(|at| if at == u64::from(shown) % WIDTH { '#' } else { '.' }).collect(),
    };
    let running = syncs.values().filter(|sync| runs(sync)).count();
    let error = syncs.values().filter(|sync| runs(sync)).find_map(|sync| sync["last_error"].as_str());
    let waits = error.map(|error| format!(", waits: {}", clean(error))).unwrap_or_default();
    format!("[{bar}] {running} running, {checked} checked, {mended} mended, {left} left{waits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syncs(checked: u64, expected: Option<u64>, error: Option<&str>) -> BTreeMap<String, Value> {
        let sync = json!({
            "workspace_id": "w", "state": "running", "checked": checked, "mended": 1, "left": 2,
            "expected": expected, "last_error": error,
        });
        BTreeMap::from([("w".to_owned(), sync)])
    }

    #[test]
    fn the_bar_fills_by_what_there_was_the_last_time() {
        let line = progress(&syncs(50, Some(100), None), 3);
        let expected = format!("[{}{}] 1 running, 50 checked, 1 mended, 2 left", "#".repeat(15), ".".repeat(15));
        assert_eq!(line, expected);
        assert!(
            progress(&syncs(500, Some(100), None), 3).starts_with(&format!("[{}]", "#".repeat(30))),
            "there are more"
        );
        let unknown = progress(&syncs(50, None, Some("Attio: \u{1b}[31mno")), 3);
        assert!(unknown.starts_with("[...#"), "{unknown}");
        assert!(unknown.ends_with("waits: Attio: \u{fffd}[31mno"), "nothing of it reaches the terminal: {unknown}");
    }

    #[test]
    fn what_was_passed_over_is_named() {
        let passed_over = json!([{ "workspace_id": "w", "reason": "not-connected" }]);
        let told = not_looked_through(true, &passed_over).expect("told");
        assert_eq!(told, "workspace w was passed over: not-connected");
        assert!(not_looked_through(false, &passed_over).is_some_and(|both| both.starts_with(&told) && both != told));
        assert!(not_looked_through(false, &json!([])).is_some());
        for nothing_is_missed in [json!([]), json!([{ "workspace_id": "w", "reason": "left" }])] {
            assert_eq!(not_looked_through(true, &nothing_is_missed), None);
        }
    }

    #[test]
    fn what_is_left_is_named() {
        let mut all = syncs(7, None, None);
        all.get_mut("w").expect("there")["differences"] = json!([{ "record_id": "r", "reason": "unknown" }]);
        let text = as_text(&told(&all));
        assert!(text.contains("w             r          unknown"), "{text}");
        assert!(text.ends_with("7 checked, 1 mended, 2 left"), "{text}");
    }
}
