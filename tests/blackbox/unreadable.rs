//! What a newer version wrote: this one leaves it alone, lists the rest (`listLeads`), and says in each line of the log
//! whose step it was.

use std::time::Duration;

use alc_connector::{
    lifecycle::Lifecycle,
    store::{Change, Commit, Committed, Document, Key, Kind, LeaseChange, Tenant, Write},
};

use crate::support::{
    ambient::eventually,
    harness::{MINUTE, Person, Setup, World, scenario},
    secrets,
    stored::open,
};

/// The lead as it is stored, after `change` has made another body of it that is due at once. While no replica runs.
async fn rewritten(world: &World, person: &Person, change: impl FnOnce(&str) -> String) -> Document {
    let lifecycle = Lifecycle::new();
    let store = open(world, &lifecycle).await;
    let (tenant, key) = (Tenant::new(world.attio.workspace_id()), Key::new(Kind::Lead, &person.record_id));
    let load = async || {
        let loaded = store.load(&tenant, std::slice::from_ref(&key), &[], world.now()).await;
        loaded.expect("the store answers").documents.remove(0).expect("it is stored")
    };
    let found = load().await;
    let lease = LeaseChange::Leave { due: Some(world.now()) };
    let (body, created_at) = (change(&found.body), found.created_at);
    if body != found.body {
        let change = Change::Put { body, status: "pending".into(), created_at, lease, urgent: false, expires_at: None };
        let commit = Commit::of(vec![Write { key: key.clone(), expected: Some(found.version), change }]);
        assert!(matches!(store.commit(&tenant, &commit, world.now()).await, Ok(Committed::Done(_))));
    }
    let document = load().await;
    lifecycle.stop();
    store.close().await;
    document
}

/// The lead as if a newer version had written it last; the replicas start anew.
pub async fn made_newer(world: &mut World, person: &Person) -> Document {
    let replicas = world.replicas().len();
    world.stop().await;
    let newer = rewritten(world, person, |body| body.replacen("\"schema\":1", "\"schema\":99", 1)).await;
    for _ in 0..replicas {
        world.start_replica().await;
    }
    newer
}

scenario! {
    async fn a_lead_of_a_newer_version_is_left_alone_and_holds_up_no_list(setup: Setup) {
        let (mut world, app) = setup.with("ALC__POLL_AFTER", "0s").connected().await;
        let replicas = world.replicas().len();
        let (ada, bob) = (world.person(), world.person());
        for person in [&ada, &bob] {
            app.press(person).await.expect(201);
            world.shows(person, "Pending").await;
        }
        let newer = made_newer(&mut world, &ada).await;
        assert!(newer.body.contains("\"schema\":99"));
        // It is due: leased, not understood, and left as it was for a while; not leased again and again until then.
        world.pass(Duration::from_secs(1)).await;
        world.pass_slowly(Duration::from_secs(10), 6).await;
        let listed = app.leads("").await.expect(200).json();
        let leads = listed["leads"].as_array().expect("a list").clone();
        assert_eq!(leads.len(), 1, "{listed}");
        assert_eq!(leads[0]["record_id"], *bob.record_id);
        // The others go on.
        world.call_back(&bob, "qualified").await;
        world.shows(&bob, "Complete").await;
        world.stop().await;
        let left = rewritten(&world, &ada, str::to_owned).await;
        assert_eq!((&left.body, left.version, left.lease), (&newer.body, newer.version, None));
        let due = left.due.expect("it is looked at again");
        assert!(due > world.now() && due <= world.now() + jiff::SignedDuration::from_mins(5), "{due}");
        // As if this one had been updated: it goes on where it was.
        rewritten(&world, &ada, |body| body.replacen("\"schema\":99", "\"schema\":1", 1)).await;
        for _ in 0..replicas {
            world.start_replica().await;
        }
        world.call_back(&ada, "qualified").await;
        world.shows(&ada, "Complete").await;
        let said = secrets::lines_with("left alone for now").into_iter().filter(|line| line.contains(&ada.record_id));
        assert!((1..=2).contains(&said.count()), "one line each time that it is looked at");
    }
}

scenario! {
    async fn each_line_of_a_step_says_whose_it_is(setup: Setup) {
        let (world, app) = setup.impatient().connected().await;
        let ada = world.person();
        world.alc.faults().next("create_lead", sandbox::Fault::status(503));
        world.while_time_passes(app.press(&ada)).await.expect(202);
        world.pass_until("it is shown", MINUTE, MINUTE * 30, async || world.attio.journal().count("patch_record") > 0).await;
        let step = format!("kind=\"lead\" workspace={} record=\"{}\"", world.attio.workspace_id(), ada.record_id);
        for operation in ["submit_lead", "update_person"] {
            // Attio has counted the PATCH before the worker has logged its answer.
            let is_told = async || {
                let lines = secrets::lines_with(&step);
                lines.iter().any(|line| line.contains("upstream called") && line.contains(operation)).then_some(())
            };
            eventually(&format!("a line of {operation}"), is_told).await;
        }
    }
}
