//! The drawn workers on both engines. `make soak` lets them play as many seeds as `SOAK_MODEL_SEEDS` says.

use super::{workers::play, *};

#[tokio::test(flavor = "multi_thread")]
async fn histories_on_sqlite_can_be_true() {
    let (engine, _folder) = sqlite().await;
    play(Arc::new(engine), 0..200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_on_redis_can_be_true() {
    let server = redis_server::RedisServer::start();
    play(Arc::new(redis(&server).await), 0..60).await;
}

/// `make soak`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "as many as SOAK_MODEL_SEEDS says: make soak"]
async fn histories_of_as_many_seeds_as_asked_can_be_true() {
    #[expect(clippy::disallowed_methods, reason = "how long a run is to be, nothing but the environment can say")]
    let asked = std::env::var("SOAK_MODEL_SEEDS").ok().filter(|value| !value.is_empty());
    let seeds = asked.map_or(3_000, |value| value.parse().expect("a number"));
    let (engine, _folder) = sqlite().await;
    play(Arc::new(engine), 1_000..1_000 + seeds).await;
    let server = redis_server::RedisServer::start();
    play(Arc::new(redis(&server).await), 1_000..1_000 + seeds).await;
}
