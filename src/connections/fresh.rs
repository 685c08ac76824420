//! What a lead asks of a workspace without any I/O: is there a token to be used right now?

use jiff::Timestamp;

use super::{Connections, connection::Connection, grants::Grant, workspace::Workspace};

impl Connection {
    /// Whether ALC's grant is dead, so that somebody has to connect again.
    pub fn needs_reauthorization(&self) -> bool {
        self.alc.dead
    }
}

impl Connections {
    /// The current connection's token if it is good as it stands: the button then needs no wait of its own for it.
    pub fn fresh_grant(&self, workspace: &Workspace, now: Timestamp) -> Option<Grant> {
        let current = workspace.current()?;
        if current.alc.dead || current.alc.expires_at <= now {
            return None;
        }
        let access_token = self.open(workspace.id, current.id, "alc_access_token", &current.alc.access).ok()?;
        Some(Grant { access_token, connection: current.id, generation: current.alc.generation })
    }
}
