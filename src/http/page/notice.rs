//! What a change came to, on its way through a redirect to the page that tells it.
//!
//! Promises that an address, which any other page may have made up, brings no words of its own to an operator: it names
//! words of ours and numbers.

use crate::{
    leads::Replayed,
    operate::{GatesOpened, ReplayDone, ReplayOutcome, RetriedMany},
};

const TRIED: [&str; 8] = [
    "alc",
    "attio",
    "workflows",
    "refresh",
    "revoke",
    "look-at-alc-webhook",
    "look-at-attio-webhook",
    "clean-up-webhook",
];

/// What is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// All of it was done.
    pub(super) is_done: bool,
    /// In words.
    pub(super) words: String,
}

/// What is tried now.
pub(super) fn tried(names: &[&str]) -> String {
    names.iter().fold("tried".to_owned(), |notice, name| format!("{notice}.{name}"))
}

/// What became of one letter.
pub(super) fn replayed_one(done: &ReplayDone) -> String {
    let Some(one) = done.replayed.first() else { return "already".to_owned() };
    match one.outcome {
        ReplayOutcome::Replayed => "replayed.1.0.0".to_owned(),
        ReplayOutcome::Already => "already".to_owned(),
        ReplayOutcome::Refused => {
            let advice = Replayed::ADVICE.iter().position(|advice| Some(*advice) == one.advice);
            format!("refused.{}", advice.unwrap_or(Replayed::ADVICE.len()))
        }
    }
}

/// What became of those that a filter found.
pub(super) fn replayed(done: &ReplayDone) -> String {
    let count = |outcome| done.replayed.iter().filter(|one| one.outcome == outcome).count();
    let more = if done.next_cursor.is_some() { ".more" } else { "" };
    let (replayed, already) = (count(ReplayOutcome::Replayed), count(ReplayOutcome::Already));
    format!("replayed.{replayed}.{already}.{}{more}", count(ReplayOutcome::Refused))
}

/// What of the leads that a page has shown is tried now.
pub(super) fn retried(done: &RetriedMany) -> String {
    let tried = done.retried.iter().filter(|lead| !lead.tried.is_empty()).count();
    format!("retried.{tried}.{}", done.retried.len() - tried)
}

/// What was opened.
pub(super) fn opened(done: &GatesOpened) -> String {
    format!("opened.{}.{}", done.opened.len(), done.leads_woken)
}

impl Told {
    /// What a notice says; `None`: it is none of ours.
    pub(super) fn read(notice: &str) -> Option<Self> {
        let parts: Vec<_> = notice.split('.').collect();
        let number = |text: &str| text.parse::<u64>().ok();
        let done = |words: String| Some(Self { is_done: true, words });
        let not = |words: String| Some(Self { is_done: false, words });
        match *parts.as_slice() {
            ["tried"] => not("Nothing was waiting for its next try: see below what comes next, and why.".to_owned()),
            ["tried", ref names @ ..] => {
                let names: Option<Vec<_>> = names.iter().map(|name| TRIED.into_iter().find(|it| it == name)).collect();
                done(format!("Tried now: {}.", names?.join(", ")))
            }
            ["retried", tried, left] => {
                let (tried, left) = (number(tried)?, number(left)?);
                let mut words = format!("Leads tried now: {tried}, one after the other.");
                if left > 0 {
                    words.push_str(&format!(" Nothing of {left} waits for a next try that may be hurried."));
                }
                if tried > 0 { done(words) } else { not(words) }
            }
            ["already"] => {
                not("There was nothing left to replay: it was replayed before, or has mended itself.".to_owned())
            }
            ["refused", advice] => {
                let advice = Replayed::ADVICE.get(advice.parse::<usize>().ok()?);
                not(format!("Not replayed: {}.", advice.copied().unwrap_or("see the advice below")))
            }
            ["replayed", replayed, already, refused, ref more @ ..] if more.is_empty() || more == ["more"] => {
                let (replayed, already, refused) = (number(replayed)?, number(already)?, number(refused)?);
                let mut words = format!("Replayed: {replayed}.");
                if already > 0 {
                    words.push_str(&format!(" Done before: {already}."));
                }
                if refused > 0 {
                    words.push_str(&format!(" Refused: {refused}; each says why below."));
                }
                if !more.is_empty() {
                    words.push_str(" There are more, from here on: replay again.");
                }
                if refused == 0 && more.is_empty() { done(words) } else { not(words) }
            }
            ["opened", gates, woken] => {
                done(format!("Gates opened: {}. Leads woken: {}.", number(gates)?, number(woken)?))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_brings_no_words_of_its_own() {
        for foreign in [
            "",
            "tried.evil",
            "tried.<b>",
            "opened.1",
            "opened.x.2",
            "replayed.1.2",
            "refused.x",
            "hello",
            "replayed.1.0.0.evil",
            "retried.1",
            "retried.1.x",
        ] {
            assert_eq!(Told::read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn what_was_tried_and_what_was_not_are_told_apart() {
        let told = |notice: &str| Told::read(notice).map(|told| (told.is_done, told.words)).expect("ours");
        assert_eq!(told(&tried(&["alc", "attio"])), (true, "Tried now: alc, attio.".to_owned()));
        assert!(!told(&tried(&[])).0);
        assert_eq!(told("retried.2.0"), (true, "Leads tried now: 2, one after the other.".to_owned()));
        assert!(!told("retried.0.3").0);
        assert_eq!(told("opened.2.17"), (true, "Gates opened: 2. Leads woken: 17.".to_owned()));
        for (at, advice) in Replayed::ADVICE.iter().enumerate() {
            assert!(told(&format!("refused.{at}")).1.contains(advice));
        }
        assert_eq!(told("replayed.3.0.0"), (true, "Replayed: 3.".to_owned()));
        assert!(!told("replayed.3.0.1").0 && told("replayed.50.0.0.more").1.contains("more"));
    }
}
