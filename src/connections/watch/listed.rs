//! What a side's list of webhooks says of ours. Pure.
//!
//! Promises that a webhook counts as lost only where the list could have named it, and as an orphan only if its URL is
//! below our own, for this workspace, under a secret that the workspace does not know.

use crate::{
    connections::{
        webhook_url::taken_apart,
        workspace::{aggregate::Workspace, side::Side, webhook::Webhook},
    },
    ids::{OpaqueToken, WorkspaceId},
};

/// A webhook as a side lists it. No `Debug`: the URL is secret.
pub(super) struct Listed {
    /// The side's id.
    pub id: String,
    /// The name that we gave it, at ALC.
    pub name: Option<String>,
    /// Where the side calls.
    pub url: Option<String>,
}

/// What a look came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The side has it, under this id.
    Listed(String),
    /// The side cannot tell.
    Unlisted,
    /// The side does not have it.
    Lost,
    /// The side calls an earlier `PUBLIC_URL`.
    Moved,
    /// The side keeps one webhook for an account, and made another workspace's of it.
    Taken,
}

impl Seen {
    /// For a metric.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Listed(_) => "listed",
            Self::Unlisted => "unlisted",
            Self::Lost => "lost",
            Self::Moved => "moved",
            Self::Taken => "taken",
        }
    }
}

/// Which of the list's webhooks is `webhook`, of the workspace with that id, under the present `PUBLIC_URL`.
pub(super) fn look_for(side: Side, webhook: &Webhook, owner: WorkspaceId, base: &str, list: &[Listed]) -> Seen {
    let ours = |it: &Listed| it.url.as_deref().and_then(|url| taken_apart(side, url)).map(|(_, token)| token);
    let by_secret = |it: &&Listed| ours(it).is_some_and(|token| webhook.token.matches(&token.secret));
    let name = webhook.name();
    let by_name = |it: &&Listed| it.name.as_ref() == Some(&name);
    let by_id = |it: &&Listed| webhook.upstream_id.as_ref() == Some(&it.id);
    // The name is ours alone: what the side shows of its URL may be masked or cut.
    let certain = list.iter().find(by_secret).or_else(|| list.iter().find(by_name));
    let found = certain.or_else(|| list.iter().find(by_id));
    let Some(found) = found else {
        // Neither by an id nor by what is listed can it be told from others.
        let is_blind = webhook.upstream_id.is_none() && list.iter().any(|it| it.name.is_none() && it.url.is_none());
        return if is_blind || webhook.may_be_left_out() { Seen::Unlisted } else { Seen::Lost };
    };
    match ours(found) {
        Some(token) if certain.is_none() => {
            return match is_of(&token, owner) {
                true if webhook.may_be_left_out() => Seen::Unlisted,
                true => Seen::Lost,
                false => Seen::Taken,
            };
        }
        _ => {}
    }
    let listed_base = found.url.as_deref().and_then(|url| taken_apart(side, url)).map(|(base, _)| base);
    // The side may write the URL in its own way: it is believed only where nothing better is known.
    if webhook.base.as_deref().or(listed_base).is_some_and(|own| own != base) {
        return Seen::Moved;
    }
    Seen::Listed(found.id.clone())
}

/// One of the list whose URL is below our own and for a workspace.
pub(super) struct Own<'a> {
    listed: &'a Listed,
    token: OpaqueToken,
}

/// Those of the list whose URL is below `base` and for the workspace with that id: ours, if they are known; else
/// orphans of ours.
pub(super) fn of_workspace<'a>(side: Side, owner: WorkspaceId, base: &str, list: &'a [Listed]) -> Vec<Own<'a>> {
    let own = |listed: &'a Listed| {
        let (listed_base, token) = taken_apart(side, listed.url.as_deref()?)?;
        (listed_base == base && is_of(&token, owner)).then_some(Own { listed, token })
    };
    list.iter().filter_map(own).collect()
}

/// Which of them no document knows any more, neither by its URL's secret nor by the name that we gave it.
pub(super) fn orphans(workspace: &Workspace, side: Side, own: &[Own<'_>]) -> Vec<String> {
    let is_known = |it: &&Own<'_>| {
        let mut known = workspace.webhooks(side).iter();
        known.any(|webhook| webhook.token.matches(&it.token.secret) || it.listed.name.as_ref() == Some(&webhook.name()))
    };
    let is_used = |it: &&Own<'_>| workspace.is_called_through(side, &it.listed.id);
    own.iter().filter(|it| !is_known(it) && !is_used(it)).map(|it| it.listed.id.clone()).collect()
}

