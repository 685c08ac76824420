//! Our one OAuth client: the Attio app's connection.
//!
//! Owns its credentials and its registered redirect URIs. Promises that secrets are compared in constant time, and that
//! a browser is sent to no redirect URI but a registered one, character for character (RFC 9700 §2.1).

use aws_lc_rs::{constant_time, digest};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded;

use super::{OAuthError, params::Params};

/// The padding is optional, and the alphabet of URLs as good: not every client has a library's base64.
const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// The client as the operator registered it.
pub(super) struct Client {
    id: String,
    secret: SecretString,
    redirect_uris: Vec<String>,
}

impl Client {
    pub(super) fn new(id: String, secret: SecretString, redirect_uris: Vec<String>) -> Self {
        Self { id, secret, redirect_uris }
    }

    pub(super) fn is(&self, id: &str) -> bool {
        equal(&self.id, id)
    }

    /// The registered redirect URI that `uri` is, exactly.
    pub(super) fn redirect_uri(&self, uri: &str) -> Option<&str> {
        self.redirect_uris.iter().map(String::as_str).find(|known| *known == uri)
    }

    /// The registered redirect URI with that fingerprint.
    pub(super) fn redirect_uri_of(&self, fingerprint: &str) -> Option<&str> {
        self.redirect_uris.iter().map(String::as_str).find(|uri| self::fingerprint(uri) == fingerprint)
    }

    /// Proves that the request comes from the client (RFC 6749 §2.3.1): by `Authorization: Basic`, by `client_id` and
    /// `client_secret` in the body, or by both, if both are right.
    pub(super) fn authenticate(&self, authorization: Option<&str>, params: &Params) -> Result<(), OAuthError> {
        let id = params.get("client_id")?;
        let secret = params.get("client_secret")?;
        let by_header = authorization.map(|header| self.is_basic(header));
        let by_body = secret.map(|secret| {
            // Beside the header the id need not stand again.
            let id = id.map_or(authorization.is_some(), |id| self.is(id));
            equal(self.secret.expose_secret(), secret) & id
        });
        // A `client_id` alone is no authentication, but it must not contradict one.
        let contradicted = id.is_some_and(|id| !self.is(id));
        let given = by_header.is_some() || by_body.is_some();
        let right = by_header.unwrap_or(true) & by_body.unwrap_or(true);
        if given && right && !contradicted { Ok(()) } else { Err(OAuthError::InvalidClient) }
    }

    fn is_basic(&self, header: &str) -> bool {
        let Some((scheme, credentials)) = header.split_once(' ') else { return false };
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let credentials = credentials.trim();
        let Ok(bytes) = BASE64.decode(credentials).or_else(|_| URL_SAFE.decode(credentials)) else { return false };
        let Ok(text) = String::from_utf8(bytes) else { return false };
        let Some((id, secret)) = text.split_once(':') else { return false };
        // Id and secret are form-encoded inside (RFC 6749 §2.3.1), but many clients leave that out, for one or for
        // both, and which kind Attio's is, is not documented: a secret with a `+` in it must work either way.
        let is_id = equal(&self.id, id) | equal(&self.id, &form_decoded(id));
        let known = self.secret.expose_secret();
        let is_secret = equal(known, secret) | equal(known, &form_decoded(secret));
        is_id & is_secret
    }
}

/// What stands for a redirect URI where there is little room: 128 bits of its SHA-256.
pub(super) fn fingerprint(uri: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, uri.as_bytes()).as_ref()[..16])
}

/// Equality in constant time; of the hashes, so that not even the length shows.
fn equal(known: &str, given: &str) -> bool {
    let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    constant_time::verify_slices_are_equal(hash(known).as_ref(), hash(given).as_ref()).is_ok()
}

