//! What makes a single value well-formed. Each function's error completes the sentence "`<variable>` …" and quotes
//! nothing.

mod addresses;
mod credentials;

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;

use self::credentials::filled_in;
pub(super) use self::{
    addresses::{alc_base, attio_base, authorize, callback_host, endpoint, is_loopback, origin, redirect_uri},
    credentials::{are_two, bearer_token, client_credential, operators_token, scopes, unharmed},
};
use crate::store;

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

/// As [`duration_up_to`], and zero: none.
pub(super) fn delay_up_to(limit: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| match duration(text)? {
        duration if duration > limit => Err(format!("must be at most {}s", limit.as_secs())),
        duration => Ok(duration),
    }
}

/// People's attributes that Attio makes and fills: writing there would overwrite what people know of a person.
const OF_ATTIO: [&str; 14] = [
    "name",
    "email_addresses",
    "phone_numbers",
    "description",
    "company",
    "job_title",
    "avatar_url",
    "primary_location",
    "linkedin",
    "twitter",
    "facebook",
    "instagram",
    "record_id",
    "created_at",
];

/// Small letters, digits, `_` and `-`, as Attio makes slugs; a slug becomes part of a path.
pub(super) fn slug(text: &str) -> Result<String, String> {
    unharmed(text)?;
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("has a capital letter in it: Attio's slugs have none (a title is not a slug)".to_owned());
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.len() > 64 || !text.bytes().all(is_part) {
        return Err("must be an attribute's slug: letters, digits, _ and -".to_owned());
    }
    if OF_ATTIO.contains(&text) {
        return Err("names an attribute of Attio's own, which would be overwritten: choose another slug".to_owned());
    }
    Ok(text.to_owned())
}

/// What Attio names a list or an attribute of a list by: a slug, or an id.
pub(super) fn slug_or_id(text: &str) -> Result<String, String> {
    unharmed(text)?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.len() > 64 || !text.bytes().all(is_part) {
        return Err("must be a slug or an id: letters, digits, _ and -".to_owned());
    }
    Ok(text.to_owned())
}

/// The title of an option: one line of text.
pub(super) fn title(text: &str) -> Result<String, String> {
    unharmed(text).map(|()| text.to_owned())
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

/// A proxy's URL; without a scheme it is plain HTTP, as other programs take it.
pub(super) fn proxy(text: &str) -> Result<SecretString, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match url::Url::parse(&url) {
        Ok(parsed) if ["http", "https"].contains(&parsed.scheme()) && parsed.has_host() => Ok(url.into()),
        _ => Err("must be the URL of an HTTP proxy, such as http://proxy.example:3128: correct or unset it".to_owned()),
    }
}

/// What the store can open. The store's words never show the URL: there may be a password in it.
pub(super) fn store_url(text: &str) -> Result<SecretString, String> {
    unharmed(text)?;
    filled_in(text)?;
    store::check_url(text).map(|()| SecretString::from(text)).map_err(|fault| format!("is not usable: {fault}"))
}
