//! Which URLs may be called at all, judged by their text. What their names resolve to is the resolver's to judge.

use std::{fmt, net::IpAddr, sync::Arc};

use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

/// The variable that lists the hosts.
const VARIABLE: &str = "ATTIO__CALLBACK_HOSTS";
/// The longest URL, in bytes: a hundred of them have to fit into one lead.
const LONGEST: usize = 2_000;

/// A URL that passed the guard. Shows nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackUrl(Url);

impl CallbackUrl {
    /// The URL as text: to be sealed.
    pub fn to_secret(&self) -> SecretString {
        SecretString::from(self.0.as_str())
    }

    pub(super) fn to_url(&self) -> Url {
        self.0.clone()
    }
}

impl fmt::Debug for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackUrl")
    }
}

/// Why a URL may not be called. Completes "`finish_callback_url` …"; names the host and nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlRefused(String);

/// The rules. Clones share them.
#[derive(Debug, Clone)]
pub struct Guard {
    hosts: Arc<[String]>,
}

impl Guard {
    /// The rules over the hosts of `ATTIO__CALLBACK_HOSTS`, each with its subdomains.
    pub fn new(hosts: Vec<String>) -> Self {
        Self { hosts: hosts.into() }
    }

    /// The URL, if it may be called.
    pub fn check(&self, text: &SecretString) -> Result<CallbackUrl, UrlRefused> {
        let refuse = |why: String| Err(UrlRefused(why));
        let text = text.expose_secret();
        let nowhere = || format!("must be an absolute https URL that names a host which {VARIABLE} lists");
        let Ok(mut url) = Url::parse(text) else { return refuse(nowhere()) };
        // The parser has turned decimal, octal, hexadecimal and shortened forms into addresses by now.
        let Some(host) = url.host() else { return refuse(nowhere()) };
        let shown = host.to_string();
        let whom = format!("it names the host {shown}, and {VARIABLE} lists whom it may name");
        if text.len() > LONGEST {
            return refuse(format!("must have at most {LONGEST} bytes ({whom})"));
        }
        if !matches!(url.scheme(), "https" | "http") {
            return refuse(format!("must begin with https:// ({whom})"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(format!("must not contain credentials ({whom})"));
        }
        let listed = self.lists(&host);
        let loopback = is_loopback(&host);
        if listed && loopback {
            // For demos and tests, at the operator's own word.
        } else if !matches!(host, Host::Domain(_)) {
            return refuse(format!("names the address {shown}: name a host that {VARIABLE} lists"));
        } else if !listed {
            return refuse(format!(
                "names the host {shown}, which {VARIABLE} does not list ({})",
                self.hosts.join(", ")
            ));
        } else if url.scheme() != "https" {
            return refuse(format!(
                "must begin with https:// (http is only for a loopback host that {VARIABLE} lists, and {shown} is none)"
            ));
        }
        url.set_fragment(None);
        // Parsed, it may have grown (a blank takes three bytes), and so it is kept and judged again at each call.
        if url.as_str().len() > LONGEST {
            return refuse(format!("must have at most {LONGEST} bytes, percent-encoded ({whom})"));
        }
        Ok(CallbackUrl(url))
    }

    /// Whether that name is a loopback host that the operator has listed.
    pub(super) fn lists_loopback(&self, name: &str) -> bool {
        let host = Host::Domain(name);
        self.lists(&host) && is_loopback(&host)
    }

    fn lists(&self, host: &Host<&str>) -> bool {
        let name = host.to_string();
        self.hosts.iter().any(|listed| match host {
            Host::Domain(_) => {
                name == *listed || name.strip_suffix(listed.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            Host::Ipv4(_) | Host::Ipv6(_) => name == *listed,
        })
    }
}

/// Whether a host is this machine, by what it is called.
pub fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
    }
}