fn form_decoded(text: &str) -> String {
    // A name without `=` and `&`: the decoder would split there, so what is no form-encoding stays as it is.
    if text.contains(['=', '&']) {
        return text.to_owned();
    }
    form_urlencoded::parse(text.as_bytes()).next().map_or_else(String::new, |(name, _)| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_in_the_alphabet_of_urls_is_basic() {
        // `?>~` are the characters by which the two alphabets differ.
        let client = client("a?>~b?>~");
        let standard = basic("attio app", "a?>~b?>~");
        let url_safe = standard.replace('+', "-").replace('/', "_");
        assert!(standard != url_safe);
        for header in [url_safe.as_str(), url_safe.trim_end_matches('='), standard.as_str()] {
            assert_eq!(authenticated(&client, Some(header), ""), Ok(()), "{header}");
        }
    }

    const URI: &str = "https://app.example/callback?fixed=1";

    fn client(secret: &str) -> Client {
        Client::new("attio app".to_owned(), SecretString::from(secret), vec![URI.to_owned()])
    }

    fn basic(id: &str, secret: &str) -> String {
        format!("Basic {}", BASE64.encode(format!("{id}:{secret}")))
    }

    fn authenticated(client: &Client, header: Option<&str>, body: &str) -> Result<(), OAuthError> {
        client.authenticate(header, &Params::parse(body.as_bytes()))
    }

    #[test]
    fn basic_works_encoded_and_plain() {
        for secret in ["plain", "a+b/c=", "50%25", "a:b", "a&b", "ü ö"] {
            let client = client(secret);
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let mixed = basic("attio+app", secret);
            let unpadded = basic("attio app", secret).trim_end_matches('=').to_owned();
            for header in [basic("attio+app", &encoded), basic("attio app", secret), mixed, unpadded] {
                assert_eq!(authenticated(&client, Some(&header), ""), Ok(()), "{secret}");
                assert_eq!(authenticated(&client, Some(&header.replace("Basic", "bAsIc")), ""), Ok(()));
                assert_eq!(authenticated(&client, Some(&header), "client_id=attio+app"), Ok(()));
                assert_eq!(authenticated(&client, Some(&header), "client_id=other"), Err(OAuthError::InvalidClient));
                for right in
                    [format!("client_secret={encoded}"), format!("client_id=attio+app&client_secret={encoded}")]
                {
                    assert_eq!(authenticated(&client, Some(&header), &right), Ok(()), "{right}");
                    let wrong = basic("attio app", "x");
                    assert_eq!(authenticated(&client, Some(&wrong), &right), Err(OAuthError::InvalidClient), "{right}");
                    let bearer = authenticated(&client, Some("Bearer x"), &right);
                    assert_eq!(bearer, Err(OAuthError::InvalidClient), "{right}");
                }
                for wrong in ["client_secret=x", "client_id=attio+app&client_secret=x"] {
                    assert_eq!(authenticated(&client, Some(&header), wrong), Err(OAuthError::InvalidClient), "{wrong}");
                }
            }
        }
    }

    #[test]
    fn the_body_works_too() {
        let client = client("a+b");
        assert_eq!(authenticated(&client, None, "client_id=attio+app&client_secret=a%2Bb"), Ok(()));
        for body in [
            "",
            "client_id=attio+app",
            "client_secret=a%2Bb",
            "client_id=attio+app&client_secret=a+b",
            "client_id=attio+app&client_secret=",
            "client_id=other&client_secret=a%2Bb",
        ] {
            assert_eq!(authenticated(&client, None, body), Err(OAuthError::InvalidClient), "{body}");
        }
        let twice = authenticated(&client, None, "client_id=attio+app&client_secret=a%2Bb&client_secret=c");
        assert!(matches!(twice, Err(OAuthError::InvalidRequest(_))));
    }

    #[test]
    fn other_headers_prove_nothing() {
        let client = client("s");
        let wrong_secret = basic("attio app", "t");
        let wrong_id = basic("attio", "s");
        for header in ["", "Basic", "Basic ", "Basic !", "Bearer YTpi", "Basic YQ==", &wrong_secret, &wrong_id] {
            assert_eq!(authenticated(&client, Some(header), ""), Err(OAuthError::InvalidClient), "{header}");
        }
    }

    #[test]
    fn a_redirect_uri_is_registered_exactly_or_not_at_all() {
        let client = client("s");
        assert_eq!(client.redirect_uri(URI), Some(URI));
        assert_eq!(client.redirect_uri_of(&fingerprint(URI)), Some(URI));
        for uri in [
            "",
            "https://app.example/callback",
            "https://app.example/callback?fixed=1&more=2",
            "https://APP.example/callback?fixed=1",
            "https://app.example:443/callback?fixed=1",
            "https://app.example/callback/?fixed=1",
            "https://app.example/x/../callback?fixed=1",
            "https://app.example@evil.example/callback?fixed=1",
            " https://app.example/callback?fixed=1",
        ] {
            assert_eq!(client.redirect_uri(uri), None, "{uri}");
            assert_eq!(client.redirect_uri_of(&fingerprint(uri)), None, "{uri}");
        }
    }
}
