//! The authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3) and the answers that go back through the browser.
//!
//! Promises that no browser is ever redirected to a URI that is not registered, and that the client's state comes back
//! exactly as it was given, or not at all.

use std::borrow::Cow;

use super::{
    client::Client,
    params::{Duplicate, Params, with_query},
};

/// The longest client state: with it, the sealed attempt still fits into a cookie.
pub const MAX_CLIENT_STATE: usize = 2_000;

/// A request that may go on. No `Debug`: the client's state is in it.
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct AuthorizationRequest<'a> {
    pub(super) redirect_uri: &'a str,
    pub(super) state: Option<String>,
    /// Of S256: there is no other method here.
    pub(super) code_challenge: Option<String>,
}

/// Why a request does not go on. No `Debug`: the location holds the client's state.
pub enum AuthorizeFault {
    /// No such client: tell the person, redirect nowhere.
    BadClient,
    /// Not one of the client's redirect URIs: tell the person, redirect nowhere.
    BadRedirectUri,
    /// Send the browser back to the client with the error.
    Redirect {
        /// Where to, with `error`.
        location: String,
    },
}

/// What the client is told through the browser (RFC 6749 §4.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedirectError {
    pub(super) code: String,
    pub(super) description: Cow<'static, str>,
}

impl RedirectError {
    pub(super) fn new(code: &str, description: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.to_owned(), description: description.into() }
    }

    fn invalid(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }

    /// The redirect URI with the error; `iss` names the server that answers (RFC 9207 §2).
    pub(super) fn location(&self, redirect_uri: &str, state: Option<&str>, issuer: &str) -> String {
        let mut params = vec![("error", self.code.as_str()), ("error_description", &*self.description)];
        params.extend(state.map(|state| ("state", state)));
        params.push(("iss", issuer));
        with_query(redirect_uri, &params)
    }
}

/// The redirect URI with the code (RFC 6749 §4.1.2, RFC 9207 §2).
pub(super) fn success_location(redirect_uri: &str, code: &str, state: Option<&str>, issuer: &str) -> String {
    let mut params = vec![("code", code)];
    params.extend(state.map(|state| ("state", state)));
    params.push(("iss", issuer));
    with_query(redirect_uri, &params)
}

impl<'a> AuthorizationRequest<'a> {
    pub(super) fn parse(client: &'a Client, query: &str, issuer: &str) -> Result<Self, AuthorizeFault> {
        let params = Params::parse(query.as_bytes());
        match params.get("client_id") {
            Ok(Some(id)) if client.is(id) => {}
            _ => return Err(AuthorizeFault::BadClient),
        }
        let Ok(Some(given)) = params.get("redirect_uri") else { return Err(AuthorizeFault::BadRedirectUri) };
        let redirect_uri = client.redirect_uri(given).ok_or(AuthorizeFault::BadRedirectUri)?;
        let refused = |error: RedirectError, state: Option<&str>| AuthorizeFault::Redirect {
            location: error.location(redirect_uri, state, issuer),
        };
        // A state that cannot be given back exactly is not given back at all.
        let state = client_state(&params).map_err(|error| refused(error, None))?;
        let code_challenge = response_type(&params)
            .and_then(|()| code_challenge(&params))
            .map_err(|error| refused(error, state.as_deref()))?;
        Ok(Self { redirect_uri, state, code_challenge })
    }
}

fn client_state(params: &Params) -> Result<Option<String>, RedirectError> {
    let Some(state) = params.get("state")? else { return Ok(None) };
    if state.len() > MAX_CLIENT_STATE {
        return Err(RedirectError::invalid("state is longer than 2000 bytes"));
    }
    // RFC 6749 appendix A.5: visible ASCII and spaces. Anything else might come back changed.
    if !state.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(RedirectError::invalid("state has characters that a state cannot have"));
    }
    Ok(Some(state.to_owned()))
}

fn response_type(params: &Params) -> Result<(), RedirectError> {
    match params.get("response_type")? {
        Some("code") => Ok(()),
        Some(_) => Err(RedirectError::new("unsupported_response_type", "response_type must be code")),
        None => Err(RedirectError::invalid("response_type is missing")),
    }
}

