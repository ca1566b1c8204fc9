//! What happened, three ways: a rolling hash of everything, marks of rare situations, and, if asked for, a line per event.

use std::collections::BTreeMap;

use crate::clock::Time;

/// The record of one run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    /// The hash after every 1,000th event.
    checkpoints: Vec<u64>,
    marks: BTreeMap<&'static str, u64>,
    lines: Option<Vec<String>>,
    headlines: Vec<String>,
}

/// Headlines that are kept.
const HEADLINES_MAX: usize = 200;

fn line(at: Time, who: &str, what: &str) -> String {
    let (seconds, micros) = (at.0 / 1_000_000_000, at.0 / 1_000 % 1_000_000);
    format!("{seconds:4}.{micros:06}  {who:<9} {what}")
}

/// Events between two checkpoints.
pub const CHECKPOINT: u64 = 1_000;

/// Every mark that there is, with the situation that it stands for.
pub const MARKS: &[(&str, &str)] = &[
    ("cannot-truncate", "a learner cannot forget what its leader does not know"),
    ("client-silent", "a client says and hears nothing"),
    ("clock-fault", "a clock jumps, or goes at another rate"),
    ("connection-reset", "connections are broken by a fault"),
    ("counter-used-up", "a leader steps down before the counter of its zxids runs over"),
    ("dials-hang", "dials neither connect nor fail"),
    ("diff-from-the-log-on-disk", "a learner is sent what memory has no more"),
    ("diff-sync", "a learner is brought up to date by DIFF"),
    ("election", "a server asks for votes"),
    ("epoch-established", "a leader, or who learns from it, has its epoch established"),
    ("epoch-outdone", "a leader steps down before somebody who has accepted a later epoch"),
    ("fatal", "a process ends itself"),
    ("fsync-failed", "a sync fails"),
    ("garbled", "bits are flipped between servers"),
    ("healed-in-part", "a part of the nodes is healed at the end, and must become well alone"),
    ("killed", "a process is killed"),
    ("leader-found-no-quorum", "a leader gives up before a quorum has come"),
    ("leader-lost", "a learner's link to its leader is gone"),
    ("leader-lost-its-quorum", "a leader hears too few"),
    ("leader-of-an-old-epoch", "who was elected proposes an epoch below one that was accepted"),
    ("leader-silent", "a learner hears nothing from its leader"),
    ("leader-unreachable", "a learner finds no way to its leader"),
    ("learner-lost", "a leader's link to a learner is gone, or another took its place"),
    ("links-held", "links hold what is sent"),
    ("local-session", "a session begins that one server knows"),
    ("local-session-expired", "such a session expires"),
    ("local-session-upgraded", "such a session becomes the ensemble's"),
    ("no-credit", "a request waits until others are answered"),
    ("node-collected", "a container or TTL node is over"),
    ("observer-turned-away", "a leader brings up as many as it may, and another comes"),
    ("over-quota", "a write is refused for a quota"),
    ("partition", "nodes are cut apart"),
    ("paused", "a node stands still"),
    ("peer-fault", "a server breaks the protocol, as another sees it"),
    ("power-cut", "a machine loses power"),
    ("purged", "old files are removed"),
    ("recovery-refused", "a server does not start from damaged data"),
    ("rolled-back", "a data directory is replaced by an older copy"),
    ("rot", "bits of a file flip"),
    ("serves-readers", "a server without a leader serves reads"),
    ("session-expired", "a session expires"),
    ("session-moved", "a client is told that its session is at another server"),
    ("snap-sync", "a learner is brought up to date by SNAP"),
    ("snapshot-skipped", "recovery passes over a snapshot that is not sound"),
    ("state-reloaded", "a tree is gone back to what a truncated log says"),
    ("throttled", "links are slow"),
    ("torn-tail-dropped", "recovery cuts off what a crash tore"),
    ("trunc-sync", "a learner is brought up to date by TRUNC"),
    ("twin", "a second process of one id is started"),
    ("unacknowledged-write-recovered", "what nobody was told of comes back after a crash"),
    ("unreadable-link", "a server cannot read what another has sent"),
    ("wiped", "a data directory is lost"),
    ("writes-during-snapshot", "commits while a snapshot is being written"),
];

impl Trace {
    /// A record; with `readable`, with a line per event.
    pub fn new(readable: bool) -> Self {
        Self { lines: readable.then(Vec::new), ..Self::default() }
    }

    /// An event is delivered.
    pub fn event(&mut self, at: Time, kind: u64, entity: u64, content: u64) {
        for word in [at.0, kind, entity, content] {
            self.mix(word);
        }
        self.events += 1;
        if self.events.is_multiple_of(CHECKPOINT) {
            self.checkpoints.push(self.hash);
        }
    }

    /// Something that decides what follows, without being an event of its own.
    pub const fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    }

    /// Everything so far in one number.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Events so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Hashes at every 1,000th event.
    pub fn checkpoints(&self) -> &[u64] {
        &self.checkpoints
    }

    /// A situation that searches look for.
    pub fn mark(&mut self, name: &'static str) {
        debug_assert!(MARKS.iter().any(|(known, _)| *known == name), "invariant: the mark {name} is listed");
        *self.marks.entry(name).or_default() += 1;
    }

    /// How often each situation came about.
    pub const fn marks(&self) -> &BTreeMap<&'static str, u64> {
        &self.marks
    }

    /// Tells a line, if anybody reads; nothing is formatted if not.
    pub fn tell(&mut self, at: Time, who: impl FnOnce() -> String, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line(at, &who(), &what()));
        }
    }

    /// Tells something that a reader of the summary should see, too: faults, starts, ends.
    pub fn headline(&mut self, at: Time, who: &str, what: &str) {
        let line = line(at, who, what);
        if let Some(lines) = &mut self.lines {
            lines.push(line.clone());
        }
        if self.headlines.len() < HEADLINES_MAX {
            self.headlines.push(line);
        }
    }

    /// The headlines so far.
    pub fn headlines(&self) -> &[String] {
        &self.headlines
    }

    /// The lines so far.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
