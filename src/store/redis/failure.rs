//! What a failed call says: whether another attempt may help, and what the rest of the service is told.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// The server is gone, or is no master any more: there may be an answer elsewhere, or soon.
pub(super) fn is_lost(error: &RedisError) -> bool {
    let demoted = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown)
    );
    // A master without replicas that may only write beside some: cut off, perhaps, while another was chosen. Nothing
    // ran.
    let alone = error.code() == Some("NOREPLICAS");
    demoted || alone || error.is_io_error() || error.is_unrecoverable_error()
}

/// The server is not there, or not yet: to wait for it may help. Nothing that an operator has to mend first.
pub(super) fn is_away(error: &RedisError) -> bool {
    let loading = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::ReadOnly
        )
    );
    loading || is_moving(error) || error.is_io_error() || error.code() == Some("NOREPLICAS")
}

/// The slot is on its way from one server of a cluster to another, or has just arrived; nothing was run.
pub(super) fn is_moving(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::TryAgain | ServerErrorKind::Ask | ServerErrorKind::Moved))
}

/// The server has no room. What was asked was not run.
pub(super) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM")
}

/// Says what kind of failure it was; what the server wrote stays out, it may quote what it was sent.
pub(super) fn failure(error: &RedisError) -> StoreError {
    if is_full(error) {
        return StoreError::Full;
    }
    match error.kind() {
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => StoreError::Corrupt("an answer has another shape".into()),
        _ => {
            // Of a lost connection this machine knows more than its kind: refused, timed out, a certificate.
            let cause = error.code().map(str::to_owned).or_else(|| {
                let cause = std::error::Error::source(error).filter(|_| error.is_io_error());
                cause.map(ToString::to_string)
            });
            StoreError::Unavailable(match cause {
                Some(cause) => format!("Redis: {} ({cause})", error.category()),
                None => format!("Redis: {}", error.category()),
            })
        }
    }
}

/// The error that a server tells in this line.
#[cfg(test)]
pub(super) fn said(line: &str) -> RedisError {
    let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
    answer.and_then(redis::Value::extract_error).expect_err("an error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_write_is_lost_and_who_is_full_is_not() {
        for line in ["NOREPLICAS Not enough good replicas to write.", "READONLY You can't write", "MASTERDOWN Link"] {
            assert!(is_lost(&said(line)), "{line}");
        }
        for line in ["OOM command not allowed", "ERR unknown", "NOSCRIPT No matching script", "TRYAGAIN Multiple keys"]
        {
            assert!(!is_lost(&said(line)), "{line}");
        }
        assert!(is_lost(&(ErrorKind::AuthenticationFailed, "WRONGPASS").into()));
        assert!(is_lost(&std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
    }
}
