//! One attempt to connect, from `/oauth/authorize` to the callback.
//!
//! Owns the cookie in which an attempt travels. Promises that a state is good in the browser that began, for the
//! provider that it was made for, for ten minutes; and that beginning stores nothing, so that a browser which only
//! begins costs no memory. That it is good once is the promise of [`super::kept`].
//!
//! The cookie is named after our state, so two tabs do not disturb each other, and sealed for it, so the state of one
//! attempt and the cookie of another do not fit together (login CSRF; RFC 6749 §10.12, RFC 9700 §4.7).

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    clock::from_micros,
    sealing::{Place, Sealed, Sealer},
};

/// How long a person may take on the provider's consent page.
pub const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The side whose consent page an attempt is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Acme Lead Checker.
    Alc,
    /// Attio, where each connection brings its own grant.
    Attio,
}

impl Provider {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Alc => "alc",
            Self::Attio => "attio",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Alc, Self::Attio].into_iter().find(|provider| provider.name() == name)
    }

    /// As people know it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Alc => "ALC",
            Self::Attio => "Attio",
        }
    }
}

/// Why a callback's state is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// The callback has no state, or nothing that could be one of ours.
    #[error("the callback has no state of ours")]
    Missing,
    /// This browser did not begin that attempt, or for another provider.
    #[error("the state was not begun in this browser for this provider")]
    Foreign,
    /// More than ten minutes.
    #[error("the attempt has expired")]
    Expired,
    /// The state was taken before.
    #[error("the state was used before")]
    Used,
}

/// What has to be known when the browser comes back. No `Debug`: verifier and client state are in it.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Attempt {
    pub(super) provider: Provider,
    pub(super) expires_at: Timestamp,
    /// Stands for the client's redirect URI: that has to be registered still when the browser comes back.
    pub(super) redirect_uri_print: String,
    pub(super) client_state: Option<String>,
    pub(super) code_challenge: Option<String>,
    /// Our PKCE verifier towards the provider; empty where that takes none.
    pub(super) verifier: SecretString,
}

impl Attempt {
    /// `Set-Cookie` for the attempt of `state`.
    pub(super) fn to_cookie(&self, sealer: &Sealer, state: &str, secure: bool) -> String {
        let sealed = sealer.seal(Place { aggregate: &place(state), field: "cookie" }, &self.to_text());
        let name = cookie_name(state, secure);
        format!("{name}={}; Max-Age={}{}", sealed.as_str(), LIFETIME.as_secs(), attributes(secure))
    }

