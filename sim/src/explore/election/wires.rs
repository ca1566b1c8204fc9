//! The network of an explored world: connections as pairs of queues, deliveries one head at a time.

use std::collections::VecDeque;

use zk_core::election::links::{Hello, LinkId};
use zk_core::election::vote::Notification;

/// Which server, counted from 0.
pub(super) type NodeId = usize;

/// A connection between two servers.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) ends: [End; 2],
    /// What is on its way to each end.
    pub(super) queues: [VecDeque<Item>; 2],
    /// Half open: what is sent to an end that is gone vanishes, and nobody is told.
    pub(super) hole: bool,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) node: NodeId,
    pub(super) link: LinkId,
    pub(super) open: bool,
}

/// What travels.
#[derive(Clone, Debug, Hash)]
pub(super) enum Item {
    Hello(Hello),
    Word(Word),
    Fin,
}

/// A vote on its way, with what its sender had when it sent it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Word {
    pub(super) notification: Notification,
    /// Epoch and zxid, for the rules.
    pub(super) data: (u32, i64),
}

impl Wire {
    pub(super) fn put(&mut self, to: usize, item: Item) {
        if !self.hole && self.ends[to].open {
            self.queues[to].push_back(item);
        }
    }

    /// Closes one end: what was on its way to it is lost, the other end will be told.
    pub(super) fn close(&mut self, at: usize) {
        self.ends[at].open = false;
        self.queues[at].clear();
        self.put(1 - at, Item::Fin);
    }

    /// Resets it: what was on its way either way is lost.
    pub(super) fn reset(&mut self) {
        for queue in &mut self.queues {
            queue.clear();
            queue.push_back(Item::Fin);
        }
    }

    /// True when nothing can come of it any more.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| !end.open)
    }
}
