//! Pages and depths.

use std::collections::BTreeSet;

use super::*;
use crate::store::{Cursor, Depth};

/// All that these tests write, but for what is not to be listed.
const ALL: [&str; 2] = ["pending", "queued"];

async fn ids(engine: &dyn Engine, statuses: &[&str], limit: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = engine.page(&tenant(), statuses, cursor.as_ref(), limit).await.expect("answers");
        pages.push(page.documents.iter().map(|(key, _)| key.id.clone()).collect());
        let Some(next) = page.next else { return pages };
        cursor = Some(next.to_string().parse().expect("a cursor survives its journey"));
    }
}

pub(super) async fn pages_are_newest_first_with_ties_and_by_status(engine: &dyn Engine) {
    assert_eq!(ids(engine, &ALL, 10).await, [Vec::<String>::new()]);
    for (id, seconds, status) in
        [("a", 1, "queued"), ("b", 2, "pending"), ("d", 2, "queued"), ("c", 2, "pending"), ("e", 0, "pending")]
    {
        let write = put_as(&lead(id), None, status, at(seconds), IDLE);
        assert_eq!(commit(engine, vec![write], at(0)).await, DONE);
    }
    // Newer than all of them, and in no status that is asked for: it takes no place of a page.
    for n in 0..5 {
        let write = put_as(&lead(format!("unlisted-{n}")), None, "unlisted", at(9), IDLE);
        assert_eq!(commit(engine, vec![write], at(0)).await, DONE);
    }
    create(engine, &tenant(), &Key::workspace(), IDLE).await;
    create(engine, &Tenant::new("other"), &lead("z"), IDLE).await;
    assert_eq!(ids(engine, &ALL, 2).await, [vec!["d", "c"], vec!["b", "a"], vec!["e"]]);
    assert_eq!(ids(engine, &ALL, 5).await, [vec!["d", "c", "b", "a", "e"]], "no cursor to nothing");
    assert_eq!(ids(engine, &["pending"], 1).await, [vec!["c"], vec!["b"], vec!["e"]]);
    assert_eq!(ids(engine, &["failed"], 1).await, [Vec::<String>::new()]);
    // A new status and a new time move it.
    assert_eq!(commit(engine, vec![put_as(&lead("e"), Some(1), "queued", at(9), IDLE)], at(0)).await, DONE);
    assert_eq!(ids(engine, &["queued"], 10).await, [vec!["e", "d", "a"]]);
    assert_eq!(ids(engine, &["pending"], 10).await, [vec!["c", "b"]]);
    assert_eq!(ids(engine, &ALL, 10).await, [vec!["e", "d", "c", "b", "a"]]);
    let page = engine.page(&tenant(), &ALL, None, 1).await.expect("answers");
    assert_eq!(page.documents[0].1, read(engine, &lead("e"), at(0)).await.expect("it is there"));
}

pub(super) async fn a_cursor_stands_still_while_others_write(engine: &dyn Engine) {
    for n in 0..6 {
        let write = put_as(&lead(n), None, "pending", at(n), IDLE);
        assert_eq!(commit(engine, vec![write], at(0)).await, DONE);
    }
    let first = engine.page(&tenant(), &ALL, None, 3).await.expect("answers");
    let cursor = first.next.expect("there is more");
    // Newer ones come in, and the one that the cursor names goes.
    assert_eq!(commit(engine, vec![put_as(&lead("new"), None, "pending", at(50), IDLE)], at(0)).await, DONE);
    assert_eq!(commit(engine, vec![erase(&lead(3), 1)], at(0)).await, DONE);
    let second = engine.page(&tenant(), &ALL, Some(&cursor), 3).await.expect("answers");
    let found: Vec<_> = second.documents.into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, [lead(2), lead(1), lead(0)]);
    assert_eq!(second.next, None);
}

pub(super) async fn depths_count_by_kind_and_status(engine: &dyn Engine) {
    for n in 0..20 {
        let status = if n % 2 == 0 { "pending" } else { "queued" };
        let commit = plain(vec![put_as(&lead(n), None, status, at(100 - n), IDLE)]);
        assert_eq!(engine.commit(&Tenant::new(format!("t{n}")), &commit, at(0)).await.expect("answers"), DONE);
    }
    create(engine, &tenant(), &Key::workspace(), IDLE).await;
    let mut depths = engine.depths(at(0)).await.expect("answers");
    depths.sort_by_key(|depth| (depth.kind, depth.status.clone()));
    let depth =
        |kind, status: &str, count, oldest| Depth { kind, status: status.to_owned(), count, oldest: Some(oldest) };
    let expected = [
        depth(Kind::Workspace, "pending", 1, at(0)),
        depth(Kind::Lead, "pending", 10, at(82)),
        depth(Kind::Lead, "queued", 10, at(81)),
    ];
    assert_eq!(depths, expected);
}

pub(super) async fn what_no_worker_leases_is_found_by_kind_and_status(engine: &dyn Engine) {
    let prospect = |n: u64| Key::new(Kind::Prospect, format!("p|{n}"));
    let writes = (0..5).map(|n| {
        let status = if n % 2 == 0 { "waiting" } else { "failing" };
        put_as(&prospect(n), None, status, at(n), LeaseChange::Leave { due: Some(at(100 + n)) })
    });
    let commit = plain(writes.chain([put_as(&lead("a"), None, "waiting", at(0), IDLE)]).collect());
    assert_eq!(engine.commit(&tenant(), &commit, at(0)).await.expect("answers"), DONE);
    let found = async |statuses: &[&str]| {
        let mut ids = engine.unleased(&tenant(), Kind::Prospect, statuses).await.expect("answers");
        ids.sort_unstable();
        ids
    };
    assert_eq!(found(&["waiting"]).await, ["p|0", "p|2", "p|4"]);
    assert_eq!(found(&["failing", "waiting", "failing"]).await, ["p|0", "p|1", "p|2", "p|3", "p|4"]);
    assert_eq!(lease_due(engine, 1, at(100)).await.len(), 1);
    assert_eq!(found(&["waiting"]).await, ["p|2", "p|4"]);
    assert_eq!(found(&["another"]).await, Vec::<String>::new());
}

pub(super) async fn every_tenant_of_a_kind_is_found_once(engine: &dyn Engine) {
    let workspaces: BTreeSet<_> = (0..40).map(|n| Tenant::new(format!("w{n}"))).collect();
    for (n, tenant) in workspaces.iter().enumerate() {
        let status = if n % 2 == 0 { "connected" } else { "removing" };
        let commit = Commit::of(vec![
            put_as(&Key::workspace(), None, status, at(0), IDLE),
            put_as(&lead("a"), None, "pending", at(0), IDLE),
            put_as(&lead("b"), None, "queued", at(0), IDLE),
        ]);
        assert_eq!(engine.commit(tenant, &commit, at(0)).await.expect("answers"), DONE);
    }
    create(engine, &Tenant::new("without"), &lead("c"), IDLE).await;
    assert_eq!(engine.tenants(Kind::Workspace).await.expect("answers"), workspaces);
    assert_eq!(engine.tenants(Kind::Lead).await.expect("answers").len(), 41);
    assert!(engine.tenants(Kind::Attempt).await.expect("answers").is_empty());
}
