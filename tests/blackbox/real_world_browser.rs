//! Browsers as they really are: they deliver twice, ask before a person does, and keep what was never finished.

use std::collections::BTreeMap;

use crate::support::{
    attio_app::authorize_url,
    harness::{Setup, scenario},
    http::send,
};

scenario! {
    async fn a_callback_delivered_twice_shows_the_success_twice(setup: Setup) {
        let world = setup.attio_grants().start().await;
        let mut browser = world.browser();
        let consent = browser.visit(&authorize_url(&world, &[])).await.expect(302).location();
        let from_alc = browser.consent(consent.as_str()).await;
        let at_attio = browser.visit(&from_alc).await.expect(302).location();
        assert_eq!(browser.visit(&from_alc).await.expect(302).location(), at_attio);
        let from_attio = browser.consent(at_attio.as_str()).await;
        let first = browser.visit(&from_attio).await.expect(302).location();
        for callback in [&from_attio, &from_alc] {
            world.browser().visit(callback).await.expect(400);
        }
        assert_eq!(browser.visit(&from_attio).await.expect(302).location(), first);
        assert_eq!((world.alc.journal().count("token"), world.attio.journal().count("token")), (1, 1));
        assert_eq!((world.alc.living_grants(), world.attio.living_grants()), (1, 1));
    }
}

scenario! {
    async fn a_prefetch_takes_nothing(setup: Setup) {
        let world = setup.start().await;
        let mut browser = world.browser();
        let authorized = browser.visit(&authorize_url(&world, &[])).await.expect(302);
        let callback = browser.consent(authorized.location().as_str()).await;
        let cookie = authorized.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
        for (name, value) in [("sec-purpose", "prefetch"), ("purpose", "prefetch"), ("x-moz", "prefetch"), ("sec-purpose", "prefetch;prerender")] {
            let request = world.client.get(&callback).header("cookie", &cookie).header(name, value);
            let answer = send(request).await.expect(503);
            assert_eq!(answer.header("set-cookie"), None);
        }
        assert_eq!(world.alc.journal().count("token"), 0);
        assert!(browser.visit(&callback).await.expect(302).location_query().contains_key("code"));
    }
}

scenario! {
    async fn attempts_that_were_left_do_not_fill_the_browser(setup: Setup) {
        let world = setup.start().await;
        let mut jar = BTreeMap::<String, String>::new();
        let mut last = String::new();
        for attempt in 0..12 {
            let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let state = format!("{attempt:0>900}");
            let url = authorize_url(&world, &[]).replace("attio%27s+state", &state);
            let answer = send(world.client.get(url).header("cookie", cookies.join("; "))).await.expect(302);
            for cookie in answer.headers.get_all("set-cookie") {
                let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
                let (name, value) = pair.split_once('=').expect("a pair");
                jar.insert(name.to_owned(), value.to_owned());
            }
            jar.retain(|_, value| !value.is_empty());
            let size: usize = jar.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
            assert!(size < 6_500, "{} cookies, {size} bytes", jar.len());
            last = world.browser().consent(answer.location().as_str()).await;
        }
        let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let back = send(world.client.get(&last).header("cookie", cookies.join("; "))).await.expect(302);
        assert!(back.location_query().contains_key("code"), "{}", back.location());
    }
}
