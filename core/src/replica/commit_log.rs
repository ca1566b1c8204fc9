//! The order of all txns as this server knows it: what is logged, what of it is durable, committed, applied.
//!
//! ```text
//!        window of the newest committed      tail
//!   ...──┬────────────────┬─────────────┬─────────────┬──► zxid
//!      floor           applied      committed      logged          durable is anywhere up to logged
//! ```
//! The *tail* is logged and not known to be committed. It stays out of the tree: whether it will ever be committed is for
//! the next leader to say. The window is for learners that come back soon.
//!
//! A role may die at any moment; the log is the server's own and outlives it. Whoever waits for something to become
//! durable keeps its token in the role, and dies with that (bug museum P24).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use super::Outbox;
use crate::action::{Action, DiskCommand, LogRecord};
use crate::ids::Zxid;
use crate::input::Token;
use crate::wire::txn::Txn;

/// A transaction at its place in the order.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) zxid: Zxid,
    /// Header, body, digest: the very bytes of log record, PROPOSAL and INFORM.
    pub(super) bytes: Bytes,
    pub(super) txn: Arc<Txn>,
}

impl Entry {
    /// A txn that was read back from somewhere.
    pub(super) fn of(txn: &Arc<Txn>) -> Self {
        Self { zxid: txn.header.zxid, bytes: txn.to_bytes(), txn: Arc::clone(txn) }
    }
}

/// How much of what is applied is kept for learners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Txns (Java: `commitLogCount`).
    pub(super) count: usize,
    /// Bytes of them; the older ones are dropped above.
    pub(super) bytes: usize,
}

impl Window {
    /// Standalone: there is nobody to keep anything for.
    pub(super) const NONE: Self = Self { count: 0, bytes: 0 };
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct CommitLog {
    /// In zxid order, without a hole, through `logged`. Behind an `Arc` so that a server is cloned in no time.
    entries: Arc<VecDeque<Entry>>,
    bytes: usize,
    window: Window,
    /// Everything beyond this one is in `entries`.
    floor: Zxid,
    /// Nothing beyond this is dropped: the window is to be joined to what is being read from the disk.
    pinned: Option<Zxid>,
    logged: Zxid,
    durable: Zxid,
    committed: Zxid,
    applied: Zxid,
    /// The tree is still that of a history which has been replaced.
    tree_is_old: bool,
    /// The last zxid that a quorum of an established leader is known to hold. Before the first sync it is zero: what
    /// recovery found may be a tail that nobody else has.
    proven: Zxid,
    /// Logged, and not yet given to the disk.
    batch: Vec<LogRecord>,
    /// What the disk makes durable with which token.
    marks: VecDeque<(Token, Zxid)>,
    last_token: Token,
    durable_token: Token,
    /// P17: flushes that do nothing yet.
    #[cfg(feature = "museum")]
    held_back: u8,
}

impl CommitLog {
    /// Goes on after `last`, which is durable and applied; `recent` ends there.
    pub(super) fn new(last: Zxid, recent: &[Arc<Txn>], window: Window) -> Self {
        let mut log = Self {
            entries: Arc::default(),
            bytes: 0,
            window,
            floor: last,
            pinned: None,
            logged: last,
            durable: last,
            committed: last,
            applied: last,
            tree_is_old: false,
            proven: Zxid::ZERO,
            batch: Vec::new(),
            marks: VecDeque::new(),
            last_token: Token(0),
            durable_token: Token(0),
            #[cfg(feature = "museum")]
            held_back: 0,
        };
        log.restart(last, recent);
        log.tree_is_old = false;
        log
    }

    /// Another state takes the place of this one: the tree as of `last`, which the disk holds or will hold. The next
    /// [`Self::applied`] is of that tree.
    pub(super) fn restart(&mut self, last: Zxid, recent: &[Arc<Txn>]) {
        assert!(self.batch.is_empty(), "invariant: nothing is under way when history is replaced");
        self.entries = Arc::new(recent.iter().map(Entry::of).collect());
        self.bytes = self.entries.iter().map(|entry| entry.bytes.len()).sum();
        self.floor = self.entries.front().map_or(last, |entry| entry.zxid);
        (self.logged, self.committed) = (last, last);
        self.tree_is_old = true;
        self.evict();
    }

    /// The zxid before which the next one of `epoch` is the first.
    pub(super) fn last_of(&self, epoch: u32) -> Zxid {
        self.logged.max(Zxid::new(epoch, 0))
    }

