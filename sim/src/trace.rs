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
