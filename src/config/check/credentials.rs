//! What can never be a credential: mostly what copying, quoting and templating leave behind.
//!
//! Each is refused before anything is sent: afterwards the upstream refuses it at every connect, and is blamed for it.
//! What is odd and may be meant (a short secret, one with a comma) passes. Nothing quotes the value.

/// Around a value, each of them with its other half.
const QUOTES: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];
/// The scheme of an `Authorization` header is ours to write.
const SCHEMES: [&str; 5] = ["bearer ", "basic ", "token ", "authorization:", "bearer:"];
/// What templates leave where nobody has filled in a value.
const PLACEHOLDERS: [(&str, &str); 5] = [("${", "}"), ("$(", ")"), ("{{", "}}"), ("<", ">"), ("%{", "}")];

/// An OAuth client's id or secret (RFC 6749 §A.1, §A.2: printable ASCII, blanks included).
pub(in crate::config) fn client_credential(text: &str) -> Result<String, String> {
    unharmed(text)?;
    let lower = text.to_ascii_lowercase();
    if SCHEMES.iter().any(|scheme| lower.starts_with(scheme)) {
        return Err("begins with the scheme of an Authorization header: write the value alone".to_owned());
    }
    if PLACEHOLDERS.iter().any(|(begins, ends)| text.starts_with(begins) && text.ends_with(ends)) {
        return Err("is a placeholder that was not filled in: set it to the value".to_owned());
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
    let is_scope = |scope: &str| scope.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    let scopes: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    if scopes.iter().all(|scope| is_scope(scope)) {
        Ok(scopes)
    } else {
        Err("must be scopes separated by blanks: printable ASCII without quotes and backslashes".to_owned())
    }
}