    /// Takes the next txn; it goes to the disk with the next [`Self::flush`].
    pub(super) fn append(&mut self, entry: Entry) {
        assert!(entry.zxid > self.logged, "invariant: zxids grow: {} after {}", entry.zxid, self.logged);
        self.logged = entry.zxid;
        self.batch.push(LogRecord { zxid: entry.zxid, bytes: entry.bytes.clone() });
        self.bytes += entry.bytes.len();
        Arc::make_mut(&mut self.entries).push_back(entry);
    }

    /// Emits what was appended since the last time as one command. `logged` hears of every record's length in bytes.
    pub(super) fn flush(&mut self, out: &mut Outbox, mut logged: impl FnMut(usize)) {
        #[cfg(feature = "museum")]
        if self.held_back > 0 {
            self.held_back -= 1;
            return;
        }
        if self.batch.is_empty() {
            return;
        }
        self.batch.iter().for_each(|record| logged(record.bytes.len()));
        let records = core::mem::take(&mut self.batch);
        let token = self.mark(self.logged);
        out.push(Action::Disk(DiskCommand::Append { token, records }));
    }

    /// A token for a disk command that leaves the log as it is.
    pub(super) fn token(&mut self) -> Token {
        self.mark(self.logged)
    }

    /// A token with which the log is durable through `zxid`.
    fn mark(&mut self, zxid: Zxid) -> Token {
        assert!(self.batch.is_empty(), "invariant: disk commands are one queue, appends included");
        self.last_token.0 += 1;
        self.marks.push_back((self.last_token, zxid));
        self.last_token
    }

    /// The token that covers every command given to the disk so far.
    pub(super) const fn last_token(&self) -> Token {
        self.last_token
    }

    /// Drops the tail beyond `to` from memory and disk.
    pub(super) fn truncate(&mut self, to: Zxid) -> DiskCommand {
        assert!(to >= self.committed, "invariant: what is in the tree is not truncated under it");
        let entries = Arc::make_mut(&mut self.entries);
        while let Some(entry) = entries.pop_back_if(|entry| entry.zxid > to) {
            self.bytes -= entry.bytes.len();
        }
        self.logged = entries.back().map_or(self.committed, |entry| entry.zxid.max(self.committed));
        DiskCommand::Truncate { token: self.mark(self.logged), to }
    }

    /// The disk holds everything up to `token`.
    pub(super) fn durable(&mut self, token: Token) {
        assert!(token <= self.last_token, "invariant: only what was ordered becomes durable");
        while let Some((_, zxid)) = self.marks.pop_front_if(|(marked, _)| *marked <= token) {
            self.durable = zxid;
        }
        self.durable_token = self.durable_token.max(token);
    }

    /// True if the disk has nothing more to do, and the tree has all that was given to it.
    pub(super) fn is_settled(&self) -> bool {
        self.marks.is_empty() && self.batch.is_empty() && self.tree_has(self.committed)
    }

    /// True if the tree is known to have everything through `zxid`.
    pub(super) fn tree_has(&self, zxid: Zxid) -> bool {
        !self.tree_is_old && self.applied >= zxid
    }

    /// Moves the commit mark: everything in between is to be applied, in this order.
    pub(super) fn commit(&mut self, upto: Zxid) -> Vec<Entry> {
        assert!(
            self.committed <= upto && upto <= self.logged,
            "invariant: what is committed is known: {} to {upto} of {}",
            self.committed,
            self.logged
        );
        let committed = self.range(self.committed, upto).cloned().collect();
        self.committed = upto;
        committed
    }

    /// All that is committed was committed by a quorum of an established leader.
    pub(super) fn prove(&mut self) {
        self.proven = self.committed;
    }

