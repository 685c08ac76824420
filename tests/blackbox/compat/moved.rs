//! A stopped service's store is copied into another one by the real binary, and every lead comes to its end there:
//! tokens, callback URLs and webhooks stay good, and nothing is sent twice.

use sandbox::Callback;

use super::{
    ending::{is_forgotten, press, tell, work_to_the_end},
    kept::{Into, Kept},
};
use crate::support::{
    harness::{Setup, World, run},
    process::{self, Process},
    redis_server::RedisServer,
};

/// `alc-connector store …` with `NEW_STORE` set: its exit code, and all that it prints.
async fn store(world: &World, arguments: &[&str], new: &str) -> (Option<i32>, String) {
    process::command(&world.settings, &[("NEW_STORE", new)], &[&["store"], arguments].concat()).await
}

/// The world's service has its store there from now on.
async fn moves(world: &mut World, to: &str) {
    let (code, told) = store(world, &["copy", "--to", "env:NEW_STORE"], to).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("The target holds what the source holds") && !told.contains("differs"), "{told}");
    world.settings.set("STORE__URL", to);
    let (code, told) = store(world, &["check"], to).await;
    assert!(code == Some(0) && told.contains(", 0 findings"), "{told}");
}

async fn from_sqlite_to_redis(name: &str) {
    let (kept, server) = (Kept::read(name), RedisServer::start());
    let mut world = kept.prepare(Into::Sqlite, &[]).await;
    moves(&mut world, &server.url()).await;
    world.start_replica().await;
    work_to_the_end(&world, &kept).await;
    is_forgotten(world).await;
}

async fn to_redis_and_back(name: &str) {
    let (kept, server) = (Kept::read(name), RedisServer::start());
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = kept.prepare(Into::Sqlite, &[]).await;
    moves(&mut world, &server.url()).await;
    moves(&mut world, &format!("sqlite:{}", folder.path().join("back.db").display())).await;
    world.start_replica().await;
    work_to_the_end(&world, &kept).await;
    is_forgotten(world).await;
}

#[test]
fn a_service_that_runs_is_not_copied_and_goes_on_from_the_copy_once_it_was_stopped() {
    run(async {
        let mut world = Setup::redis().with("RETRY__SCHEDULE", "200ms,500ms,1s").prepare().await;
        world.attio.configure(|attio| attio.https_webhooks_only = false);
        world.live_in_real_time();
        let mut process = Process::new(&world.settings);
        process.start().await;
        world.lead_to(vec![process.public]);
        let (app, ada) = (world.connect().await, world.person());
        press(&app, &ada).await;
        world.shows(&ada, "Pending").await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = format!("sqlite:{}", folder.path().join("new.db").display());
        let (code, told) = store(&world, &["copy", "--to", "env:NEW_STORE"], &file).await;
        assert!(code == Some(2) && told.contains("a service runs on this store"), "{told}");
        let (code, told) = store(&world, &["check"], &file).await;
        assert!(code == Some(0), "a service may run meanwhile: {told}");
        assert_eq!(process.terminate().await, Some(0), "SIGTERM ends it well");
        moves(&mut world, &file).await;
        let mut process = Process::new(&world.settings);
        process.start().await;
        world.lead_to(vec![process.public]);
        tell(&world, Callback::new(&ada.record_id, "qualified")).await;
        world.shows(&ada, "Complete").await;
        assert_eq!(app.lead_says(&ada, "status").await, "complete", "its token is good");
        assert_eq!(world.alc.leads_of(&ada.record_id).len(), 1, "sent once");
        assert_eq!(process.terminate().await, Some(0), "SIGTERM ends it well");
    });
}

/// The stages that have a lead in each state, between them.
macro_rules! moved {
    ($how:ident: $($name:ident = $file:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            run($how($file));
        })*
    };
}

moved! {
    from_sqlite_to_redis:
    queued_leads = "queued",
    pending_leads = "pending",
    failed_leads = "failed",
    workflows_that_wait = "workflows",
    keys_that_were_seen = "receipts",
}

moved! {
    to_redis_and_back:
    leads_in_doubt = "in-doubt",
    complete_leads = "complete",
    merged_records = "merges",
    sends_before_the_present_one = "earlier",
    grants_of_a_connection_that_leaves = "leaving-with-grants",
}
