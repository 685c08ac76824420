//! A note of each result, a place in a pipeline, and sends by list: what of them is right, by Attio's books.
//!
//! A note whose attempt had no answer is looked for a quarter of an hour after it was begun, and only then written
//! again. No run waits for that: when all else has been judged, one service in this process takes over the store, by a
//! clock that the verdict moves ahead.

use std::time::Duration;

use sandbox::Attio;

use super::{life::Callers, life::Story, rig::Rig};
use crate::support::harness::{MINUTE, Setup};

/// Results put people here.
pub const PIPELINE: &str = "sales";
/// Who enters it is sent.
pub const SENDING: &str = "to-alc";

/// For what is looked for twice, each time with a retry or two.
/// How many minutes may pass of which nothing comes.
const LONGEST: u32 = 45;
/// Long enough for what would be told once more by then.
const AFTERWARDS: u32 = 3;

/// With all three.
pub fn on(setup: Setup) -> Setup {
    setup
        .with("ATTIO__NOTE", "on-result")
        .with("ATTIO__PIPELINE__LIST", PIPELINE)
        .with("ATTIO__PIPELINE__STAGE_ATTRIBUTE", "stage")
        .with("ATTIO__PIPELINE__STAGES", "qualified:Qualified, not_interested:Lost")
        .with("ATTIO__SEND_ON_LIST", SENDING)
}

/// The lists that a person has made in Attio.
pub fn make_lists(attio: &Attio) {
    attio.add_list(PIPELINE, &["Qualified", "Lost"]);
    attio.add_list(SENDING, &[]);
}

/// One line for each that is wrong, when nothing more can come.
pub async fn verdict(rig: &mut Rig, callers: &Callers, story: &Story) -> Vec<String> {
    rig.leave_it_to_one().await;
    let attio = rig.world.attio.clone();
    // A busy machine may not do all that is due in the real time that a step has: as long as something comes of the
    // steps, more are taken.
    let (mut left, mut in_vain) = (usize::MAX, 0);
    while in_vain < LONGEST {
        let wrong = wrong(rig, &attio, story).len();
        if wrong == 0 {
            break;
        }
        in_vain = if wrong < left { 0 } else { in_vain + 1 };
        left = left.min(wrong);
        rig.world.pass_slowly(MINUTE, 1).await;
    }
    rig.world.pass_slowly(MINUTE * 6, AFTERWARDS).await;
    // The token is good for an hour.
    callers.app().try_refresh().await;
    let mut losses = Vec::new();
    for (record, what) in wrong(rig, &attio, story) {
        losses.push(format!("{record}: {what}: {}", callers.lead(&record).await));
    }
    losses
}

/// Each record whose notes or entries are not what its results make of them.
fn wrong(rig: &Rig, attio: &Attio, story: &Story) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for life in story.lives.iter().filter(|life| !rig.lost.has(&life.person.record_id)) {
        let record = &life.person.record_id;
        let (notes, stages) = (titles(attio, record), stages(attio, record));
        let mut wanted: Vec<_> = life.results().iter().map(|result| format!("ALC: {result}")).collect();
        wanted.sort();
        if notes != wanted {
            wrong.push((record.clone(), format!("notes {notes:?}, not {wanted:?}")));
        }
        let stage = if life.result == "qualified" { "Qualified" } else { "Lost" };
        if stages != [stage] {
            wrong.push((record.clone(), format!("stages {stages:?}, not {stage}")));
        }
    }
    for merged in story.merged.iter().filter(|merged| !merged.is_lost(&rig.lost)) {
        let (notes, stages) = (titles(attio, &merged.record_id), stages(attio, &merged.record_id));
        // As in the verdict on what is shown; the other's result names no stage.
        let turned = rig.file().is_some() && notes == ["ALC: unqualified"] && stages.is_empty();
        let is_right = notes == [format!("ALC: {}", merged.result)] && stages == ["Qualified"];
        if !is_right && !turned {
            wrong.push((merged.record_id.clone(), format!("merged: notes {notes:?}, stages {stages:?}")));
        }
        // What is told of the originals is told on the new record.
        for original in [&merged.speaker.record_id, &merged.other.record_id] {
            if !titles(attio, original).is_empty() || !self::stages(attio, original).is_empty() {
                wrong.push((original.clone(), "merged, and has a note or an entry of its own".to_owned()));
            }
        }
    }
    for gone in story.deleted.iter().filter(|person| !rig.lost.has(&person.record_id)) {
        if !titles(attio, &gone.record_id).is_empty() || !stages(attio, &gone.record_id).is_empty() {
            wrong.push((gone.record_id.clone(), "deleted, and has a note or an entry".to_owned()));
        }
    }
    wrong
}

fn titles(attio: &Attio, record: &str) -> Vec<String> {
    let mut titles: Vec<_> = attio.notes(record).into_iter().map(|note| note.title).collect();
    titles.sort();
    titles
}

/// One for each entry.
fn stages(attio: &Attio, record: &str) -> Vec<String> {
    let entries = attio.entries_of(PIPELINE, record).len();
    let stage = attio.entry_value(PIPELINE, record, "stage").unwrap_or_default();
    vec![stage; entries]
}

/// So much passes at once where the one service that is left has something to try again.
pub const AGAIN: Duration = Duration::from_secs(2);
