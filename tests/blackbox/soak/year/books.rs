//! What a store holds at a time: by kind, in bytes, and which sealed texts are still to be found in its files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use alc_connector::{
    clock::{Timestamp, later},
    sealing::{Place, Sealer},
    store::{
        Key, Kind, Tenant,
        moving::{Held, Purpose},
        open_shelf,
    },
};
use rusqlite::{Connection, OpenFlags};
use secrecy::SecretString;

use crate::support::{ambient::eventually, harness::World};

/// So much of a sealed text tells it from all others: it begins with the version, the key's id and the nonce.
const TELLING: usize = 48;
/// Each key of a Redis as its family: names of tenants, records and calls left out.
const FAMILIES: &str = "local n={} local c='0' repeat local r=redis.call('SCAN',c,'COUNT',5000) c=r[1] \
     for _,k in ipairs(r[2]) do local f=string.match(k,'}:(%a+)') or k \
     if f=='a' then f=string.match(k,'}:a:[^:]*:(%a+)') elseif f=='t' then f='of-tenant-'..(string.match(k,'}:t:[^:]*:(.*)$')) end \
     n[f]=(n[f] or 0)+1 if redis.call('TYPE',k)['ok']=='zset' then n['entries']=(n['entries'] or 0)+redis.call('ZCARD',k) end end \
     until c=='0' local t={} for f,m in pairs(n) do t[#t+1]=f..'='..m end return table.concat(t,';')";
/// Moves a Redis ahead: what lives for a time lives for so much less.
const OLDER: &str = "local c='0' repeat local r=redis.call('SCAN',c,'COUNT',5000) c=r[1] \
     for _,k in ipairs(r[2]) do local t=redis.call('PTTL',k) if t>=0 then redis.call('PEXPIRE',k,t-MS) end end until c=='0' return 'ok'";
/// How many tenants have something that is due by then.
const DUE: &str =
    "local n=0 for i=0,15 do n=n+redis.call('ZCOUNT',string.format('alc:{%02d}:due',i),'-inf','NOW') end return n";

/// What a store holds at a time.
#[derive(Debug, Clone, Default)]
pub struct Census {
    /// How many there are: aggregates by kind and status, gates, and what the engine itself has.
    pub counts: BTreeMap<String, u64>,
    /// What the store takes: Redis' memory, or the file's pages in use.
    pub bytes: u64,
    /// The whole file, or the AOF after its rewrite.
    pub on_disk: u64,
    /// The longest body of each kind.
    pub longest: BTreeMap<&'static str, usize>,
}

/// Reads a world's store, beside the replica that works on it.
pub struct Books {
    url: String,
    prefix: String,
    /// Sealed texts that the store had, and when they were first seen; of workspaces too.
    seen: BTreeMap<String, Timestamp>,
}

impl Books {
    pub fn of(world: &World) -> Self {
        let sealer = Sealer::new(&SecretString::from(world.settings.get("KEYS__SEALING")), None).expect("a key");
        let seal = |text: &str| {
            let place = Place { aggregate: "a", field: "b" };
            sealer.seal(place, &SecretString::from(text)).as_str().to_owned()
        };
        let others = [seal("one"), seal("two"), seal("three"), seal("four")];
        let same = |at: usize| others.iter().all(|other| other.as_bytes().get(at) == others[0].as_bytes().get(at));
        let prefix = others[0].chars().enumerate().take_while(|(at, _)| same(*at)).map(|(_, letter)| letter).collect();
        Self { url: world.settings.get("STORE__URL"), prefix, seen: BTreeMap::new() }
    }

