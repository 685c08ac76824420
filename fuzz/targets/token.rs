//! An access token: header and claims as JSON on two lines, a signature on the third. Only what we signed for ourselves
//! is believed, whatever the rest looks like.
#![no_main]

use std::sync::LazyLock;

use alc_connector::{
    authorization::{
        keys::SigningKeys,
        tokens::{AccessTokens, Subject},
    },
    ids::{ConnectionId, WorkspaceId},
};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);
const ISSUER: &str = "http://127.0.0.1:8080";
/// Always the same one, so that the seeds can name it.
const KEY: &str = "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

struct Fixed {
    tokens: AccessTokens,
    pair: Ed25519KeyPair,
    kid: String,
    good: Vec<String>,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let keys = SigningKeys::new(&SecretString::from(KEY), None).expect("a key");
    let kid = keys.jwks().keys[0].common.key_id.clone().expect("a name");
    let tokens = AccessTokens::new(keys, ISSUER);
    let pair = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(KEY).expect("base64")).expect("a key");
    let subject = Subject { workspace: WorkspaceId(Uuid::nil()), connection: ConnectionId(Uuid::nil()) };
    let good = tokens.issue(subject, NOW);
    let good: Vec<String> = good.expose_secret().split('.').map(str::to_owned).collect();
    assert!(tokens.verify(&SecretString::from(good.join(".")), NOW) == Ok(subject), "a good one is believed");
    Fixed { tokens, pair, kid, good }
});

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (header, claims, signature) = (line(), line(), line());
    let content = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));

    for forged in [text.to_owned(), format!("{content}.{signature}"), format!("{content}.")] {
        assert!(!believed(&forged), "forged: {forged}");
    }
    // One part of a good token replaced by something else.
    let encoded = |part: &str| URL_SAFE_NO_PAD.encode(part);
    for (at, part) in [(0, encoded(header)), (1, encoded(claims)), (2, signature.to_owned())] {
        let mut parts = FIXED.good.clone();
        if parts[at] != part {
            parts[at] = part;
            assert!(!believed(&parts.join(".")), "part {at} was forged");
        }
    }
    signed(header, claims, &content);
});

fn believed(token: &str) -> bool {
    let token = SecretString::from(token);
    FIXED.tokens.verify(&token, NOW).is_ok() || FIXED.tokens.verify_ignoring_expiry(&token).is_ok()
}

/// With our own signature it is the claims that decide.
fn signed(header: &str, claims: &str, content: &str) {
    let signature = URL_SAFE_NO_PAD.encode(FIXED.pair.sign(content.as_bytes()));
    let token = SecretString::from(format!("{content}.{signature}"));
    // To leave, any token of ours will do: an expired one, and one from when we had another public URL.
    let Ok(subject) = FIXED.tokens.verify_ignoring_expiry(&token) else {
        assert!(FIXED.tokens.verify(&token, NOW).is_err(), "what is good for all is good for leaving");
        return;
    };
    // What is passed over may be too much for a `Value`: nested too deep, a number too long.
    let (Ok(header), Ok(claims)) = (serde_json::from_str::<Value>(header), serde_json::from_str::<Value>(claims))
    else {
        return;
    };
    assert!(header["alg"] == "EdDSA" && header["kid"] == *FIXED.kid, "{header}");
    assert!(claims["aud"] == "alc-connector", "{claims}");
    let id = |name: &str| claims[name].as_str().and_then(|text| text.parse::<Uuid>().ok());
    assert!(id("sub") == Some(subject.connection.0) && id("wks") == Some(subject.workspace.0), "{claims}");
    let lives = claims["exp"].as_i64().is_some_and(|at| at > NOW.as_second());
    let good = lives && claims["iss"] == ISSUER;
    assert_eq!(FIXED.tokens.verify(&token, NOW).is_ok(), good, "{claims}");
}
