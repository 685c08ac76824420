//! What a store URL of Redis names: one server, a cluster, or a master that Sentinel watches.
//!
//! Promises that no text of a fault quotes the URL.

use std::time::Duration;

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

pub(super) enum Address {
    Server(ConnectionInfo),
    /// Some of the cluster's servers; the others are learnt from them.
    Cluster(Vec<ConnectionInfo>),
    Sentinel(Watched),
}

/// A master that Sentinel watches.
pub(super) struct Watched {
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// The same with credentials, for sentinels that want some: their own, or those for Redis.
    pub(super) let_in: Vec<ConnectionInfo>,
    pub(super) name: String,
    /// "user:password@" or "", as the URL spells it.
    credentials: String,
    database: u16,
}

impl Watched {
    /// The server at that address as the master.
    pub(super) fn at(&self, host: &str, port: u16) -> Option<ConnectionInfo> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        server(&format!("redis://{}{host}:{port}/{}", self.credentials, self.database))
    }
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        match scheme {
            "redis+cluster" => cluster("redis", rest),
            "rediss+cluster" => cluster("rediss", rest),
            "redis+sentinel" => sentinel(rest),
            _ => one(url),
        }
    }
}

fn one(url: &str) -> Result<Address, String> {
    let bad = "is not of the form `redis://user:password@host:port/number` (or `rediss://`)";
    let info = server(url).ok_or(bad)?;
    match info.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => {
            Err("`#insecure` would trust any server: remove it, and have the server's authority trusted".to_owned())
        }
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if !host.is_empty() => {
            Ok(Address::Server(info))
        }
        _ => Err(bad.to_owned()),
    }
}

fn cluster(scheme: &str, rest: &str) -> Result<Address, String> {
    let bad = "is not of the form `redis+cluster://user:password@host:port,host:port` (or `rediss+cluster://`); \
               a cluster has no numbered databases";
    let (credentials, hosts) = split(rest.strip_suffix('/').unwrap_or(rest));
    each(hosts, |host| server(&format!("{scheme}://{credentials}{host}"))).map(Address::Cluster).ok_or(bad.to_owned())
}

fn sentinel(rest: &str) -> Result<Address, String> {
    let bad = "is not of the form `redis+sentinel://user:password@host:port,host:port/master/number`, with the \
               sentinels' addresses and the credentials for Redis (and `?sentinels=user:password` at its end, if the \
               sentinels have others)";
    let parse = || {
        let (credentials, rest) = split(rest);
        let (rest, own) = rest.split_once("?sentinels=").map_or((rest, None), |(rest, own)| (rest, Some(own)));
        let (hosts, path) = rest.split_once('/')?;
        // Nothing but "user:password", percent-encoded as before an `@`.
        let own = own.map(|own| Some(own).filter(|own| own.contains(':') && !own.contains(['@', '/', '?', '#', '&'])));
        let for_sentinels = own.map_or(Some(credentials.to_owned()), |own| Some(format!("{}@", own?)))?;
        let (name, database) = path.split_once('/').unwrap_or((path, "0"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let watched = Watched {
            sentinels: each(hosts, |host| server(&format!("redis://{host}")))?,
            let_in: each(hosts, |host| server(&format!("redis://{for_sentinels}{host}")))?,
            name: Some(name).filter(|name| !name.is_empty() && name.chars().all(plain))?.to_owned(),
            credentials: credentials.to_owned(),
            database: database.parse().ok()?,
        };
        // The credentials are good if some address with them is.
        watched.at("host", 6379)?;
        Some(Address::Sentinel(watched))
    };
    parse().ok_or(bad.to_owned())
}

/// The credentials with their `@`, and the rest.
fn split(rest: &str) -> (&str, &str) {
    rest.split_at(rest.rfind('@').map_or(0, |at| at + 1))
}

/// Every `host:port` of a list, none of them with anything more.
fn each(hosts: &str, info: impl Fn(&str) -> Option<ConnectionInfo>) -> Option<Vec<ConnectionInfo>> {
    let info = |host: &str| {
        let (name, port) = host.rsplit_once(':')?;
        port.parse::<u16>().ok().filter(|port| *port > 0)?;
        Some(host).filter(|_| !name.is_empty() && !host.contains(['/', '?', '#'])).and_then(&info)
    };
    hosts.split(',').map(info).collect()
}

fn server(url: &str) -> Option<ConnectionInfo> {
    Some(url.into_connection_info().ok()?.set_tcp_settings(tcp_settings()))
}

/// A server that vanishes without a word is noticed within seconds, also by a connection on which nothing is asked;
/// the system alone would try for a quarter of an hour.
pub(super) fn tcp_settings() -> TcpSettings {
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5));
    // Without nodelay small commands would wait for one another.
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(probes);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(5));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_its_servers_with_the_same_credentials() {
        let Ok(Address::Cluster(servers)) = Address::parse("rediss+cluster://u:p%40@h:1,[::1]:2/") else { panic!() };
        let seen: Vec<_> = servers.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!(seen, ["h:1", "::1:2"].map(str::to_owned));
        assert!(servers.iter().all(|info| info.redis_settings().password() == Some("p@")));
        assert!(servers.iter().all(|info| matches!(info.addr(), ConnectionAddr::TcpTls { insecure: false, .. })));
    }

    #[test]
    fn a_watched_master_has_the_credentials_and_the_sentinels_have_none() {
        let Ok(Address::Sentinel(watched)) = Address::parse("redis+sentinel://u:p@a:1,b:2/main/3") else { panic!() };
        assert_eq!(watched.name, "main");
        assert!(watched.sentinels.iter().all(|info| info.redis_settings().password().is_none()));
        let master = watched.at("::1", 7).expect("an address");
        assert_eq!((master.redis_settings().password(), master.redis_settings().db()), (Some("p"), 3));
        assert!(watched.let_in.iter().all(|info| info.redis_settings().password() == Some("p")), "if they want some");
        let own = "redis+sentinel://u:p@a:1,b:2/main/3?sentinels=:s%40";
        let Ok(Address::Sentinel(watched)) = Address::parse(own) else { panic!() };
        assert!(watched.let_in.iter().all(|info| info.redis_settings().password() == Some("s@")));
        let master = watched.at("a", 7).expect("an address");
        assert_eq!(master.redis_settings().password(), Some("p"));
        let Ok(Address::Sentinel(watched)) = Address::parse("redis+sentinel://a:1/main") else { panic!() };
        assert_eq!(watched.database, 0);
    }
}
