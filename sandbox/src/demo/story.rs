//! The life of a lead, told step by step.
//!
//! Owns the order of the steps. Promises a ✓ only for what was read back from where it had to happen, and after the
//! first ✗ only how the connector stopped.

use std::time::Duration;

use super::{
    app::{App, RESULT, WAITING_STEP},
    besides,
    button::Button,
    children::Children,
    telling::{Failed, eventually, say, told},
};

/// The connector is up, on both its listeners.
pub(super) async fn introduce(children: &mut Children, app: &App, button: &Button) -> Result<(), Failed> {
    say(&format!("The connector on {}, a pretend ALC, a pretend Attio.\n{}\n", children.store, button.told()));
    for (name, url) in [("public", children.connector_url.clone()), ("management", children.management_url.clone())] {
        let ready = async {
            while !app.ready(&url).await {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        let found = tokio::select! {
            () = ready => "200",
            () = children.connector_ended() => "the connector has ended by itself",
            () = tokio::time::sleep(Duration::from_secs(10)) => "not ready after 10 s",
        };
        told(found == "200", &format!("the connector is ready ({name})"), "200 from /readyz", found)?;
    }
    Ok(())
}

/// Connect, send, Pending, callback, Complete, what else the connector can do, disconnect.
pub(super) async fn life(app: &App, button: &Button, children: &Children) -> Result<(), Failed> {
    connect(app).await?;
    webhook_registered(app)?;
    press(app, button).await?;
    shows(app, "Pending").await?;
    lead_id_shown(app).await?;
    step_waits(app).await?;
    answer(app).await?;
    shows(app, "Complete").await?;
    result_shown(app).await?;
    step_told(app).await?;
    besides::besides(app, children).await?;
    disconnect(app).await
}

/// Connect again, for the page.
pub(super) async fn reconnect(app: &App) -> Result<(), Failed> {
    say("\nConnecting again, for the page.");
    connect(app).await?;
    webhook_registered(app)
}

async fn connect(app: &App) -> Result<(), Failed> {
    let walked = app.walk_to_consent_and_back().await;
    let found = walked.as_ref().map_or_else(Clone::clone, |_| "back at Attio's redirect URI".to_owned());
    told(
        walked.is_ok(),
        "consent: browser → connector → ALC and back",
        "a redirect with a code and our state",
        &found,
    )?;
    let exchanged = app.exchange(&walked.unwrap_or_default()).await;
    let found = match &exchanged {
        Ok(reply) => {
            format!("{}, expires in {} s", reply.body["token_type"].as_str().unwrap_or("?"), reply.body["expires_in"])
        }
        Err(error) => error.clone(),
    };
    told(exchanged.is_ok(), "Attio has the connector's token", "an access and a refresh token", &found)?;
    let grants = app.alc.living_grants();
    told(grants == 1, "ALC has granted access", "1 living grant at ALC", &format!("{grants} living grant at ALC"))?;
    let added = app.connection_added().await;
    told(added.status == 201, "connect: connection-added", "201", &added.told())?;
    let seen = app.connection().await;
    let status = seen.body["status"].as_str().unwrap_or_default();
    let found = if seen.status == 200 { format!("status {status}") } else { seen.told() };
    told(seen.status == 200 && status == "connected", "the connector says so", "200, status connected", &found)
}

fn webhook_registered(app: &App) -> Result<(), Failed> {
    let webhooks = app.alc.webhooks();
    let wanted = format!("{}/webhooks/alc/", app.connector_url());
    let ours = webhooks.len() == 1 && webhooks[0].url.starts_with(&wanted);
    let found = match webhooks.as_slice() {
        [one] if ours => format!("ALC has {} → {wanted}••••", one.event),
        [one] => format!("ALC has one that points to {}", super::log::masked_path(&one.url)),
        several => format!("ALC has {}", several.len()),
    };
    told(ours, "webhook registered", &format!("one webhook at ALC, to {wanted}…"), &found)
}

async fn press(app: &App, button: &Button) -> Result<(), Failed> {
    button.press(app).await;
    let shown = button.last_title();
    told(shown == "Sent to ALC", "press: Send to ALC", "Sent to ALC", &shown)?;
    let person = app.person();
    let leads = app.alc.leads_of(&person.record_id);
    let whole = matches!(leads.as_slice(), [lead] if lead.name == person.name && lead.phone_number == person.phone);
    let found = match leads.as_slice() {
        [lead] => format!("ALC has one lead of the record, for {}", lead.name),
        several => format!("ALC has {} leads of the record", several.len()),
    };
    told(whole, "the lead is at ALC", "one lead with the record's name and number", &found)
}

async fn shows(app: &App, status: &str) -> Result<(), Failed> {
    let record_id = app.person().record_id;
    let shown = eventually(|| app.attio.status(&record_id).filter(|shown| shown == status)).await;
    let found = format!("Attio shows {}", app.attio.status(&record_id).unwrap_or_else(|| "no status".to_owned()));
    let expected = format!("Attio shows {status} within 10 s");
    told(shown.is_some(), &format!("{status} in Attio"), &expected, &found)
}

async fn lead_id_shown(app: &App) -> Result<(), Failed> {
    let record_id = app.person().record_id;
    let at_alc = app.alc.leads_of(&record_id).pop().map(|lead| lead.id);
    let same = eventually(|| (app.attio.value(&record_id, "alc_lead_id") == at_alc).then_some(())).await;
    let found = app.attio.value(&record_id, "alc_lead_id").unwrap_or_else(|| "none".to_owned());
    told(same.is_some(), "ALC's lead id in Attio", &format!("{at_alc:?}"), &found)
}

async fn answer(app: &App) -> Result<(), Failed> {
    let answer = app.answer(RESULT).await;
    let status = answer.map_or(0, |answer| answer.status);
    told(status == 200, "callback: ALC says lead.processed", "200", &status.to_string())
}

async fn result_shown(app: &App) -> Result<(), Failed> {
    let record_id = app.person().record_id;
    let shown = eventually(|| app.attio.value(&record_id, "alc_result").filter(|shown| shown == RESULT)).await;
    let found = app.attio.value(&record_id, "alc_result").unwrap_or_else(|| "none".to_owned());
    told(shown.is_some(), "ALC's result in Attio", RESULT, &found)?;
    let history = app.attio.history(&record_id).join(" → ");
    told(history == "Pending → Complete", "the record's history in Attio", "Pending → Complete", &history)?;
    let lead = app.lead().await;
    let status = lead.body["status"].as_str().unwrap_or_default();
    let found = if lead.status == 200 { format!("status {status}") } else { lead.told() };
    told(lead.status == 200 && status == "complete", "the connector's own view of the lead", "status complete", &found)
}

async fn step_waits(app: &App) -> Result<(), Failed> {
    let joined = app.wait_as_step().await;
    let still_pending = joined.status == 200;
    told(still_pending, "a workflow step joins: POST /v1/leads", "200, as the lead is under way", &joined.told())?;
    let heard = app.attio.told(WAITING_STEP);
    let found = if heard.is_empty() { "nothing told yet".to_owned() } else { format!("{heard:?}") };
    told(heard.is_empty(), "it waits for ALC", "nothing told before ALC's answer", &found)
}

async fn step_told(app: &App) -> Result<(), Failed> {
    let heard = eventually(|| app.attio.told(WAITING_STEP).pop()).await.unwrap_or_default();
    let text = |name: &str| heard[name].as_str().unwrap_or("none").to_owned();
    let right = text("record_id") == app.person().record_id && text("status") == "complete" && text("result") == RESULT;
    let found = format!("{}, {}", text("status"), text("result"));
    told(right, "the waiting workflow step was told", &format!("complete, {RESULT}, for this record"), &found)
}

async fn disconnect(app: &App) -> Result<(), Failed> {
    let removed = app.connection_removed().await;
    told(removed.status == 202, "disconnect: connection-removed", "202", &removed.told())?;
    let gone = eventually(|| app.alc.webhooks().is_empty().then_some(())).await;
    let found = format!("ALC has {} webhooks", app.alc.webhooks().len());
    told(gone.is_some(), "webhook gone", "ALC has 0 webhooks within 10 s", &found)?;
    let revoked = eventually(|| (app.alc.living_grants() == 0).then_some(())).await;
    let found = format!("ALC has {} living grants", app.alc.living_grants());
    told(revoked.is_some(), "access revoked", "ALC has 0 living grants within 10 s", &found)
}
