//! What is measured: the connector or the limit, each with a store of its own and a process of its own.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use crate::{
    caller::{Caller, get},
    children::{Process, free_address, last_words},
    connect::{Workspace, connect},
    connector::Connector,
    machine,
    plan::{Plan, StoreKind},
    redis_server::RedisServer,
    upstreams::Upstreams,
};

/// A running service, and what it stands on.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) service: SocketAddr,
    pub(crate) workspaces: Arc<[Workspace]>,
    /// How long its last start took, where that is measured.
    pub(crate) start_to_ready: Option<Duration>,
    /// The URL of its store.
    pub(crate) store: String,
    redis: Option<RedisServer>,
    serving: Serving,
}

enum Serving {
    Limit(Process),
    Connector(Box<Connector>),
}

/// What the machine and Redis have counted so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) cpu: Duration,
    pub(crate) redis_cpu: Duration,
    pub(crate) scripts: u64,
    pub(crate) redis_memory: u64,
}

impl Subject {
    /// The limit.
    pub(crate) async fn limit(
        folder: &Path,
        kind: StoreKind,
        upstreams: &Upstreams,
        as_promised: bool,
    ) -> Result<Self, String> {
        let (redis, store) = store(folder, kind).await?;
        let service = free_address().map_err(|error| error.to_string())?;
        let binary = std::env::current_exe().map_err(|error| error.to_string())?;
        let (bind, url, log) = (service.to_string(), upstreams.url(), folder.join("limit.log"));
        let mut arguments = vec!["limit", "--bind", &bind, "--store", &store, "--upstreams", &url];
        arguments.extend(as_promised.then_some("--as-promised"));
        let process = Process::start(&binary, &arguments, &[], &log).map_err(|error| error.to_string())?;
        let mut caller = Caller::to(service);
        for _ in 0..2_000 {
            if caller.call(get(service, "/readyz")).await.is_ok_and(|(status, _)| status.is_success()) {
                let anywhere =
                    Workspace { bearer: "Bearer any".to_owned(), webhook_path: "/webhooks/alc/any".to_owned() };
                let (workspaces, serving) = (Arc::from([anywhere]), Serving::Limit(process));
                return Ok(Self { name: "limit", service, workspaces, start_to_ready: None, store, redis, serving });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(format!("the limit did not come up:\n{}", last_words(&log)))
    }

    /// The connector, with its workspaces connected.
    pub(crate) async fn connector(
        folder: &Path,
        kind: StoreKind,
        upstreams: &Upstreams,
        plan: &Plan,
    ) -> Result<Self, String> {
        let (redis, store) = store(folder, kind).await?;
        let (url, writes) = (upstreams.url(), plan.writes_per_second);
        let started = Connector::start(&plan.connector, folder, &store, &url, writes).await;
        let mut connector = started.map_err(|error| error.to_string())?;
        let workspaces = connect(&mut connector, upstreams, plan.workspaces).await;
        let workspaces = workspaces.map_err(|error| format!("{error}\n{}", connector.last_words()))?.into();
        let (service, start_to_ready) = (connector.public, Some(connector.start_to_ready));
        let serving = Serving::Connector(Box::new(connector));
        Ok(Self { name: "connector", service, workspaces, start_to_ready, store, redis, serving })
    }

    fn pid(&self) -> u32 {
        match &self.serving {
            Serving::Limit(process) => process.pid(),
            Serving::Connector(connector) => connector.pid(),
        }
    }

    /// Its last words, for a run that failed.
    pub(crate) fn last_words(&self) -> String {
        match &self.serving {
            Serving::Limit(_) => String::new(),
            Serving::Connector(connector) => connector.last_words(),
        }
    }

    /// Ends the connector, and starts it again once `meanwhile` has been done with its store.
    pub(crate) async fn while_stopped(
        &mut self,
        meanwhile: impl Future<Output = Result<(), String>>,
    ) -> Result<(), String> {
        let Serving::Connector(connector) = &mut self.serving else { return meanwhile.await };
        connector.stop().await;
        meanwhile.await?;
        if let Some(redis) = &self.redis {
            redis.at_rest().await?;
        }
        connector.start_again().await.map_err(|error| error.to_string())?;
        self.start_to_ready = Some(connector.start_to_ready);
        Ok(())
    }

    /// The connector's management listener; the limit has none.
    pub(crate) fn management(&self) -> SocketAddr {
        match &self.serving {
            Serving::Limit(_) => self.service,
            Serving::Connector(connector) => connector.management,
        }
    }

    pub(crate) async fn counts(&self) -> Result<Counts, String> {
        let (mut redis_cpu, mut scripts, mut redis_memory) = (Duration::ZERO, 0, 0);
        if let Some(redis) = &self.redis {
            redis_cpu = machine::cpu(redis.pid())?;
            scripts = redis.scripts().await?;
            redis_memory = redis.memory().await?;
        }
        Ok(Counts { cpu: machine::cpu(self.pid())?, redis_cpu, scripts, redis_memory })
    }

    /// The most memory that its process ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64, String> {
        machine::peak_memory(self.pid())
    }
}

async fn store(folder: &Path, kind: StoreKind) -> Result<(Option<RedisServer>, String), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let fsync = match kind {
        StoreKind::Sqlite => return Ok((None, format!("sqlite:{}", folder.join("store.db").display()))),
        StoreKind::Redis => "everysec",
        StoreKind::RedisAlways => "always",
    };
    let server = RedisServer::start(folder, fsync).await.map_err(|error| error.to_string())?;
    let url = server.url();
    Ok((Some(server), url))
}
