//! The Lua scripts, each with the parts it shares.

use redis::Script;

const COMMON: &str = include_str!("scripts/common.lua");
const GATE: &str = include_str!("scripts/gate.lua");

/// Everything but the accepting commit may run on a full server: else what is there could not even be read, let alone
/// be settled.
const DRAINING: &str = "#!lua flags=allow-oom";
const READING: &str = "#!lua flags=no-writes,allow-oom";
/// Refused by a full server.
const ACCEPTING: &str = "#!lua";

pub(super) struct Scripts {
    pub(super) accept: Script,
    pub(super) settle: Script,
    pub(super) load: Script,
    pub(super) due: Script,
    pub(super) lease: Script,
    pub(super) next: Script,
    pub(super) wake: Script,
    pub(super) page: Script,
    pub(super) depths: Script,
    pub(super) reserve: Script,
    pub(super) report: Script,
    pub(super) ping: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let commit = include_str!("scripts/commit.lua");
        Self {
            accept: script(ACCEPTING, commit),
            settle: script(DRAINING, commit),
            load: script(READING, include_str!("scripts/load.lua")),
            due: script(READING, include_str!("scripts/due.lua")),
            next: script(READING, include_str!("scripts/next.lua")),
            lease: script(DRAINING, include_str!("scripts/lease.lua")),
            wake: script(DRAINING, include_str!("scripts/wake.lua")),
            page: script(READING, include_str!("scripts/page.lua")),
            depths: script(READING, include_str!("scripts/depths.lua")),
            reserve: script(DRAINING, include_str!("scripts/reserve.lua")),
            report: script(DRAINING, include_str!("scripts/report.lua")),
            ping: script(ACCEPTING, include_str!("scripts/ping.lua")),
        }
    }
}

fn script(flags: &str, body: &str) -> Script {
    Script::new(&[flags, COMMON, GATE, body].join("\n"))
}
