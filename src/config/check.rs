//! What makes a single value well-formed. Each function's error completes the sentence "`<variable>` …" and quotes
//! nothing.

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;
use url::{Host, Url};

use crate::{notify, store};

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 0.0.0.0:8080".to_owned())
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

pub(super) fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "must be a whole number, 0 or more".to_owned())
}

pub(super) fn positive(text: &str) -> Result<u32, String> {
    count(text).ok().filter(|count| *count > 0).ok_or_else(|| "must be a whole number, 1 or more".to_owned())
}

/// Ten years: beyond that, arithmetic with it says nothing.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| "must be a duration with its unit, such as 10s, 6h or 30d".to_owned())
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than zero".to_owned()),
        duration => Ok(duration),
    }
}

pub(super) fn duration_up_to(limit: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| match positive_duration(text)? {
        duration if duration > limit => Err(format!("must be at most {}s", limit.as_secs())),
        duration => Ok(duration),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    url.host().is_some_and(|host| notify::is_loopback(&host))
}

/// An address that we call or are called by: https unless loopback, and no credentials in it, since URLs are shown.
pub(super) fn endpoint(text: &str) -> Result<Url, String> {
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
    Ok(url)
}

/// An address that paths are put behind.
pub(super) fn base(text: &str) -> Result<Url, String> {
    let url = endpoint(text)?;
    if url.query().is_some() { Err("must not have a query (?…)".to_owned()) } else { Ok(url) }
}

/// A base without a path: our well-known documents and our cookies live at the root of the host.
pub(super) fn origin(text: &str) -> Result<Url, String> {
    let url = base(text)?;
    if url.path() == "/" { Ok(url) } else { Err("must not have a path, only scheme, host and port".to_owned()) }
}

/// Kept as it was written, because redirect URIs are compared as text.
pub(super) fn redirect_uri(text: &str) -> Result<(), String> {
    endpoint(text).map(drop).map_err(|fault| format!("names a redirect URI that {fault}"))
}

/// Letters, digits, `_` and `-`: a slug becomes part of a path.
pub(super) fn slug(text: &str) -> Result<String, String> {
    let good = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if good { Ok(text.to_owned()) } else { Err("must be an attribute's slug: letters, digits, _ and -".to_owned()) }
}

/// A DNS name, lower-case, or a loopback address: callback URLs may name no other address.
pub(super) fn callback_host(text: &str) -> Result<String, String> {
    match Host::parse(text) {
        Ok(Host::Domain(name)) => Ok(name),
        Ok(Host::Ipv4(ip)) if !ip.is_loopback() => Err("must not have addresses but of loopback".to_owned()),
        Ok(Host::Ipv6(ip)) if !ip.is_loopback() => Err("must not have addresses but of loopback".to_owned()),
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err("must be host names, without scheme, port or path".to_owned()),
    }
}

/// An ISO 3166 region that libphonenumber knows, upper-case.
pub(super) fn region(text: &str) -> Result<String, String> {
    let region = text.to_ascii_uppercase();
    match rlibphonenumber::Region::from_code(&region) {
        Ok(_) => Ok(region),
        Err(_) => Err("must be a region of two letters, such as US or DE".to_owned()),
    }
}

/// Part of every key in the store.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    store::check_namespace(text).map(|()| text.to_owned()).map_err(|what| format!("must be {what}"))
}

/// What the store can open. The store's words never show the URL: there may be a password in it.
pub(super) fn store_url(text: &str) -> Result<SecretString, String> {
    store::check_url(text).map(|()| SecretString::from(text)).map_err(|fault| format!("is not usable: {fault}"))
}