fn is_of(token: &OpaqueToken, owner: WorkspaceId) -> bool {
    token.owner.parse() == Ok(owner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::{
        clock::{Timestamp, later},
        ids::{ConnectionId, WebhookId},
    };

    const BASE: &str = "https://now.example";

    struct Ours {
        owner: WorkspaceId,
        token: OpaqueToken,
        webhook: Webhook,
    }

    fn own() -> Ours {
        let owner = WorkspaceId::random();
        let token = OpaqueToken::new(owner);
        let mut webhook =
            Webhook::intended(WebhookId::random(), ConnectionId::random(), token.hash(), Timestamp::UNIX_EPOCH);
        webhook.upstream_id = Some("7".to_owned());
        Ours { owner, token, webhook }
    }

    fn url(base: &str, token: &OpaqueToken) -> Option<String> {
        Some(format!("{base}/webhooks/alc/{}", token.to_text().expose_secret()))
    }

    /// As a side shows it that hides secrets.
    fn masked(own: &Ours) -> Option<String> {
        Some(format!("{BASE}/webhooks/alc/{}.****", own.owner))
    }

    fn listed(id: &str, name: Option<&str>, url: Option<String>) -> Listed {
        Listed { id: id.to_owned(), name: name.map(str::to_owned), url }
    }

    fn look(own: &Ours, list: &[Listed]) -> Seen {
        look_for(Side::Alc, &own.webhook, own.owner, BASE, list)
    }

    #[test]
    fn it_is_found_by_its_secret_its_id_or_its_name() {
        let own = own();
        let name = own.webhook.name();
        for (list, id) in [
            (vec![listed("8", None, url(BASE, &own.token))], "8"),
            (vec![listed("7", None, None)], "7"),
            (vec![listed("9", Some(&name), None)], "9"),
            // Told in part, as secrets are.
            (vec![listed("7", Some(&name), masked(&own))], "7"),
            (vec![listed("7", None, masked(&own))], "7"),
            (vec![listed("9", Some(&name), url(BASE, &OpaqueToken::new(own.owner)))], "9"),
            (vec![listed("7", None, Some("https://now.example/***".to_owned()))], "7"),
            (vec![listed("7", None, url(BASE, &OpaqueToken::new("x"))), listed("8", None, url(BASE, &own.token))], "8"),
        ] {
            assert_eq!(look(&own, &list), Seen::Listed(id.to_owned()));
        }
    }

    #[test]
    fn what_the_list_could_have_named_is_lost() {
        let mut own = own();
        let (anothers, next) = (OpaqueToken::new(WorkspaceId::random()), OpaqueToken::new(own.owner));
        assert_eq!(look(&own, &[]), Seen::Lost);
        assert_eq!(look(&own, &[listed("8", Some("crm"), url(BASE, &anothers))]), Seen::Lost);
        // An ALC that keeps one for an account made another of it: one of ours, or another workspace's.
        assert_eq!(look(&own, &[listed("7", None, url(BASE, &next))]), Seen::Lost);
        assert_eq!(look(&own, &[listed("7", None, url(BASE, &anothers))]), Seen::Taken);
        own.webhook.upstream_id = None;
        assert_eq!(look(&own, &[]), Seen::Lost);
        assert_eq!(look(&own, &[listed("8", None, None)]), Seen::Unlisted);
    }

    #[test]
    fn a_list_that_names_not_even_the_newest_one_is_not_believed() {
        let mut own = own();
        own.webhook.instead_of_lost = true;
        assert_eq!(look(&own, &[]), Seen::Unlisted);
        // Of a list that shows only the newest it says little that one was on it once.
        own.webhook.confirmed_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(look(&own, &[]), Seen::Unlisted);
        own.webhook.confirmed_at = Some(later(Timestamp::UNIX_EPOCH, Duration::from_secs(86_400)));
        assert_eq!(look(&own, &[]), Seen::Lost);
    }

    #[test]
    fn one_that_leads_to_an_earlier_public_url_has_moved() {
        let mut own = own();
        let before = [listed("7", None, url("https://before.example", &own.token))];
        assert_eq!(look(&own, &before), Seen::Moved);
        // What is remembered counts for more than how the side writes it.
        own.webhook.base = Some(BASE.to_owned());
        assert_eq!(look(&own, &before), Seen::Listed("7".to_owned()));
        own.webhook.base = Some("https://before.example".to_owned());
        assert_eq!(look(&own, &[listed("7", None, None)]), Seen::Moved);
    }

    #[test]
    fn only_unknown_ones_of_this_workspace_below_our_own_url_are_orphans() {
        let own = own();
        let mut workspace = Workspace::new(own.owner, Timestamp::UNIX_EPOCH);
        let (anothers, lost) = (OpaqueToken::new(WorkspaceId::random()), OpaqueToken::new(own.owner));
        workspace.webhooks.push(own.webhook.clone());
        let list = [
            listed("1", None, url(BASE, &own.token)),
            listed("2", None, url(BASE, &lost)),
            listed("3", None, url(BASE, &anothers)),
            listed("4", None, url("https://staging.example", &lost)),
            listed("5", Some(&own.webhook.name()), Some("https://now.example/webhooks/attio/x.y".to_owned())),
            listed("6", Some("alc-connector"), None),
            // One that is just being made, as such a side shows it.
            listed("8", Some(&own.webhook.name()), url(BASE, &lost)),
            listed("9", None, masked(&own)),
        ];
        let found = orphans(&workspace, Side::Alc, &of_workspace(Side::Alc, own.owner, BASE, &list));
        assert_eq!(found, ["2"]);
    }
}
