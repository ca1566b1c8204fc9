//! Scenarios: a cluster, a workload, faults, and what is expected (simulation brief §6).
//!
//! Everything that is not stated is drawn from the seed inside of declared ranges; a pinned scenario is one without ranges.
//! Unknown keys are errors with line, column and the nearest known word.

mod closed;
mod expect;
mod faults;
mod nearest;
mod nodes;
mod places;
pub mod predicate;
mod tables;
pub mod units;
pub mod words;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Deserialize;

pub(crate) use faults::parse_after;
pub(crate) use places::Places;

pub use expect::{Core, Expect, InvariantSet, Last, NodeExpect, RoleWord, SyncWord};
use places::place;
use predicate::Predicate;
use units::{Drawn, PerSecond, Ratio, Size, Span, Tail};
use words::{LogShare, Selector};

use crate::workload::Mix;

/// A scenario file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// A sentence.
    pub title: String,
    /// A paragraph: what happens, and why it matters.
    pub why: String,
    /// `1..200`: what a sweep runs.
    #[serde(deserialize_with = "closed::seeds")]
    pub seeds: Option<RangeInclusive<u64>>,
    /// What one run uses; 1 if it is not given.
    pub seed: Option<u64>,
    /// How long faults and load go on.
    pub duration: Option<Drawn<Span>>,
    /// A bundle of defaults.
    pub profile: Profile,
    /// The servers.
    pub cluster: Cluster,
    /// Between them.
    pub net: Net,
    /// What clients do.
    pub workload: Vec<Workload>,
    /// What goes wrong, when.
    pub fault: Vec<Fault>,
    /// What goes wrong at random.
    pub random: Vec<Random>,
    /// What must come of it.
    pub expect: Expect,
    /// Where in the file it all stands.
    #[serde(skip)]
    pub(crate) places: Places,
}

#[cfg(feature = "museum")]
fn exhibit<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<zk_core::museum::Exhibit>, D::Error> {
    let id = String::deserialize(from)?;
    let unknown =
        || serde::de::Error::custom(format!("plant = \"{id}\": expected a row of the museum, as P08"));
    zk_core::museum::Exhibit::parse(&id).map(Some).ok_or_else(unknown)
}

/// Bundles of delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words themselves
pub enum Profile {
    #[default]
    Lan,
    Wan,
    CloudNoisy,
    Hell,
}

/// `[cluster]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// A bug to plant, by its row in the museum.
    #[cfg(feature = "museum")]
    #[serde(deserialize_with = "exhibit")]
    pub plant: Option<zk_core::museum::Exhibit>,
    /// Voting servers; 1 is a server alone.
    pub voters: Option<Drawn<u32>>,
    /// Servers that only follow.
    pub observers: Option<Drawn<u32>>,
    /// tickTime.
    pub tick: Option<Drawn<Span>>,
    /// Ticks.
    pub init_limit: Option<Drawn<u32>>,
    /// Ticks.
    pub sync_limit: Option<Drawn<u32>>,
    /// Voters by groups, for hierarchical quorums: `[[1, 2, 3], [4, 5, 6], [7, 8, 9]]`.
    pub groups: Option<Vec<Vec<u32>>>,
    /// Bytes of committed txns that a leader keeps in memory for learners that come back.
    pub window: Option<Drawn<Size>>,
    /// How long a log may be that is sent instead of a snapshot.
    pub log_share: Option<LogShare>,
    /// forceSnapshotSync.
    pub force_snapshot_sync: bool,
    /// leaderServes.
    pub leader_serves: LeaderServes,
    /// localSessionsEnabled, localSessionsUpgradingEnabled.
    pub sessions: Scope,
    /// readonlymode.enabled: how long a leader is looked for before.
    pub read_only_after: Option<Drawn<Span>>,
    /// snapCount.
    pub snap_count: Option<Drawn<u32>>,
    /// preAllocSize.
    pub prealloc: Option<Drawn<Size>>,
    /// Of snapshots.
    pub compression: Compression,
    /// autopurge: how often.
    pub purge_interval: Option<Drawn<Span>>,
    /// autopurge: snapshots that stay.
    pub purge_retain: Option<Drawn<u32>>,
    /// enforceQuota.
    pub enforce_quota: bool,
    /// extendedTypesEnabled.
    pub extended_types: bool,
    /// znode.container.checkIntervalMs.
    pub container_check: Option<Drawn<Span>>,
    /// znode.container.maxPerMinute.
    pub containers_per_minute: Option<Drawn<u32>>,
    /// znode.container.maxNeverUsedIntervalMs.
    pub container_unused: Option<Drawn<Span>>,
    /// globalOutstandingLimit.
    pub outstanding: Option<Drawn<u32>>,
    /// How long a process that ended by itself stays away.
    pub restart_after: Option<Drawn<Span>>,
    /// Of a write.
    pub write: Option<DelaySpec>,
    /// Of a sync.
    pub fsync: Option<DelaySpec>,
    /// Bytes of a snapshot written at a time.
    pub snapshot_piece: Option<Drawn<Size>>,
    /// Between two pieces of a snapshot.
    pub snapshot_pause: Option<DelaySpec>,
    /// `[cluster.node.3]`
    pub node: BTreeMap<String, NodeSpec>,
}

