//! The HTTP interface: routes, problem details, bearer tokens, one file per resource.

pub mod bearer;
pub mod oauth;
pub mod problem;
