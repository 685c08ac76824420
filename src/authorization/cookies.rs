//! What a browser keeps of us besides the attempt under way: how much of it, and what proves it afterwards.
//!
//! Promises that all our cookies together fit into the header that proxies take, whatever was begun and left; and that
//! only the browser that began an attempt, for the provider that it was made for, is known again once it is over.

use std::cmp::Reverse;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::attempt::{Attempt, Provider, attributes, cookie_name, is_state, place};
use crate::sealing::{Place, Sealed, Sealer};

/// How much all our cookies may take in a `Cookie` header: 8 KiB is what common proxies take for a line, and others
/// have cookies for our host, too.
const ROOM: usize = 6_000;
/// How many attempts a browser may have under way, each in a tab that its user may still go back to.
const MOST: usize = 4;
/// How long a browser is known again; the answer is kept no longer.
const KNOWN_AGAIN_SECONDS: u32 = 60;

/// A callback that may have been answered already: the same request again, in the same browser.
pub(super) struct Repeat {
    pub(super) state: String,
    pub(super) query: String,
}

/// `Set-Cookie` by which the browser is known again that had the attempt of `state`; it takes the attempt's place.
pub(super) fn over(sealer: &Sealer, state: &str, provider: Provider, secure: bool) -> String {
    let sealed = sealer.seal(Place { aggregate: &place(state), field: "over" }, &SecretString::from(provider.name()));
    format!("{}={}; Max-Age={KNOWN_AGAIN_SECONDS}{}", cookie_name(state, secure), sealed.as_str(), attributes(secure))
}

/// Whether these `Cookie` headers are of the browser that had the attempt of `state`.
pub(super) fn is_known_again(sealer: &Sealer, state: &str, provider: Provider, cookies: &[&str], secure: bool) -> bool {
    let (place, name) = (place(state), cookie_name(state, secure));
    pairs(cookies).filter(|(known, _)| *known == name).any(|(_, value)| {
        let opened = sealer.open(Place { aggregate: &place, field: "over" }, &Sealed::from_text(value));
        opened.is_ok_and(|text| text.expose_secret() == provider.name())
    })
}

/// `Set-Cookie`, each, that removes what has to give way to the new one: the oldest, and what is over or is no attempt.
pub(super) fn giving_way(sealer: &Sealer, cookies: &[&str], secure: bool, new: &str) -> Vec<String> {
    let prefix = cookie_name("", secure);
    let mut found: Vec<(Reverse<Option<Timestamp>>, &str, usize)> = pairs(cookies)
        .filter_map(|(name, value)| {
            let state = name.strip_prefix(&prefix).filter(|state| is_state(state))?;
            let expires_at = Attempt::open(sealer, state, value).map(|attempt| attempt.expires_at);
            Some((Reverse(expires_at), state, name.len() + value.len() + 3))
        })
        .collect();
    found.sort_unstable();
    let mut room = ROOM.saturating_sub(new.split(';').next().unwrap_or_default().len());
    let mut kept = 1;
    let mut removed = Vec::new();
    for (Reverse(expires_at), state, size) in found {
        if expires_at.is_some() && kept < MOST && size <= room {
            kept += 1;
            room -= size;
        } else {
            room = 0;
            removed.push(format!("{}=; Max-Age=0{}", cookie_name(state, secure), attributes(secure)));
        }
    }
    removed
}

fn pairs<'a>(cookies: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    cookies.iter().flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='))
}
