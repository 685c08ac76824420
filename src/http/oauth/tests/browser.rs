//! What browsers do by themselves: deliver twice, ask before a person does, keep what was never finished.

use super::*;

/// The cookies of an answer that are not removed by it, as a browser sends them back.
fn kept(answer: &Answer) -> String {
    let cookies = answer.headers.get_all(header::SET_COOKIE).map(|cookie| cookie.to_str().expect("text"));
    let pairs = cookies.filter(|cookie| !cookie.contains("Max-Age=0")).map(|cookie| cookie.split(';').next());
    pairs.flatten().collect::<Vec<_>>().join("; ")
}

#[actix_web::test]
async fn a_repeat_in_the_same_browser_gets_the_same_answer_for_a_minute() {
    let mut world = World::new().await;
    let (alc, _attio) = world.upstreams().await;
    let tab = world.begin(&[]).await;
    let first = world.back(&tab, "code=alc-code").await;
    let cookie = kept(&first);
    assert!(cookie.len() < tab.cookie.len(), "what is left of the attempt is small");
    let path = format!("/oauth/callback?state={}&code=alc-code", tab.state);
    // The browser may have seen the first answer, or not.
    for cookie in [&cookie, &tab.cookie] {
        let again = world.get(&path, Some(cookie)).await;
        assert_eq!(again.location(), first.location());
        assert_eq!(kept(&again), kept(&first));
    }
    alc.assert_async().await;

    // Another browser, another attempt, another provider, another request: none of it is a repeat.
    let other = world.begin(&[]).await;
    let value = cookie.split_once('=').expect("a pair").1;
    let renamed = format!("{}={value}", other.cookie.split_once('=').expect("a pair").0);
    world.get(&path, None).await.is_page(400);
    world.get(&path, Some(&other.cookie)).await.is_page(400);
    world.get(&format!("/oauth/callback?state={}&code=alc-code", other.state), Some(&renamed)).await.is_page(400);
    world.get(&path.replace("/callback", "/callback/attio"), Some(&cookie)).await.is_page(400);
    world.get(&path.replace("alc-code", "another"), Some(&cookie)).await.is_page(400);
    world.get(&format!("{path}&more=1"), Some(&cookie)).await.is_page(400);
    world.get(&path.replace("code=alc-code", "error=access_denied"), Some(&cookie)).await.is_page(400);

    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.get(&path, Some(&cookie)).await.location(), first.location());
    world.clock.advance(Duration::from_secs(1));
    world.get(&path, Some(&cookie)).await.is_page(400);
}

#[actix_web::test]
async fn an_answer_is_sealed_and_erased_after_its_minute() {
    let mut world = World::new().await;
    let (_alc, _attio) = world.upstreams().await;
    let tab = world.begin(&[]).await;
    let code = param(&world.back(&tab, "code=alc-code").await.location(), "code").expect("a code");
    let (tenant, key) = (Tenant::new(&tab.state), Key::new(Kind::Attempt, &tab.state));
    let document = async || {
        let loaded = world.store.load(&tenant, std::slice::from_ref(&key), &[], world.now()).await.expect("loads");
        serde_json::to_string(&loaded.documents[0].as_ref().expect("it is there").body).expect("text")
    };
    let before = document().await;
    assert!(before.contains("\\\"sealed\\\":\\\"") || before.contains("\"sealed\":\""), "{before}");
    assert!(!before.contains(&code) && !before.contains("iss="), "{before}");
    world.clock.advance(Duration::from_secs(60));
    reconcile(&world).await;
    let after = document().await;
    assert!(after.contains("sealed\":null") || after.contains("sealed\\\":null"), "{after}");
}

#[actix_web::test]
async fn a_refusal_is_repeated_too() {
    let world = World::new().await;
    let tab = world.begin(&[]).await;
    let first = world.back(&tab, "error=access_denied").await;
    assert_eq!(param(&first.location(), "error").as_deref(), Some("access_denied"));
    assert_eq!(first.header(header::SET_COOKIE), None, "the browser keeps the attempt");
    assert_eq!(world.back(&tab, "error=access_denied").await.location(), first.location());
    world.get(&format!("/oauth/callback?state={}&error=access_denied", tab.state), None).await.is_page(400);
}

