//! What operators are told of other servers, and of whoever takes himself for one: each thing once, and not again before a
//! [`Pace`](crate::pace::Pace) has passed. Members are told apart; all strangers are one.

use std::io;

use tracing::{debug, info, warn};
use zk_core::action::HangReason;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::links::Hello;
use zk_core::ids::Sid;

use super::Peers;
use super::agreement::{difference, is_elsewhere};
use super::quorum_link::QuorumLink;

/// What there is to complain about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// Bytes that are not what is spoken on this port.
    Garbage(Port),
    /// A connection to this port that does not say who it is.
    Silent(Port),
    /// Messages that are none.
    Skipped,
    /// Somebody with this server's number.
    Twin,
    /// Somebody whom no server line names, on this port.
    Stranger(Port),
    /// A member that says it is where its line does not say so.
    Elsewhere,
    /// A list of servers that contradicts ours.
    OtherList,
    /// A link that was hung up for this reason.
    HungUp(&'static str),
    /// A member that cannot be reached.
    Missing,
    /// A leader that does not answer on its quorum port.
    Unreachable,
}

/// A port between servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Port {
    Election,
    Quorum,
}

impl Peers {
    /// Lets one of the complaints about this server through now and then; `None` if nobody knows who it is.
    pub(super) fn complain(&self, about: About, sid: Option<Sid>, say: impl FnOnce(u64)) {
        let member = sid.filter(|sid| self.members().member(*sid).is_some());
        self.complaints.about((about, member), say);
    }

    /// Somebody greets on the election port. What becomes of it is the core's business.
    pub(super) fn judge_greeting(&self, peer: &str, hello: &Hello) {
        let (sid, list) = (hello.sid, self.members());
        match list.member(sid) {
            _ if sid == self.config.me => self.complain(About::Twin, None, |more| {
                warn!(peer, %sid, since_last_time = more, "another server has this server's myid: hung up");
            }),
            None => self.complain(About::Stranger(Port::Election), None, |more| {
                warn!(peer, %sid, since_last_time = more, "no server line names this server: it has no vote");
            }),
            Some(member) if is_elsewhere(&hello.addresses, member) => {
                self.complain(About::Elsewhere, Some(sid), |more| {
                    let told: Vec<_> = hello.addresses.iter().map(ToString::to_string).collect();
                    let told = told.join("|");
                    let line = member.to_string();
                    warn!(
                        peer, %sid, told, line, since_last_time = more,
                        "a server is not where its line says: two have this myid, or their lists differ"
                    );
                });
            }
            Some(_) => debug!(peer, %sid, "a server greets"),
        }
    }

    /// A vote came with this list of servers.
    pub(super) fn judge_list(&self, peer: &str, sid: Option<Sid>, theirs: &QuorumConfig) {
        let ours = &self.members();
        // The very same one is the rule.
        if !std::ptr::eq(theirs, &**ours)
            && theirs.version() == ours.version()
            && let Some(difference) = difference(theirs, ours)
        {
            self.complain(About::OtherList, sid, |more| {
                let sid = sid.map(tracing::field::display);
                warn!(peer, sid, difference, since_last_time = more, "a server has another list of servers");
            });
        }
    }

    /// Somebody wants to be led, and says who it is.
    pub(super) fn judge_learner(&self, peer: &str, sid: Sid) {
        if self.members().member(sid).is_none() {
            self.complain(About::Stranger(Port::Quorum), None, |more| {
                warn!(peer, %sid, since_last_time = more, "no server line names this server: it may follow and has no vote");
            });
        }
    }

    /// A link of the quorum port was hung up.
    pub(super) fn tell_hung_up(&self, link: &QuorumLink, why: &HangReason) {
        let (peer, sid) = (link.peer.as_str(), link.sid());
        let text = match why {
            HangReason::RoleLost => return debug!(peer, "hung up"),
            HangReason::Silent if sid.is_none() => {
                return self.complain(About::Silent(Port::Quorum), None, |more| {
                    info!(
                        peer,
                        since_last_time = more,
                        "a connection to the quorum port says nothing: hung up"
                    );
                });
            }
            HangReason::Fault(_) => "a server breaks the protocol: hung up",
            HangReason::Replaced => {
                "a server has come again while its connection stood: if it does so time and again, two have this myid"
            }
            HangReason::Silent => "nothing was heard of a server for too long: hung up",
            HangReason::AheadOfLeader => "a learner has more history than this leader: hung up",
            HangReason::EpochBehind => "the leader's epoch is older than one that was accepted here: hung up",
            HangReason::ConfigAhead => "a learner has a newer configuration than this leader: hung up",
            HangReason::TooOld => "a learner speaks a protocol from before 3.4: hung up",
            HangReason::Twin => "a learner has this server's myid: hung up",
            HangReason::TooManyStrangers => {
                "too many servers that no server line names want to be led: hung up on another"
            }
            HangReason::TooManySyncs => {
                "an observer is turned away, as others are being brought up to date: it may come back"
            }
            HangReason::TooSlow => "a learner is too slow and is hung up on: it may come back",
            HangReason::CannotTruncate => "what the leader wants cut off cannot be cut off here: hung up",
            _ => "hung up",
        };
        let fault =
            if let HangReason::Fault(fault) = why { Some(tracing::field::display(fault)) } else { None };
        self.complain(About::HungUp(text), sid, |more| {
            let sid = sid.map(tracing::field::display);
            warn!(peer, sid, fault, since_last_time = more, "{text}");
        });
    }

    /// No dial of the leader's quorum port got through, and no more are made.
    pub(crate) fn tell_unreachable(&self) {
        let Some((sid, error)) = self.refused.lock().take() else { return };
        self.complain(About::Unreachable, Some(sid), |more| {
            warn!(%sid, %error, since_last_time = more, "the elected leader does not answer on its quorum port");
        });
    }

    /// A dial of another server got through.
    pub(super) fn reached(&self, sid: Sid) {
        if self.missing.lock().remove(&sid) {
            info!(%sid, "server is reached again");
        }
    }

    /// It did not. Said now and then: an ensemble without a quorum tells who is missing.
    pub(super) fn missed(&self, sid: Sid, port: &'static str, error: &io::Error) {
        self.missing.lock().insert(sid);
        self.complain(About::Missing, Some(sid), |more| {
            warn!(%sid, port, %error, since_last_time = more, "server cannot be reached");
        });
    }
}
