//! What ALC and Attio call us with.
//!
//! Promises that a call is durable before it is answered, that a repeat has no second effect, and that a caller which
//! cannot prove the URL and, where there is a secret, the signature changes nothing.

pub(super) mod alc;
pub(super) mod attio;
mod entered;
mod patience;
