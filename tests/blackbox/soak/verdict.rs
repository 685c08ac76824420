//! What was lost or doubled, by the books of ALC and of Attio. The connector's own word counts only for whether it
//! still has something to do. A lead of which Redis itself lost a write that it had acknowledged, by its own files, is
//! counted and not judged: such a store promises no more (docs/operations.md, What "durable" means).

use std::time::Duration;

use sandbox::{Alc, Attio, Seen};
use serde_json::Value;

use super::{
    life::{Callers, Life, PATIENCE, Story},
    records::Merged,
    rig::Rig,
};
use crate::support::{ambient::Stopwatch, attio_app::AttioApp, harness::Person, http::try_send};

/// One line for each.
pub async fn of(rig: &Rig, callers: &Callers, story: &Story) -> Vec<String> {
    let patience = Patience::begun();
    let attio = &rig.world.attio;
    let judged = || story.lives.iter().filter(|life| !rig.lost.has(&life.person.record_id));
    let unfinished = || judged().filter(|life| !is_shown(attio, life));
    patience
        .comes(async || {
            callers.consent_if_asked(&rig.world).await;
            unfinished().next().is_none()
        })
        .await;
    let mut losses = Vec::new();
    for life in unfinished() {
        let (record, happened) = (&life.person.record_id, callers.happened_to(&life.person).await);
        losses.push(format!("{record}: Attio shows {:?}, not {}: {happened}", attio.history(record), life.result));
    }
    for life in judged() {
        let record = &life.person.record_id;
        let leads = rig.world.alc.leads_of(record);
        if leads.len() != life.sends {
            losses.push(format!("{record}: ALC has {} leads of {} sends", leads.len(), life.sends));
        }
        if life.sends == 1 && stepped_back(rig, record) {
            let happened = callers.happened_to(&life.person).await;
            losses.push(format!("{record}: Attio showed {:?}: {happened}", attio.history(record)));
        }
        if life.is_waited_for && !is_told(patience, attio, record).await {
            losses.push(format!("{record}: the waiting step was told {:?}", attio.told(record)));
        }
        if !is_at_rest(patience, callers, record).await {
            losses.push(format!("{record}: the connector still has something to do"));
        }
    }
    for merged in story.merged.iter().filter(|merged| !merged.is_lost(&rig.lost)) {
        losses.extend(of_a_merge(patience, rig, callers, merged).await);
    }
    for person in story.deleted.iter().filter(|person| !rig.lost.has(&person.record_id)) {
        losses.extend(of_a_deletion(patience, rig, callers, person).await);
    }
    losses.extend(of_those_before(patience, rig, callers).await);
    losses
}

/// The new record shows the result of the lead that speaks, and nothing of the other.
async fn of_a_merge(patience: Patience, rig: &Rig, callers: &Callers, merged: &Merged) -> Vec<String> {
    let (attio, record) = (&rig.world.attio, &merged.record_id);
    let shown = || (attio.status(record), attio.value(record, "alc_result"));
    let mut results = vec![merged.result];
    if rig.file().is_some() {
        // The newer lead speaks, and SQLite's time is the machine's: put back over a restart, it turns that round.
        results.push("unqualified");
    }
    let is_right = || {
        let (status, result) = shown();
        status.as_deref() == Some("Complete") && result.is_some_and(|result| results.iter().any(|one| *one == result))
    };
    patience.comes(async || is_right()).await;
    let mut losses = Vec::new();
    if !is_right() {
        let happened = callers.happened_to(&merged.speaker).await;
        losses.push(format!("{record}, merged: Attio shows {:?}: {happened}", shown()));
    }
    if stepped_back(rig, record) {
        losses.push(format!("{record}, merged: Attio showed {:?}", attio.history(record)));
    }
    let leads = |person: &Person| rig.world.alc.leads_of(&person.record_id).len();
    if leads(&merged.speaker) != 1 || leads(&merged.other) > 1 {
        let (speaker, other) = (leads(&merged.speaker), leads(&merged.other));
        losses.push(format!("{record}, merged: ALC has {speaker} leads of the one and {other} of the other"));
    }
    if !is_at_rest(patience, callers, record).await {
        losses.push(format!("{record}, merged: the connector still has something to do"));
    }
    losses
}