/// leaderServes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words themselves
pub enum LeaderServes {
    #[default]
    Yes,
    No,
}

/// Who knows new sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words themselves
pub enum Scope {
    #[default]
    Global,
    Local,
    Upgrading,
}

/// How snapshots are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words themselves
pub enum Compression {
    #[default]
    None,
    Gz,
    Snappy,
}

/// Differences of one node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSpec {
    /// Of its monotonic clock.
    pub clock_rate: Option<Drawn<Ratio>>,
    /// `slow-fsync`.
    #[serde(deserialize_with = "closed::disk")]
    pub disk: Option<String>,
    /// The log it starts with.
    pub start: Option<StartSpec>,
    /// When it is switched on.
    pub boot: Option<Drawn<Span>>,
    /// What its word weighs, with `groups`; 1 if it is not given.
    pub weight: Option<u32>,
}

/// What a node's log holds when the simulation begins.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartSpec {
    /// currentEpoch and acceptedEpoch.
    pub epoch: u32,
    /// The last zxid.
    pub zxid: i64,
    /// Behind this zxid its history is its own: others' logs do not have it, unless they are of the same epoch.
    pub branch: Option<i64>,
    /// It holds a snapshot as of this zxid, too. One of what nobody has confirmed is not taken here, but Java takes such.
    pub snapshot: Option<i64>,
}

/// `{ min = "200us", mean = "1ms", tail = "1/1000:2s" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DelaySpec {
    /// At least.
    pub min: Option<Drawn<Span>>,
    /// And this more on average.
    pub mean: Option<Drawn<Span>>,
    /// `one/in:longest`.
    pub tail: Option<Tail>,
}

/// `[net]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Net {
    /// Of every link.
    pub default: LinkSpec,
    /// Of these.
    pub link: Vec<LinkSpec>,
    /// How long a server goes on sending to one that does not answer.
    pub give_up: Option<Drawn<Span>>,
}

/// One link, or all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSpec {
    /// One end.
    pub from: Option<Selector>,
    /// The other.
    pub to: Option<Selector>,
    /// How long bytes take.
    pub delay: Option<DelaySpec>,
    /// Bytes per second.
    pub bandwidth: Option<Drawn<Size>>,
}

/// `[[workload]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// How many.
    pub clients: Option<Drawn<u32>>,
    /// Their sessions.
    pub sessions: Sessions,
    /// Weights of operations.
    pub mix: Option<Mix>,
    /// What they are about.
    pub paths: Paths,
    /// Operations per second of all together, in an open loop.
    pub rate: Option<PerSecond>,
    /// Time between two operations of one client.
    pub think: Option<Drawn<Span>>,
    /// One read in so many sets a watch.
    pub watch: Option<Drawn<Ratio>>,
    /// How long TTL nodes are to live.
    pub ttl: Option<Drawn<Span>>,
    /// Requests under way per client.
    pub pipeline: Option<Drawn<u32>>,
    /// Bytes of data at most.
    pub data: Option<Drawn<Size>>,
    /// One operation in so many closes the session instead.
    pub closing: Option<Drawn<Ratio>>,
    /// Operations per client.
    pub operations: Option<Drawn<u32>>,
    /// Clients present credentials.
    pub auth: bool,
    /// Clients are content with servers that have no leader.
    pub read_only: bool,
    /// Clients come then.
    pub start: Option<Drawn<Span>>,
}

