//! The Lua scripts, each with the parts it shares, and one call of one.

use redis::{Arg, Cmd, ToRedisArgs};

const PLACES: &str = include_str!("scripts/places.lua");
const EVERYWHERE: &str = include_str!("scripts/everywhere.lua");
const DOCUMENT: &str = include_str!("scripts/document.lua");
const COMMON: &str = include_str!("scripts/common.lua");
const GATE: &str = include_str!("scripts/gate.lua");
/// What a script may use. Redis makes every function anew at each call: the scripts that run most often have no others
/// than they need.
const ALL: &[&str] = &[PLACES, EVERYWHERE, DOCUMENT, COMMON, GATE];
const COMMITTING: &[&str] = &[PLACES, COMMON];
const TAKING_A_TURN: &[&str] = &[PLACES, COMMON, GATE];

/// Everything but the accepting commit may run on a full server: else what is there could not even be read, let alone
/// be settled.
const DRAINING: &str = "#!lua flags=allow-oom";
const READING: &str = "#!lua flags=no-writes,allow-oom";
/// Refused by a full server.
const ACCEPTING: &str = "#!lua";

pub(super) struct Scripts {
    accept: Script,
    accept_with_turn: Script,
    settle: Script,
    settle_with_turn: Script,
    pub(super) load: Script,
    pub(super) due: Script,
    pub(super) lease: Script,
    pub(super) put_back: Script,
    pub(super) next: Script,
    pub(super) unleased: Script,
    pub(super) wake: Script,
    pub(super) page: Script,
    pub(super) depths: Script,
    pub(super) tenants: Script,
    pub(super) reserve: Script,
    pub(super) report: Script,
    pub(super) ping: Script,
    pub(super) probe: Script,
    pub(super) time: Script,
    pub(super) whole: Script,
    pub(super) scan: Script,
    pub(super) names: Script,
    pub(super) alive: Script,
    pub(super) living: Script,
    pub(super) entries: Script,
    pub(super) restore: Script,
    pub(super) clear: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let commit = include_str!("scripts/commit.lua");
        Self {
            accept: Script::of(ACCEPTING, COMMITTING, commit),
            accept_with_turn: Script::of(ACCEPTING, TAKING_A_TURN, commit),
            settle: Script::of(DRAINING, COMMITTING, commit),
            settle_with_turn: Script::of(DRAINING, TAKING_A_TURN, commit),
            load: Script::of(READING, &[PLACES, DOCUMENT], include_str!("scripts/load.lua")),
            due: Script::new(READING, include_str!("scripts/due.lua")),
            next: Script::new(READING, include_str!("scripts/next.lua")),
            lease: Script::new(DRAINING, include_str!("scripts/lease.lua")),
            put_back: Script::new(DRAINING, include_str!("scripts/put_back.lua")),
            unleased: Script::new(READING, include_str!("scripts/unleased.lua")),
            wake: Script::new(DRAINING, include_str!("scripts/wake.lua")),
            page: Script::new(READING, include_str!("scripts/page.lua")),
            depths: Script::new(READING, include_str!("scripts/depths.lua")),
            tenants: Script::new(READING, include_str!("scripts/tenants.lua")),
            reserve: Script::new(DRAINING, include_str!("scripts/reserve.lua")),
            report: Script::new(DRAINING, include_str!("scripts/report.lua")),
            ping: Script::new(ACCEPTING, include_str!("scripts/ping.lua")),
            probe: Script::new(DRAINING, include_str!("scripts/probe.lua")),
            time: Script::new(READING, include_str!("scripts/time.lua")),
            whole: Script::new(READING, include_str!("scripts/whole.lua")),
            scan: Script::new(READING, include_str!("scripts/scan.lua")),
            names: Script::new(READING, include_str!("scripts/names.lua")),
            alive: Script::new(DRAINING, include_str!("scripts/alive.lua")),
            living: Script::new(READING, include_str!("scripts/living.lua")),
            entries: Script::new(READING, include_str!("scripts/entries.lua")),
            restore: Script::new(ACCEPTING, include_str!("scripts/restore.lua")),
            clear: Script::new(DRAINING, include_str!("scripts/clear.lua")),
        }
    }
}

impl Scripts {
    /// The one that commits: `accepting`, a full server refuses it; `turn`, it takes a turn at a gate.
    pub(super) fn commit(&self, accepting: bool, turn: bool) -> &Script {
        match (accepting, turn) {
            (true, false) => &self.accept,
            (true, true) => &self.accept_with_turn,
            (false, false) => &self.settle,
            (false, true) => &self.settle_with_turn,
        }
    }
}

pub(super) struct Script {
    text: String,
    digest: String,
}

impl Script {
    fn new(flags: &str, body: &str) -> Self {
        Self::of(flags, ALL, body)
    }

    fn of(flags: &str, parts: &[&str], body: &str) -> Self {
        let text = [&[flags], parts, &[body]].concat().join("\n");
        let digest = redis::Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }

    /// A call in the partition whose keys begin with `place`.
    ///
    /// In one partition two keys are named, and neither of them ever exists. So a cluster refuses the call (TRYAGAIN)
    /// while the slot moves, when some of the partition's keys are on one server and some on another. With one key it
    /// would run the script where the slot goes, beside the keys that are still to come: leads would seem absent and be
    /// made anew.
    pub(super) fn key(&self, place: &str) -> Call<'_> {
        let mut command = self.begin(2);
        command.arg(place).arg(format!("{place}-"));
        Call { script: self, command }
    }

    /// A call in all these partitions at once, of a script that knows of more than one: only where one server has them.
    /// One partition is named as by [`Script::key`].
    pub(super) fn keys(&self, places: &[String]) -> Call<'_> {
        if let [place] = places {
            return self.key(place);
        }
        let mut command = self.begin(places.len());
        command.arg(places);
        Call { script: self, command }
    }

    fn begin(&self, keys: usize) -> Cmd {
        let mut command = Cmd::with_capacity(ARGUMENTS, BYTES);
        command.arg("EVALSHA").arg(&self.digest).arg(keys);
        command
    }
}

/// Room for the commit of a lead, the largest of the frequent calls.
const ARGUMENTS: usize = 48;
const BYTES: usize = 2_048;

/// A script with its arguments.
pub(super) struct Call<'a> {
    script: &'a Script,
    command: Cmd,
}

impl Call<'_> {
    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.command.arg(argument);
        self
    }

    /// For a server that has the script.
    pub(super) fn by_digest(&self) -> &Cmd {
        &self.command
    }

    /// For a server that has not; it keeps it. Not SCRIPT LOAD: a cluster's client would ask every server, and fail if
    /// one of them is gone.
    pub(super) fn by_text(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(&self.script.text);
        for argument in self.command.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                command.arg(argument);
            }
        }
        command
    }
}
