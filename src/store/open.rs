//! Which engine a URL names.
//!
//! Promises that no error shows the URL: there may be a password in it.

use std::{path::PathBuf, sync::Arc};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    engine::Engine,
    handle::Store,
    moving::{Purpose, Shelf},
    opening::OpenError,
    redis::{self, RedisEngine, RedisShelf},
    sqlite::{LOCK_PATIENCE, SqliteEngine, SqliteShelf},
};
use crate::lifecycle::Lifecycle;

/// What a URL names.
#[derive(Debug)]
enum Target {
    Sqlite(PathBuf),
    Redis,
}

/// Opens the store that `url` names.
pub async fn open(url: &SecretString, namespace: &str, lifecycle: &Lifecycle) -> Result<Store, OpenError> {
    let engine: Arc<dyn Engine> = match target(url.expose_secret()).map_err(OpenError::Url)? {
        Target::Sqlite(path) => Arc::new(SqliteEngine::open(&path, LOCK_PATIENCE).await?),
        Target::Redis => Arc::new(RedisEngine::open(url, namespace, lifecycle).await?),
    };
    Ok(Store::new(engine))
}

/// Opens the store that `url` names as a whole, for a copy or a check.
pub async fn open_shelf(url: &SecretString, namespace: &str, purpose: Purpose) -> Result<Arc<dyn Shelf>, OpenError> {
    Ok(match target(url.expose_secret()).map_err(OpenError::Url)? {
        Target::Sqlite(path) => Arc::new(SqliteShelf::open(&path, purpose).await?),
        Target::Redis => Arc::new(RedisShelf::open(url, namespace, purpose).await?),
    })
}

/// Whether two URLs, each with its namespace, name the same store, as far as their text tells.
pub fn is_same(one: (&SecretString, &str), other: (&SecretString, &str)) -> bool {
    match (target(one.0.expose_secret()), target(other.0.expose_secret())) {
        (Ok(Target::Sqlite(a)), Ok(Target::Sqlite(b))) => {
            a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
        }
        (Ok(Target::Redis), Ok(Target::Redis)) => one.1 == other.1 && one.0.expose_secret() == other.0.expose_secret(),
        _ => false,
    }
}

/// Whether [`open`] would know what to do with `url`; connects to nothing.
pub fn check_url(url: &str) -> Result<(), String> {
    target(url).map(drop)
}

fn target(url: &str) -> Result<Target, String> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err("has no scheme: `redis://host:6379/0`, or `sqlite:data/alc-connector.db`".to_owned());
    };
    match scheme {
        "sqlite" => sqlite_path(rest).map(Target::Sqlite),
        "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" => {
            redis::check_url(url).map(|()| Target::Redis)
        }
        // Not named in the answer: an operator who forgets the scheme may have begun with a password.
        _ => {
            Err("its scheme is none of redis, rediss, redis+cluster, rediss+cluster, redis+sentinel, sqlite".to_owned())
        }
    }
}

/// `sqlite:relative`, `sqlite://relative`, `sqlite:/absolute`, `sqlite:///absolute`.
fn sqlite_path(rest: &str) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') {
        return Err("names no file: `sqlite:data/alc-connector.db`".to_owned());
    }
    if path.contains(['?', '#']) || path.starts_with(':') {
        return Err("sqlite takes a file's path and nothing else".to_owned());
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::{super::opening::check_namespace, *};

    #[test]
    fn sqlite_urls_name_files() {
        for (url, path) in [
            ("sqlite:data/x.db", "data/x.db"),
            ("sqlite://data/x.db", "data/x.db"),
            ("sqlite:/var/x.db", "/var/x.db"),
            ("sqlite:///var/x.db", "/var/x.db"),
        ] {
            let Ok(Target::Sqlite(found)) = target(url) else { panic!("{url}") };
            assert_eq!(found, PathBuf::from(path), "{url}");
        }
    }

    #[test]
    fn good_urls_pass() {
        for url in [
            "redis://localhost",
            "redis://:secret@h:6379/1",
            "rediss://user:secret@h:6380",
            "redis://[::1]:7/2",
            "redis+cluster://h:1",
            "redis+cluster://u:secret@h:1,[::1]:2,h.example:3/",
            "rediss+cluster://:secret@h:1,h:2",
            "redis+sentinel://h:1/main",
            "redis+sentinel://u:secret@h:1,h:2/main/0",
            "redis+sentinel://u:secret@h:1,h:2/main/0?sentinels=:secret",
            "redis+sentinel://h:1/main?sentinels=u:s%40cret",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn bad_urls_are_refused_without_being_quoted() {
        for url in [
            "",
            "hunter2",
            "hunter2:hunter2",
            "postgres://u:hunter2@h/db",
            "sqlite:",
            "sqlite://",
            "sqlite:data/",
            "sqlite::memory:",
            "sqlite:x.db?mode=hunter2",
            "redis://",
            "redis://u:hunter2@h:port",
            "redis://u:hunter2@h/db",
            "rediss://u:hunter2@h/#insecure",
            "redis+cluster:u:hunter2@h:1",
            "redis+cluster://",
            "redis+cluster://u:hunter2@h",
            "redis+cluster://u:hunter2@h:1,:2",
            "redis+cluster://u:hunter2@h:1,h:2,",
            "redis+cluster://u:hunter2@h:1,h:port",
            "redis+cluster://u:hunter2@h:1/3",
            "rediss+cluster://u:hunter2@h:1,h:2#insecure",
            "redis+sentinel://u:hunter2@h:1",
            "redis+sentinel://u:hunter2@h:1/",
            "redis+sentinel://u:hunter2@h/main/0",
            "redis+sentinel://u:hunter2@h:1/main/x",
            "redis+sentinel://u:hunter2@h:1/main/0/1",
            "redis+sentinel://u:hunter2@h:1/main?x",
            "redis+sentinel://u:hunter2@h:1/main/0?sentinels=hunter2",
            "redis+sentinel://u:hunter2@h:1/main/0?sentinels=u:hunter2@h",
            "redis+sentinel://u:hunter2@h:1/main/0?sentinels=u:hunter2&x",
            "rediss+sentinel://u:hunter2@h:1/main/0",
        ] {
            let fault = check_url(url).expect_err(url);
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn namespaces_are_plain_words() {
        for good in ["alc", "alc-2", "a.b:c_d"] {
            assert_eq!(check_namespace(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "{x}", "a{", "é"] {
            assert!(check_namespace(bad).is_err(), "{bad}");
        }
    }
}
