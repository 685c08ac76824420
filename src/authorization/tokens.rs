//! Access tokens: what the Attio app shows us.
//!
//! Owns the claims of our JWTs. Promises that only a token that we signed with EdDSA, for ourselves, under a key of
//! ours is believed, whatever its header says, and that its expiry is judged by the [`crate::clock`], to the second and
//! without leeway.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{keys::SigningKeys, verified::Verified};
use crate::ids::{ConnectionId, WorkspaceId, random_uuid};

/// How long an access token is good for.
pub const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// `aud`: we are the resource server, too.
const AUDIENCE: &str = "alc-connector";

/// The workspace and the connection that a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// `wks`.
    pub workspace: WorkspaceId,
    /// `sub`.
    pub connection: ConnectionId,
}

/// The token is not one of ours, or no longer good. Does not say which, so that a forger learns nothing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token is not valid")]
pub struct BadToken;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: ConnectionId,
    wks: WorkspaceId,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

/// Signs and verifies access tokens.
#[derive(Debug)]
pub struct AccessTokens {
    keys: SigningKeys,
    issuer: String,
    validation: Validation,
    /// What a token must be to stop things: signed by us, under whatever public URL.
    lenient: Validation,
    /// When a token ends and whom it speaks for, by [`AccessTokens::verify`].
    verified: Verified<(i64, Subject)>,
}

impl AccessTokens {
    /// Tokens of `issuer`.
    pub fn new(keys: SigningKeys, issuer: &str) -> Self {
        // RFC 8725 §3.1: the algorithm is ours to say, never the token's.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library knows only the machine's clock, and a minute of leeway: `verify` does it.
        validation.validate_exp = false;
        validation.leeway = 0;
        let mut lenient = validation.clone();
        lenient.iss = None;
        lenient.set_required_spec_claims(&["aud", "sub"]);
        Self { keys, issuer: issuer.to_owned(), validation, lenient, verified: Verified::default() }
    }

    /// The keys.
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// A token for `subject`, good for [`LIFETIME`].
    pub fn issue(&self, subject: Subject, now: Timestamp) -> SecretString {
        let iat = now.as_second();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: subject.connection,
            wks: subject.workspace,
            iat,
            exp: iat.saturating_add(LIFETIME.as_secs().cast_signed()),
            jti: random_uuid(),
        };
        let (kid, key) = self.keys.signing();
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        #[expect(clippy::expect_used, reason = "the key was read before, and claims are plain values")]
        let token = jsonwebtoken::encode(&header, &claims, key).expect("a token is signed");
        SecretString::from(token)
    }

    /// The subject of `token`, if it is good at `now`.
    pub fn verify(&self, token: &SecretString, now: Timestamp) -> Result<Subject, BadToken> {
        let verify = || self.decode(token, &self.validation).map(|claims| (claims.exp, claims.subject()));
        let (exp, subject) = self.verified.or_verify(token, verify)?;
        // RFC 7519 §4.1.4: not on or after `exp`.
        if now.as_second() >= exp { Err(BadToken) } else { Ok(subject) }
    }

    /// The subject of `token`, even if it has expired, or is from before our public URL changed: enough to stop things,
    /// never to start any.
    pub fn verify_ignoring_expiry(&self, token: &SecretString) -> Result<Subject, BadToken> {
        Ok(self.decode(token, &self.lenient)?.subject())
    }

    fn decode(&self, token: &SecretString, validation: &Validation) -> Result<Claims, BadToken> {
        let token = token.expose_secret();
        let header = jsonwebtoken::decode_header(token).map_err(|_| BadToken)?;
        let key = header.kid.and_then(|kid| self.keys.verifying(&kid)).ok_or(BadToken)?;
        jsonwebtoken::decode::<Claims>(token, key, validation).map(|token| token.claims).map_err(|_| BadToken)
    }
}

