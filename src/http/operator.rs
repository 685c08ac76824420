//! Which callers of the management listener are operators: an extractor, so a handler cannot forget to ask.
//!
//! Promises that with `MANAGEMENT__TOKEN` only its holder is one, compared in constant time: as a bearer token, or as
//! the password of a browser. Without a token only callers on this machine are, and none that a proxy or a web page has
//! brought here: a page in a browser on this machine reaches loopback too, under a name of its own by DNS rebinding or
//! by a form that it posts across origins. Headers that name a caller are believed to accuse and never to prove.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderName},
    web,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};

use super::problem::{Problem, Slug};
use crate::{ids::SecretHash, notify, operate::By};

/// What a browser may answer with a password, and a program with a token.
const CHALLENGES: &[&str] = &["Bearer realm=\"operators\"", "Basic realm=\"operators\", charset=\"UTF-8\""];
/// Of the token's hash, so much tells in the log which token it was.
const FINGERPRINT: usize = 8;
/// What proxies add: then the caller is not the peer of this connection.
const OF_PROXIES: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// Who is an operator.
#[derive(Clone)]
pub struct Operators {
    token: Option<SecretHash>,
}

/// The caller is an operator.
#[derive(Debug, Clone)]
pub struct Operator(pub By);

impl Operators {
    /// Those that know the token; without one, those on this machine.
    pub fn new(token: Option<SecretString>) -> Self {
        Self { token: token.map(|token| SecretHash::of(&token)) }
    }

    fn judge(&self, request: &HttpRequest) -> Result<Operator, Problem> {
        let by = match &self.token {
            Some(token) => by_token(request, token)?,
            None => on_this_machine(request)?,
        };
        if !request.method().is_safe() {
            of_this_origin(request)?;
        }
        Ok(Operator(by))
    }
}

impl Operator {
    /// With the name that the request gives, if it gives one.
    pub fn named(self, name: Option<&str>) -> By {
        if name.is_some() { named(self.0, name) } else { self.0 }
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let operators = request.app_data::<web::Data<Operators>>();
        ready(operators.map_or_else(|| Err(Problem::own_fault()), |operators| operators.judge(request)))
    }
}

fn by_token(request: &HttpRequest, known: &SecretHash) -> Result<By, Problem> {
    let refused = || {
        let detail = "Send `Authorization: Bearer <MANAGEMENT__TOKEN>`; a browser: the token as the password.";
        Problem::new(Slug::Unauthorized, detail).challenged(CHALLENGES)
    };
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let (Some(header), None) = (headers.next(), headers.next()) else { return Err(refused()) };
    let (scheme, value) = header.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or_else(refused)?;
    let (name, token) = if scheme.eq_ignore_ascii_case("bearer") {
        (None, SecretString::from(value.trim()))
    } else if scheme.eq_ignore_ascii_case("basic") {
        let text = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (name, password) = text.as_deref().and_then(|text| text.split_once(':')).ok_or_else(refused)?;
        (Some(name.to_owned()), SecretString::from(password))
    } else {
        return Err(refused());
    };
    if !known.matches(&token) {
        return Err(refused());
    }
    Ok(named(By::proven(proof(token.expose_secret())), name.as_deref()))
}

/// What the audit line shows of a token.
fn proof(token: &str) -> String {
    let fingerprint = SecretHash::of(&SecretString::from(format!("operators {token}")));
    format!("token {}", fingerprint.shown().chars().take(FINGERPRINT).collect::<String>())
}

/// An operator who pastes the token into both fields of a browser's prompt must not have it in the log as a name.
fn named(by: By, name: Option<&str>) -> By {
    let name = name.filter(|name| !by.is_proven_by(&proof(name.trim())));
    by.named(name)
}

fn on_this_machine(request: &HttpRequest) -> Result<By, Problem> {
    let is_here = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_brought = OF_PROXIES.iter().any(|name| request.headers().contains_key(HeaderName::from_static(name)));
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_here && !is_brought && is_loopback(host) {
        return Ok(By::proven("loopback"));
    }
    let detail = "Without MANAGEMENT__TOKEN only callers on the service's own machine are operators, which name it as \
                  localhost or 127.0.0.1 and come through no proxy. Call from there, or set the token.";
    Err(Problem::new(Slug::Forbidden, detail))
}

/// Whether the authority of a `Host` names this machine by loopback.
fn is_loopback(authority: &str) -> bool {
    let url = url::Url::parse(&format!("http://{authority}/"));
    url.is_ok_and(|url| url.username().is_empty() && url.host().is_some_and(|host| notify::is_loopback(&host)))
}

