//! What rests in the store.

use super::*;

#[tokio::test]
async fn nothing_secret_rests_in_clear() {
    let mut world = World::new().await;
    let (hooks, _) = world.alc_registers(201, Some("whsec_c2VjcmV0")).await;
    world.connect(tokens("access-1", Some("refresh-1"))).await;
    let body = world.load().await.expect("there").document.body;
    let url = url_secret(&hook(&hooks, 0));
    for secret in ["access-1", "refresh-1", "whsec_c2VjcmV0", url.expose_secret()] {
        assert!(!body.contains(secret), "{secret}");
    }
}
