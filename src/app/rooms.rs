//! Builds the rooms from the ground up and hands each its part of the configuration, by value.

use std::{sync::Arc, time::Duration};

use super::BuildError;
use crate::{
    alc, attio,
    authorization::{self, Authorization, keys::SigningKeys},
    clock::SharedClock,
    config::{AttioCredential, Config},
    connections::{self, Connections, Schema},
    leads::{self, Attributes, Deadlines, Leads, Titles},
    lifecycle::Lifecycle,
    notify,
    reconciler::Reconciler,
    sealing::Sealer,
    store::Store,
    upstream::{Caller, Schedule, http_clients},
};

/// What handlers call, and the loop that runs by itself.
pub(super) struct Rooms {
    pub(super) authorization: Authorization,
    pub(super) connections: Connections,
    pub(super) leads: Leads,
    pub(super) reconciler: Reconciler,
}

/// Where ALC sends the browser back to, below `PUBLIC_URL`.
const ALC_REDIRECT: &str = "/oauth/callback";
/// And where Attio does.
const ATTIO_REDIRECT: &str = "/oauth/callback/attio";
/// A call to a workflow never takes longer: somebody else's lead may wait for the worker.
const WORKFLOW_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn build(
    config: Config,
    store: &Store,
    clock: &SharedClock,
    lifecycle: &Lifecycle,
) -> Result<Rooms, BuildError> {
    let Config { http, keys, attio_app, alc, leads, attio, retry, .. } = config;
    let sealer = Sealer::new(&keys.sealing, keys.sealing_previous.as_ref());
    let sealer = Arc::new(sealer.map_err(|error| BuildError::Keys(error.to_string()))?);
    let signing = SigningKeys::new(&keys.signing, keys.signing_previous.as_ref());
    let signing = signing.map_err(|error| BuildError::Keys(error.to_string()))?;

    let client =
        http_clients(alc.timeout.min(attio.timeout)).map_err(|error| BuildError::HttpClient(error.to_string()))?;
    let upstream_timeout = alc.timeout.max(attio.timeout);
    let caller = |upstream, timeout| {
        Caller::new(client.clone(), upstream, timeout, clock.clone()).with_deadline(leads.send_deadline)
    };
    let redirect_uri = |path| {
        let mut url = http.public_url.clone();
        url.set_path(path);
        url
    };
    let oauth = alc::oauth::OAuth::new(
        caller("alc", alc.timeout),
        alc::oauth::Settings {
            authorize_url: alc.authorize_url,
            token_url: alc.token_url,
            revoke_url: alc.revoke_url,
            client_id: alc.client_id,
            client_secret: alc.client_secret,
            scopes: alc.scopes,
            client_authentication: alc.client_authentication,
            redirect_uri: redirect_uri(ALC_REDIRECT),
        },
    );
    let alc_client = alc::Client::new(caller("alc", alc.timeout), alc.base_url);
    let attio_client = attio::Client::new(caller("attio", attio.timeout), attio.base_url);
    let workflows = notify::Client::new(
        notify::Guard::new(attio.callback_hosts),
        notify::system_lookup(),
        attio.timeout.min(WORKFLOW_TIMEOUT),
        clock.clone(),
    );
    let workflows = workflows.map_err(|error| BuildError::HttpClient(error.to_string()))?;
    let (attio_api_key, attio_oauth) = match attio.credential {
        AttioCredential::ApiKey(key) => (Some(key), None),
        AttioCredential::OAuth(oauth) => {
            let settings = attio::oauth::Settings {
                authorize_url: oauth.authorize_url,
                token_url: oauth.token_url,
                revoke_url: oauth.revoke_url,
                client_id: oauth.client_id,
                client_secret: oauth.client_secret,
                redirect_uri: redirect_uri(ATTIO_REDIRECT),
            };
            (None, Some(attio::oauth::OAuth::new(caller("attio", attio.timeout), settings)))
        }
    };

    let schedule = Schedule::new(retry.schedule);
    let connections = Connections::new(
        connections::Parts {
            store: store.clone(),
            sealer: sealer.clone(),
            alc: alc_client.clone(),
            oauth: oauth.clone(),
            attio: attio_client.clone(),
            attio_oauth,
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
        },
        connections::Settings {
            public_url: http.public_url.clone(),
            attio_api_key,
            schema: Schema {
                status: attio.attributes.status.clone(),
                titles: [&attio.titles.pending, &attio.titles.complete, &attio.titles.failed].map(Clone::clone),
                lead_id: attio.attributes.lead_id.clone(),
                result: attio.attributes.result.clone(),
                writes_per_second: attio.writes_per_second,
            },
            webhook_signature: alc.webhook_signature,
            retry_schedule: schedule.clone(),
            upstream_timeout,
        },
    )
    .keeping_leads_for(leads.retention);
    let leads = Leads::new(
        leads::Parts {
            store: store.clone(),
            connections: connections.clone(),
            alc: alc_client,
            attio: attio_client,
            workflows,
            sealer: sealer.clone(),
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
        },
        leads::Settings {
            deadlines: Deadlines {
                send: leads.send_deadline,
                result: leads.deadline,
                retention: leads.retention,
                poll_after: alc.poll_after,
            },
            schedule,
            resend_unknown: alc.resend_unknown,
            send_wait: leads.send_wait,
            upstream_timeout,
            default_region: leads.default_region,
            attributes: Attributes {
                status: attio.attributes.status,
                lead_id: attio.attributes.lead_id,
                result: attio.attributes.result,
            },
            titles: Titles {
                pending: attio.titles.pending,
                complete: attio.titles.complete,
                failed: attio.titles.failed,
            },
            attio_writes_per_second: attio.writes_per_second,
        },
    );
    let authorization = Authorization::new(
        authorization::Settings {
            public_url: http.public_url,
            client_id: attio_app.client_id,
            client_secret: attio_app.client_secret,
            redirect_uris: attio_app.redirect_uris,
        },
        authorization::Parts {
            keys: signing,
            sealer,
            clock: clock.clone(),
            store: store.clone(),
            alc: oauth,
            connections: connections.clone(),
            lifecycle: lifecycle.clone(),
        },
    );
    let reconciler = Reconciler::new(
        store.clone(),
        connections.clone(),
        leads.clone(),
        authorization.clone(),
        clock.clone(),
        lifecycle.clone(),
    );
    Ok(Rooms { authorization, connections, leads, reconciler })
}
