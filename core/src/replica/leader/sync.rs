//! Bringing a learner up to date (quorum protocol B4): how, and with what.
//!
//! The history is what a quorum will hold once NEWLEADER is acknowledged: before that the leader's whole log, afterwards
//! what is committed. A learner gets what it lacks of it, as PROPOSAL and COMMIT, then what is outstanding, then NEWLEADER;
//! from there on live traffic. All of it goes out in one step, so nothing can come in between; only when the disk has to be
//! read first does the learner wait, and is then sent what has come about meanwhile, too.

use alloc::boxed::Box;
use bytes::Bytes;

use super::super::commit_log::CommitLog;
use super::super::outbox::Turn;
use super::super::role::SyncKind;
use super::super::settings::{LogShare, SyncChoice};
use super::Leading;
use super::progress::{Stage, Stream};
use crate::action::{Action, HangReason, LogRecord};
use crate::event::Event;
use crate::ids::{LinkId, Zxid};
use crate::input::{LogPart, QueryId};
use crate::wire::quorum::QuorumPacket;

/// How a learner is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// It lacks what comes behind this.
    Diff { after: Zxid },
    /// It is cut back to this, and lacks what comes behind.
    Trunc { to: Zxid },
    /// It gets everything.
    Snap,
    /// What it lacks begins in the log on disk.
    ReadLog { to: Zxid },
}

impl Plan {
    const fn kind(self) -> SyncKind {
        match self {
            Self::Diff { .. } => SyncKind::Diff,
            Self::Trunc { .. } => SyncKind::Trunc,
            Self::Snap | Self::ReadLog { .. } => SyncKind::Snap,
        }
    }

    /// The rules of B4, in their order. `end`: where the history ends.
    fn choose(peer: Zxid, end: Zxid, log: &CommitLog, choice: SyncChoice, share: LogShare) -> Self {
        let oldest = log.oldest().map_or(end, |oldest| oldest.min(end));
        if choice == SyncChoice::Snapshot {
            Self::Snap
        } else if peer == end {
            Self::Diff { after: peer }
        } else if peer > end && !is_new_epoch(peer) {
            Self::Trunc { to: end }
        } else if oldest <= peer && peer <= end {
            Self::walk(peer, log.range(Zxid(i64::MIN), end).map(|entry| entry.zxid))
        } else if peer < oldest && share != LogShare::Never {
            Self::ReadLog { to: oldest }
        } else {
            Self::Snap
        }
    }

    /// Where the history and that of the learner part. `txns` begin at or before where the learner ends.
    fn walk(peer: Zxid, txns: impl Iterator<Item = Zxid>) -> Self {
        let mut before = None;
        for zxid in txns {
            if zxid < peer {
                before = Some(zxid);
                continue;
            }
            return match before {
                _ if zxid == peer || is_new_epoch(peer) => Self::Diff { after: peer },
                // The learner has a txn that was never committed, behind the last one that was.
                Some(to) if zxid.epoch() == peer.epoch() => Self::Trunc { to },
                // Cut back across epochs it might keep what is not in the history (3.4 did so).
                _ => Self::Snap,
            };
        }
        if is_new_epoch(peer) { Self::Diff { after: peer } } else { Self::Snap }
    }
}

/// The learner has led or followed a leader, and seen no txn of that epoch; or it has nothing at all.
const fn is_new_epoch(peer: Zxid) -> bool {
    peer.counter() == 0
}

impl Leading {
    /// Begins the sync of a learner whose history ends at `peer`.
    pub(super) fn synchronise(&mut self, link: LinkId, peer: Zxid, turn: &mut Turn<'_>) {
        let end = self.history_end(turn.log);
        let (choice, share) = (turn.ensemble().sync_choice, turn.ensemble().log_share);
        let mut plan = Plan::choose(peer, end, turn.log, choice, share);
        if planted!(turn.config.museum, P11)
            && turn.log.oldest().is_some_and(|oldest| oldest <= peer)
            && peer < end
        {
            plan = Plan::Diff { after: peer };
        }
        if let Plan::ReadLog { to } = plan {
            let query = turn.member().next_query();
            turn.out.push(Action::ReadLog { query, from: peer, to, limit: share });
            if let Some(learner) = self.learners.get_mut(link) {
                learner.reads_log(query, peer);
            }
            self.reading.insert(query, (link, to));
            return self.pin(turn);
        }
        self.send_history(link, peer, plan, &[], turn);
    }

    /// The disk has answered.
    pub(super) fn on_log_part(&mut self, query: QueryId, part: LogPart, turn: &mut Turn<'_>) {
        let Some((link, _)) = self.reading.remove(&query) else { return };
        let stage = self.learners.get(link).map(|learner| learner.stage());
        if let Some(Stage::ReadingLog(awaited, peer)) = stage
            && awaited == query
        {
            let (plan, records) = match part {
                LogPart::Unfit => (Plan::Snap, &[][..]),
                LogPart::Records(ref records) => {
                    let joined = joins(records, peer, turn.log);
                    let plan = Plan::walk(peer, records.iter().map(|record| record.zxid));
                    if joined { (plan, &records[..]) } else { (Plan::Snap, &[][..]) }
                }
            };
            self.send_history(link, peer, plan, records, turn);
        }
        self.pin(turn);
    }