fn code_challenge(params: &Params) -> Result<Option<String>, RedirectError> {
    match (params.get("code_challenge")?, params.get("code_challenge_method")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(RedirectError::invalid("code_challenge is missing")),
        // Without a method it would be `plain` (RFC 7636 §4.3), which an attacker who saw the request can answer too.
        (Some(_), None | Some("plain")) => Err(RedirectError::invalid("code_challenge_method must be S256")),
        (Some(challenge), Some("S256")) if is_s256(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), Some("S256")) => Err(RedirectError::invalid("code_challenge is malformed")),
        (Some(_), Some(_)) => Err(RedirectError::invalid("code_challenge_method must be S256")),
    }
}

/// Whether it can be a SHA-256 in base64url without padding.
fn is_s256(challenge: &str) -> bool {
    challenge.len() == 43 && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl From<Duplicate> for RedirectError {
    fn from(Duplicate(name): Duplicate) -> Self {
        Self::invalid(match name {
            "state" => "state stands more than once",
            "response_type" => "response_type stands more than once",
            "code_challenge" => "code_challenge stands more than once",
            _ => "a parameter stands more than once",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::SecretString;
    use url::{Url, form_urlencoded};

    use super::*;

    const ISSUER: &str = "https://connector.example";
    const URI: &str = "https://app.example/callback?fixed=1";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn client() -> Client {
        Client::new("attio".to_owned(), SecretString::from("s"), vec![URI.to_owned()])
    }

    fn encoded(pairs: &[(&str, &str)]) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    const GOOD: [(&str, &str); 4] =
        [("response_type", "code"), ("client_id", "attio"), ("redirect_uri", URI), ("state", "s p+a%c&e")];

    /// A good request with these pairs put in place of those with the same names.
    fn with(pairs: &[(&str, &str)]) -> String {
        let kept = GOOD.iter().filter(|(name, _)| pairs.iter().all(|(other, _)| other != name));
        encoded(&kept.chain(pairs).copied().collect::<Vec<_>>())
    }

    /// `error` and `state` of the redirect.
    fn refused(query: &str) -> (String, Option<String>) {
        let client = client();
        let Err(AuthorizeFault::Redirect { location }) = AuthorizationRequest::parse(&client, query, ISSUER) else {
            panic!("not refused by a redirect: {query}")
        };
        assert!(location.starts_with(&format!("{URI}&")), "{location}");
        let url = Url::parse(&location).expect("a URL");
        let get = |name| url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        assert_eq!(get("iss").as_deref(), Some(ISSUER));
        (get("error").expect("an error"), get("state"))
    }

    #[test]
    fn a_good_request_goes_on() {
        let client = client();
        let request = |query: &str| {
            let Ok(request) = AuthorizationRequest::parse(&client, query, ISSUER) else { panic!("goes on") };
            request
        };
        let plain = request(&encoded(&GOOD));
        assert_eq!((plain.redirect_uri, plain.state.as_deref()), (URI, Some("s p+a%c&e")));
        assert_eq!(plain.code_challenge, None);
        let proven =
            request(&with(&[("code_challenge", CHALLENGE), ("code_challenge_method", "S256"), ("scope", "x")]));
        assert_eq!(proven.code_challenge.as_deref(), Some(CHALLENGE));
        assert_eq!(request(&with(&[("state", "")])).state, None);
        let longest = "x".repeat(MAX_CLIENT_STATE);
        assert_eq!(request(&with(&[("state", &longest)])).state, Some(longest));
    }

    #[test]
    fn a_bad_client_or_redirect_uri_is_never_redirected() {
        let client = client();
        let parse = |query: &str| AuthorizationRequest::parse(&client, query, ISSUER).err();
        for id in ["", "other", "attio "] {
            assert!(matches!(parse(&with(&[("client_id", id)])), Some(AuthorizeFault::BadClient)));
        }
        let twice = with(&[("client_id", "attio"), ("client_id", "attio")]);
        assert!(matches!(parse(&twice), Some(AuthorizeFault::BadClient)));
        for uri in
            ["", "https://evil.example/", "https://app.example/callback", "//evil.example", "javascript:alert(1)"]
        {
            assert!(matches!(parse(&with(&[("redirect_uri", uri)])), Some(AuthorizeFault::BadRedirectUri)), "{uri}");
        }
        let twice = with(&[("redirect_uri", URI), ("redirect_uri", "https://evil.example/")]);
        assert!(matches!(parse(&twice), Some(AuthorizeFault::BadRedirectUri)));
    }

    #[test]
    fn other_faults_go_back_with_the_state() {
        let state = Some("s p+a%c&e".to_owned());
        let invalid = ("invalid_request".to_owned(), state.clone());
        assert_eq!(refused(&with(&[("response_type", "token")])), ("unsupported_response_type".to_owned(), state));
        assert_eq!(refused(&with(&[("response_type", "")])), invalid);
        assert_eq!(refused(&with(&[("response_type", "code"), ("response_type", "code")])), invalid);
        let challenge = ("code_challenge", CHALLENGE);
        assert_eq!(refused(&with(&[challenge])), invalid);
        assert_eq!(refused(&with(&[challenge, ("code_challenge_method", "plain")])), invalid);
        assert_eq!(refused(&with(&[challenge, ("code_challenge_method", "s256")])), invalid);
        assert_eq!(refused(&with(&[("code_challenge_method", "S256")])), invalid);
        assert_eq!(refused(&with(&[challenge, challenge, ("code_challenge_method", "S256")])), invalid);
        for malformed in [&CHALLENGE[1..], &format!("{CHALLENGE}="), &CHALLENGE.replace('-', "+")] {
            assert_eq!(
                refused(&with(&[("code_challenge", malformed), ("code_challenge_method", "S256")])),
                invalid,
                "{malformed}"
            );
        }
    }

    #[test]
    fn a_state_that_cannot_come_back_exactly_does_not_come_back() {
        let too_long = "x".repeat(MAX_CLIENT_STATE + 1);
        for state in [too_long.as_str(), "line\nbreak", "ü", "\u{fffd}", "\0"] {
            assert_eq!(refused(&with(&[("state", state)])), ("invalid_request".to_owned(), None));
        }
        assert_eq!(refused(&with(&[("state", "a"), ("state", "a")])), ("invalid_request".to_owned(), None));
        let not_utf8 = format!("{}&state=%ff", with(&[("state", "")]));
        assert_eq!(refused(&not_utf8), ("invalid_request".to_owned(), None));
    }

    proptest! {
        /// Asks with any URI but the registered one, and with near misses of it: cut short, or with something before,
        /// after or in the middle. None of them may lead to a redirect, whatever else the query holds.
        #[test]
        fn no_browser_is_sent_to_another_uri(
            uri in prop_oneof![
                "(https?:)?[/\\\\@.:?#a-z&=%0-9]{0,60}",
                // Near misses: cut short, with something before, after or in the middle.
                ("[a-z:/@]{0,2}", 0..=URI.len(), "[a-z./@#?&%\\\\]{0,3}", 0..=URI.len())
                    .prop_map(|(before, end, after, start)| format!("{before}{}{after}{}", &URI[..end], &URI[start..])),
            ],
            rest in "[a-z_=&%0-9]{0,60}",
        ) {
            prop_assume!(uri != URI);
            let client = client();
            let query = format!("{}&{rest}", with(&[("redirect_uri", &uri)]));
            let parsed = AuthorizationRequest::parse(&client, &query, ISSUER);
            prop_assert!(matches!(parsed, Err(AuthorizeFault::BadRedirectUri | AuthorizeFault::BadClient)));
        }

        /// Asks for a response type that there is none of, with any state that a client may send. The error has to come
        /// back to the registered URI with that state, byte by byte, or the client cannot tell which attempt it is
        /// about.
        #[test]
        fn an_error_goes_to_the_registered_uri_with_the_exact_state(state in "[ -~]{1,2000}", response_type in "[a-z ]{1,9}") {
            prop_assume!(response_type != "code");
            let (error, echoed) = refused(&with(&[("state", &state), ("response_type", &response_type)]));
            prop_assert_eq!(error, "unsupported_response_type");
            prop_assert_eq!(echoed, Some(state));
        }

        /// Makes the last redirect with any code and any state, and parses it as the client would. Nothing may be lost,
        /// added or reordered behind what the registered URI has of its own.
        #[test]
        fn a_code_goes_to_the_registered_uri_with_the_exact_state(state in "[ -~]{1,2000}", code in "[A-Za-z0-9._-]{1,80}") {
            let location = success_location(URI, &code, Some(&state), ISSUER);
            prop_assert!(location.starts_with(&format!("{URI}&")), "{}", location);
            let url = Url::parse(&location).expect("a URL");
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            let expected = [("fixed", "1"), ("code", &code), ("state", &state), ("iss", ISSUER)];
            prop_assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }
}
