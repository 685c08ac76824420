//! Settings whose feature is still to come. They are refused by name, so that nobody believes in a limit that is not
//! there; their off value, which is their default, is accepted. A feature lands by losing its lines here.

use super::reader::Reader;

pub(super) fn refuse(reader: &mut Reader) {
    if reader.optional("http.requests_per_second").is_some_and(|text| text.trim().parse() != Ok(0)) {
        reader.fault("http.requests_per_second", "is not available yet: set it to 0 or unset it");
    }
}
