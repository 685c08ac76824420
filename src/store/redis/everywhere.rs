//! What is asked of every partition: in one script where one server has them all, else in one for each.
//!
//! Promises that a partition which gives no answer now does not hold up the others, and that a server which refuses the
//! one script, though it let us start with it, is asked for each partition by itself.

use futures_util::future::join_all;
use redis::{FromRedisValue, Value};

use super::{
    connection::{Connection, Insist},
    failure::{failure, is_lost},
    keys::{Keys, PARTITIONS},
    scripts::{Call, Script},
};
use crate::{
    ids::{random_uuid, unit_random},
    store::StoreError,
};

/// All partitions of a namespace.
#[derive(Clone, Copy)]
pub(super) struct Everywhere<'a> {
    pub(super) connection: &'a Connection,
    pub(super) keys: &'a Keys,
    /// One script may ask them all.
    pub(super) at_once: bool,
}

/// What the partitions answered.
pub(super) struct Answers<T> {
    pub(super) answers: Vec<T>,
    /// All of them did.
    pub(super) answered: bool,
}

impl Everywhere<'_> {
    /// Asks all partitions. `fill` gives a call its arguments, for these partitions in that order; `false`: there is
    /// nothing to ask them. An error: none of them answers.
    pub(super) async fn ask<T: FromRedisValue>(
        self,
        script: &Script,
        insist: Insist,
        fill: impl Fn(&mut Call<'_>, &[u8]) -> bool,
    ) -> Result<Answers<T>, StoreError> {
        if self.at_once {
            let all: Vec<_> = partitions().collect();
            let mut call = self.in_all(script, &all);
            if !fill(&mut call, &all) {
                return Ok(Answers { answers: Vec::new(), answered: true });
            }
            match self.connection.call(&call, insist).await {
                Ok(answer) => return Ok(Answers { answers: vec![answer], answered: true }),
                Err(error) if is_lost(&error) => return Err(failure(&error)),
                // One damaged key, or a server that has become a part of a cluster: the rest goes on.
                Err(_) => {}
            }
        }
        let each = partitions().filter_map(|partition| {
            let mut call = self.in_all(script, &[partition]);
            fill(&mut call, &[partition]).then_some(async move { self.connection.call(&call, insist).await })
        });
        let (mut answers, mut lost) = (Vec::new(), None);
        for answer in join_all(each).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => lost = Some(error),
            }
        }
        match lost {
            Some(error) if answers.is_empty() => Err(failure(&error)),
            lost => Ok(Answers { answers, answered: lost.is_none() }),
        }
    }

    /// Whether one script may ask all partitions: it sees a marker in each of them. A cluster's server that is reached
    /// by its own address refuses such a script, and a proxy that goes by the first key would run it where only some
    /// of the others are.
    pub(super) async fn is_whole(self, script: &Script) -> bool {
        if !self.connection.is_one_server() {
            return false;
        }
        let marker = random_uuid().to_string();
        let places: Vec<_> = partitions().map(|partition| self.keys.partition(partition)).collect();
        for place in &places {
            let mut set = redis::cmd("SET");
            set.arg(format!("{place}marker")).arg(&marker).arg("PX").arg(MARKER_MS);
            if self.connection.insist::<Value>(&set).await.is_err() {
                return false;
            }
        }
        let mut call = script.keys(&places);
        call.arg(marker);
        self.connection.call::<u8>(&call, Insist::Briefly).await.is_ok_and(|seen| seen == PARTITIONS)
    }

    fn in_all<'s>(self, script: &'s Script, partitions: &[u8]) -> Call<'s> {
        let places: Vec<_> = partitions.iter().map(|partition| self.keys.partition(*partition)).collect();
        script.keys(&places)
    }
}

/// How long a marker is needed: until it is looked for.
const MARKER_MS: u32 = 60_000;

/// The partitions in a random rotation, so that no tenant is always asked for last.
pub(super) fn partitions() -> impl Iterator<Item = u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in 0.0..16.0")]
    let start = (unit_random() * f64::from(PARTITIONS)) as u8;
    (0..PARTITIONS).map(move |n| (start + n) % PARTITIONS)
}
