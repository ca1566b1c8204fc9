//! Which Java is compared with, and what it does differently from the behaviour that is copied (client protocol §17).

use zk_core::error::OpError;
use zk_core::ids::Zxid;
use zk_core::wire::client::op;
use zk_core::wire::multi::MultiResult;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use super::draw::guarded;
use super::seen::{Body, Seen};
use super::step::{Act, Step};
use crate::java::Release;

/// A difference between releases that was seen and let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// 3.8 gives watch events no zxid.
    EventZxid,
    /// 3.8 tells of changes to nodes that the watcher may not read.
    EventUnread,
    /// 3.8 shows the stat of nodes that the client may not read.
    ExistsUnread,
    /// 3.8 makes create of a create2 inside a multi.
    Create2InMulti,
    /// 3.8 finds other connections' watches, too, and looks for them above the path, which fails where there is no slash.
    CheckForeignWatches,
}

impl Release {
    /// Whether a check on its own is answered; 3.8 takes it and says nothing.
    pub const fn refuses_lone_checks(self) -> bool {
        matches!(self, Self::V3_9_5)
    }

    /// Whether a write that cannot be decoded takes a zxid (before 3.9.0; a multi's always does).
    pub const fn counts_undecodable_writes(self) -> bool {
        matches!(self, Self::V3_8_0)
    }

    /// Whether exists and watch events tell of nodes without READ (before 3.9.2).
    pub const fn shows_what_cannot_be_read(self) -> bool {
        matches!(self, Self::V3_8_0)
    }

    /// Whether a later watch of a connection on a path replaces the mode of the one before (before 3.9.0).
    pub const fn has_one_mode_per_path(self) -> bool {
        matches!(self, Self::V3_8_0)
    }

    /// Takes out of what both saw in a step that in which this release may differ, and counts it.
    pub fn level(
        self,
        step: &Step,
        java: &mut Vec<Seen>,
        ours: &mut Vec<Seen>,
        mut allow: impl FnMut(Allowed),
    ) {
        if self == Self::V3_9_5 {
            return;
        }
        let unread = |seen: &Seen| matches!(seen, Seen::Event { event, .. } if guarded(&event.path));
        if java.iter().filter(|seen| unread(seen)).count() > ours.iter().filter(|seen| unread(seen)).count() {
            allow(Allowed::EventUnread);
            java.retain(|seen| !unread(seen));
            ours.retain(|seen| !unread(seen));
        }
        for seen in &mut *ours {
            if let Seen::Event { zxid, .. } = seen
                && *zxid > Zxid(0)
            {
                *zxid = Zxid(-1);
                allow(Allowed::EventZxid);
            }
        }
        for (java, ours) in java.iter_mut().zip(ours) {
            if exists_unread(step, java, ours) {
                allow(Allowed::ExistsUnread);
                java.clone_from(ours);
            }
            if check_foreign(step, java, ours) {
                allow(Allowed::CheckForeignWatches);
                java.clone_from(ours);
            }
            if let (
                Seen::Reply { body: Body::Of(Reply::Multi(java)), .. },
                Seen::Reply { body: Body::Of(Reply::Multi(ours)), .. },
            ) = (java, ours)
            {
                java.iter_mut().zip(ours).filter(|(java, ours)| create_of_create2(java, ours)).for_each(
                    |(java, ours)| {
                        allow(Allowed::Create2InMulti);
                        java.clone_from(ours);
                    },
                );
            }
        }
    }
}

/// A reply to a checkWatches that finds a watch that is not the connection's.
fn check_foreign(step: &Step, java: &Seen, ours: &Seen) -> bool {
    let (Seen::Reply { xid: asked, zxid: at, err: found, .. }, Seen::Reply { xid, zxid, err, .. }) =
        (java, ours)
    else {
        return false;
    };
    let Act::Ask(asks) = &step.act else { return false };
    *err == OpError::NoWatcher.code()
        && [0, OpError::MarshallingError.code()].contains(found)
        && (asked, at) == (xid, zxid)
        && asks.iter().any(|ask| ask.op() == op::CHECK_WATCHES)
}

/// The same node, told without its stat.
fn create_of_create2(java: &MultiResult, ours: &MultiResult) -> bool {
    matches!((java, ours), (MultiResult::Create(java), MultiResult::Create2(ours)) if java.path == ours.path)
}

/// A reply to an exists on a node that only 3.8 shows.
fn exists_unread(step: &Step, java: &Seen, ours: &Seen) -> bool {
    let (Seen::Reply { xid: asked, zxid: at, err: 0, .. }, Seen::Reply { xid, zxid, err, .. }) = (java, ours)
    else {
        return false;
    };
    let Act::Ask(asks) = &step.act else { return false };
    *err == OpError::NoAuth.code()
        && (asked, at) == (xid, zxid)
        && asks.iter().any(|ask| matches!(ask.request(), Some(Request::Exists(r)) if guarded(&r.path)))
}