/// A browser says from where a request comes that changes something; a program does not.
fn of_this_origin(request: &HttpRequest) -> Result<(), Problem> {
    let text = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text("host").unwrap_or_default();
    let is_same = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    if text("origin").is_none_or(is_same)
        && text("sec-fetch-site").is_none_or(|site| ["same-origin", "none"].contains(&site))
    {
        return Ok(());
    }
    let detail = "This change was asked for by a page of another origin. Use the commands (`alc-connector --help`).";
    Err(Problem::new(Slug::Forbidden, detail))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use actix_web::{http::Method, test::TestRequest};

    use super::*;

    const TOKEN: &str = "an-operators-token-of-some-length";

    fn asked(method: Method, peer: &str, headers: &[(&str, &str)]) -> TestRequest {
        let peer: SocketAddr = peer.parse().expect("an address");
        let request = TestRequest::default().method(method).peer_addr(peer);
        headers.iter().fold(request, |request, header| request.append_header(*header))
    }

    fn judged(token: Option<&str>, method: Method, peer: &str, headers: &[(&str, &str)]) -> Result<String, u16> {
        let operators = Operators::new(token.map(SecretString::from));
        let judged = operators.judge(&asked(method, peer, headers).to_http_request());
        judged.map(|operator| operator.0.to_string()).map_err(|problem| problem.slug().status())
    }

    #[test]
    fn without_a_token_only_callers_on_this_machine_are_operators() {
        let get = |peer, headers: &[(&str, &str)]| judged(None, Method::GET, peer, headers);
        for host in ["127.0.0.1:9090", "localhost:9090", "localhost", "[::1]:9090", "127.9.9.9"] {
            assert_eq!(get("127.0.0.1:5000", &[("host", host)]), Ok("loopback".to_owned()), "{host}");
        }
        assert_eq!(get("[::1]:5000", &[("host", "localhost")]), Ok("loopback".to_owned()));
        assert_eq!(get("[::ffff:127.0.0.1]:5000", &[("host", "localhost")]), Ok("loopback".to_owned()));
        for peer in ["10.0.0.9:5000", "192.168.0.2:1", "[fe80::1]:1"] {
            assert_eq!(get(peer, &[("host", "127.0.0.1:9090")]), Err(403), "{peer}");
        }
    }

    #[test]
    fn a_name_that_a_page_has_rebound_to_loopback_proves_nothing() {
        for host in
            ["attacker.example:9090", "localhost.attacker.example", "127.0.0.1.attacker.example", "a@localhost", ""]
        {
            assert_eq!(judged(None, Method::GET, "127.0.0.1:5000", &[("host", host)]), Err(403), "{host}");
        }
        assert_eq!(judged(None, Method::GET, "127.0.0.1:5000", &[]), Err(403), "no Host");
    }

    #[test]
    fn what_a_proxy_on_this_machine_forwards_comes_from_elsewhere() {
        for name in OF_PROXIES {
            let headers = [("host", "localhost"), (name, "127.0.0.1")];
            assert_eq!(judged(None, Method::GET, "127.0.0.1:5000", &headers), Err(403), "{name}");
        }
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing_whatever_it_brings() {
        let bearer = format!("Bearer {TOKEN}");
        for token in [None, Some(TOKEN)] {
            let post = |more: &[(&str, &str)]| {
                let headers = [&[("host", "localhost:9090"), ("authorization", bearer.as_str())], more].concat();
                judged(token, Method::POST, "127.0.0.1:5000", &headers).is_ok()
            };
            assert!(post(&[]), "a program");
            assert!(post(&[("origin", "http://localhost:9090"), ("sec-fetch-site", "same-origin")]));
            for other in ["http://attacker.example", "null", "http://localhost:8080", "http://localhost:9090.evil", ""]
            {
                assert!(!post(&[("origin", other)]), "{other}");
            }
            assert!(!post(&[("sec-fetch-site", "cross-site")]) && !post(&[("sec-fetch-site", "same-site")]));
        }
    }

    #[test]
    fn with_a_token_only_its_holder_is_an_operator_wherever_it_is() {
        let get = |peer, value: &str| judged(Some(TOKEN), Method::GET, peer, &[("authorization", value)]);
        let by = get("10.0.0.9:5000", &format!("Bearer {TOKEN}")).expect("an operator");
        assert!(by.starts_with("token ") && !by.contains(TOKEN) && by.len() == 14, "{by}");
        assert_eq!(get("127.0.0.1:5000", &format!("bearer  {TOKEN}")), Ok(by.clone()));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(get("10.0.0.9:5000", &basic(&format!("ada:{TOKEN}"))), Ok(format!("ada ({by})")));
        assert_eq!(get("10.0.0.9:5000", &basic(&format!("{TOKEN}:{TOKEN}"))), Ok(by.clone()), "no token is a name");
        for bad in ["Bearer nonsense", "Bearer", "", "Digest x", TOKEN, &basic(TOKEN), &basic("ada:"), "Basic ???"] {
            assert_eq!(get("127.0.0.1:5000", bad), Err(401), "{bad}");
        }
        assert_eq!(judged(Some(TOKEN), Method::GET, "127.0.0.1:5000", &[("host", "localhost")]), Err(401), "loopback");
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(judged(Some(TOKEN), Method::GET, "127.0.0.1:5000", &twice), Err(401));
    }
}
