//! Connections between servers, of both ports: queues of what is on its way.

use std::collections::VecDeque;

use zk_core::election::links::{self, Hello};
use zk_core::election::vote::Notification;
use zk_core::ids::{LinkId, Sid};
use zk_core::tree::Tree;
use zk_core::wire::quorum::QuorumPacket;

/// An end's name for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Election(links::LinkId),
    Quorum(LinkId),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) sid: Sid,
    pub(crate) name: Name,
    pub(crate) open: bool,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) ends: [End; 2],
    /// To each end. What is on its way to an end that is closed is lost.
    pub(crate) queues: [VecDeque<Item>; 2],
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Hello(Hello),
    Vote(Notification),
    Packet(QuorumPacket),
    View(Box<Tree>),
    Fin,
}

/// Somebody wants to connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dial {
    pub(crate) from: Sid,
    pub(crate) name: Name,
    pub(crate) to: Sid,
}

impl Wire {
    pub(crate) fn new(ends: [End; 2]) -> Self {
        Self { ends, queues: [VecDeque::new(), VecDeque::new()] }
    }

    /// The index of this server's end, if the connection has this name there.
    pub(crate) fn end_of(&self, sid: Sid, name: Name) -> Option<usize> {
        self.ends.iter().position(|end| end.sid == sid && end.name == name)
    }

    /// One end sends.
    pub(crate) fn put(&mut self, from: usize, item: Item) {
        let to = 1 - from;
        if self.ends[from].open && self.ends[to].open {
            self.queues[to].push_back(item);
        }
    }

    /// One end closes: what it has sent still arrives, then the end of it.
    pub(crate) fn close(&mut self, at: usize) {
        if self.ends[at].open {
            self.put(at, Item::Fin);
            self.ends[at].open = false;
            self.queues[at].clear();
        }
    }

    /// The connection is reset: what is on its way is lost.
    pub(crate) fn reset(&mut self) {
        for to in 0..2 {
            self.queues[to].clear();
            if self.ends[to].open {
                self.queues[to].push_back(Item::Fin);
            }
        }
    }
}
