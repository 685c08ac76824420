//! What the connector does besides the button, where an operator has turned it on.
//!
//! Promises the same as the story that it is part of.

use serde_json::json;

use super::{
    app::{App, RESULT},
    children::{Children, LIST, SENDING_LIST},
    telling::{Failed, eventually, told},
};
use crate::Callback;

/// A note, a place in the pipeline, a send by list, a person whom ALC brings, a full sync.
pub(super) async fn besides(app: &App, children: &Children) -> Result<(), Failed> {
    noted(app).await?;
    sent_by_list(app).await?;
    brought(app).await?;
    synced(app, children).await
}

/// Where sales people look.
async fn noted(app: &App) -> Result<(), Failed> {
    let record_id = app.person().record_id;
    let notes = || app.attio.notes(&record_id);
    let first = eventually(|| notes().into_iter().next()).await;
    let right = first.as_ref().is_some_and(|note| note.title == format!("ALC: {RESULT}")) && notes().len() == 1;
    let found =
        first.map_or_else(|| "none".to_owned(), |note| format!("one of {}, titled {}", notes().len(), note.title));
    told(right, "a note on the record", &format!("one note, titled ALC: {RESULT}"), &found)?;
    let stage = eventually(|| app.attio.entry_value(LIST, &record_id, "stage")).await.unwrap_or_default();
    told(stage == "Qualified", "a place in the pipeline", "the stage Qualified", &stage)
}

async fn sent_by_list(app: &App) -> Result<(), Failed> {
    let record_id = app.attio.add_person("Alan Turing", "+442079460958");
    let answers = app.attio.add_entry(SENDING_LIST, &record_id).await;
    let leads = || app.alc.leads_of(&record_id);
    let sent = eventually(|| leads().pop()).await;
    let right = answers == [200] && sent.as_ref().is_some_and(|lead| lead.name == "Alan Turing") && leads().len() == 1;
    let found = sent.map_or_else(|| "none".to_owned(), |lead| format!("{} of {}", leads().len(), lead.name));
    told(right, &format!("put into the list {SENDING_LIST}: sent"), "one lead at ALC, with the record's name", &found)?;
    call_back(app, Callback::new(&record_id, "not_interested")).await?;
    let stage = eventually(|| app.attio.entry_value(LIST, &record_id, "stage")).await.unwrap_or_default();
    told(stage == "Lost", "its result, in the pipeline", "the stage Lost", &stage)
}

async fn brought(app: &App) -> Result<(), Failed> {
    let known = app.attio.people();
    let person = Callback::prospect("p-1", "Katherine Johnson", "katherine@example.com").field("status", json!(RESULT));
    call_back(app, person).await?;
    let made = || app.attio.people().into_iter().find(|record| !known.contains(record));
    let shown = || made().filter(|record| app.attio.status(record).as_deref() == Some("Complete"));
    let name = eventually(shown).await.map(|record| app.attio.values(&record, "name").join(" "));
    let found = name.unwrap_or_else(|| "nobody who is Complete".to_owned());
    let right = found == "Katherine Johnson" && app.attio.people().len() == known.len() + 1;
    told(right, "a person whom ALC brings, in Attio", "one record more, Complete", &found)
}

async fn call_back(app: &App, callback: Callback) -> Result<(), Failed> {
    let webhook = app.alc.webhooks().pop().map(|webhook| webhook.webhook_id).unwrap_or_default();
    let status = app.alc.call_back(callback.to(&webhook)).await.status;
    told(status == 200, "callback: ALC says what came of it", "200", &status.to_string())
}

/// Both sides differ, since a person has set the record back by hand.
async fn synced(app: &App, children: &Children) -> Result<(), Failed> {
    let record_id = app.person().record_id;
    app.attio.edit(&record_id, "alc_status", "Pending");
    let (code, text) = children.run(&["sync"]).await;
    let last = text.lines().last().unwrap_or_default().to_owned();
    let right = code == Some(0) && last.contains("1 mended, 0 left");
    told(right, "set back by hand: alc-connector sync", "1 mended, 0 left, exit code 0", &last)?;
    let shown = eventually(|| app.attio.status(&record_id).filter(|shown| shown == "Complete")).await;
    told(shown.is_some(), "Complete in Attio again", "Complete", &shown.unwrap_or_else(|| "Pending".to_owned()))
}
