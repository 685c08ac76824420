//! The button: "Send to ALC" as a person at Attio presses it.
//!
//! Owns what presses: the built Attio app (`examples/attio-app`), run by Node, where both are there; else one HTTP
//! request in its place. Promises to say which of the two it was, and to keep what the person saw of the last press.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use super::{app::App, children::quiet_command, http::Reply};

/// Presses, and remembers what was shown.
pub(super) struct Button {
    /// The script that runs the built app; or why it can't be run.
    app: Result<PathBuf, String>,
    shown: Mutex<Vec<Shown>>,
}

/// A toast or an alert.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Shown {
    /// `toast`, `alert`, or `hidden` for a toast that is taken away.
    pub(super) kind: String,
    pub(super) title: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    variant: Option<String>,
}

/// What the script tells, a line each.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Shown(Shown),
    Begun { id: u64, method: String, path: String, body: Option<String> },
    Ended { id: u64, status: u16 },
}

/// Attio ends a server function after 30 s; Node needs a moment to start.
const PATIENCE: Duration = Duration::from_secs(40);

impl Button {
    /// Looks for Node and for the built app in `directory`.
    pub(super) async fn find(directory: &Path) -> Self {
        Self { app: script(directory).await, shown: Mutex::default() }
    }

    /// What presses, in words.
    pub(super) fn told(&self) -> String {
        match &self.app {
            Ok(_) => "The button runs the built Attio app (examples/attio-app).".to_owned(),
            Err(missing) => format!("The button is one HTTP request in place of the Attio app: {missing}."),
        }
    }

    /// What the person sees of the last press, a toast that was taken away left out.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let all = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hidden: Vec<_> =
            all.iter().filter(|shown| shown.kind == "hidden").map(|shown| shown.title.clone()).collect();
        all.into_iter().filter(|shown| shown.kind != "hidden" && !hidden.contains(&shown.title)).collect()
    }

    /// What the last press ended with.
    pub(super) fn last_title(&self) -> String {
        self.shown().pop().map_or_else(|| "nothing".to_owned(), |shown| shown.title)
    }

    fn show(&self, shown: Shown) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
    }

    /// Takes away what an earlier press has shown.
    pub(super) fn clear(&self) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// One press.
    pub(super) async fn press(&self, app: &App) {
        self.clear();
        let Ok(script) = &self.app else {
            self.show(in_place_of_app(&app.send().await));
            return;
        };
        let ran = tokio::time::timeout(PATIENCE, self.run(script, app)).await;
        let failure = match ran {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it was not done after {} s", PATIENCE.as_secs()),
        };
        self.show(alert("The Attio app could not be run", &failure));
    }

    async fn run(&self, script: &Path, app: &App) -> io::Result<()> {
        let person = app.person();
        let person = json!({ "recordId": person.record_id, "name": person.name, "phoneNumbers": [person.phone] });
        // By standard input, as the arguments of a process are for everybody to see, and the token is in here.
        let asked = json!({ "connection": app.connection_for_app().await, "person": person }).to_string();
        let mut child =
            node().arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(asked.as_bytes()).await?;
        }
        let mut requests = Vec::new();
        if let Some(output) = child.stdout.take() {
            let mut lines = BufReader::new(output).lines();
            while let Some(line) = lines.next_line().await? {
                match serde_json::from_str(&line)? {
                    Line::Shown(shown) => self.show(shown),
                    Line::Begun { id, method, path, body } => {
                        let body = body.unwrap_or_default();
                        requests.push((id, app.log.begin("Attio app", "Connector", &method, &path, &body)));
                    }
                    Line::Ended { id, status } => {
                        let request = requests.iter().find(|(begun, _)| *begun == id);
                        request.into_iter().for_each(|(_, order)| app.log.end(*order, status));
                    }
                }
            }
        }
        let ended = child.wait_with_output().await?;
        if ended.status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&ended.stderr).lines().last().unwrap_or_default().to_owned();
        Err(io::Error::other(format!("{}: {complaint}", ended.status)))
    }
}

fn node() -> Command {
    quiet_command(Path::new("node"))
}

/// The script in `directory` that runs the built app; or what is missing for it.
async fn script(directory: &Path) -> Result<PathBuf, String> {
    let version = node().arg("--version").output().await.map_err(|_| "Node.js is not installed".to_owned())?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < 20) {
        return Err(format!("Node.js {version} is too old, 20.19 or later is needed"));
    }
    let built = ["dist/index.js", "dist/server.js", "node_modules/graphql", "node_modules/react"];
    if built.iter().any(|part| !directory.join(part).exists()) {
        return Err("it is not built yet, which `make app` does".to_owned());
    }
    directory.join("host/press.mjs").canonicalize().map_err(|error| error.to_string())
}

/// The answer itself where there is no app to say it: the lead's status decides, as a 200 may be for a lead that waits.
fn in_place_of_app(reply: &Reply) -> Shown {
    let status = reply.body["status"].as_str().unwrap_or_default();
    let title = match (reply.status, status) {
        (201, "pending" | "complete") => "Sent to ALC",
        (200, "pending" | "complete") => "Already with ALC",
        (200 | 202, "queued") => "On the way to ALC",
        _ => return alert("Not sent to ALC", &reply.told()),
    };
    Shown {
        kind: "toast".to_owned(),
        title: title.to_owned(),
        text: Some(format!("The connector answers {}, and the lead is {status}.", reply.status)),
        variant: Some(if reply.status == 201 { "success" } else { "neutral" }.to_owned()),
    }
}

fn alert(title: &str, text: &str) -> Shown {
    Shown { kind: "alert".to_owned(), title: title.to_owned(), text: Some(text.to_owned()), variant: None }
}

#[cfg(test)]
mod tests {
    use super::{Reply, in_place_of_app};
    use serde_json::json;

    #[test]
    fn without_the_app_the_leads_status_is_told() {
        for (status, lead, title) in [
            (201, "pending", "Sent to ALC"),
            (201, "failed", "Not sent to ALC"),
            (202, "queued", "On the way to ALC"),
            (200, "queued", "On the way to ALC"),
            (200, "pending", "Already with ALC"),
            (503, "", "Not sent to ALC"),
        ] {
            let reply = Reply { status, body: json!({ "status": lead }), ..Reply::default() };
            assert_eq!(in_place_of_app(&reply).title, title, "{status} {lead}");
        }
    }
}
