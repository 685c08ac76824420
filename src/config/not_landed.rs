//! Settings whose feature is still to come. They are refused by name, so that nobody believes in a limit or a grant that
//! is not there; their off value, which is their default, is accepted. A feature lands by losing its lines here.
//!
//! Store URLs that are still to come are refused where store URLs are judged.

use super::reader::Reader;

pub(super) fn refuse(reader: &mut Reader) {
    // Not both "unset it" and "it lacks a secret".
    reader.forget("attio.oauth.");
    for key in [
        "attio.oauth.client_id",
        "attio.oauth.client_secret",
        "attio.oauth.authorize_url",
        "attio.oauth.token_url",
        "attio.oauth.revoke_url",
    ] {
        if reader.optional(key).is_some() {
            reader.fault(key, "is not available yet: unset it and set ALC_CONNECTOR__ATTIO__API_KEY");
        }
    }
    if reader.list("attio.callback_hosts") != ["attio.com"] {
        reader.fault("attio.callback_hosts", "cannot be changed yet: unset it (it is attio.com)");
    }
}
