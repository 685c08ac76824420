//! What a stage is: how it is reached, and what must become of it.

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use serde::{Deserialize, Serialize};

use crate::support::{
    attio_app::AttioApp,
    harness::{Person, Setup, World},
};

/// The keys of every stage, so that what is sealed in a stage file can be opened. They are no service's.
const KEYS: [(&str, &str); 2] = [
    ("KEYS__SEALING", "TtPlIGwubLOGlMtLWcSjq9a95eG7bKfzz7RLpHAx2Is="),
    ("KEYS__SIGNING", "MC4CAQAwBQYDK2VwBCIEIOY6U+a9NwJzFgDKGOS0lvGAB6IxuYAD+Wb/Vow7UlSJ"),
];

/// While a stage is written: whatever fails is tried again much later, so that the stage stands still.
const SLOW: [(&str, &str); 2] = [("RETRY__SCHEDULE", "10m"), ("LEADS__SEND_WAIT", "1s")];

/// What has happened up to the end of a stage; resolves to what is to come.
pub type Play = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = Ending> + 'a>>;

/// A moment in the life of stored documents.
pub struct Stage {
    /// The name of its file.
    pub name: &'static str,
    /// For readers of the file.
    pub about: &'static str,
    /// Whether each connection brings a grant of its own at Attio.
    pub attio_grants: bool,
    /// Settings that hold while it is written and when it is taken up.
    pub settings: &'static [(&'static str, &'static str)],
    /// How long ago it was when another process takes it up in real time: long enough that what waits is due by then.
    pub age: Duration,
    /// How it is reached.
    pub play: Play,
}

impl Stage {
    /// The set-up that it is written in.
    pub fn writing(&self) -> Setup {
        let slow = SLOW.iter().chain(self.settings);
        slow.fold(set_up(Setup::sqlite(), self.attio_grants), |setup, (name, value)| setup.with(name, value))
    }
}

/// With the stages' keys and credential.
pub fn set_up(setup: Setup, attio_grants: bool) -> Setup {
    let setup = KEYS.iter().fold(setup, |setup, (name, value)| setup.with(name, value));
    if attio_grants { setup.attio_grants() } else { setup }
}

/// The key that everything in a stage file is sealed under.
pub fn sealing_key() -> &'static str {
    KEYS[0].1
}

/// What happens from the end of the stage on, and what must come of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ending {
    /// The tokens of the workspace's app, if it has one; of several, the one to go on with.
    pub app: Option<Tokens>,
    /// Its connection is going: nothing is sent under it any more.
    pub leaving: bool,
    /// What is done before anything else.
    pub first: Vec<Act>,
    /// What becomes of the leads.
    pub leads: Vec<End>,
    /// How often each workflow is told from now on.
    pub told: BTreeMap<String, usize>,
}

/// What Attio keeps of a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tokens {
    access_token: String,
    refresh_token: String,
}

/// Something that comes from outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Attio tells that the connection was added, until it is taken.
    AddConnection,
    /// The customer connects again.
    Reconnect,
    /// Nothing, for so many minutes.
    Wait(u32),
    /// A browser comes back from Attio's consent page, where it was when the stage ended.
    ComeBack {
        /// Where to.
        callback: String,
        /// What it kept.
        cookies: BTreeMap<String, String>,
    },
    /// The button comes again under a key that was seen before, and is answered as then.
    PressAgain {
        /// The key.
        key: String,
        /// Of which of [`Ending::leads`].
        lead: usize,
        /// The answer.
        status: u16,
    },
}

/// What becomes of a lead.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct End {
    /// What it is in the stage.
    pub was: String,
    /// The record.
    pub record_id: String,
    /// The name.
    pub name: String,
    /// The number.
    pub phone: String,
    /// With this word ALC calls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_back: Option<String>,
    /// The webhook that is called; none: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Where it stands at last.
    pub status: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// ALC's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// How many leads of the record ALC has at last.
    pub sent: usize,
    /// What Attio shows at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<String>,
    /// Which record shows it, if not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_at: Option<String>,
    /// Whether that is what it should show.
    pub attio: String,
}

impl Tokens {
    /// Those of an app.
    pub fn of(app: &AttioApp) -> Option<Self> {
        Some(Self { access_token: app.access_token(), refresh_token: app.refresh_token.clone() })
    }

    /// The app again.
    pub fn app(&self, world: &World) -> AttioApp {
        AttioApp::of(world, &self.access_token, &self.refresh_token)
    }
}

impl End {
    fn of(person: &Person, was: &str, status: &str, shows: Option<&str>) -> Self {
        Self {
            was: was.to_owned(),
            record_id: person.record_id.clone(),
            name: person.name.clone(),
            phone: person.phone.clone(),
            calls_back: None,
            through: None,
            status: status.to_owned(),
            reason: None,
            result: None,
            sent: 1,
            shows: shows.map(str::to_owned),
            shown_at: None,
            attio: "synced".to_owned(),
        }
    }

    /// ALC calls back with this result.
    pub fn told(person: &Person, was: &str, result: &str) -> Self {
        Self { calls_back: Some(result.to_owned()), ..Self::known(person, was, result) }
    }

    /// ALC has told this result already.
    pub fn known(person: &Person, was: &str, result: &str) -> Self {
        Self { result: Some(result.to_owned()), ..Self::of(person, was, "complete", Some("Complete")) }
    }

    /// It has failed.
    pub fn failed(person: &Person, was: &str, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::of(person, was, "failed", Some("Failed")) }
    }

    /// As many leads of the record are at ALC.
    pub fn sent(self, sent: usize) -> Self {
        Self { sent, ..self }
    }

    /// ALC calls this webhook.
    pub fn through(self, webhook: &str) -> Self {
        Self { through: Some(webhook.to_owned()), ..self }
    }

    /// Another record shows it.
    pub fn shown_at(self, record_id: &str) -> Self {
        Self { shown_at: Some(record_id.to_owned()), ..self }
    }

    /// Nothing is shown, and that is `attio`.
    pub fn unshown(self, attio: &str) -> Self {
        Self { shows: None, attio: attio.to_owned(), ..self }
    }

    /// The person.
    pub fn person(&self) -> Person {
        Person { record_id: self.record_id.clone(), name: self.name.clone(), phone: self.phone.clone() }
    }
}
