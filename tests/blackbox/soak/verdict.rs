//! What was lost or doubled, by the books of ALC and of Attio. The connector's own word counts only for whether it
//! still has something to do.

use std::time::Duration;

use sandbox::Attio;

use super::{
    life::{Callers, Life, PATIENCE, Story},
    rig::Rig,
};
use crate::support::{ambient::Stopwatch, http::try_send};

/// One line for each.
pub async fn of(rig: &Rig, callers: &Callers, story: &Story) -> Vec<String> {
    let attio = &rig.world.attio;
    let unfinished = || story.lives.iter().filter(|life| !is_shown(attio, life));
    comes(async || unfinished().next().is_none()).await;
    let mut losses = Vec::new();
    for life in unfinished() {
        let (record, happened) = (&life.person.record_id, callers.happened_to(&life.person).await);
        losses.push(format!("{record}: Attio shows {:?}, not {}: {happened}", attio.history(record), life.result));
    }
    for life in &story.lives {
        let record = &life.person.record_id;
        let leads = rig.world.alc.leads_of(record);
        if leads.len() != life.sends {
            losses.push(format!("{record}: ALC has {} leads of {} sends", leads.len(), life.sends));
        }
        if life.sends == 1 && stepped_back(&attio.history(record)) {
            losses.push(format!("{record}: Attio showed {:?}", attio.history(record)));
        }
        if life.is_waited_for && !is_told(attio, record).await {
            losses.push(format!("{record}: the waiting step was told {:?}", attio.told(record)));
        }
        if !is_at_rest(callers, record).await {
            losses.push(format!("{record}: the connector still has something to do"));
        }
    }
    losses
}

/// Nothing is left behind when the workspace leaves: no webhook at ALC, no grant, no token that is good for anything.
pub async fn of_removal(rig: &Rig, callers: &Callers) -> Vec<String> {
    let alc = &rig.world.alc;
    callers.app().connection_removed().await.expect(202);
    if comes(async || alc.webhooks().is_empty() && alc.living_grants() == 0).await {
        return Vec::new();
    }
    vec![format!("left at ALC: {} webhooks, {} grants", alc.webhooks().len(), alc.living_grants())]
}

/// Whether it is so before patience ends. Unlike `eventually` it lets the verdict go on: what is lost is told all at
/// once.
async fn comes(mut so: impl AsyncFnMut() -> bool) -> bool {
    let watch = Stopwatch::start();
    while !so().await {
        if watch.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
}

fn is_shown(attio: &Attio, life: &Life) -> bool {
    attio.status(&life.person.record_id).as_deref() == Some("Complete")
        && attio.value(&life.person.record_id, "alc_result").as_ref() == Some(&life.result)
}

/// Pending after Complete.
fn stepped_back(history: &[String]) -> bool {
    history.iter().skip_while(|status| *status != "Complete").any(|status| status != "Complete")
}

/// Soon at the latest: once or, where an answer of Attio was lost, more often, and always the same.
async fn is_told(attio: &Attio, step: &str) -> bool {
    comes(async || !attio.told(step).is_empty()).await;
    let told = attio.told(step);
    told.first().is_some_and(|first| first["result"] == "qualified" && told.iter().all(|one| one == first))
}

async fn is_at_rest(callers: &Callers, record: &str) -> bool {
    comes(async || {
        let request = callers.app().request(reqwest::Method::GET, &format!("/v1/leads/{record}"));
        let lead = try_send(request).await.map(|answer| answer.json()).unwrap_or_default();
        lead["status"] == "complete" && lead["attio"] == "synced"
    })
    .await
}
