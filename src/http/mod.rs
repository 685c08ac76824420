//! The HTTP interface: routes, problem details, bearer tokens, one file per resource.

pub mod problem;