    fn file(&self) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite:").map(PathBuf::from)
    }

    /// Shows everything that is stored, each once; its sealed texts are remembered from then on.
    async fn walk(&mut self, world: &World, mut look: impl FnMut(&Self, &Held)) {
        let shelf = open_shelf(&SecretString::from(self.url.clone()), "alc", Purpose::Check).await.expect("a store");
        let mut shown = BTreeSet::new();
        let mut place = None;
        loop {
            let stretch = shelf.walk(place.as_ref()).await.expect("the store answers");
            assert!(stretch.findings.is_empty(), "{:?}", stretch.findings);
            for held in stretch.aggregates {
                if shown.insert((held.tenant.clone(), held.key.clone())) {
                    for sealed in self.sealed_in(&held.document.body) {
                        self.seen.entry(sealed).or_insert_with(|| world.now());
                    }
                    look(self, &held);
                }
            }
            place = stretch.next;
            if place.is_none() {
                break;
            }
        }
        let findings = shelf.index_findings().await.expect("the store answers");
        assert!(findings.is_empty(), "entries that nothing stands behind: {findings:?}");
    }

    /// Remembers what is sealed now.
    pub async fn look(&mut self, world: &World) {
        self.walk(world, |_, _| {}).await;
    }

    fn sealed_in(&self, text: &str) -> Vec<String> {
        text.match_indices(&self.prefix).filter_map(|(at, _)| text.get(at..at + TELLING).map(str::to_owned)).collect()
    }

    /// Counts everything. A sealed text of what is no workspace may be as old as `oldest`; and once files have been
    /// written anew, nothing of what the store no longer has is in them.
    pub async fn census(&mut self, world: &World, oldest: Duration) -> Census {
        let mut census = Census::default();
        let (mut live, mut occurrences) = (BTreeSet::new(), 0);
        let look = |books: &Self, Held { key, document, .. }: &Held| {
            *census.counts.entry(format!("{} {}", key.kind.name(), document.status)).or_default() += 1;
            let longest = census.longest.entry(key.kind.name()).or_default();
            *longest = document.body.len().max(*longest);
            for sealed in books.sealed_in(&document.body) {
                let is_kept = key.kind == Kind::Workspace || later(books.seen[&sealed], oldest) >= world.now();
                assert!(is_kept, "older than promised, in {} {}: {}", key.kind.name(), key.id, document.body);
                occurrences += 1;
                live.insert(sealed);
            }
        };
        self.walk(world, look).await;
        match self.file() {
            Some(file) => sqlite_census(&file, &mut census),
            None => {
                rewrite(world).await;
                redis_census(world, &mut census);
            }
        }
        self.search(world, &live, occurrences).await;
        census
    }

    async fn search(&self, world: &World, live: &BTreeSet<String>, occurrences: usize) {
        let files = match self.file() {
            Some(file) => {
                // What has been written round stands in the log until then; the log begins anew.
                let connection = Connection::open(&file).expect("the file opens");
                let busy = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
                eventually("the log is written back", async || (busy() == Ok(0)).then_some(())).await;
                drop(connection);
                fs::read(&file).expect("the file")
            }
            None => world.stored(),
        };
        let raw = String::from_utf8_lossy(&files);
        for personal in super::month::PERSONAL {
            assert!(!raw.contains(personal), "`{personal}` stands in the store's files, for all to read");
        }
        let found: Vec<String> = self.sealed_in_bytes(&files);
        let buried: Vec<_> =
            found.iter().filter(|sealed| self.seen.contains_key(*sealed) && !live.contains(*sealed)).collect();
        assert!(buried.is_empty(), "{} sealed texts that were erased are still in the files", buried.len());
        assert!(found.len() <= occurrences, "{} sealed texts in the files, {occurrences} in the store", found.len());
    }

    fn sealed_in_bytes(&self, bytes: &[u8]) -> Vec<String> {
        let prefix = self.prefix.as_bytes();
        let first = prefix[0];
        let starts = bytes.windows(prefix.len()).enumerate();
        starts
            .filter(|(_, window)| window[0] == first && *window == prefix)
            .map(|(at, _)| String::from_utf8_lossy(&bytes[at..bytes.len().min(at + TELLING)]).into_owned())
            .collect()
    }

    /// How much is due so soon: aggregates, or tenants that have some.
    pub fn due(&self, world: &World, within: Duration) -> u64 {
        let now = later(world.now(), within).as_microsecond();
        match self.file() {
            Some(file) => {
                let counted =
                    looking_at(&file).query_row("SELECT count(*) FROM aggregates WHERE due_at <= ?1", [now], |row| {
                        row.get::<_, i64>(0)
                    });
                counted.expect("a count").cast_unsigned()
            }
            None => integer(&script(world, &DUE.replace("NOW", &now.to_string()))),
        }
    }

    /// Redis' own clock does not follow the world's: what lives for a time there grows older by as much.
    pub fn grow_older(&self, world: &World, by: Duration) {
        if self.file().is_none() {
            let answer = script(world, &OLDER.replace("MS", &by.as_millis().to_string()));
            assert!(answer.contains("ok"), "{answer}");
        }
    }
}

/// The key of a record's lead.
pub fn lead_key(record: &str) -> Key {
    Key::new(Kind::Lead, record)
}

/// The world's workspace.
pub fn tenant(world: &World) -> Tenant {
    Tenant::new(world.attio.workspace_id())
}

fn looking_at(file: &std::path::Path) -> Connection {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens")
}

fn sqlite_census(file: &std::path::Path, census: &mut Census) {
    let connection = looking_at(file);
    let number =
        |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0)).expect(query).cast_unsigned();
    for table in ["aggregates", "turns", "gates", "commits", "counts"] {
        census.counts.insert(table.to_owned(), number(&format!("SELECT count(*) FROM {table}")));
    }
    let page = number("PRAGMA page_size");
    let pages = number("PRAGMA page_count");
    census.bytes = page * (pages - number("PRAGMA freelist_count"));
    census.on_disk = page * pages;
}

fn redis_census(world: &World, census: &mut Census) {
    let families = script(world, FAMILIES);
    for family in families.trim().lines().last().unwrap_or_default().split(';') {
        let (name, count) = family.rsplit_once('=').unwrap_or_else(|| panic!("no count: {families}"));
        census.counts.insert(format!("keys {name}"), count.parse().expect("a count"));
    }
    census.bytes = info(world, "memory", "used_memory");
    census.on_disk = info(world, "persistence", "aof_current_size");
}

/// The AOF is written anew, as commands that can be searched: no compressed snapshot before them.
async fn rewrite(world: &World) {
    let server = world.redis_server();
    server.command("CONFIG SET aof-use-rdb-preamble no");
    // One that Redis has begun of its own accord may have a compressed snapshot, and keeps another from being begun.
    rewritten(world).await;
    let started = server.command("BGREWRITEAOF");
    assert!(started.starts_with('+'), "{started}");
    rewritten(world).await;
}

async fn rewritten(world: &World) {
    let is_done = || {
        info(world, "persistence", "aof_rewrite_in_progress") + info(world, "persistence", "aof_rewrite_scheduled") == 0
    };
    eventually("the AOF is written anew", async || is_done().then_some(())).await;
}

fn info(world: &World, section: &str, name: &str) -> u64 {
    let told = world.redis_server().command(&format!("INFO {section}"));
    let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {told}")).trim().parse().expect("a number")
}

fn script(world: &World, lua: &str) -> String {
    let answer = world.redis_server().command(&format!("EVAL \"{lua}\" 0"));
    assert!(!answer.starts_with('-'), "{answer}");
    answer
}

fn integer(answer: &str) -> u64 {
    answer.trim().trim_start_matches(':').parse().unwrap_or_else(|_| panic!("no number: {answer}"))
}

/// The memory that this process has, in bytes.
pub fn memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux says it");
    let resident: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    resident * 4096
}