/// `sessions = { timeout = "2s..6s" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// What clients ask for.
    pub timeout: Option<Drawn<Span>>,
}

/// `paths = { space = 32, depth = 3 }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// Names at each level.
    pub space: Option<Drawn<u32>>,
    /// Levels.
    pub depth: Option<Drawn<u32>>,
    /// One create in so many.
    pub ephemeral: Option<Drawn<Ratio>>,
    /// One create in so many.
    pub sequential: Option<Drawn<Ratio>>,
}

/// `[[fault]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// For `after`.
    pub name: Option<String>,
    /// At this time.
    pub at: Option<Drawn<Span>>,
    /// `kill+500ms`, `kill.end+1s`.
    pub after: Option<String>,
    /// When this becomes true.
    pub when: Option<PredicateText>,
    /// At the n-th event of a kind.
    pub on: Option<OnEvent>,
    /// Again and again.
    pub every: Option<Drawn<Span>>,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
    /// For how long.
    #[serde(rename = "for")]
    pub lasting: Option<Lasting>,
    /// At most so many times.
    pub times: Option<u32>,
    /// With this probability each time.
    pub prob: Option<Drawn<Ratio>>,
    /// Not later than this.
    pub until: Option<Drawn<Span>>,
    /// Not again before this has passed.
    pub cooldown: Option<Drawn<Span>>,
}

/// A predicate, parsed.
#[derive(Clone, Debug)]
pub struct PredicateText(pub Predicate);

impl<'de> Deserialize<'de> for PredicateText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Predicate::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// `for = "5s"`, `for = "3s..9s"`, `for = "forever"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Until the run ends.
    Forever,
    /// As long as this.
    For(Drawn<Span>),
}

impl<'de> Deserialize<'de> for Lasting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            For(Drawn<Span>),
            Word(String),
        }
        match Either::deserialize(deserializer)? {
            Either::For(span) => Ok(Self::For(span)),
            Either::Word(word) if word == "forever" => Ok(Self::Forever),
            Either::Word(word) => {
                Err(serde::de::Error::custom(format!("expected a duration or \"forever\", found \"{word}\"")))
            }
        }
    }
}

/// `on = { event = "SnapshotStarted", node = "any", nth = 2 }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnEvent {
    /// One of `sim list-events`.
    #[serde(deserialize_with = "closed::event")]
    pub event: String,
    /// At which nodes.
    #[serde(default)]
    pub node: Option<Selector>,
    /// The how many-th; 1 if it is not given.
    #[serde(default)]
    pub nth: Option<u32>,
}