/// Whoever asks is told what became of it, and nobody is asked twice.
async fn of_a_deletion(patience: Patience, rig: &Rig, callers: &Callers, person: &Person) -> Vec<String> {
    let (record, leads) = (&person.record_id, rig.world.alc.leads_of(&person.record_id).len());
    let told = async || {
        let lead = asked(&callers.app(), &format!("/v1/leads/{record}")).await;
        lead["status"] == "failed" && lead["reason"] == "record-deleted"
    };
    if patience.comes(told).await && leads <= 1 {
        return Vec::new();
    }
    vec![format!("{record}, deleted: ALC has {leads} leads; {}", callers.happened_to(person).await)]
}

/// What was replaced or removed has left nothing beside what the connection that stands has.
async fn of_those_before(patience: Patience, rig: &Rig, callers: &Callers) -> Vec<String> {
    let mut losses = Vec::new();
    let (alc, attio) = (&rig.world.alc, &rig.world.attio);
    // Which of a rotating ALC's refresh tokens is the one that stands, only the connector knows.
    // A grant that Redis has forgotten nobody can give back.
    let most = if rig.lost.has_workspace() { usize::MAX } else { 1 };
    let alone = || {
        let (webhooks, grants) = nameable(alc);
        (webhooks, attio.webhooks().len()) == (1, 1) && alc.living_grants() >= 1 && grants <= most
    };
    if !patience.comes(async || alone()).await {
        let (webhooks, grants) = ((nameable(alc).0, attio.webhooks().len()), alc.living_grants());
        let told = callers.connections().await;
        losses.push(format!(
            "where one connection stands: {webhooks:?} webhooks at ALC and Attio, {grants} grants: {told}\n{}",
            given_back(alc)
        ));
    }
    for app in callers.before() {
        if !patience.comes(async || is_refused(&app).await).await {
            losses.push("the token of a connection that is gone still works".to_owned());
        }
    }
    losses
}

/// What ALC has, and each request that made some of it or gave some of it back.
fn given_back(alc: &Alc) -> String {
    let asked = ["create_webhook", "delete_webhook", "list_webhooks", "revoke", "token"];
    let asked = alc.journal().all().into_iter().filter(|seen| asked.contains(&seen.operation));
    let told = asked.map(|seen| {
        let Seen { at, operation, path, body, status, fault, answer, .. } = seen;
        format!("{at} {operation} {path} {body}: {status:?} {fault:?} {answer:?}")
    });
    let has = format!("ALC has {:?} and {}", alc.webhooks(), alc.state()["grants"]);
    [has].into_iter().chain(told).collect::<Vec<_>>().join("\n")
}

/// How many webhooks and living grants ALC has, but for the grants that nobody can name and their webhooks: with no
/// connection beside it, nobody's tokens could delete such a one (docs/reliability.md). Its URL answers 410.
fn nameable(alc: &Alc) -> (usize, usize) {
    let (state, seen) = (alc.state(), alc.journal().all());
    let living = state["grants"].as_array().into_iter().flatten().filter(|grant| grant["revoked"] == false);
    let (named, lost): (Vec<_>, Vec<_>) = living.partition(|grant| is_nameable(&seen, grant));
    let of = |operation| seen.iter().filter(move |seen| seen.operation == operation);
    let codes = lost.iter().filter_map(|grant| grant["code"].as_str());
    let exchanged = codes.flat_map(|code| of("token").filter(move |seen| seen.body.contains(code)));
    let tokens: Vec<_> = exchanged.map(|seen| answer(seen)["access_token"].clone()).collect();
    let made =
        of("create_webhook").filter(|seen| bearer(seen).is_some_and(|bearer| tokens.iter().any(|it| it == bearer)));
    let left: Vec<_> = made.map(|seen| answer(seen)["webhook_id"].clone()).collect();
    let webhooks = alc.webhooks();
    (webhooks.iter().filter(|webhook| !left.iter().any(|id| *id == webhook.webhook_id)).count(), named.len())
}

