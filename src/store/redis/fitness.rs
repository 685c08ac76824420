//! Whether a Redis can be the store at all: its version, the commands that our user may run, the keys that scripts may
//! touch.
//!
//! Promises that each reason has a sentence which names its cure, and that a server which is merely away or loading is
//! told apart: that passes.

use redis::{RedisError, Value};

use super::{
    connection::{Connection, Insist},
    dial::told,
    failure::{failure, is_away},
    scripts::Script,
};
use crate::store::opening::OpenError;

/// The first version whose scripts say what they do when the server is full.
const OLDEST: u32 = 7;

/// Why a server did not let us in, or did not do what was asked while the store was opened.
pub(super) fn refused(error: &RedisError) -> OpenError {
    if is_away(error) {
        return OpenError::Away(failure(error));
    }
    let said = error.to_string();
    if said.contains("compiling script") {
        // The server does not know what stands in a script's first line, and would not tell its version.
        return OpenError::Old { version: "(before 7.0)".to_owned() };
    }
    if is_about_keys(&said) {
        return OpenError::Keys;
    }
    if is_forbidden(&said) {
        return OpenError::Forbidden { commands: "EVAL, EVALSHA or a command beside them".to_owned() };
    }
    OpenError::Store(failure(error))
}

pub(super) async fn check(connection: &Connection, probe: &Script, place: String) -> Result<(), OpenError> {
    let info: Result<Value, _> = connection.query(redis::cmd("INFO").arg("server")).await;
    // A server that does not tell its version may have one that will do; what it can do is asked below.
    let versions = info.map_or_else(|_| Vec::new(), |info| told(&info, "redis_version:"));
    if let Some(version) = versions.into_iter().flatten().find(|version| is_old(version)) {
        return Err(OpenError::Old { version });
    }
    let call = probe.key(&place);
    let refusals: Vec<String> = connection.call(&call, Insist::Patiently).await.map_err(|error| refused(&error))?;
    judge(&refusals)
}

fn is_old(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < OLDEST)
}

/// From `<command> <why>`, each.
fn judge(refusals: &[String]) -> Result<(), OpenError> {
    if refusals.iter().any(|refusal| is_undeclared(refusal)) {
        return Err(OpenError::Undeclared);
    }
    if refusals.iter().any(|refusal| is_about_keys(refusal)) {
        return Err(OpenError::Keys);
    }
    let commands: Vec<_> = refusals.iter().filter_map(|refusal| refusal.split(' ').next()).collect();
    if commands.is_empty() { Ok(()) } else { Err(OpenError::Forbidden { commands: commands.join(", ") }) }
}

/// Whether the server's user may not run a command, or the server has none of that name.
pub(super) fn is_forbidden(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["noperm", "unknown command", "can't run this command"].iter().any(|words| said.contains(words))
}

/// As Dragonfly and several clouds' proxies say it.
fn is_undeclared(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["undeclared key", "not declared", "keys array"].iter().any(|words| said.contains(words))
}

fn is_about_keys(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["access a key", "access at least one of the keys", "one of the keys used"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        answer.and_then(Value::extract_error).expect_err("an error")
    }

    #[test]
    fn what_passes_is_told_from_what_an_operator_has_to_mend() {
        for line in ["LOADING Redis is loading the dataset in memory", "MASTERDOWN Link", "CLUSTERDOWN The cluster"] {
            assert!(refused(&said(line)).passes(), "{line}");
        }
        assert!(refused(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()).passes());
        for line in [
            "WRONGPASS invalid username-password pair",
            "NOAUTH Authentication required.",
            "NOPERM User app has no permissions to run the 'evalsha' command",
            "ERR unknown command 'EVALSHA', with args beginning with: ",
            "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'",
        ] {
            assert!(!refused(&said(line)).passes(), "{line}");
        }
    }

    #[test]
    fn each_refusal_names_its_cure() {
        let sentence = |refusal: &str| judge(&[refusal.to_owned()]).expect_err("refused").to_string();
        assert!(sentence("SET ERR script tried accessing undeclared key").contains("allow-undeclared-keys"));
        assert!(sentence("SET ERR bad lua script for redis cluster, all the keys that the script uses should be passed using the KEYS array").contains("declared"));
        assert!(sentence("SET ERR No permissions to access a key").contains("~<namespace>:*"));
        assert!(sentence("ZADD ERR unknown command").contains("ZADD"));
        let old = refused(&said("ERR Error compiling script (new function): unexpected symbol near '#'"));
        assert!(old.to_string().contains("7.0 or later"), "{old}");
        assert_eq!(
            ["6.2.14", "5.0", "7.0.0", "7.2.4", "8.0.1", "?"].map(is_old),
            [true, true, false, false, false, false]
        );
    }
}
