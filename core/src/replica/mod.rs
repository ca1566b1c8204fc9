//! The replica: decides, and never changes the tree.

use alloc::vec::Vec;

use crate::action::Action;
use crate::disk::recovery::Recovered;
use crate::ids::Sid;
use crate::input::Input;
use crate::time::{Mono, Now};
use crate::tree::Tree;

/// Actions of one or more steps, in order. Reused by drivers.
pub type Outbox = Vec<Action>;

/// What a replica needs to know of its configuration.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// This server; the high byte of the session ids it hands out. Standalone: 1.
    pub sid: Sid,
    /// ms.
    pub tick_ms: u32,
    /// `snapCount`: roll and snapshot after a random number of txns in [n/2 + 1, n].
    pub snap_count: u32,
    /// `snapSizeLimitInKb` in bytes; 0 is off.
    pub snap_size_limit: u64,
    /// `zookeeper.digest.enabled`.
    pub digest: bool,
    /// `zookeeper.skipACL=yes`.
    pub skip_acl: bool,
    /// `globalOutstandingLimit`: requests between the door and their reply.
    pub outstanding_max: u32,
}

/// What the replica can still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Requests.
    pub requests: u32,
}

/// One server's mind.
#[derive(Clone, Debug)]
pub struct Replica {}

impl Replica {
    /// Starts from what recovery found. `seed` feeds snapshot staggering and nothing that is promised.
    pub fn open(_cfg: ReplicaConfig, _recovered: &Recovered, _seed: u64, _now: Now, _out: &mut Outbox) -> Self {
        unreachable!("written by the replica room")
    }

    /// Takes one input; never blocks, never fails: whatever goes wrong becomes an action.
    pub fn step(&mut self, _now: Now, _input: Input, _tree: &Tree, _out: &mut Outbox) {
        unreachable!()
    }

    /// The earliest time it wants a `Tick`.
    pub fn deadline(&self) -> Option<Mono> {
        unreachable!()
    }

    /// What it can still take.
    pub fn credit(&self) -> Credit {
        unreachable!()
    }
}