impl Claims {
    fn subject(&self) -> Subject {
        Subject { workspace: self.wks, connection: self.sub }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{EncodingKey, jwk::AlgorithmParameters};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{super::keys::generate, *};

    const ISSUER: &str = "https://connector.example";

    fn tokens(current: &SecretString, previous: Option<&SecretString>) -> AccessTokens {
        AccessTokens::new(SigningKeys::new(current, previous).expect("good keys"), ISSUER)
    }

    fn subject() -> Subject {
        Subject { workspace: WorkspaceId::random(), connection: ConnectionId::random() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    const NOW: i64 = 1_800_000_000;

    /// The claims of a good token, to be spoilt one by one.
    fn claims() -> Value {
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": ConnectionId::random(), "wks": WorkspaceId::random(),
            "iat": NOW, "exp": NOW + 3600, "jti": random_uuid(),
        })
    }

    fn signed(tokens: &AccessTokens, header: Header, claims: &Value) -> SecretString {
        let (kid, key) = tokens.keys.signing();
        let header = Header { kid: header.kid.or_else(|| Some(kid.to_owned())), ..header };
        SecretString::from(jsonwebtoken::encode(&header, claims, key).expect("signs"))
    }

    fn unsigned(header: &Value, claims: &Value, signature: &str) -> SecretString {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        SecretString::from(format!("{}.{}.{signature}", part(header), part(claims)))
    }

    #[test]
    fn a_token_speaks_for_its_connection_for_an_hour_to_the_second() {
        let tokens = tokens(&generate(), None);
        let subject = subject();
        let token = tokens.issue(subject, at(NOW));
        assert_eq!(tokens.verify(&token, at(NOW)), Ok(subject));
        assert_eq!(tokens.verify(&token, at(NOW + 3599)), Ok(subject));
        assert_eq!(tokens.verify(&token, at(NOW + 3600)), Err(BadToken));
        assert_eq!(tokens.verify_ignoring_expiry(&token), Ok(subject));
    }

    #[test]
    fn the_previous_key_verifies_and_never_signs() {
        let (old, new) = (generate(), generate());
        let (before, rotated, after) = (tokens(&old, None), tokens(&new, Some(&old)), tokens(&new, None));
        let subject = subject();
        let token = before.issue(subject, at(NOW));
        assert_eq!(rotated.verify(&token, at(NOW)), Ok(subject));
        assert_eq!(after.verify(&token, at(NOW)), Err(BadToken));
        let renewed = rotated.issue(subject, at(NOW));
        assert_eq!(after.verify(&renewed, at(NOW)), Ok(subject));
        assert_eq!(before.verify(&renewed, at(NOW)), Err(BadToken));
    }

    #[test]
    fn a_token_of_another_public_url_stops_things_and_starts_none() {
        let key = generate();
        let before = AccessTokens::new(SigningKeys::new(&key, None).expect("good keys"), "https://old.example");
        let now = tokens(&key, None);
        let subject = subject();
        let token = before.issue(subject, at(NOW));
        assert_eq!(now.verify(&token, at(NOW)), Err(BadToken));
        assert_eq!(now.verify_ignoring_expiry(&token), Ok(subject));
        let mut foreign = claims();
        foreign["aud"] = json!("another-service");
        let foreign = signed(&now, Header::new(Algorithm::EdDSA), &foreign);
        assert_eq!(now.verify_ignoring_expiry(&foreign), Err(BadToken));
    }

    #[test]
    fn a_token_without_a_signature_is_refused() {
        let tokens = tokens(&generate(), None);
        let kid = tokens.keys.signing().0;
        for alg in ["none", "None", "NONE", ""] {
            for signature in ["", "AAAA"] {
                let token = unsigned(&json!({"alg": alg, "typ": "JWT", "kid": kid}), &claims(), signature);
                assert_eq!(tokens.verify_ignoring_expiry(&token), Err(BadToken), "{alg}");
            }
        }
    }

    #[test]
    fn our_public_key_is_no_shared_secret() {
        // Algorithm confusion: an HMAC keyed with what `/.well-known/jwks.json` publishes.
        let tokens = tokens(&generate(), None);
        let kid = tokens.keys.signing().0.to_owned();
        let jwk = tokens.keys.jwks().keys.remove(0);
        let AlgorithmParameters::OctetKeyPair(ref public) = jwk.algorithm else { panic!("an OKP key") };
        let raw = URL_SAFE_NO_PAD.decode(&public.x).expect("base64url");
        let published = serde_json::to_vec(&jwk).expect("serialises");
        for secret in [raw.as_slice(), public.x.as_bytes(), &published] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = Header { kid: Some(kid.clone()), ..Header::new(algorithm) };
                let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret)).expect("signs");
                assert_eq!(tokens.verify_ignoring_expiry(&SecretString::from(token)), Err(BadToken));
            }
        }
    }

    #[test]
    fn only_a_key_of_ours_is_looked_for() {
        let ours = tokens(&generate(), None);
        let theirs = tokens(&generate(), None);
        let foreign = theirs.issue(subject(), at(NOW));
        assert_eq!(ours.verify(&foreign, at(NOW)), Err(BadToken));
        // A foreign key under our name, our key under a foreign name, no name at all, a key that the token brings
        // along.
        let our_kid = ours.keys.signing().0.to_owned();
        let named = Header { kid: Some(our_kid), ..Header::new(Algorithm::EdDSA) };
        assert_eq!(ours.verify(&signed(&theirs, named, &claims()), at(NOW)), Err(BadToken));
        let misnamed = Header { kid: Some("other".to_owned()), ..Header::new(Algorithm::EdDSA) };
        assert_eq!(ours.verify(&signed(&ours, misnamed, &claims()), at(NOW)), Err(BadToken));
        let nameless = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims(), ours.keys.signing().1);
        assert_eq!(ours.verify(&SecretString::from(nameless.expect("signs")), at(NOW)), Err(BadToken));
        let bringing = Header { jwk: Some(theirs.keys.jwks().keys.remove(0)), ..Header::new(Algorithm::EdDSA) };
        assert_eq!(ours.verify(&signed(&theirs, bringing, &claims()), at(NOW)), Err(BadToken));
    }

    #[test]
    fn claims_must_be_ours() {
        let tokens = tokens(&generate(), None);
        let verify = |claims: &Value| tokens.verify(&signed(&tokens, Header::new(Algorithm::EdDSA), claims), at(NOW));
        assert!(verify(&claims()).is_ok());
        for (claim, value) in [
            ("aud", json!("another-service")),
            ("aud", json!(null)),
            ("iss", json!("https://connector.example.evil")),
            ("iss", json!("https://connector.example/")),
            ("exp", json!(NOW)),
            ("exp", json!("never")),
            ("sub", json!("not-an-id")),
            ("wks", json!(7)),
        ] {
            let mut spoilt = claims();
            spoilt[claim] = value.clone();
            assert_eq!(verify(&spoilt), Err(BadToken), "{claim} = {value}");
        }
        for claim in ["aud", "iss", "exp", "sub", "wks"] {
            let mut spoilt = claims();
            spoilt.as_object_mut().expect("an object").remove(claim);
            assert_eq!(verify(&spoilt), Err(BadToken), "without {claim}");
        }
    }

    proptest! {
        /// Puts another character at any place of a good token. Header, claims and signature are all covered by the
        /// signature, so no such token may pass.
        #[test]
        fn an_altered_token_is_refused(at_char in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
            let tokens = tokens(&generate(), None);
            let good = tokens.issue(subject(), at(NOW));
            let mut text = good.expose_secret().to_owned();
            let place = at_char.index(text.len());
            prop_assume!(text[place..=place] != to);
            text.replace_range(place..=place, &to);
            prop_assert!(tokens.verify(&SecretString::from(text), at(NOW)).is_err());
        }

        /// Verifies any text, by the more lenient of the two ways. A caller may send whatever it likes: an error, never
        /// a panic.
        #[test]
        fn nonsense_never_panics(text in "\\PC{0,80}") {
            let tokens = tokens(&generate(), None);
            prop_assert!(tokens.verify_ignoring_expiry(&SecretString::from(text)).is_err());
        }
    }
}