    /// The window keeps what is to be joined to parts of the log that are being read.
    pub(super) fn pin(&self, turn: &mut Turn<'_>) {
        turn.log.pin(self.reading.values().map(|(_, to)| *to).min());
    }

    /// Where the history ends that learners are given.
    pub(super) fn history_end(&self, log: &CommitLog) -> Zxid {
        if self.is_established() { log.committed() } else { log.logged() }
    }

    /// How many learners are being brought up to date like this; as in Java those that are cut back count with the others
    /// that are sent txns.
    fn syncs_by(&self, kind: SyncKind) -> usize {
        let alike = |other: SyncKind| (other == SyncKind::Snap) == (kind == SyncKind::Snap);
        self.learners.iter().filter(|(_, learner)| learner.syncs_by().is_some_and(alike)).count()
    }

    /// Sends everything through NEWLEADER. `records` come before what is in memory, and may overlap it.
    fn send_history(
        &mut self,
        link: LinkId,
        peer: Zxid,
        plan: Plan,
        records: &[LogRecord],
        turn: &mut Turn<'_>,
    ) {
        let (end, epoch) = (self.history_end(turn.log), self.epoch());
        let Some(learner) = self.learners.get(link) else { return };
        let who = learner.who().expect("invariant: who is synchronised has said who it is");
        let kind = plan.kind();
        if who.stream == Stream::Informs && self.syncs_by(kind) >= turn.ensemble().syncs_max.of(kind) as usize
        {
            return self.lose(link, Some(HangReason::TooManySyncs), turn);
        }
        let after = match plan {
            Plan::Diff { after } => {
                turn.send(link, QuorumPacket::Diff { zxid: end });
                after
            }
            Plan::Trunc { to } => {
                turn.send(link, QuorumPacket::Trunc { zxid: to });
                to
            }
            Plan::Snap | Plan::ReadLog { .. } => {
                turn.out.push(Action::SendView { link, view: Box::new(turn.tree.view()) });
                // Exact, at its zxid: what follows comes behind it, and nothing twice.
                turn.tree.last_zxid()
            }
        };
        let Some(learner) = self.learners.get_mut(link) else { return };
        turn.event(Event::SyncChosen { learner: who.sid, kind, from: peer, to: end });
        let mut sent = if planted!(turn.config.museum, P14) && kind == SyncKind::Snap { end } else { after };
        let early = planted!(turn.config.museum, P19);
        if early {
            send_new_leader(link, epoch, turn);
        }
        for LogRecord { zxid, bytes } in records.iter().filter(|record| record.zxid > after) {
            sent = *zxid;
            send_committed(link, *zxid, bytes, turn);
        }
        let Turn { log, out, .. } = turn;
        for entry in log.range(sent, end) {
            let (zxid, txn) = (entry.zxid, entry.bytes.clone());
            out.push(Action::Send { link, packet: QuorumPacket::Proposal { zxid, txn } });
            out.push(Action::Send { link, packet: QuorumPacket::Commit { zxid } });
        }
        if who.stream == Stream::Proposals {
            for entry in log.range(end, log.logged()) {
                let (zxid, txn) = (entry.zxid, entry.bytes.clone());
                out.push(Action::Send { link, packet: QuorumPacket::Proposal { zxid, txn } });
                learner.proposed(zxid, turn.now.mono);
            }
        }
        if !early {
            send_new_leader(link, epoch, turn);
        }
        learner.sent_new_leader(kind, end, turn.now.mono);
    }
}

fn send_new_leader(link: LinkId, epoch: u32, turn: &mut Turn<'_>) {
    let config = turn.membership().last_seen().text().clone();
    let packet = QuorumPacket::NewLeader { zxid: Zxid::new(epoch, 0), config: Some(config) };
    turn.send(link, packet);
}

/// Whether nothing is missing in the records, nor between them and what is in memory.
fn joins(records: &[LogRecord], peer: Zxid, log: &CommitLog) -> bool {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return false };
    let whole = records.is_sorted_by(|a, b| b.zxid.may_follow(a.zxid));
    whole && first.zxid <= peer && log.floor() <= last.zxid
}