    /// The tree has reached `zxid`.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        assert!(
            zxid <= self.committed,
            "invariant: only what is committed is applied: {zxid} after {}",
            self.committed
        );
        self.applied = zxid;
        self.tree_is_old = false;
        self.evict();
    }

    /// Keeps everything beyond `zxid` until further notice; `None` ends that.
    pub(super) fn pin(&mut self, zxid: Option<Zxid>) {
        self.pinned = zxid;
        self.evict();
    }

    fn evict(&mut self) {
        let Window { count, bytes } = self.window;
        // Whoever reads the disk for so long that the window grows beyond all bounds gets a snapshot.
        let pinned = self.pinned.filter(|_| self.bytes / PINNED_TIMES <= bytes);
        let limit = pinned.map_or(self.applied, |pinned| pinned.min(self.applied));
        let too_many = |entries: &VecDeque<Entry>, held: usize| entries.len() > count || held > bytes;
        while too_many(&self.entries, self.bytes) && self.entries[0].zxid <= limit {
            let oldest = Arc::make_mut(&mut self.entries).pop_front().expect("its zxid was looked at");
            self.bytes -= oldest.bytes.len();
            self.floor = oldest.zxid;
        }
    }

    /// What is in memory after `after` through `upto`.
    pub(super) fn range(&self, after: Zxid, upto: Zxid) -> impl DoubleEndedIterator<Item = &Entry> {
        let index = |zxid| self.entries.partition_point(|entry| entry.zxid <= zxid);
        let (from, to) = (index(after), index(upto));
        self.entries.range(from..to.max(from))
    }

    /// The txn of this zxid, if it is in memory.
    pub(super) fn get(&self, zxid: Zxid) -> Option<&Entry> {
        self.entries.binary_search_by_key(&zxid, |entry| entry.zxid).ok().map(|at| &self.entries[at])
    }

    /// The oldest zxid in memory, if there is anything.
    pub(super) fn oldest(&self) -> Option<Zxid> {
        self.entries.front().map(|entry| entry.zxid)
    }

    /// The oldest of the tail.
    pub(super) fn first_uncommitted(&self) -> Option<&Entry> {
        self.range(self.committed, self.logged).next()
    }

    /// Proposed and not yet applied.
    pub(super) fn unapplied(&self) -> usize {
        self.entries.len() - self.entries.partition_point(|entry| entry.zxid <= self.applied)
    }

    /// Everything beyond this one is in memory.
    pub(super) const fn floor(&self) -> Zxid {
        self.floor
    }

    /// True once the disk holds all that was ordered through `token`.
    pub(super) fn is_durable(&self, token: Token) -> bool {
        token <= self.durable_token
    }

    pub(super) const fn logged(&self) -> Zxid {
        self.logged
    }

    pub(super) const fn durable_zxid(&self) -> Zxid {
        self.durable
    }

    pub(super) const fn committed(&self) -> Zxid {
        self.committed
    }

    pub(super) const fn applied_zxid(&self) -> Zxid {
        self.applied
    }

    pub(super) const fn proven(&self) -> Zxid {
        self.proven
    }
}

/// What planted bugs do to it.
#[cfg(feature = "museum")]
impl CommitLog {
    /// P18: these were never in the window, though it reaches beyond them.
    pub(super) fn leave_out(&mut self, after: Zxid, upto: Zxid) {
        let out = |entry: &Entry| after < entry.zxid && entry.zxid <= upto;
        self.bytes -= self.range(after, upto).map(|entry| entry.bytes.len()).sum::<usize>();
        Arc::make_mut(&mut self.entries).retain(|entry| !out(entry));
    }

    /// P17: what is appended now goes to the disk some events later.
    pub(super) const fn hold_back(&mut self) {
        self.held_back = 4;
    }

    /// P17: whatever has not been given to the disk never will be.
    pub(super) fn lose_batch(&mut self) {
        self.held_back = 0;
        self.batch.clear();
    }
}

