//! `HTTP__REQUESTS_PER_SECOND`: one workspace's flood leaves another's button alone.

use alc_connector::{
    authorization::{
        keys::SigningKeys,
        tokens::{AccessTokens, Subject},
    },
    ids::{ConnectionId, WorkspaceId},
};
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use sandbox::Callback;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::support::{
    ambient::{PATIENCE, Stopwatch},
    harness::{Setup, World, run, scenario},
    http::send,
};

const RATE: usize = 20;

/// A token that the service's own key signed, of a workspace that never connected: it is counted, then refused.
fn token_of_another_workspace(world: &World) -> String {
    let key = SecretString::from(world.settings.get("KEYS__SIGNING"));
    let keys = SigningKeys::new(&key, None).expect("the service's key");
    let subject = Subject { workspace: WorkspaceId::random(), connection: ConnectionId::random() };
    AccessTokens::new(keys, &world.url()).issue(subject, world.now()).expose_secret().to_owned()
}

/// Asks, forty times at once, until something was refused; more than once on a machine too busy for it.
async fn until_refused(ask: impl Fn() -> RequestBuilder) {
    for _ in 0..10 {
        let answers = join_all((0..40).map(|_| send(ask()))).await;
        if answers.iter().any(|answer| answer.status == 429) {
            return;
        }
    }
    panic!("nothing was refused");
}

#[test]
fn one_workspaces_flood_leaves_anothers_button_fast() {
    run(async {
        let (world, app) = Setup::sqlite().with("HTTP__REQUESTS_PER_SECOND", &RATE.to_string()).connected().await;
        let token = token_of_another_workspace(&world);
        let flood = async || {
            let one = |_| send(world.client.get(format!("{}/v1/leads", world.url())).bearer_auth(&token));
            join_all((0..10 * RATE).map(one)).await
        };
        let mut first = flood().await;
        // A machine that is busy enough answers them all within the rate.
        for _ in 0..10 {
            if first.iter().any(|answer| answer.status == 429) {
                break;
            }
            first = flood().await;
        }
        assert!(first.iter().any(|answer| answer.status == 429), "nothing was refused");
        assert!(first.iter().all(|answer| matches!(answer.status, 401 | 429)));
        for answer in first.into_iter().filter(|answer| answer.status == 429).take(3) {
            let answer = answer.expect_problem(429, "too-many-requests");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        let press = async || {
            for _ in 0..5 {
                let watch = Stopwatch::start();
                app.press(&world.person()).await.expect(201);
                assert!(watch.elapsed() < PATIENCE, "the button took {:?}", watch.elapsed());
            }
        };
        futures_util::join!(flood(), press());
    });
}

#[test]
fn a_share_that_is_used_up_is_nobody_elses() {
    run(async {
        let (world, app) = Setup::sqlite().with("HTTP__REQUESTS_PER_SECOND", "5").connected().await;
        let token = token_of_another_workspace(&world);
        for _ in 0..3 {
            let flood = || until_refused(|| world.client.get(format!("{}/v1/leads", world.url())).bearer_auth(&token));
            let person = world.person();
            let ((), pressed, ()) = futures_util::join!(flood(), app.press(&person), flood());
            pressed.expect(201);
        }
    });
}

scenario! {
    async fn beyond_the_rate_429_but_not_for_callbacks_nor_for_leaving(setup: Setup) {
        let (world, app) = setup.with("HTTP__REQUESTS_PER_SECOND", "5").connected().await;
        let ada = world.person();
        app.press(&ada).await.expect(201);
        let body = json!({ "record_id": "no", "name": "", "phone_number": "" });
        let flood = || until_refused(|| app.request(Method::POST, "/v1/leads").json(&body));
        flood().await;
        let calls = (0..20).map(|_| world.alc.call_back(Callback::new(&ada.record_id, "qualified")));
        assert!(join_all(calls).await.iter().all(|answer| answer.status == 200), "a callback was refused");
        // In the thick of it. Its own share is small, too, but as large as that.
        for _ in 0..3 {
            let ((), removed, ()) = futures_util::join!(flood(), app.connection_removed(), flood());
            removed.expect(202);
        }
    }
}