#[actix_web::test]
async fn what_a_browser_asks_before_a_person_does_takes_nothing() {
    let mut world = World::new().await;
    let (alc, _attio) = world.upstreams().await;
    let tab = world.begin(&[]).await;
    let ask = |name: &str, value: &str| {
        let request = TestRequest::get()
            .uri(&format!("/oauth/callback?state={}&code=alc-code", tab.state))
            .insert_header((header::HOST, "connector.example"))
            .insert_header((header::COOKIE, tab.cookie.as_str()));
        world.call(request.append_header((name, value)))
    };
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("Sec-Purpose", "Prefetch; anonymous-client-ip"),
        ("purpose", "prefetch"),
        ("purpose", "preview"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        let answer = ask(name, value).await;
        answer.is_page(503);
        assert_eq!(answer.header(header::SET_COOKIE), None, "{name}: {value}");
    }
    assert!(param(&ask("sec-purpose", "navigate").await.location(), "code").is_some(), "nothing was taken");
    alc.assert_async().await;
}

#[actix_web::test]
async fn what_was_begun_and_left_gives_way() {
    let mut world = World::new().await;
    let (_alc, _attio) = world.upstreams().await;
    for length in [2, 800, 2_000] {
        let mut jar: Vec<(String, String)> = Vec::new();
        let mut tabs = Vec::new();
        for attempt in 0..12 {
            // They are told apart by when they expire.
            world.clock.advance(Duration::from_secs(1));
            let cookies = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let state = format!("{attempt:02}{}", "s".repeat(length - 2));
            let query = encoded(&[("response_type", "code"), ("client_id", "attio"), REDIRECT, ("state", &state)]);
            let answer = world.get(&format!("/oauth/authorize?{query}"), Some(&cookies)).await;
            for cookie in answer.headers.get_all(header::SET_COOKIE) {
                let cookie = cookie.to_str().expect("text");
                let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
                assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "or it stays: {cookie}");
                jar.retain(|(known, _)| known != name);
                if !value.is_empty() {
                    jar.push((name.to_owned(), value.to_owned()));
                }
            }
            let size: usize = jar.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
            assert!(size < 6_100 && jar.len() <= 4, "{} cookies with {size} bytes", jar.len());
            tabs.push(param(&answer.location(), "state").expect("a state"));
        }
        let cookies = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let back = async |state: &str| {
            world.get(&format!("/oauth/callback?state={state}&code=alc-code"), Some(&cookies)).await.status.as_u16()
        };
        assert_eq!(back(&tabs[0]).await, 400, "the oldest gave way");
        assert_eq!(back(&tabs[11]).await, 302);
        if length < 2_000 {
            assert_eq!(back(&tabs[10]).await, 302, "another tab may be gone back to");
        }
    }
}

#[actix_web::test]
async fn cookies_that_are_no_attempt_of_ours_give_way_and_others_are_let_alone() {
    let world = World::new().await;
    let name = |letter: &str| format!("__Host-alc_connector_oauth_{}", letter.repeat(43));
    let cookies = format!("{}=junk; session={}; {}=; theirs=1", name("A"), "x".repeat(9_000), name("B"));
    let query = encoded(&[("response_type", "code"), ("client_id", "attio"), REDIRECT]);
    let answer = world.get(&format!("/oauth/authorize?{query}"), Some(&cookies)).await;
    let set: Vec<_> = answer.headers.get_all(header::SET_COOKIE).map(|cookie| cookie.to_str().expect("text")).collect();
    assert_eq!(set.len(), 3, "{set:?}");
    for name in [name("A"), name("B")] {
        assert!(set.iter().any(|cookie| cookie.starts_with(&format!("{name}=; Max-Age=0; "))), "{set:?}");
    }
}
