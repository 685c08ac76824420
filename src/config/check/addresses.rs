//! What can never be an address: of an upstream, of a redirect, of a callback's host.
//!
//! A wrong address that answers is worse than one that does not: it refuses the right credentials, and those are
//! blamed.

use url::{Host, Url};

use super::credentials::{filled_in, unharmed};
use crate::notify;

pub(in crate::config) fn is_loopback(url: &Url) -> bool {
    url.host().is_some_and(|host| notify::is_loopback(&host))
}

/// An address that we call or are called by: https unless loopback, and no credentials in it, since URLs are shown.
pub(in crate::config) fn endpoint(text: &str) -> Result<Url, String> {
    // The parser would take line breaks out without a word.
    unharmed(text)?;
    filled_in(text)?;
    if text.contains(char::is_whitespace) || text.contains('\\') {
        return Err("has a blank or a backslash in it".to_owned());
    }
    let url = Url::parse(text).map_err(|_| "must be an absolute URL".to_owned())?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("must begin with https:// (http is for loopback hosts only)".to_owned()),
        _ => return Err("must begin with https://".to_owned()),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain credentials".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (#…)".to_owned());
    }
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err("must name one host: * stands for none".to_owned());
    }
    if url.port() == Some(0) {
        return Err("must not have the port 0".to_owned());
    }
    if let Some(Host::Domain(name)) = url.host() {
        if matches!(name, "http" | "https") {
            return Err("has its scheme twice".to_owned());
        }
        if !can_be_looked_up(name) {
            return Err("has a host that no name server can know: check its spelling".to_owned());
        }
    }
    Ok(url)
}

/// Whether a name has the form of RFC 1035 §2.3; underscores occur inside of networks. A dot at the end is one.
fn can_be_looked_up(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_part);
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Where a browser consents: our own parameters are put behind it, and one that stands there already would stand twice
/// (RFC 6749 §3.1 forbids that).
pub(in crate::config) fn authorize(text: &str) -> Result<Url, String> {
    const OURS: [&str; 7] =
        ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"];
    let url = endpoint(text)?;
    if url.query_pairs().any(|(name, _)| OURS.contains(&&*name)) {
        return Err("has parameters of a request in it, which are added to it: write the endpoint alone".to_owned());
    }
    Ok(url)
}

/// An address that paths are put behind.
pub(in crate::config) fn base(text: &str) -> Result<Url, String> {
    let url = endpoint(text)?;
    if url.query().is_some() { Err("must not have a query (?…)".to_owned()) } else { Ok(url) }
}

/// A base without a path: our well-known documents and our cookies live at the root of the host.
pub(in crate::config) fn origin(text: &str) -> Result<Url, String> {
    let url = base(text)?;
    if url.path() == "/" { Ok(url) } else { Err("must not have a path, only scheme, host and port".to_owned()) }
}

/// ALC's API, behind which we write `/api/v1/…`.
pub(in crate::config) fn alc_base(text: &str) -> Result<Url, String> {
    api(text, "/api/v1")
}

/// Attio's API, behind which we write `/v2/…`.
pub(in crate::config) fn attio_base(text: &str) -> Result<Url, String> {
    let url = api(text, "/v2")?;
    match url.host_str() {
        Some("attio.com" | "www.attio.com" | "app.attio.com" | "docs.attio.com" | "developers.attio.com") => {
            Err("is not where Attio's API is: that is https://api.attio.com".to_owned())
        }
        _ => Ok(url),
    }
}

fn api(text: &str, ours: &str) -> Result<Url, String> {
    let url = base(text)?;
    let segments: Vec<_> = url.path().split('/').skip(1).collect();
    let (last, inner) = match segments.as_slice() {
        [inner @ .., ""] => (inner.last(), inner),
        all => (all.last(), all),
    };
    if inner.contains(&"") {
        return Err("has an empty part in its path (//)".to_owned());
    }
    let is_version = |part: &str| part.strip_prefix(['v', 'V']).is_some_and(|rest| rest.parse::<u16>().is_ok());
    let has_ours = url.path().to_ascii_lowercase().contains(ours);
    if has_ours || last.is_some_and(|part| is_version(part) || part.eq_ignore_ascii_case("api")) {
        return Err(format!("has the API's own path in it: leave that out, {ours} is added to it"));
    }
    Ok(url)
}

/// Kept as it was written, because redirect URIs are compared as text.
pub(in crate::config) fn redirect_uri(text: &str) -> Result<(), String> {
    if text.contains('*') {
        return Err(
            "names a redirect URI with a * in it: they are compared letter by letter, so list each one".to_owned()
        );
    }
    endpoint(text).map(drop).map_err(|fault| format!("names a redirect URI that {fault}"))
}

/// A DNS name, lower-case, or a loopback address: callback URLs may name no other address. Names in other scripts are
/// kept in the form in which a URL has them.
pub(in crate::config) fn callback_host(text: &str) -> Result<String, String> {
    unharmed(text)?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if text.starts_with("*.") || text.starts_with('.') {
        return Err("has a host that begins with * or a dot: write the name alone, subdomains are included".to_owned());
    }
    if text.ends_with('.') {
        return Err("has a host with a dot at its end: write the name without it".to_owned());
    }
    if bare.is_none() && text.contains(['/', ':', '@', '?', '#', '*', ' ', ';']) {
        return Err("must be host names, without scheme, port or path, separated by commas".to_owned());
    }
    match Host::parse(text) {
        Ok(Host::Domain(name)) if !name.contains('.') && name != "localhost" => {
            Err("has a host of one part only: a whole domain is meant, such as attio.com".to_owned())
        }
        Ok(Host::Domain(name)) if !can_be_looked_up(&name) => {
            Err("has a host that no name server can know: check its spelling".to_owned())
        }
        Ok(Host::Domain(name)) => Ok(name),
        Ok(Host::Ipv4(ip)) if !ip.is_loopback() => Err("must not have addresses but of loopback".to_owned()),
        Ok(Host::Ipv6(ip)) if !ip.is_loopback() => Err("must not have addresses but of loopback".to_owned()),
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err("must be host names, without scheme, port or path, separated by commas".to_owned()),
    }
}
