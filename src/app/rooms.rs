//! Builds the rooms from the ground up and hands each its part of the configuration, by value.

use std::{sync::Arc, time::Duration};

use super::error::BuildError;
use crate::{
    alc, attio,
    authorization::{self, Authorization, keys::SigningKeys},
    clock::SharedClock,
    config::{AttioCredential, Config},
    connections::{self, Connections},
    leads::{self, Deadlines, Leads},
    lifecycle::Lifecycle,
    notify,
    operate::Operate,
    reconciler::Reconciler,
    sealing::Sealer,
    seats::Seats,
    store::{Store, gate::Gates},
    upstream::{Caller, Schedule, http_clients_through},
};

/// What handlers call, and the loop that runs by itself.
pub(super) struct Rooms {
    pub(super) authorization: Authorization,
    pub(super) connections: Connections,
    pub(super) leads: Leads,
    pub(super) operate: Operate,
    pub(super) reconciler: Reconciler,
}

/// Where ALC sends the browser back to, below `PUBLIC_URL`.
const ALC_REDIRECT: &str = "/oauth/callback";
/// And where Attio does.
const ATTIO_REDIRECT: &str = "/oauth/callback/attio";
/// A call to a workflow never takes longer: other leads wait for the worker.
const WORKFLOW_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn build(
    config: Config,
    store: &Store,
    clock: &SharedClock,
    lifecycle: &Lifecycle,
) -> Result<Rooms, BuildError> {
    let sealer = Sealer::new(&config.keys.sealing, config.keys.sealing_previous.as_ref());
    let ground = Ground {
        store: store.clone(),
        clock: clock.clone(),
        lifecycle: lifecycle.clone(),
        sealer: Arc::new(sealer.map_err(|error| BuildError::Keys(error.to_string()))?),
        schedule: Schedule::new(config.retry.schedule.clone()),
        gates: Gates::new(config.attio.writes_per_second),
        upstream_timeout: config.alc.timeout.max(config.attio.timeout),
    };
    let upstreams = upstreams(&config, clock)?;
    let connections = connections(&config, &ground, &upstreams);
    let seats = Arc::<Seats>::default();
    let leads = leads(&config, &ground, &upstreams, &connections, seats.clone());
    let operate = Operate::new(store.clone(), connections.clone(), leads.clone(), ground.gates, clock.clone());
    let authorization = authorization(config, &ground, upstreams, &connections)?;
    let reconciler = Reconciler::new(
        store.clone(),
        connections.clone(),
        leads.clone(),
        authorization.clone(),
        clock.clone(),
        lifecycle.clone(),
        seats,
    );
    Ok(Rooms { authorization, connections, leads, operate, reconciler })
}

/// What every room stands on.
struct Ground {
    store: Store,
    clock: SharedClock,
    lifecycle: Lifecycle,
    sealer: Arc<Sealer>,
    schedule: Schedule,
    gates: Gates,
    /// The longer of the two.
    upstream_timeout: Duration,
}

/// The clients of other people's servers.
struct Upstreams {
    alc: alc::Client,
    alc_oauth: alc::oauth::OAuth,
    attio: attio::Client,
    /// `None`: an API key serves every connection.
    attio_oauth: Option<attio::oauth::OAuth>,
    workflows: notify::Client,
}

fn upstreams(config: &Config, clock: &SharedClock) -> Result<Upstreams, BuildError> {
    let Config { http, alc, attio, leads, .. } = config;
    let client = http_clients_through(config.proxy.as_ref(), alc.timeout.min(attio.timeout))
        .map_err(|error| BuildError::HttpClient(error.to_string()))?;
    let caller = |upstream, timeout| {
        Caller::new(client.clone(), upstream, timeout, clock.clone()).with_deadline(leads.send_deadline)
    };
    let redirect_uri = |path| {
        let mut url = http.public_url.clone();
        url.set_path(path);
        url
    };
    let alc_oauth = alc::oauth::Settings {
        authorize_url: alc.authorize_url.clone(),
        token_url: alc.token_url.clone(),
        revoke_url: alc.revoke_url.clone(),
        client_id: alc.client_id.clone(),
        client_secret: alc.client_secret.clone(),
        scopes: alc.scopes.clone(),
        client_authentication: alc.client_authentication,
        redirect_uri: redirect_uri(ALC_REDIRECT),
    };
    let attio_oauth = match &attio.credential {
        AttioCredential::ApiKey(_) => None,
        AttioCredential::OAuth(oauth) => Some(attio::oauth::Settings {
            authorize_url: oauth.authorize_url.clone(),
            token_url: oauth.token_url.clone(),
            revoke_url: oauth.revoke_url.clone(),
            client_id: oauth.client_id.clone(),
            client_secret: oauth.client_secret.clone(),
            redirect_uri: redirect_uri(ATTIO_REDIRECT),
        }),
    };
    let workflows = notify::Client::new(
        notify::Guard::new(attio.callback_hosts.clone()),
        notify::system_lookup(),
        attio.timeout.min(WORKFLOW_TIMEOUT),
        clock.clone(),
    );
    Ok(Upstreams {
        alc: alc::Client::new(caller("alc", alc.timeout), alc.base_url.clone()),
        alc_oauth: alc::oauth::OAuth::new(caller("alc", alc.timeout), alc_oauth),
        attio: attio::Client::new(caller("attio", attio.timeout), attio.base_url.clone()),
        attio_oauth: attio_oauth.map(|settings| attio::oauth::OAuth::new(caller("attio", attio.timeout), settings)),
        workflows: workflows.map_err(|error| BuildError::HttpClient(error.to_string()))?,
    })
}