fn send_committed(link: LinkId, zxid: Zxid, txn: &Bytes, turn: &mut Turn<'_>) {
    turn.send(link, QuorumPacket::Proposal { zxid, txn: txn.clone() });
    turn.send(link, QuorumPacket::Commit { zxid });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::replica::commit_log::{Entry, Window};
    use crate::time::WallMs;
    use crate::wire::txn::{Txn, TxnBody, TxnHeader, kind};
    use alloc::sync::Arc;
    use std::vec::Vec;

    const fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(epoch, counter)
    }

    fn txn(zxid: Zxid) -> Arc<Txn> {
        let header = TxnHeader { session: SessionId(1), cxid: 0, zxid, time: WallMs(0), kind: kind::ERROR };
        Arc::new(Txn { header, body: TxnBody::Error { err: -101 }, digest: None })
    }

    /// A window of these txns, all committed and applied.
    fn log(zxids: &[Zxid]) -> CommitLog {
        let txns: Vec<_> = zxids.iter().map(|zxid| txn(*zxid)).collect();
        let window = Window { count: 500, bytes: usize::MAX };
        CommitLog::new(zxids.last().copied().unwrap_or_default(), &txns, window)
    }

    fn choose(peer: Zxid, log: &CommitLog) -> Plan {
        Plan::choose(peer, log.committed(), log, SyncChoice::Least, LogShare::Any)
    }

    #[test]
    fn a_sync_is_chosen_by_the_rules_of_java_in_their_order() {
        let log = log(&[z(1, 3), z(1, 4), z(1, 5), z(3, 1), z(3, 2)]);
        let oldest = z(1, 3);
        for (peer, plan) in [
            (z(3, 2), Plan::Diff { after: z(3, 2) }),
            (z(3, 9), Plan::Trunc { to: z(3, 2) }),
            (z(4, 1), Plan::Trunc { to: z(3, 2) }),
            (z(4, 0), Plan::Snap),
            (z(1, 3), Plan::Diff { after: z(1, 3) }),
            (z(1, 5), Plan::Diff { after: z(1, 5) }),
            (z(3, 1), Plan::Diff { after: z(3, 1) }),
            (z(2, 0), Plan::Diff { after: z(2, 0) }),
            (z(3, 0), Plan::Diff { after: z(3, 0) }),
            (z(2, 7), Plan::Snap),
            (z(1, 6), Plan::Snap),
            (z(1, 2), Plan::ReadLog { to: oldest }),
            (z(0, 0), Plan::ReadLog { to: oldest }),
        ] {
            assert_eq!(choose(peer, &log), plan, "{peer}");
        }
        let never = Plan::choose(z(1, 2), z(3, 2), &log, SyncChoice::Least, LogShare::Never);
        assert_eq!(never, Plan::Snap);
        let forced = Plan::choose(z(3, 2), z(3, 2), &log, SyncChoice::Snapshot, LogShare::Any);
        assert_eq!(forced, Plan::Snap);
    }

    #[test]
    fn an_empty_leader_has_a_diff_for_an_empty_learner() {
        let empty = log(&[]);
        assert_eq!(choose(z(0, 0), &empty), Plan::Diff { after: z(0, 0) });
        assert_eq!(choose(z(1, 1), &empty), Plan::Trunc { to: z(0, 0) });
        assert_eq!(choose(z(1, 0), &empty), Plan::Snap);
    }

    #[test]
    fn a_learner_is_cut_back_to_the_last_txn_before_its_own_lost_one() {
        // The walk's table: what its epoch has is skipped, the first one beyond decides.
        let txns = [z(1, 3), z(1, 5), z(2, 1)];
        let walk = |peer| Plan::walk(peer, txns.into_iter());
        assert_eq!(walk(z(1, 4)), Plan::Trunc { to: z(1, 3) });
        assert_eq!(walk(z(1, 5)), Plan::Diff { after: z(1, 5) });
        assert_eq!(walk(z(1, 9)), Plan::Snap);
        assert_eq!(walk(z(2, 0)), Plan::Diff { after: z(2, 0) });
        assert_eq!(walk(z(2, 5)), Plan::Snap);
        assert_eq!(walk(z(3, 0)), Plan::Diff { after: z(3, 0) });
        assert_eq!(walk(z(1, 1)), Plan::Snap);
    }

    #[test]
    fn parts_of_the_log_join_the_window_without_a_hole() {
        let mut log = log(&[z(1, 3), z(1, 4)]);
        log.append(Entry::of(&txn(z(1, 5))));
        let part = |zxids: &[Zxid]| -> Vec<LogRecord> {
            zxids.iter().map(|zxid| LogRecord { zxid: *zxid, bytes: Bytes::new() }).collect()
        };
        assert!(joins(&part(&[z(1, 1), z(1, 2), z(1, 3)]), z(1, 1), &log));
        assert!(joins(&part(&[z(0, 9), z(1, 1), z(1, 2), z(1, 3)]), z(1, 0), &log));
        // It does not reach the window; it begins behind the learner; it has a hole; it is empty.
        assert!(!joins(&part(&[z(1, 1), z(1, 2)]), z(1, 1), &log));
        assert!(!joins(&part(&[z(1, 2), z(1, 3)]), z(1, 1), &log));
        assert!(!joins(&part(&[z(1, 1), z(1, 3)]), z(1, 1), &log));
        assert!(!joins(&[], z(1, 1), &log));
    }
}
