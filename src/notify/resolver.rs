//! What the names of callback URLs may resolve to: judged for each connection, so that a name which was harmless when
//! its URL was taken cannot turn into an address of our own network (DNS rebinding).

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{address::is_public, guard::Guard};

/// Asks for the addresses of a name. Injected, because no test owns a name server.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's resolver.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// Resolves for the HTTP client, which connects to nothing but what comes out of here.
#[derive(Clone)]
pub(super) struct Guarded {
    guard: Guard,
    lookup: Lookup,
}

impl Guarded {
    pub(super) fn new(guard: Guard, lookup: Lookup) -> Self {
        Self { guard, lookup }
    }

    async fn addresses(guard: Guard, lookup: Lookup, name: String) -> io::Result<Vec<SocketAddr>> {
        let found = lookup(name.clone()).await?;
        let allowed: fn(&SocketAddr) -> bool = if guard.lists_loopback(&name) {
            |address| address.ip().is_loopback()
        } else {
            |address| is_public(address.ip())
        };
        // One bad address is enough: a public host has no business naming a private one beside it.
        if found.is_empty() || !found.iter().all(allowed) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the host has an address that is not public"));
        }
        Ok(found)
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = Self::addresses(self.guard.clone(), self.lookup.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let found = resolving.await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn fixed(addresses: &'static [&'static str]) -> Lookup {
        Arc::new(move |_| {
            let found = addresses.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect();
            Box::pin(async move { Ok(found) })
        })
    }

    async fn resolved(hosts: &[&str], name: &str, lookup: Lookup) -> bool {
        let guard = Guard::new(hosts.iter().map(|host| (*host).to_owned()).collect());
        Guarded::addresses(guard, lookup, name.to_owned()).await.is_ok()
    }

    #[tokio::test]
    async fn only_public_addresses_come_out() {
        let hosts = ["attio.com"];
        assert!(resolved(&hosts, "api.attio.com", fixed(&["93.184.216.34", "2606:4700::1"])).await);
        assert!(!resolved(&hosts, "api.attio.com", fixed(&["127.0.0.1"])).await);
        assert!(!resolved(&hosts, "api.attio.com", fixed(&["93.184.216.34", "10.0.0.1"])).await, "one is enough");
        assert!(!resolved(&hosts, "api.attio.com", fixed(&["64:ff9b::a00:1"])).await);
        assert!(!resolved(&hosts, "api.attio.com", fixed(&[])).await);
    }

    #[tokio::test]
    async fn a_listed_loopback_name_is_loopback_and_nothing_else() {
        assert!(resolved(&["localhost"], "localhost", fixed(&["127.0.0.1", "::1"])).await);
        assert!(!resolved(&["localhost"], "localhost", fixed(&["10.0.0.1"])).await);
        assert!(!resolved(&["attio.com"], "localhost", fixed(&["127.0.0.1"])).await, "not listed");
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_is_judged_anew_each_time() {
        let asked = Arc::new(AtomicUsize::new(0));
        let lookup: Lookup = Arc::new(move |_| {
            let text = if asked.fetch_add(1, Ordering::Relaxed) == 0 { "93.184.216.34:0" } else { "169.254.169.254:0" };
            Box::pin(async move { Ok(vec![text.parse().expect("an address")]) })
        });
        assert!(resolved(&["attio.com"], "api.attio.com", lookup.clone()).await);
        assert!(!resolved(&["attio.com"], "api.attio.com", lookup).await, "rebound to the metadata service");
    }
}
