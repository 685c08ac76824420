//! How far Redis serves, from what each partition said to a write.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::time::timeout;

use super::{
    connection::{Connection, Insist},
    failure::{failure, is_moving},
    scripts::{Call, Script},
};
use crate::store::{Degraded, StoreError};

/// A server that is silent must not keep the probe, which has two seconds, from telling of the others.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Between the attempts at a write that was sent on to another server: the client learns the way by each refusal, and a
/// server that is gone stays one to which the others send it on.
const SENT_ON_PAUSES: [u64; 3] = [50, 150, 300];

/// What is degraded; an error if no partition serves.
pub(super) async fn how_far(
    connection: &Connection,
    ping: &Script,
    places: impl Iterator<Item = String>,
) -> Result<BTreeSet<Degraded>, StoreError> {
    let asked = places.map(|place| async move {
        let call = ping.key(&place);
        timeout(PATIENCE, write(connection, &call)).await
    });
    let mut degraded = BTreeSet::new();
    let mut is_served = false;
    let mut lost = None;
    for answer in join_all(asked).await {
        match answer {
            Ok(Ok(_)) => is_served = true,
            Ok(Err(error)) => match failure(&error) {
                StoreError::Full => {
                    is_served = true;
                    degraded.insert(Degraded::Full);
                }
                // On the move: its tenants wait a moment, and are served then.
                _ if is_moving(&error) && !is_sent_on(&error) => is_served = true,
                error => lost = Some(error),
            },
            Err(_) => lost = Some(StoreError::Unavailable("Redis: no answer in time".to_owned())),
        }
    }
    if let Some(error) = lost {
        if !is_served {
            return Err(error);
        }
        degraded.insert(Degraded::PartLost);
    }
    Ok(degraded)
}

async fn write(connection: &Connection, call: &Call<'_>) -> Result<Value, RedisError> {
    let mut pauses = SENT_ON_PAUSES.iter();
    loop {
        match connection.call(call, Insist::Briefly).await {
            Err(error) if is_sent_on(&error) => {
                let Some(pause) = pauses.next() else { return Err(error) };
                tokio::time::sleep(Duration::from_millis(*pause)).await;
            }
            answer => return answer,
        }
    }
}

fn is_sent_on(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}
