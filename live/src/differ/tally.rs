//! What a run has met: how much of each operation came to something, and which differences were let pass.

use std::collections::BTreeMap;
use std::fmt;

use super::release::Allowed;
use super::seen::Seen;
use super::step::{Act, Step};

/// Counts of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Operations of chapters.
    pub operations: u64,
    /// Nodes of the trees at the ends of chapters.
    pub nodes: u64,
    /// Watch events.
    pub events: u64,
    /// Replies by opcode and error.
    replies: BTreeMap<i32, BTreeMap<i32, u64>>,
    allowed: BTreeMap<Allowed, u64>,
}

impl Tally {
    /// Counts what a step's session saw.
    pub fn saw(&mut self, step: &Step, seen: &[Seen]) {
        self.events += seen.iter().filter(|seen| matches!(seen, Seen::Event { .. })).count() as u64;
        let Act::Ask(asks) = &step.act else { return };
        let errors = seen.iter().filter_map(|seen| match seen {
            Seen::Reply { err, xid, .. } if *xid > 0 => Some(*err),
            _ => None,
        });
        for (ask, err) in asks.iter().zip(errors) {
            *self.replies.entry(ask.op()).or_default().entry(err).or_default() += 1;
        }
    }

    /// Counts a difference that was let pass.
    pub fn allow(&mut self, allowed: Allowed) {
        *self.allowed.entry(allowed).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (op, errors) in &self.replies {
            write!(f, "  opcode {op:>4}:")?;
            errors.iter().try_for_each(|(err, count)| write!(f, "  {count} × {err}"))?;
            writeln!(f)?;
        }
        for (allowed, count) in &self.allowed {
            writeln!(f, "  let pass: {count} × {allowed:?}")?;
        }
        write!(
            f,
            "{} operations, {} events seen by who caused them, {} nodes at the ends",
            self.operations, self.events, self.nodes
        )
    }
}
