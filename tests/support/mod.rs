//! What the black-box tests stand on.

pub mod ambient;
pub mod appended;
pub mod attio_app;
#[expect(dead_code, reason = "the sandbox's own tests use the rest")]
pub mod attio_shapes;
pub mod browser;
pub mod collector;
pub mod contract;
pub mod faketime;
pub mod harness;
pub mod http;
pub mod nginx;
pub mod process;
pub mod raw;
#[expect(dead_code, reason = "the unit tests use the rest")]
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod redis_server;
pub mod replica;
pub mod secrets;
pub mod settings;
pub mod stored;
pub mod turns;
pub mod wire;
