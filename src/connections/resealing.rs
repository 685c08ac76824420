//! What of a workspace is sealed, for the rotation of the sealing key.
//!
//! Promises that whatever a workspace keeps sealed is named here: tokens of both sides, webhook secrets, triggers'
//! URLs.

use super::{
    service::{ALC_ACCESS_TOKEN, ALC_REFRESH_TOKEN, ATTIO_SECRET, ATTIO_TOKEN, Connections, WEBHOOK_SECRET},
    triggers,
    workspace::{aggregate::Workspace, connection::Connection, view::Standing},
};
use crate::{
    ids::ConnectionId,
    sealing::{Sealed, Sealer},
    store::{CodecError, Document, Resealed, StoreError, Tenant, moving::Examined},
};

impl Connections {
    /// Whether a previous sealing key is configured.
    pub fn is_rotating(&self) -> bool {
        self.sealer.is_rotating()
    }

    /// As [`Workspace::standing`]; tokens of ALC that no sealing key opens are as good as dead.
    pub fn standing(&self, workspace: &Workspace, id: ConnectionId) -> Standing {
        match (workspace.standing(id), workspace.connection(id)) {
            (Standing::Current, Some(connection)) if !self.opens_alc_tokens(connection) => {
                Standing::ReauthorizationRequired
            }
            (standing, _) => standing,
        }
    }

    /// Seals anew what the previous key sealed of this workspace; with `only_look` nothing is written.
    pub async fn reseal(&self, tenant: &Tenant, only_look: bool) -> Result<Resealed, StoreError> {
        let Some(mut workspace) = self.load(tenant).await? else { return Ok(Resealed::Current) };
        let aggregate = format!("workspace/{}", workspace.value.id);
        let fields = sealed_of(&mut workspace.value);
        if fields.iter().all(|(_, sealed)| self.sealer.is_current(sealed)) {
            return Ok(Resealed::Current);
        }
        if only_look {
            return Ok(Resealed::Left);
        }
        let resealed = self.sealer.reseal_all(&aggregate, fields);
        self.store.put_resealed(tenant, "", &workspace, resealed).await
    }

    /// Whether each token that the connection has can be opened: else a person has to connect again, or an operator has
    /// to put the sealing key back.
    pub(super) fn opens_tokens(&self, connection: &Connection) -> bool {
        let attio = connection.attio.as_ref();
        self.opens_alc_tokens(connection) && attio.is_none_or(|grant| self.sealer.knows_key_of(&grant.token))
    }

    /// Whether the sealing keys of now are those of the tokens under which ALC is asked.
    pub fn opens_alc_grant(&self, workspace: &Workspace) -> bool {
        workspace.current().is_none_or(|current| self.opens_alc_tokens(current))
    }

    fn opens_alc_tokens(&self, connection: &Connection) -> bool {
        let refresh = connection.alc.refresh.as_ref();
        self.sealer.knows_key_of(&connection.alc.access) && refresh.is_none_or(|it| self.sealer.knows_key_of(it))
    }
}

/// What is wrong with a stored workspace.
pub fn examine(document: &Document, sealer: &Sealer) -> Result<Examined, CodecError> {
    let (mut workspace, mut examined) = Examined::read::<Workspace>(document)?;
    let aggregate = format!("workspace/{}", workspace.id);
    examined.open(sealer, &aggregate, sealed_of(&mut workspace));
    Ok(examined)
}

/// Everything sealed of a workspace, with the name of its field.
fn sealed_of(workspace: &mut Workspace) -> Vec<(String, &mut Sealed)> {
    let mut sealed = Vec::new();
    for Connection { id, alc, attio, .. } in &mut workspace.connections {
        sealed.push((format!("{id}/{ALC_ACCESS_TOKEN}"), &mut alc.access));
        sealed.extend(alc.refresh.iter_mut().map(|it| (format!("{id}/{ALC_REFRESH_TOKEN}"), it)));
        sealed.extend(attio.iter_mut().map(|it| (format!("{id}/{ATTIO_TOKEN}"), &mut it.token)));
    }
    for (webhooks, field) in [(&mut workspace.webhooks, WEBHOOK_SECRET), (&mut workspace.attio_webhooks, ATTIO_SECRET)]
    {
        for webhook in webhooks {
            let id = webhook.id;
            sealed.extend(webhook.secret.iter_mut().map(|it| (format!("{id}/{field}"), it)));
        }
    }
    for trigger in &mut workspace.triggers {
        let owner = triggers::owner(&trigger.activation);
        sealed.push((format!("{owner}/{}", triggers::FIELD), &mut trigger.url));
    }
    sealed
}
