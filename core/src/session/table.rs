//! The table of sessions that live, and until when.

use alloc::vec::Vec;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::expiry::Buckets;
use crate::error::OpError;
use crate::ids::{LinkId, SessionId};
use crate::time::Mono;

/// Through whom a session's requests come. Another may take over only by asking for the session (semantics §13.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A connection of this very server.
    Here,
    /// A learner, as long as it is behind this link.
    Learner(LinkId),
}

/// A session, for inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub session: SessionId,
    /// The timeout its connection negotiated last, ms.
    pub timeout_ms: i32,
    /// When it expires unless it shows life before.
    pub expires_at: Mono,
    /// True from the preparation of its closeSession until that is committed.
    pub closing: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    timeout_ms: i32,
    expires_at_ms: u64,
    closing: bool,
    /// `None` until the first request, as after a change of leader.
    owner: Option<Owner>,
}

/// Sessions by id. Touching is O(1); expiry looks only at those that are due.
#[derive(Clone, Debug)]
pub struct SessionTable {
    /// Never iterated but for [`Self::list`], which sorts.
    sessions: HashMap<SessionId, Entry, FixedState>,
    buckets: Buckets,
    /// Touches may be reported this much late: see [`Self::touch`].
    slack_ms: u64,
}

impl SessionTable {
    /// An empty table with buckets of one tick.
    pub fn new(tick_ms: u32) -> Self {
        let sessions = HashMap::with_hasher(FixedState::default());
        Self { sessions, buckets: Buckets::new(tick_ms), slack_ms: (tick_ms / 4).into() }
    }

    /// A session begins, or is found in the recovered tree: it has its full timeout from now on.
    pub fn open(&mut self, session: SessionId, timeout_ms: i32, now: Mono) {
        let expires_at_ms = self.buckets.end_of(now, millis(timeout_ms));
        let old =
            self.sessions.insert(session, Entry { timeout_ms, expires_at_ms, closing: false, owner: None });
        assert!(old.is_none(), "invariant: session ids are unique, {session} lives already");
        self.buckets.put(session, expires_at_ms);
    }

    /// A session that must be closed though nobody ever opened it: it owns nodes and is in no table (disk format §6).
    pub fn open_closing(&mut self, session: SessionId) {
        let entry = Entry { timeout_ms: 0, expires_at_ms: 0, closing: true, owner: None };
        let old = self.sessions.insert(session, entry);
        assert!(old.is_none(), "invariant: session ids are unique, {session} lives already");
    }

    /// A session showed life: it lives its timeout from now on. False if there is no such session, or it is closing.
    ///
    /// A front reports a session at most once per quarter of a tick, so life that was shown up to a quarter later than
    /// `now` may go unreported: the quarter is added, so that nobody who keeps to the timeout expires.
    pub fn touch(&mut self, session: SessionId, timeout_ms: i32, now: Mono) -> bool {
        let expires_at_ms = self.buckets.end_of(now, millis(timeout_ms) + self.slack_ms);
        let Some(entry) = self.live(session) else { return false };
        entry.expires_at_ms = entry.expires_at_ms.max(expires_at_ms);
        entry.timeout_ms = timeout_ms;
        true
    }

    /// A request of the session arrived: a touch with the timeout that its connection negotiated.
    pub fn touch_by_request(&mut self, session: SessionId, now: Mono) -> bool {
        let Some(timeout_ms) = self.live(session).map(|entry| entry.timeout_ms) else { return false };
        self.touch(session, timeout_ms, now)
    }

    /// May this session ask through `owner`? The first to ask becomes it.
    pub fn check(&mut self, session: SessionId, owner: Owner) -> Result<(), OpError> {
        let Some(entry) = self.live(session) else { return Err(OpError::SessionExpired) };
        if *entry.owner.get_or_insert(owner) == owner { Ok(()) } else { Err(OpError::SessionMoved) }
    }

    /// Through whom the session asks, if anybody has asked yet.
    pub fn owner(&self, session: SessionId) -> Option<Owner> {
        self.sessions.get(&session).and_then(|entry| entry.owner)
    }

    /// The session goes on through `owner`; through whom it went before. No effect if it does not live.
    pub fn own(&mut self, session: SessionId, owner: Owner) -> Option<Owner> {
        self.live(session).and_then(|entry| entry.owner.replace(owner))
    }

    /// Its closeSession is on its way. False if there is no such session, or it is closing already.
    pub fn begin_close(&mut self, session: SessionId) -> bool {
        let Some(entry) = self.live(session) else { return false };
        entry.closing = true;
        true
    }