    /// The attempt of `state` among the `Cookie` headers, if it still waits for `provider`.
    pub(super) fn from_cookies(
        sealer: &Sealer,
        state: &str,
        cookies: &[&str],
        secure: bool,
        provider: Provider,
        now: Timestamp,
    ) -> Result<Self, StateFault> {
        let name = cookie_name(state, secure);
        let attempt = cookies
            .iter()
            .flat_map(|header| header.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            // Of several with that name (another path, a parent domain) the one that opens is ours.
            .filter(|(known, _)| *known == name)
            .find_map(|(_, value)| Self::open(sealer, state, value))
            .filter(|attempt| attempt.provider == provider)
            .ok_or(StateFault::Foreign)?;
        if now >= attempt.expires_at { Err(StateFault::Expired) } else { Ok(attempt) }
    }

    /// What a cookie for `state` holds.
    pub(super) fn open(sealer: &Sealer, state: &str, value: &str) -> Option<Self> {
        let place = Place { aggregate: &place(state), field: "cookie" };
        sealer.open(place, &Sealed::from_text(value)).ok().and_then(|text| Self::from_text(&text))
    }

    /// Lines rather than JSON: a quote in the client's state takes one byte, not two. The state stands last, and no
    /// field can hold a line break.
    fn to_text(&self) -> SecretString {
        SecretString::from(format!(
            "1\n{}\n{}\n{}\n{}\n{}\n{}",
            self.provider.name(),
            self.expires_at.as_microsecond(),
            self.redirect_uri_print,
            self.code_challenge.as_deref().unwrap_or_default(),
            self.verifier.expose_secret(),
            self.client_state.as_deref().unwrap_or_default(),
        ))
    }

    fn from_text(text: &SecretString) -> Option<Self> {
        let mut lines = text.expose_secret().splitn(7, '\n');
        if lines.next()? != "1" {
            return None;
        }
        let mut line = || lines.next().map(str::to_owned);
        let given = |text: String| (!text.is_empty()).then_some(text);
        Some(Self {
            provider: Provider::from_name(&line()?)?,
            expires_at: from_micros(line()?.parse().ok()?),
            redirect_uri_print: line()?,
            code_challenge: given(line()?),
            verifier: SecretString::from(line()?),
            client_state: given(line()?),
        })
    }
}

/// Whether it has the shape of a state of ours: it becomes a cookie's name and a key of the store.
pub(super) fn is_state(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Where what belongs to `state` is sealed.
pub(super) fn place(state: &str) -> String {
    format!("attempt/{state}")
}

pub(super) fn cookie_name(state: &str, secure: bool) -> String {
    // RFC 6265bis §4.1.3.2: no other host, and nobody without TLS, can set a cookie of that name.
    let prefix = if secure { "__Host-" } else { "" };
    format!("{prefix}alc_connector_oauth_{state}")
}

pub(super) fn attributes(secure: bool) -> &'static str {
    // Lax: the provider's redirect is a top-level navigation, and a strict cookie would stay at home.
    if secure { "; Path=/; HttpOnly; SameSite=Lax; Secure" } else { "; Path=/; HttpOnly; SameSite=Lax" }
}

/// The way in for `fuzz/`, which gets no other. What a browser makes up is no attempt; one of ours comes back as it
/// was, whatever stands beside it, but not spoilt, not late, and not for another state or provider.
#[cfg(fuzzing)]
#[expect(clippy::expect_used, reason = "a fuzzer looks for panics")]
pub fn fuzz(sealer: &Sealer, header: &str, text: &str, now: Timestamp) {
    const STATE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB";
    let read = |cookies: &str, state: &str, provider: Provider| {
        Attempt::from_cookies(sealer, state, &[cookies], false, provider, now).map(|attempt| attempt.to_text())
    };
    let named = |value: &str, state: &str| format!("{}={value}", cookie_name(state, false));

    assert!(!is_state(header) || !cookie_name(header, true).contains(['=', ';', ',', ' ', '"']), "a name for a cookie");
    for made_up in [header, &named(header, STATE)] {
        assert!(read(made_up, STATE, Provider::Alc).err() == Some(StateFault::Foreign), "a cookie was made up");
    }

    let Some(attempt) = Attempt::from_text(&SecretString::from(text)) else { return };
    let (provider, plain) = (attempt.provider, attempt.to_text());
    let other = if provider == Provider::Alc { Provider::Attio } else { Provider::Alc };
    let again = Attempt::from_text(&plain).expect("what was written is read");
    assert!(again.to_text().expose_secret() == plain.expose_secret(), "read as it was written");

    let cookie = attempt.to_cookie(sealer, STATE, false);
    let ours = cookie.split(';').next().expect("a pair");
    for cookies in [ours.to_owned(), format!("{header}; {ours}"), format!("{ours}; {header}")] {
        match read(&cookies, STATE, provider) {
            Ok(text) => assert!(now < attempt.expires_at && text.expose_secret() == plain.expose_secret()),
            Err(fault) => assert!(now >= attempt.expires_at && fault == StateFault::Expired, "{fault}"),
        }
        assert!(read(&cookies, STATE, other).is_err(), "for another provider");
    }
    let value = ours.split_once('=').expect("a pair").1;
    assert!(read(&named(value, OTHER), OTHER, provider).err() == Some(StateFault::Foreign), "for another state");
    let (before, after) = value.split_at(header.len() % value.len());
    let swapped = if after.starts_with('A') { 'B' } else { 'A' };
    let spoilt = named(&format!("{before}{swapped}{}", &after[1..]), STATE);
    assert!(read(&spoilt, STATE, provider).err() == Some(StateFault::Foreign), "spoilt");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ids::random_secret, sealing::generate_key};

    fn sealer() -> Sealer {
        Sealer::new(&generate_key(), None).expect("a good key")
    }

    fn state() -> String {
        random_secret().expose_secret().to_owned()
    }

