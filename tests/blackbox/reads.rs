//! Operations `lead`, `listLeads` and `connection`: where leads and connections stand.

use std::time::Duration;

use serde_json::Value;

use crate::support::harness::{Person, Setup, scenario};

fn records(page: &Value) -> Vec<&str> {
    page["leads"].as_array().expect("leads").iter().filter_map(|lead| lead["record_id"].as_str()).collect()
}

scenario! {
    async fn a_record_that_was_never_sent_is_not_found(setup: Setup) {
        let (world, app) = setup.connected().await;
        app.lead(&world.person()).await.expect_problem(404, "not-found");
        let nonsense = Person { record_id: "no-uuid".to_owned(), ..world.person() };
        assert!([400, 404].contains(&app.lead(&nonsense).await.status));
    }
}

scenario! {
    async fn pages_are_newest_first_and_whole(setup: Setup) {
        let (world, app) = setup.connected().await;
        let mut people = Vec::new();
        for _ in 0..7 {
            let person = world.person();
            app.press(&person).await.expect(201);
            people.insert(0, person.record_id);
            world.pass(Duration::from_secs(1)).await;
        }
        let mut seen = Vec::new();
        let mut query = "limit=3".to_owned();
        for size in [3, 3, 1] {
            let page = app.leads(&query).await.expect(200).json();
            assert_eq!(records(&page).len(), size);
            seen.extend(records(&page).into_iter().map(str::to_owned));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            query = format!("limit=3&cursor={cursor}");
        }
        assert_eq!(seen, people);
        let all = app.leads("").await.expect(200).json();
        assert_eq!(records(&all), people);
        assert_eq!(all["next_cursor"], Value::Null);
    }
}

scenario! {
    async fn a_status_can_be_asked_for(setup: Setup) {
        let (world, app) = setup.connected().await;
        let (ada, bob) = (world.person(), world.person());
        app.press(&ada).await.expect(201);
        app.press(&bob).await.expect(201);
        world.call_back(&ada, "qualified").await;
        assert_eq!(records(&app.leads("status=complete").await.expect(200).json()), [ada.record_id.as_str()]);
        assert_eq!(records(&app.leads("status=pending").await.expect(200).json()), [bob.record_id.as_str()]);
        assert!(records(&app.leads("status=failed").await.expect(200).json()).is_empty());
    }
}

scenario! {
    async fn bad_parameters_are_named(setup: Setup) {
        let (_world, app) = setup.connected().await;
        for bad in ["limit=0", "limit=101", "limit=x", "status=done", "cursor=nonsense"] {
            app.leads(bad).await.expect_problem(400, "invalid-request");
        }
    }
}