/// What a fault does. Exactly one of the verbs is given; the other keys go with some of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Action {
    /// The process ends.
    pub crash: Option<Selector>,
    /// `kill` or `power`, with `crash`.
    #[serde(deserialize_with = "closed::loss")]
    pub loss: Option<String>,
    /// `before-next-effect`, with `crash`.
    #[serde(deserialize_with = "closed::point")]
    pub point: Option<String>,
    /// It ends in good order and starts again.
    pub restart: Option<Selector>,
    /// It stands still.
    pub pause: Option<Selector>,
    /// It is slow by this `factor`.
    pub slow: Option<Selector>,
    /// With `slow`.
    pub factor: Option<u32>,
    /// It loses its data directory.
    pub wipe: Option<Selector>,
    /// Its data directory is copied as it is now.
    pub backup: Option<Selector>,
    /// It gets the copy back; nothing, if there is none.
    pub rollback: Option<Selector>,
    /// A second process with its id.
    pub twin: Option<Selector>,
    /// Two sides that cannot hear one another.
    pub partition: Option<Vec<Selector>>,
    /// What the first side hears (`in`), what it says (`out`), or `both`; with `partition`, `hold` and `dial_hang`.
    #[serde(deserialize_with = "closed::direction")]
    pub direction: Option<String>,
    /// `all` between servers, `election`, `quorum`, or `client`: between the first side and clients. With `partition`,
    /// `hold`, `dial_hang` and `reset`.
    #[serde(deserialize_with = "closed::ports")]
    pub ports: Option<String>,
    /// All partitions end.
    pub heal: Option<Selector>,
    /// Connections break.
    pub reset: Option<Selector>,
    /// Links get slow: `rate` bytes per second.
    pub throttle: Option<Selector>,
    /// Links hold what is sent.
    pub hold: Option<Selector>,
    /// Dials neither connect nor fail; links that stand go on.
    pub dial_hang: Option<Selector>,
    /// Bits are flipped, in one of so many chunks.
    pub garble: Option<Selector>,
    /// With `throttle`.
    pub rate: Option<Drawn<Size>>,
    /// With `garble`.
    pub one_in: Option<u32>,
    /// A disk's fault.
    pub disk: Option<DiskAction>,
    /// A clock's fault.
    pub clock: Option<ClockAction>,
    /// A client's fault.
    pub client: Option<ClientAction>,
    /// New members.
    pub reconfig: Option<String>,
    /// Another version.
    pub upgrade: Option<Selector>,
    /// A snapshot now.
    pub snapshot: Option<Selector>,
    /// Old files go now.
    pub purge: Option<Selector>,
    /// A session expires now.
    pub expire_session: Option<Selector>,
    /// A setting changes.
    pub set: Option<BTreeMap<String, toml::Value>>,
}

/// `disk = { node = "node:1", fsync = "eio", times = 1 }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskAction {
    /// Whose.
    pub node: Option<Selector>,
    /// `eio`, `lie` or `slow`.
    #[serde(deserialize_with = "closed::fsync")]
    pub fsync: Option<String>,
    /// `eio` or `enospc`.
    #[serde(deserialize_with = "closed::write")]
    pub write: Option<String>,
    /// `eio`.
    #[serde(deserialize_with = "closed::read")]
    pub read: Option<String>,
    /// `log`, `snapshot` or a file's name: bits of it flip.
    pub rot: Option<String>,
    /// How many bits.
    pub bits: Option<u32>,
    /// How many operations fail.
    pub times: Option<u32>,
    /// With `fsync = "slow"`: so many times as slow.
    pub factor: Option<u32>,
    /// With `write = "enospc"`: bytes that are still free.
    pub free: Option<Drawn<Size>>,
}

/// `clock = { node = "node:1", rate = "1.01" }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockAction {
    /// Whose.
    pub node: Option<Selector>,
    /// Of the monotonic clock.
    pub rate: Option<Drawn<Ratio>>,
    /// The wall clock is set forward.
    pub jump: Option<Drawn<Span>>,
    /// The wall clock is set back.
    pub back: Option<Drawn<Span>>,
}

/// `client = { who = "client:2", silent = true }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientAction {
    /// Which.
    pub who: Option<Selector>,
    /// It says and hears nothing.
    pub silent: bool,
    /// Its connection breaks.
    pub reset: bool,
}

/// `[[random]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// Kinds of faults.
    #[serde(deserialize_with = "closed::kinds")]
    pub faults: Vec<String>,
    /// One after this time, and so on.
    pub every: Drawn<Span>,
    /// How long each lasts.
    pub duration: Drawn<Span>,
    /// How many at a time.
    #[serde(default)]
    pub max_concurrent: Option<u32>,
    /// Until then.
    #[serde(default)]
    pub until: Option<Drawn<Span>>,
}

impl Scenario {
    /// Reads a file. The error is for people: file, line, column, what is wrong, what was perhaps meant.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}{error}", path.display()))
    }

    /// Reads the text of one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| explain(text, &error))?;
        let places = Places::of(text);
        scenario.check_nodes(&places)?;
        scenario.check_faults(&places)?;
        scenario.check_workloads(&places)?;
        scenario.check_links(&places)?;
        scenario.check_expect(&places)?;
        scenario.places = places;
        Ok(scenario)
    }
}

