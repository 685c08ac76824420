//! How many files the process may have open, and how many of them callers' connections may be.
//!
//! Each connection is an open file. Where the limit is a thousand (Docker's since version 29), a thousand idle callers
//! would otherwise take what the store, the upstreams and the probes need. Promises that they never do.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For the store, the upstreams, the log, and the event loops of the threads.
const OWN: u64 = 384;
/// For the probes and the operators, who have a listener of their own.
const MANAGEMENT: u64 = 64;
/// Below that, a workspace's batch or a busy proxy comes near the limit.
const SMALL: u64 = 4096;
/// What actix takes by itself.
const MOST_PER_WORKER: u64 = 25_000;

/// Raises the soft limit to the hard one, and warns if it is small all the same.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let limit = limit();
    if limit < SMALL {
        tracing::warn!(
            limit,
            "the limit of open files is small, and each connection is one: raise it (`ulimit -Hn`, LimitNOFILE= of \
             systemd, --ulimit nofile= of Docker)"
        );
    }
}

/// Of the files that may be open now; where the system does not tell, what it has at least.
fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(256, |(soft, _)| soft)
}

/// How many connections each worker of a listener may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) public: usize,
    pub(super) management: usize,
}

impl Share {
    /// Of what the process may have open, with so many workers of the public listener.
    pub(super) fn of_process(workers: usize) -> Self {
        Self::of(limit(), workers)
    }

    fn of(limit: u64, workers: usize) -> Self {
        let own = OWN.min(limit / 3);
        let management = MANAGEMENT.min(limit / 8);
        let workers = u64::try_from(workers).unwrap_or(u64::MAX).max(1);
        let public = (limit.saturating_sub(own + management) / workers).clamp(1, MOST_PER_WORKER);
        let count = |share| usize::try_from(share).unwrap_or(usize::MAX);
        Self { public: count(public), management: count(management.max(1)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_docker_gives_leaves_the_service_its_own() {
        assert_eq!(Share::of(1024, 2), Share { public: 309, management: 64 });
        assert_eq!(Share::of(524_288, 4), Share { public: 25_000, management: 64 });
    }

    proptest! {
        #[test]
        fn callers_never_take_all(limit in 64_u64..=u64::MAX, workers in 1_usize..512) {
            let share = Share::of(limit, workers);
            prop_assert!(share.public >= 1 && share.management >= 1);
            let taken = (share.public as u64).saturating_mul(workers as u64) + share.management as u64;
            prop_assert!(taken <= limit - OWN.min(limit / 3) || share.public == 1);
        }
    }
}
