//! ALC's tokens: refreshed before they expire and on a 401, by one replica for all.

use std::time::Duration;

use sandbox::Fault;

use crate::support::harness::{HOUR, MINUTE, Setup, scenario};

scenario! {
    async fn they_are_refreshed_before_they_expire(setup: Setup) {
        let (world, app) = setup.connected().await;
        for refreshes in 1..=3 {
            let refreshed = async || world.alc.journal().count("token") > refreshes;
            // In steps that a request under way survives: a claim on the refresh must not run out under it.
            world.pass(MINUTE * 50).await;
            world.pass_until("refreshed", Duration::from_secs(5), HOUR, refreshed).await;
            let ada = world.person();
            app.press(&ada).await.expect(201);
        }
        let refused = world.alc.journal().requests("create_lead").iter().filter(|seen| seen.status == Some(401)).count();
        assert_eq!(refused, 0, "no request ever met an expired token");
    }
}

scenario! {
    async fn a_401_is_answered_by_a_refresh_and_the_send_goes_on(setup: Setup) {
        let (world, app) = setup.connected().await;
        let ada = world.person();
        world.alc.expire_access_tokens();
        app.press(&ada).await.expect(201);
        assert_eq!(world.alc.journal().count("token"), 2);
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
    }
}

scenario! {
    async fn many_at_once_refresh_once(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.alc.expire_access_tokens();
        let people: Vec<_> = (0..10).map(|_| world.person()).collect();
        let presses = people.iter().map(|person| app.press(person));
        for answer in futures_util::future::join_all(presses).await {
            assert!([201, 202].contains(&answer.status), "{answer:?}");
        }
        let all = async || world.alc.leads().len() == people.len();
        world.pass_until("all are sent", MINUTE, HOUR / 2, all).await;
        assert_eq!(world.alc.journal().count("token"), 2, "one exchange, one refresh");
        assert_eq!(app.connection().await.json()["status"], "connected");
    }
}

scenario! {
    async fn an_outage_of_the_token_endpoint_disconnects_nobody(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.expire_access_tokens();
        world.alc.faults().always("token", Fault::status(503));
        app.press(&ada).await.expect(202);
        world.pass_slowly(MINUTE * 5, 4).await;
        assert_eq!(app.connection().await.json()["status"], "connected");
        world.alc.faults().clear("token");
        let pending = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR * 3, pending).await;
    }
}

scenario! {
    async fn an_invalid_grant_wants_a_reconnect(setup: Setup) {
        let (world, app) = setup.connected().await;
        world.alc.revoke_grants();
        let told = async || app.connection().await.json()["status"] == "reauthorization-required";
        world.pass_until("it is told", MINUTE * 5, HOUR * 2, told).await;
        let again = world.connect().await;
        assert_eq!(again.connection().await.json()["status"], "connected");
    }
}

scenario! {
    async fn a_grant_without_a_refresh_token_or_an_expiry_is_used_as_it_is(setup: Setup) {
        let (world, app) = setup.minimal_alc().connected().await;
        world.pass_slowly(HOUR, 5).await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        assert_eq!(app.connection().await.json()["status"], "connected");
    }
}

scenario! {
    async fn an_answer_without_a_refresh_token_keeps_the_old_one(setup: Setup) {
        let (world, app) = setup.alc(|alc| alc.rotate_refresh_tokens = false).connected().await;
        for refreshes in 1..=3 {
            let refreshed = async || world.alc.journal().count("token") > refreshes;
            world.pass_until("refreshed", MINUTE, HOUR * 2, refreshed).await;
        }
        assert_eq!(app.connection().await.json()["status"], "connected");
    }
}