/// Line, column, and the nearest known word.
fn explain(text: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let place = error.span().map(|span| place(text, span.start));
    let hint =
        unknown_field(message).map(|(unknown, known)| nearest::hint(unknown, &known)).unwrap_or_default();
    format!("{}: {}{hint}", place.unwrap_or_default(), message.lines().next().unwrap_or(message))
}

/// serde's own words: unknown field `x`, expected one of `a`, `b`.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.split_once("unknown field `").or_else(|| message.split_once("unknown variant `"))?.1;
    let (unknown, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((unknown, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_s_whole_example_is_read() {
        let text = r#"
title    = "Leader dies after a minority logged the proposal"
seeds    = "1..200"
duration = "60s"
profile  = "lan"
[cluster]
voters = "3..5"
observers = 0
tick = "200ms"
init_limit = 10
sync_limit = 5
snap_count = "20..200"
[cluster.node.3]
clock_rate = "1.0002"
disk = "slow-fsync"
[net.default]
delay = { min = "200us", mean = "1ms", tail = "1/1000:2s" }
[[net.link]]
from = "node:1"
to = "node:2"
bandwidth = "64KiB/s"
[[workload]]
clients = 8
sessions = { timeout = "2s..6s" }
mix = { create = 20, set = 30, delete = 10, get = 25, children = 5, multi = 5, sync_get = 5 }
paths = { space = 32, depth = 3, ephemeral = "1/4", sequential = "1/4" }
rate = "100/s"
watch = "1/3"
[[fault]]
name = "kill"
when = "leader.logged > leader.committed && acks(leader.logged) < quorum"
do   = { crash = "leader", loss = "power" }
for  = "5s"
[[fault]]
at   = "12s"
do   = { partition = ["leader", "rest"], direction = "in", ports = "quorum" }
for  = "3s..9s"
[[fault]]
after = "kill+500ms"
do    = { disk = { node = "follower:max_zxid", fsync = "eio", times = 1 } }
[[fault]]
on  = { event = "NewLeaderAcked", node = "any", nth = 2 }
do  = { crash = "event.node", point = "before-next-effect" }
[[random]]
faults  = ["crash", "pause", "partition", "reset", "clock-jump"]
every   = "2s..10s"
duration = "100ms..20s"
max_concurrent = 2
until   = "45s"
[expect]
invariants  = "all"
heal_within = "10s"
min_commits = 500
max_unavailable = "8s"
sometimes   = ["leader-lost", "trunc-sync"]
never       = ["snap-sync"]
final       = { node = "all", converged = true }
"#;
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.fault.len(), 4);
        assert_eq!(scenario.cluster.voters, Some(Drawn::Range(3, 5)));
        assert_eq!(scenario.fault[0].lasting, Some(Lasting::For(Drawn::Fixed(Span(5_000_000_000)))));
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_the_nearest_word() {
        let wrong = |text| Scenario::parse(text).expect_err("it is wrong");
        assert!(
            wrong("titel = \"x\"").starts_with(":1:1: unknown field `titel`"),
            "{}",
            wrong("titel = \"x\"")
        );
        assert!(wrong("titel = \"x\"").ends_with("; did you mean \"title\"?"));
        let text = "title = \"x\"\n[[fault]]\nat = \"1s\"\ndo = { crush = \"leader\" }";
        assert!(wrong(text).starts_with(":4:"), "{}", wrong(text));
        assert!(wrong(text).ends_with("; did you mean \"crash\"?"));
        let text = "[[fault]]\nwhen = \"leader.loged > 1\"\ndo = { crash = \"leader\" }";
        assert!(wrong(text).contains("did you mean \"logged\""), "{}", wrong(text));
        let text = "[[fault]]\nat = \"1s\"\nevery = \"1s\"\ndo = { crash = \"leader\" }";
        assert_eq!(wrong(text), ":1:1: expected exactly one of at, after, when, on, every");
        let text = "[[fault]]\nname = \"kill\"\nat = \"1s\"\ndo = { crash = \"all\" }\n[[fault]]\nafter = \"kil+1s\"\ndo = { crash = \"all\" }";
        assert_eq!(wrong(text), ":6:9: no fault is called \"kil\"; did you mean \"kill\"?");
        assert!(wrong("[cluster]\ntick = \"5 parsecs\"").contains("a duration such as 200ms"));
    }
}
