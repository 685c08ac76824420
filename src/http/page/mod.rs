//! The operators' page: `/operate` and `/operate/page/…` on the management listener, for people with a browser.
//!
//! Owns the words and the look; what is read and changed is what the room `operate` does for the commands, too.
//! Promises that no page runs a script, that each works in a window as narrow as a phone, dark and light, that a page
//! reads a bounded part of the store, and that a change is answered with a redirect: what is loaded again changes
//! nothing twice.

mod answer;
mod changes;
mod form;
mod lists;
mod moments;
mod notice;
mod one;
mod overview;

use super::endpoint::Endpoint;

/// The pages, and what their forms ask for.
pub fn endpoints() -> [Endpoint; 9] {
    [
        Endpoint::new("/operate").get(overview::overview),
        Endpoint::new("/operate/page/leads").get(lists::leads),
        Endpoint::new("/operate/page/leads/retry").post(changes::retry_these),
        Endpoint::new("/operate/page/leads/{workspace_id}/{record_id}").get(one::lead),
        Endpoint::new("/operate/page/leads/{workspace_id}/{record_id}/retry").post(changes::retry),
        Endpoint::new("/operate/page/dead-letters").get(lists::dead_letters),
        Endpoint::new("/operate/page/dead-letters/replay").post(changes::replay),
        Endpoint::new("/operate/page/gates/open").post(changes::open_gates),
        Endpoint::new("/operate/page/connections/{workspace_id}/repair").post(changes::repair),
    ]
    .map(|endpoint| endpoint.retold(answer::as_page))
}
