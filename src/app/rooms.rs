//! Builds the rooms from the ground up and hands each its part of the configuration, by value.

use std::sync::Arc;

use super::BuildError;
use crate::{
    alc, attio,
    authorization::{self, Authorization, keys::SigningKeys},
    clock::SharedClock,
    config::{AttioCredential, Config},
    connections::{self, Connections},
    leads::{self, Attributes, Deadlines, Leads, Titles},
    lifecycle::Lifecycle,
    reconciler::Reconciler,
    sealing::Sealer,
    store::Store,
    upstream::{Caller, Schedule, http_client},
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
        http_client(alc.timeout.min(attio.timeout)).map_err(|error| BuildError::HttpClient(error.to_string()))?;
    let upstream_timeout = alc.timeout.max(attio.timeout);
    let caller = |upstream, timeout| Caller::new(client.clone(), upstream, timeout, clock.clone());
    let mut redirect_uri = http.public_url.clone();
    redirect_uri.set_path(ALC_REDIRECT);
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
            redirect_uri,
        },
    );
    let alc_client = alc::Client::new(caller("alc", alc.timeout), alc.base_url);
    let attio_client = attio::Client::new(caller("attio", attio.timeout), attio.base_url);
    let attio_api_key = match attio.credential {
        AttioCredential::ApiKey(key) => Some(key),
        // Refused by name in the configuration until the second hop has landed.
        AttioCredential::OAuth(_) => None,
    };

    let schedule = Schedule::new(retry.schedule);
    let connections = Connections::new(
        connections::Parts {
            store: store.clone(),
            sealer: sealer.clone(),
            alc: alc_client.clone(),
            oauth: oauth.clone(),
            attio: attio_client.clone(),
            clock: clock.clone(),
            lifecycle: lifecycle.clone(),
        },
        connections::Settings {
            public_url: http.public_url.clone(),
            attio_api_key,
            webhook_signature: alc.webhook_signature,
            retry_schedule: schedule.clone(),
            upstream_timeout,
        },
    );
    let leads = Leads::new(
        leads::Parts {
            store: store.clone(),
            connections: connections.clone(),
            alc: alc_client,
            attio: attio_client,
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