    fn attempt(client_state: Option<String>) -> Attempt {
        Attempt {
            provider: Provider::Alc,
            expires_at: from_micros(600_000_000),
            redirect_uri_print: super::super::client::fingerprint("https://app.example/"),
            client_state,
            code_challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned()),
            // The longest that RFC 7636 allows.
            verifier: SecretString::from("v".repeat(128)),
        }
    }

    /// What a browser sends back of a `Set-Cookie`.
    fn returned(set_cookie: &str) -> &str {
        set_cookie.split(';').next().expect("a pair")
    }

    fn opened(sealer: &Sealer, state: &str, cookies: &[&str], now: i64) -> Result<Attempt, StateFault> {
        Attempt::from_cookies(sealer, state, cookies, true, Provider::Alc, from_micros(now))
    }

    proptest! {
        /// Puts attempts with any client state, up to the longest, into a cookie and reads them out of a `Cookie`
        /// header. All of the attempt comes back, and the cookie stays under the 4096 bytes that browsers take.
        #[test]
        fn an_attempt_comes_back_whole_in_a_cookie_that_browsers_take(
            client_state in prop::option::of(prop_oneof!["[ -~]{1,2000}", "[ -~]{2000}"]),
            challenged in any::<bool>(),
        ) {
            let (sealer, state) = (sealer(), state());
            let mut attempt = attempt(client_state.clone());
            if !challenged { attempt.code_challenge = None; }
            let cookie = attempt.to_cookie(&sealer, &state, true);
            // RFC 6265bis §5.6: name and value; some browsers count the attributes, too.
            prop_assert!(cookie.len() < 4_096, "{} bytes", cookie.len());
            let Ok(back) = opened(&sealer, &state, &["other=1; x", returned(&cookie)], 0) else { panic!("opens") };
            prop_assert_eq!(back.client_state, client_state);
            prop_assert_eq!(back.code_challenge, attempt.code_challenge);
            prop_assert_eq!(back.verifier.expose_secret(), attempt.verifier.expose_secret());
            prop_assert_eq!(back.expires_at, attempt.expires_at);
            prop_assert_eq!(back.redirect_uri_print, attempt.redirect_uri_print);
        }

        /// Reads any text as the cookie of a state. What this server has not sealed is no attempt, and no panic.
        #[test]
        fn nonsense_in_a_cookie_is_foreign(value in "\\PC{0,80}") {
            let (sealer, state) = (sealer(), state());
            let cookie = format!("{}={value}", cookie_name(&state, true));
            prop_assert_eq!(opened(&sealer, &state, &[&cookie], 0).err(), Some(StateFault::Foreign));
        }
    }

    #[test]
    fn the_longest_client_state_is_tried_at_its_bound() {
        let longest = "\"".repeat(super::super::request::MAX_CLIENT_STATE);
        let cookie = attempt(Some(longest)).to_cookie(&sealer(), &state(), true);
        assert!((3_000..4_096).contains(&cookie.len()), "{} bytes", cookie.len());
    }

    #[test]
    fn a_cookie_is_bound_to_its_state_and_its_browser() {
        let (sealer, one, other) = (sealer(), state(), state());
        let cookie = attempt(None).to_cookie(&sealer, &one, true);
        let value = returned(&cookie).split_once('=').expect("a pair").1;
        // Another browser has no cookie; another state's name on it does not help.
        assert_eq!(opened(&sealer, &one, &[], 0).err(), Some(StateFault::Foreign));
        assert_eq!(opened(&sealer, &other, &[returned(&cookie)], 0).err(), Some(StateFault::Foreign));
        let renamed = format!("{}={value}", cookie_name(&other, true));
        assert_eq!(opened(&sealer, &other, &[&renamed], 0).err(), Some(StateFault::Foreign));
        // A cookie of the same name that an attacker's subdomain has set does not hide ours.
        let tossed = format!("{}=AAAA", cookie_name(&one, true));
        assert!(opened(&sealer, &one, &[&tossed, returned(&cookie)], 0).is_ok());
    }

    #[test]
    fn two_tabs_do_not_disturb_each_other() {
        let (sealer, one, other) = (sealer(), state(), state());
        let (first, second) = (attempt(Some("1".to_owned())), attempt(Some("2".to_owned())));
        let (first, second) = (first.to_cookie(&sealer, &one, true), second.to_cookie(&sealer, &other, true));
        let both = format!("{}; {}", returned(&first), returned(&second));
        for (state, client_state) in [(one, "1"), (other, "2")] {
            let Ok(back) = opened(&sealer, &state, &[&both], 0) else { panic!("opens") };
            assert_eq!(back.client_state.as_deref(), Some(client_state));
        }
    }

    #[test]
    fn an_attempt_waits_ten_minutes() {
        let (sealer, state) = (sealer(), state());
        let cookie = attempt(None).to_cookie(&sealer, &state, true);
        assert!(opened(&sealer, &state, &[returned(&cookie)], 599_999_999).is_ok());
        assert_eq!(opened(&sealer, &state, &[returned(&cookie)], 600_000_000).err(), Some(StateFault::Expired));
    }

    #[test]
    fn a_cookie_is_for_this_host_over_tls_alone_and_for_no_script() {
        let (sealer, state) = (sealer(), state());
        let secure = attempt(None).to_cookie(&sealer, &state, true);
        assert!(secure.starts_with(&format!("__Host-alc_connector_oauth_{state}=")));
        assert!(secure.ends_with("; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure"));
        assert!(!secure.contains("Domain"));
        let plain = attempt(None).to_cookie(&sealer, &state, false);
        assert!(plain.starts_with(&format!("alc_connector_oauth_{state}=")));
        assert!(plain.ends_with("; Max-Age=600; Path=/; HttpOnly; SameSite=Lax"));
    }

    #[test]
    fn a_cookie_shows_nothing_of_what_it_holds() {
        let cookie = attempt(Some("client-state".to_owned())).to_cookie(&sealer(), &state(), true);
        assert!(!cookie.contains("client-state") && !cookie.contains("vvvv") && !cookie.contains("E9Mel"));
    }

    #[test]
    fn only_what_looks_like_our_state_is_looked_up() {
        assert!(is_state(&state()));
        for text in ["", "short", &"a".repeat(44), &"ä".repeat(22), &format!("{};", "a".repeat(42))] {
            assert!(!is_state(text), "{text}");
        }
    }
}