/// Whether the connector must have had a grant's refresh token: it was handed out with the grant, or was named since,
/// or an access token beside it was used. Another one's was lost with ALC's answer to a refresh that rotated it, or is
/// yet to be used.
fn is_nameable(seen: &[Seen], grant: &Value) -> bool {
    let refresh = grant["refresh_token"].as_str().unwrap_or_default();
    seen.iter().any(|seen| {
        let is_token = seen.operation == "token";
        let handed_out = || seen.body.contains("authorization_code") && answer(seen)["refresh_token"] == refresh;
        let named = || (is_token || seen.operation == "revoke") && seen.body.contains(refresh);
        let used = || bearer(seen).is_some_and(|bearer| grant["access_tokens"].get(bearer).is_some());
        (is_token && handed_out()) || named() || used()
    })
}

fn answer(seen: &Seen) -> Value {
    seen.answer.as_deref().and_then(|answer| serde_json::from_str(answer).ok()).unwrap_or_default()
}

fn bearer(seen: &Seen) -> Option<&str> {
    seen.headers.get("authorization")?.strip_prefix("Bearer ")
}

async fn is_refused(app: &AttioApp) -> bool {
    let request = app.request(reqwest::Method::GET, "/v1/connection");
    try_send(request).await.is_ok_and(|answer| answer.status == 401)
}

async fn asked(app: &AttioApp, path: &str) -> Value {
    let answer = try_send(app.request(reqwest::Method::GET, path)).await;
    if answer.as_ref().is_ok_and(|answer| answer.status == 401) {
        app.try_refresh().await;
    }
    answer.map(|answer| answer.json()).unwrap_or_default()
}

/// Nothing is left behind when the workspace leaves: no webhook, no grant, no token that is good for anything.
pub async fn of_removal(rig: &Rig, callers: &Callers) -> Vec<String> {
    let (alc, attio, app) = (&rig.world.alc, &rig.world.attio, callers.app());
    callers.remove(&app).await;
    let patience = Patience::begun();
    let left = || {
        let (webhooks, grants) = nameable(alc);
        (webhooks, attio.webhooks().len(), if rig.lost.has_workspace() { 0 } else { grants })
    };
    let is_over = async || {
        rig.give_time().await;
        left() == (0, 0, 0) && is_refused(&app).await
    };
    if patience.comes(is_over).await {
        return Vec::new();
    }
    vec![format!("left after the removal: webhooks at ALC, at Attio, and grants: {:?}", left())]
}

/// How long the verdict waits for all of it together: what was lost would cost a patience of its own each time.
#[derive(Clone, Copy)]
struct Patience(Stopwatch);

impl Patience {
    fn begun() -> Self {
        Self(Stopwatch::start())
    }

    /// Whether it is so before patience ends. Unlike `eventually` it lets the verdict go on: what is lost is told all
    /// at once.
    async fn comes(self, mut so: impl AsyncFnMut() -> bool) -> bool {
        while !so().await {
            if self.0.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }
}

/// Whether what Attio and ALC have of a person is as it should be.
pub fn is_right(rig: &Rig, life: &Life) -> bool {
    is_shown(&rig.world.attio, life) && rig.world.alc.leads_of(&life.person.record_id).len() == life.sends
}

fn is_shown(attio: &Attio, life: &Life) -> bool {
    attio.status(&life.person.record_id).as_deref() == Some("Complete")
        && attio.value(&life.person.record_id, "alc_result").as_ref() == Some(&life.result)
}

/// Pending after Complete, and not by a write that a parted wire had kept: what its sender has given up nobody can call
/// back, and the record is read back for it (docs/reliability.md). That it shows Complete in the end is judged
/// apart.
fn stepped_back(rig: &Rig, record: &str) -> bool {
    let history = rig.world.attio.history(record);
    let back = history.iter().skip_while(|status| *status != "Complete").filter(|status| *status != "Complete").count();
    back > 0 && back > rig.late_writes(record, "Pending")
}

/// Soon at the latest: once or, where an answer of Attio was lost, more often, and always the same.
async fn is_told(patience: Patience, attio: &Attio, step: &str) -> bool {
    patience.comes(async || !attio.told(step).is_empty()).await;
    let told = attio.told(step);
    told.first().is_some_and(|first| first["result"] == "qualified" && told.iter().all(|one| one == first))
}

async fn is_at_rest(patience: Patience, callers: &Callers, record: &str) -> bool {
    patience
        .comes(async || {
            let lead = asked(&callers.app(), &format!("/v1/leads/{record}")).await;
            lead["status"] == "complete" && lead["attio"] == "synced"
        })
        .await
}