/// How many times its bound a window may hold while it is pinned.
const PINNED_TIMES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::time::WallMs;
    use crate::wire::txn::{TxnBody, TxnHeader, kind};
    use std::vec;

    const fn z(counter: u32) -> Zxid {
        Zxid::new(1, counter)
    }

    fn entry(counter: u32) -> Entry {
        let zxid = z(counter);
        let header = TxnHeader { session: SessionId(1), cxid: 0, zxid, time: WallMs(0), kind: kind::ERROR };
        Entry::of(&Arc::new(Txn { header, body: TxnBody::Error { err: -101 }, digest: None }))
    }

    fn zxids(entries: &[Entry]) -> Vec<Zxid> {
        entries.iter().map(|entry| entry.zxid).collect()
    }

    fn kept(log: &CommitLog) -> Vec<Zxid> {
        log.range(Zxid(i64::MIN), log.logged()).map(|entry| entry.zxid).collect()
    }

    /// Through 1_5, of which nothing is durable yet.
    fn log(window: Window) -> (CommitLog, Vec<Token>) {
        let mut log = CommitLog::new(z(0), &[], window);
        let mut tokens = vec![];
        for counter in 1..=5 {
            log.append(entry(counter));
            log.flush(&mut vec![], |_| {});
            tokens.push(log.last_token());
        }
        (log, tokens)
    }

    const WIDE: Window = Window { count: 500, bytes: 1 << 20 };

    #[test]
    fn a_txn_is_durable_with_the_token_of_its_append() {
        let (mut log, tokens) = log(WIDE);
        assert_eq!(log.durable_zxid(), z(0));
        log.durable(tokens[1]);
        assert_eq!(
            (log.durable_zxid(), log.is_durable(tokens[1]), log.is_durable(tokens[2])),
            (z(2), true, false)
        );
        let epoch = log.token();
        log.durable(tokens[4]);
        assert_eq!((log.durable_zxid(), log.is_durable(epoch), log.is_settled()), (z(5), false, false));
        log.durable(epoch);
        assert!(log.is_durable(epoch) && log.is_settled());
    }

    #[test]
    fn a_commit_yields_what_lies_between_in_order_and_once() {
        let (mut log, _) = log(WIDE);
        assert_eq!(zxids(&log.commit(z(2))), [z(1), z(2)]);
        assert_eq!(log.first_uncommitted().map(|entry| entry.zxid), Some(z(3)));
        assert_eq!(zxids(&log.commit(z(2))), []);
        assert_eq!(zxids(&log.commit(z(5))), [z(3), z(4), z(5)]);
        assert_eq!(log.unapplied(), 5);
        log.applied(z(4));
        assert_eq!((log.unapplied(), log.applied_zxid()), (1, z(4)));
    }

    #[test]
    fn only_the_tail_can_be_truncated() {
        let (mut log, tokens) = log(WIDE);
        log.durable(tokens[4]);
        log.commit(z(2));
        let command = log.truncate(z(3));
        assert!(matches!(command, DiskCommand::Truncate { to, .. } if to == z(3)));
        assert_eq!((log.logged(), log.durable_zxid(), kept(&log)), (z(3), z(5), vec![z(1), z(2), z(3)]));
        log.durable(log.last_token());
        assert_eq!(log.durable_zxid(), z(3));
        log.truncate(z(2));
        assert_eq!(log.logged(), z(2));
    }

    #[test]
    #[should_panic(expected = "invariant: what is in the tree is not truncated under it")]
    fn what_is_committed_is_not_truncated() {
        let (mut log, _) = log(WIDE);
        log.commit(z(4));
        log.truncate(z(3));
    }

    #[test]
    fn the_window_keeps_the_newest_applied_and_everything_else() {
        let (mut log, _) = log(Window { count: 2, bytes: 1 << 20 });
        log.commit(z(4));
        assert_eq!(kept(&log).len(), 5);
        log.applied(z(4));
        assert_eq!((kept(&log), log.floor(), log.oldest()), (vec![z(4), z(5)], z(3), Some(z(4))));
        // What is not applied stays, whatever the bound.
        let (mut log, _) = self::log(Window::NONE);
        log.commit(z(4));
        log.applied(z(2));
        assert_eq!(kept(&log), [z(3), z(4), z(5)]);
    }

    #[test]
    fn a_pinned_window_keeps_what_is_to_be_joined_to_a_part_of_the_log() {
        let (mut log, _) = log(Window { count: 1, bytes: 1 << 20 });
        log.pin(Some(z(2)));
        log.commit(z(5));
        log.applied(z(5));
        assert_eq!((kept(&log), log.floor()), (vec![z(3), z(4), z(5)], z(2)));
        log.pin(None);
        assert_eq!((kept(&log), log.floor()), (vec![z(5)], z(4)));
    }

    #[test]
    fn a_replaced_history_has_come_to_rest_when_its_tree_is_there() {
        let (mut log, tokens) = log(WIDE);
        log.durable(tokens[4]);
        log.commit(z(5));
        log.applied(z(5));
        assert!(log.is_settled());
        log.restart(z(5), &[]);
        assert!(!log.is_settled() && !log.tree_has(z(1)));
        log.applied(z(5));
        assert!(log.is_settled() && log.tree_has(z(5)));
        assert_eq!((log.floor(), log.oldest()), (z(5), None));
    }
}
