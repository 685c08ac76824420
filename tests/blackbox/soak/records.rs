//! Attio's users merge and delete records whose leads are under way, and Attio tells of it until that is taken.

use std::time::Duration;

use sandbox::Callback;
use serde_json::Value;

use super::{Plan, further::SENDING, group::SharedLost, life::Callers};
use crate::support::{ambient::eventually_within, harness::Person, turns::Dice};

/// Two records that became one.
pub struct Merged {
    /// The new record.
    pub record_id: String,
    /// Its lead speaks for the new record.
    pub speaker: Person,
    /// The other one; whether it was sent, too.
    pub other: Person,
    /// What ALC said of the speaker.
    pub result: &'static str,
}

impl Merged {
    /// Whether Redis has lost something of it.
    pub fn is_lost(&self, lost: &SharedLost) -> bool {
        [&self.record_id, &self.speaker.record_id, &self.other.record_id].into_iter().any(|record| lost.has(record))
    }
}

impl Callers {
    /// Each pair's life, begun at a moment of its own.
    pub async fn merge_records(&self, plan: &Plan) -> Vec<Merged> {
        let lives = self.pairs.iter().enumerate().map(|(number, (one, other))| async move {
            let mut dice = Dice(plan.seed.wrapping_mul(2_000_003) + number as u64);
            self.wait(plan, &mut dice).await;
            self.merge_pair(one, other, &mut dice).await
        });
        futures_util::future::join_all(lives).await
    }

    /// Each record's end, at a moment of its own.
    pub async fn delete_records(&self, plan: &Plan) {
        let lives = self.doomed.iter().enumerate().map(|(number, person)| async move {
            let mut dice = Dice(plan.seed.wrapping_mul(3_000_017) + number as u64);
            self.wait(plan, &mut dice).await;
            self.delete_one(person, &mut dice).await;
        });
        futures_util::future::join_all(lives).await;
    }

    async fn wait(&self, plan: &Plan, dice: &mut Dice) {
        let latest = usize::try_from(plan.lasts.as_millis()).expect("milliseconds");
        tokio::time::sleep(Duration::from_millis(dice.below(latest) as u64)).await;
    }

    async fn merge_pair(&self, one: &Person, other: &Person, dice: &mut Dice) -> Merged {
        let key = |person: &Person| format!("pair {}", person.record_id);
        let soon = Duration::from_millis(dice.below(1_500) as u64);
        if dice.below(2) == 0 {
            // The press may be under way, or not even begun, when Attio tells of the merge.
            let merge = async {
                tokio::time::sleep(soon).await;
                self.merge(one, other).await
            };
            let key = key(one);
            let (record_id, ()) = tokio::join!(merge, self.press(one, &key, None));
            self.call_back(one, 1, "qualified", dice).await;
            return Merged { record_id, speaker: one.clone(), other: other.clone(), result: "qualified" };
        }
        self.press(one, &key(one), None).await;
        // The newer lead speaks: by the store's clock, which replicas know to within a part of a second.
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.press(other, &key(other), None).await;
        tokio::time::sleep(soon).await;
        let record_id = self.merge(one, other).await;
        let (speaker, silent) = self.speaker(one, other).await;
        self.call_back(speaker, 1, "qualified", dice).await;
        if let Some(lead) = self.alc.leads_of(&silent.record_id).pop() {
            let callback = Callback::new(&silent.record_id, "unqualified").lead_id(&lead.id);
            self.insist_on_callback(&callback).await;
        }
        Merged { record_id, speaker: speaker.clone(), other: silent.clone(), result: "qualified" }
    }

    /// A person puts somebody into the list that sends, and Attio tells of it, perhaps once more.
    pub async fn enter(&self, person: &Person, dice: &mut Dice) {
        let _stands = self.standing.read().await;
        let event = self.attio.add_entry_silently(SENDING, &person.record_id);
        for _ in 0..=usize::from(dice.below(3) == 0) {
            self.tell(event.clone()).await;
        }
    }

    /// The new record, once Attio has told of both originals.
    async fn merge(&self, one: &Person, other: &Person) -> String {
        let made = self.attio.merge_silently(&one.record_id, &other.record_id);
        for original in [one, other] {
            self.tell(self.attio.merged_event(&made, &original.record_id)).await;
        }
        made
    }

    async fn delete_one(&self, person: &Person, dice: &mut Dice) {
        self.press(person, &format!("doomed {}", person.record_id), None).await;
        tokio::time::sleep(Duration::from_millis(dice.below(2_000) as u64)).await;
        self.attio.delete_person(&person.record_id);
        self.tell(self.attio.event("record.deleted", &person.record_id)).await;
        if let Some(lead) = self.alc.leads_of(&person.record_id).pop() {
            self.insist_on_callback(&Callback::new(&person.record_id, "qualified").lead_id(&lead.id)).await;
        }
    }

    /// Until each webhook that stands has taken it; one of a connection that has just gone is gone with it.
    async fn tell(&self, event: Value) {
        eventually_within(self.patience(), "Attio's event is taken", async || {
            let statuses = self.attio.deliver(vec![event.clone()]).await;
            if statuses.contains(&200) && statuses.iter().all(|status| [200, 410].contains(status)) {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            None
        })
        .await;
    }
}
