//! Machines whose clocks disagree.

use super::*;
use crate::clock::{later, until};

async fn replica(server: &RedisServer, clock: ServerClock) -> RedisEngine {
    RedisEngine::open_by(&server.url().into(), "alc", &Lifecycle::new(), clock).await.expect("it opens")
}

fn now(engine: &RedisEngine) -> Timestamp {
    Engine::clock(engine).expect("Redis has one").now()
}

#[tokio::test]
async fn replicas_an_hour_apart_agree_on_leases() {
    let hour = Duration::from_secs(3600);
    let server = RedisServer::start();
    let here = replica(&server, ServerClock::new()).await;
    let ahead = replica(&server, ServerClock::ahead(hour)).await;
    let apart = |a, b| until(a, b).max(until(b, a));
    let between = (now(&here), now(&ahead));
    assert!(apart(between.0, between.1) < Duration::from_secs(1), "{between:?}");

    // Either one's lease holds for the other, and runs out for both.
    for (holder, other) in [(&here, &ahead), (&ahead, &here)] {
        let key = lead(uuid::Uuid::new_v4());
        create(holder, &tenant(), &key, due(now(holder))).await;
        let request = LeaseRequest { duration: Duration::from_secs(2), ..crate::store::conformance::request(1) };
        let leased = holder.lease_due(&request, now(holder)).await.expect("answers").leased;
        assert_eq!(leased.len(), 1, "what is due now is due");
        let until = leased[0].document.lease.expect("leased").until;
        assert!(other.lease_due(&request, now(other)).await.expect("answers").leased.is_empty(), "it is held");
        let clock = Engine::clock(other).expect("Redis has one");
        tokio::time::timeout(Duration::from_secs(10), clock.sleep_until(later(until, Duration::from_millis(1))))
            .await
            .expect("within the lease's time, not an hour later");
        let taken = other.lease_due(&request, clock.now()).await.expect("answers").leased;
        assert!(taken.len() == 1 && taken[0].ran_out, "{taken:?}");
        assert!(apart(now(holder), now(other)) < Duration::from_secs(1));
        let version = taken[0].document.version;
        assert_eq!(commit(other, vec![erase(&key, version)], now(other)).await, DONE);
    }
}
