//! The life of a workspace, pure and through the service.

mod life;
mod service;
mod stored;
mod watched;
