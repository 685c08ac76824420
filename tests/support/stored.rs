//! The store behind a world, opened by a test while no replica runs.

use alc_connector::{
    lifecycle::Lifecycle,
    store::{self, Store},
};
use secrecy::SecretString;

use super::harness::World;

/// The store that the world's replicas share. Stop `lifecycle` and close the store before they run again.
pub async fn open(world: &World, lifecycle: &Lifecycle) -> Store {
    let url = world.settings.variables().find(|(name, _)| name.ends_with("STORE__URL")).expect("a store").1;
    store::open(&SecretString::from(url), "alc", lifecycle).await.expect("the store opens")
}
