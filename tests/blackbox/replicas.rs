//! Replicas on one Redis share all work: operations `sendLead` and `alcCallback` at any of them.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use sandbox::{Fault, Stage};

use crate::support::{
    ambient::{PATIENCE, spawn},
    harness::{HOUR, MINUTE, Setup, run},
    process::Process,
};

#[test]
fn fifty_leads_over_two_replicas_are_each_sent_and_shown_once() {
    run(async {
        let (world, app) = Setup::two_replicas().with("ATTIO__WRITES_PER_SECOND", "1000").connected().await;
        let people: Vec<_> = (0..50).map(|_| world.person()).collect();
        let presses = people.iter().map(|person| app.press(person));
        for answer in futures_util::future::join_all(presses).await {
            answer.expect(201);
        }
        let calls = people.iter().map(|person| world.call_back(person, "qualified"));
        futures_util::future::join_all(calls).await;
        let shown =
            async || people.iter().all(|person| world.attio.status(&person.record_id).as_deref() == Some("Complete"));
        world.pass_until("all are complete", std::time::Duration::from_secs(1), MINUTE, shown).await;
        for person in &people {
            assert_eq!(world.alc.leads_of(&person.record_id).len(), 1);
            let history = world.attio.history(&person.record_id);
            assert!(history == ["Pending", "Complete"] || history == ["Complete"], "{history:?}");
        }
    });
}

#[test]
fn a_replica_takes_up_what_another_left() {
    run(async {
        let (mut world, app) = Setup::redis().impatient().connected().await;
        let ada = world.person();
        world.alc.faults().always("create_lead", Fault::status(429));
        app.press(&ada).await.expect(202);
        world.stop().await;
        world.alc.faults().clear("create_lead");
        world.start_replica().await;
        world.start_replica().await;
        let out = async || app.lead_says(&ada, "status").await == "pending";
        world.pass_until("it goes out", MINUTE, HOUR, out).await;
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
    });
}

#[test]
fn a_press_at_each_of_two_replicas_sends_once() {
    run(async {
        let (world, app) = Setup::two_replicas().connected().await;
        for _ in 0..10 {
            let ada = world.person();
            let before = world.alc.journal().count("create_lead");
            let hold = world.alc.faults().hold("create_lead", Stage::After);
            let presses = (0..6).map(|_| {
                let (app, ada) = (app.clone(), ada.clone());
                spawn(async move { app.press(&ada).await })
            });
            let mut presses: FuturesUnordered<_> = presses.collect();
            hold.reached(1).await;
            // All are in before the first is done: the others join its send and need not wait for it.
            for n in 0..6 {
                if n == 5 {
                    world.alc.faults().release("create_lead");
                }
                let pressed =
                    tokio::time::timeout(PATIENCE, presses.next()).await.expect("an answer while ALC has none");
                pressed.expect("six of them").expect("an answer").expect(if n < 5 { 200 } else { 201 });
            }
            assert_eq!(world.alc.journal().count("create_lead"), before + 1);
        }
    });
}

#[test]
fn a_press_notices_at_once_what_another_replica_has_done_to_the_connection() {
    run(async {
        let (world, app) = Setup::two_replicas().connected().await;
        let [one, other] = [0, 1].map(|at| world.replicas()[at].public);
        let by = |replica| world.lead_to(vec![replica]);
        by(one);
        app.press(&world.person()).await.expect(201);
        by(other);
        app.connection_removed().await.expect(202);
        // Not a moment passes: this replica has just seen the workspace connected.
        by(one);
        let ada = world.person();
        let refused = app.press(&ada).await;
        assert!(refused.status >= 400, "{refused:?}");
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 0);
        by(other);
        let again = world.connect().await;
        by(one);
        again.press(&ada).await.expect(201);
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1);
    });
}

#[test]
fn two_processes_on_one_redis_live_the_whole_life() {
    run(async {
        let mut world = Setup::redis().prepare().await;
        world.live_in_real_time();
        let mut processes = [Process::new(&world.settings), Process::new(&world.settings)];
        for process in &mut processes {
            process.start().await;
        }
        world.lead_to(processes.iter().map(|process| process.public).collect());
        let app = world.connect().await;
        let people: Vec<_> = (0..10).map(|_| world.person()).collect();
        for person in &people {
            app.press(person).await.expect(201);
            app.press(person).await.expect(200);
        }
        for person in &people {
            world.call_back(person, "qualified").await;
            world.shows(person, "Complete").await;
            assert_eq!(world.alc.leads_of(&person.record_id).len(), 1);
        }
        app.connection_removed().await.expect(202);
        world.alc.journal().wait_answered("delete_webhook", 1).await;
        for process in &mut processes {
            assert_eq!(process.terminate().await, Some(0), "SIGTERM ends it well");
        }
    });
}