    /// Its closeSession is committed.
    pub fn remove(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// The sessions that have expired by now: they are closing from here on.
    pub fn expire(&mut self, now: Mono) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(due) = self.buckets.take_due(now) {
            for session in due {
                let Some(entry) = self.sessions.get_mut(&session).filter(|entry| !entry.closing) else {
                    continue;
                };
                if entry.expires_at_ms > now.millis() {
                    self.buckets.put(session, entry.expires_at_ms);
                } else {
                    entry.closing = true;
                    expired.push(session);
                }
            }
        }
        expired
    }

    /// When [`Self::expire`] wants to be called.
    pub fn deadline(&self) -> Option<Mono> {
        self.buckets.deadline()
    }

    /// The timeout of a session that lives, as its connection negotiated it last, ms.
    pub fn timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).filter(|entry| !entry.closing).map(|entry| entry.timeout_ms)
    }

    /// True if the session is in the table, closing or not.
    pub fn contains(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// True if the session's closeSession is on its way.
    pub fn is_closing(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|entry| entry.closing)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// All of them, by id.
    pub fn list(&self) -> Vec<SessionInfo> {
        let info = |(session, entry): (&SessionId, &Entry)| SessionInfo {
            session: *session,
            timeout_ms: entry.timeout_ms,
            expires_at: Mono::from_millis(entry.expires_at_ms),
            closing: entry.closing,
        };
        let mut all: Vec<_> = self.sessions.iter().map(info).collect();
        all.sort_unstable_by_key(|info| info.session);
        all
    }

    fn live(&mut self, session: SessionId) -> Option<&mut Entry> {
        self.sessions.get_mut(&session).filter(|entry| !entry.closing)
    }
}

/// A timeout that came from a log may be anything; below zero is none at all.
fn millis(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u32 = 2000;

    fn at(ms: u64) -> Mono {
        Mono::from_millis(ms)
    }

    fn expired(table: &mut SessionTable, ms: u64) -> Vec<SessionId> {
        table.expire(at(ms))
    }

    #[test]
    fn a_silent_session_lives_between_its_timeout_and_one_tick_more() {
        let mut table = SessionTable::new(TICK);
        table.open(SessionId(1), 4000, at(100));
        table.open(SessionId(2), 4000, at(1999));
        table.open(SessionId(3), 4000, at(2000));
        assert_eq!(table.deadline(), Some(at(6000)));
        assert_eq!(expired(&mut table, 5999), []);
        assert_eq!(expired(&mut table, 6000), [SessionId(1), SessionId(2)]);
        assert_eq!(expired(&mut table, 7999), []);
        assert_eq!(expired(&mut table, 9000), [SessionId(3)]);
        assert_eq!(table.deadline(), None);
    }

    #[test]
    fn a_touch_only_ever_raises() {
        let mut table = SessionTable::new(TICK);
        table.open(SessionId(1), 10_000, at(0));
        assert!(table.touch(SessionId(1), 4000, at(10)));
        assert_eq!(table.list()[0].expires_at, at(12_000));
        assert!(table.touch(SessionId(1), 4000, at(9000)));
        assert_eq!(expired(&mut table, 12_000), []);
        assert_eq!(table.deadline(), Some(at(14_000)));
        assert_eq!(expired(&mut table, 14_000), [SessionId(1)]);
    }

    #[test]
    fn a_touch_counts_as_if_it_came_a_quarter_tick_later() {
        let mut table = SessionTable::new(TICK);
        table.open(SessionId(1), 4000, at(0));
        table.touch(SessionId(1), 4000, at(1499));
        assert_eq!(table.list()[0].expires_at, at(6000));
        table.touch(SessionId(1), 4000, at(1500));
        assert_eq!(table.list()[0].expires_at, at(8000));
    }

    #[test]
    fn a_closing_session_neither_revives_nor_expires_again() {
        let mut table = SessionTable::new(TICK);
        table.open(SessionId(1), 4000, at(0));
        assert!(table.begin_close(SessionId(1)));
        assert!(!table.begin_close(SessionId(1)));
        assert!(!table.touch(SessionId(1), 4000, at(1)));
        assert!(!table.touch_by_request(SessionId(1), at(1)));
        assert_eq!(expired(&mut table, 60_000), []);
        assert!(table.contains(SessionId(1)));
        table.remove(SessionId(1));
        assert!(!table.contains(SessionId(1)));
        assert!(!table.touch(SessionId(1), 4000, at(1)));
    }

    #[test]
    fn a_bucket_that_is_served_late_does_not_expire_who_was_touched_meanwhile() {
        let mut table = SessionTable::new(TICK);
        table.open(SessionId(1), 4000, at(0));
        table.open(SessionId(2), 4000, at(0));
        table.touch(SessionId(2), 4000, at(19_000));
        assert_eq!(expired(&mut table, 20_000), [SessionId(1)]);
        assert_eq!(expired(&mut table, 24_000), [SessionId(2)]);
    }
}
