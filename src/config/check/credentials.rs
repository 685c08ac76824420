//! What can never be a credential: mostly what copying, quoting and templating leave behind.
//!
//! Each is refused before anything is sent: afterwards the upstream refuses it at every connect, and is blamed for it.
//! What is odd and may be meant (a short secret, one with a comma) passes. Nothing quotes the value.

use secrecy::SecretString;

/// Around a value, each of them with its other half.
const QUOTES: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];
/// The scheme of an `Authorization` header is ours to write.
const SCHEMES: [&str; 5] = ["bearer ", "basic ", "token ", "authorization:", "bearer:"];
/// What templates leave where no value was filled in.
const PLACEHOLDERS: [(&str, &str); 6] = [("${", "}"), ("$(", ")"), ("{{", "}}"), ("<", ">"), ("%{", "}"), ("%", "%")];
/// Words that stand for a value which is still to come, without the signs between their parts.
const STAND_INS: [&str; 9] =
    ["changeme", "replaceme", "placeholder", "todo", "tbd", "undefined", "null", "none", "redacted"];
const UNFILLED: &str = "is a placeholder that was not filled in: set it to the value";

/// An OAuth client's id or secret (RFC 6749 §A.1, §A.2: printable ASCII, blanks included).
pub(in crate::config) fn client_credential(text: &str) -> Result<String, String> {
    unharmed(text)?;
    let lower = text.to_ascii_lowercase();
    if SCHEMES.iter().any(|scheme| lower.starts_with(scheme)) {
        return Err("begins with the scheme of an Authorization header: write the value alone".to_owned());
    }
    if is_placeholder(text) {
        return Err(UNFILLED.to_owned());
    }
    if !text.is_ascii() {
        return Err("has other characters than printable ASCII: copy it again from where it was shown".to_owned());
    }
    Ok(text.to_owned())
}

/// What goes into a header as a bearer token (RFC 6750 §2.1): no blanks either.
pub(in crate::config) fn bearer_token(text: &str) -> Result<String, String> {
    let token = client_credential(text)?;
    if token.contains(' ') {
        return Err("has a blank in it: write one token alone".to_owned());
    }
    if token.contains("://") {
        return Err("is a URL: write the token itself".to_owned());
    }
    Ok(token)
}

/// A caller that guesses it reads and changes everything that operators may.
const SHORTEST_OPERATORS_TOKEN: usize = 24;

/// The token that operators prove themselves by.
pub(in crate::config) fn operators_token(text: &str) -> Result<SecretString, String> {
    let token = bearer_token(text)?;
    if token.chars().count() < SHORTEST_OPERATORS_TOKEN {
        return Err(format!(
            "has fewer than {SHORTEST_OPERATORS_TOKEN} characters: `openssl rand -base64 33` prints a good one"
        ));
    }
    Ok(token.into())
}

fn is_placeholder(text: &str) -> bool {
    let around = |(begins, ends): &(&str, &str)| text.len() > 2 && text.starts_with(begins) && text.ends_with(ends);
    let of_shell = text.strip_prefix('$').is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    });
    let bare = text.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let is_mask = |sign: char| bare.len() > 2 && bare.chars().all(|c| c == sign);
    PLACEHOLDERS.iter().any(around)
        || of_shell
        || STAND_INS.contains(&bare.as_str())
        || is_mask('x')
        || is_mask('*')
        || ["your-", "your_"].iter().any(|begins| text.to_ascii_lowercase().starts_with(begins))
}

/// Text in which a template's variable may stand anywhere, and which has no use for those signs.
pub(in crate::config) fn filled_in(text: &str) -> Result<(), String> {
    let stands =
        |(begins, ends): (&str, &str)| text.split_once(begins).is_some_and(|(_, behind)| behind.contains(ends));
    if [("${", "}"), ("$(", ")"), ("{{", "}}"), ("%{", "}")].into_iter().any(stands) {
        return Err("has a placeholder in it that was not filled in".to_owned());
    }
    Ok(())
}

/// The two halves of a client's credentials.
pub(in crate::config) fn are_two(id: Option<&str>, secret: Option<&str>) -> Result<(), String> {
    if id.is_some() && id == secret {
        return Err("is the client id once more: set it to the secret that belongs to it".to_owned());
    }
    Ok(())
}

/// Text of one line, without anything around it.
pub(in crate::config) fn unharmed(text: &str) -> Result<(), String> {
    if text.contains(['\n', '\r']) {
        return Err("has a line break in it: write it on one line".to_owned());
    }
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("has a control or invisible character in it: copy it again from where it was shown".to_owned());
    }
    if text.trim() != text {
        return Err("has blanks around it: write it without them".to_owned());
    }
    let quoted = |(left, right): &(char, char)| text.len() > 1 && text.starts_with(*left) && text.ends_with(*right);
    if QUOTES.iter().any(quoted) {
        return Err("has quotes around it: write it without them".to_owned());
    }
    Ok(())
}

/// What copying from a page or a chat brings along.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}')
}

/// The scopes of RFC 6749 §3.3, separated by blanks.
pub(in crate::config) fn scopes(text: &str) -> Result<Vec<String>, String> {
    unharmed(text)?;
    filled_in(text)?;
    let is_scope = |scope: &str| scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    let scopes: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    if scopes.iter().all(|scope| is_scope(scope)) {
        Ok(scopes)
    } else {
        Err("must be scopes separated by blanks: printable ASCII without quotes and backslashes".to_owned())
    }
}