fn connections(config: &Config, ground: &Ground, upstreams: &Upstreams) -> Connections {
    let Config { http, alc, attio, .. } = config;
    let attio_api_key = match &attio.credential {
        AttioCredential::ApiKey(key) => Some(key.clone()),
        AttioCredential::OAuth(_) => None,
    };
    Connections::new(
        connections::Parts {
            store: ground.store.clone(),
            sealer: ground.sealer.clone(),
            alc: upstreams.alc.clone(),
            oauth: upstreams.alc_oauth.clone(),
            attio: upstreams.attio.clone(),
            attio_oauth: upstreams.attio_oauth.clone(),
            clock: ground.clock.clone(),
            lifecycle: ground.lifecycle.clone(),
            facts_of_lead: leads::facts_of,
        },
        connections::Settings {
            public_url: http.public_url.clone(),
            attio_api_key,
            attributes: attio.attributes.clone(),
            send_on_list: attio.send_on_list.clone(),
            titles: attio.titles.clone(),
            pipeline: attio.pipeline.clone(),
            attio_gate: ground.gates.attio,
            webhook_signature: alc.webhook_signature,
            retry_schedule: ground.schedule.clone(),
            upstream_timeout: ground.upstream_timeout,
            retention: config.leads.retention,
        },
    )
}

fn leads(
    config: &Config,
    ground: &Ground,
    upstreams: &Upstreams,
    connections: &Connections,
    seats: Arc<Seats>,
) -> Leads {
    let Config { alc, attio, leads, .. } = config;
    Leads::new(
        leads::Parts {
            store: ground.store.clone(),
            connections: connections.clone(),
            alc: upstreams.alc.clone(),
            attio: upstreams.attio.clone(),
            workflows: upstreams.workflows.clone(),
            sealer: ground.sealer.clone(),
            clock: ground.clock.clone(),
            lifecycle: ground.lifecycle.clone(),
            seats,
        },
        leads::Settings {
            deadlines: Deadlines {
                send: leads.send_deadline,
                result: leads.deadline,
                retention: leads.retention,
                poll_after: alc.poll_after,
            },
            schedule: ground.schedule.clone(),
            resend_unknown: alc.resend_unknown,
            send_wait: leads.send_wait,
            upstream_timeout: ground.upstream_timeout,
            default_region: leads.default_region.clone(),
            attributes: attio.attributes.clone(),
            titles: attio.titles.clone(),
            note: attio.note,
            pipeline: attio.pipeline.clone(),
            gates: ground.gates,
        },
    )
}

fn authorization(
    config: Config,
    ground: &Ground,
    upstreams: Upstreams,
    connections: &Connections,
) -> Result<Authorization, BuildError> {
    let Config { http, keys, attio_app, .. } = config;
    let signing = SigningKeys::new(&keys.signing, keys.signing_previous.as_ref());
    Ok(Authorization::new(
        authorization::Settings {
            public_url: http.public_url,
            client_id: attio_app.client_id,
            client_secret: attio_app.client_secret,
            redirect_uris: attio_app.redirect_uris,
        },
        authorization::Parts {
            keys: signing.map_err(|error| BuildError::Keys(error.to_string()))?,
            sealer: ground.sealer.clone(),
            clock: ground.clock.clone(),
            store: ground.store.clone(),
            alc: upstreams.alc_oauth,
            connections: connections.clone(),
            lifecycle: ground.lifecycle.clone(),
        },
    ))
}
