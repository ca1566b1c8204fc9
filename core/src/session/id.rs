//! Session ids: never the same twice, whatever the clocks do.
//!
//! ```text
//! byte  0     1 2      3 4 5 6 7
//!       sid   clock    number
//! ```
//! Java fills bytes 1 to 5 from the milliseconds since boot and counts in the last two: a machine that restarts twice
//! at the same uptime hands out an id twice. Here the number starts at the last zxid in the log and grows by one per
//! session. Since creating a session takes a zxid, the next start finds a last zxid that no number given out before
//! has reached: ids of one data directory are unique for 2^40 transactions, with any clock. The two bytes of clock keep
//! apart the sessions of a data directory that was emptied: their clients would else find their ids alive again. And those
//! that a member asked its leader for right before it ended, which may come into being though its log does not know of them:
//! the clock counts in sixteen milliseconds, and no server is back sooner.
//!
//! Of a sid beyond 255 only the low byte finds room, as in Java. Servers 1 and 257 that start at the same last zxid would hand
//! out the same ids at the same time: what is left of the sid is mixed into the clock.

use crate::ids::{SessionId, Sid, Zxid};
use crate::rng::Dice;
use crate::time::WallMs;

/// Hands out the session ids of one incarnation of a server.
#[derive(Clone, Debug)]
pub struct SessionIds {
    /// sid and clock.
    prefix: u64,
    number: u64,
    local: u64,
}

/// A unit of the clock is 2^4 ms.
const CLOCK_SHIFT: u32 = 4;

/// Odd, so that no two of 65,536 sids with one low byte have the same clock at the same time.
const FAR_APART: u64 = 0x9e37;

/// Numbers of sessions that only this server knows have this bit.
const LOCAL: u64 = 1 << 39;

const NUMBER_BITS: u32 = 40;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

impl SessionIds {
    /// Ids for server `sid`, whose log ends at `last`.
    pub const fn new(sid: Sid, last: Zxid, wall: WallMs) -> Self {
        let clock = (wall.0 as u64 >> CLOCK_SHIFT ^ (sid.0 as u64 >> 8).wrapping_mul(FAR_APART)) & 0xffff;
        let prefix = ((sid.0 as u64) << 56) | (clock << NUMBER_BITS);
        Self { prefix, number: last.0 as u64, local: LOCAL }
    }

    /// Sessions that only this server knows take no zxid. Their numbers begin anywhere in the upper half: so they meet
    /// those of an earlier start with the same clock about once in 2^19 times.
    #[must_use]
    pub fn with_salt(mut self, salt: u64) -> Self {
        self.local = LOCAL | Dice::new(salt, 2).below(1 << 19) << 20;
        self
    }

    /// The log ends here now, and holds everything that was ever committed: a member of an ensemble that lost the end of its
    /// log, and with it sessions that it had opened, has them back from its leader, and must not give out their ids again.
    pub fn reach(&mut self, last: Zxid) {
        self.number = self.number.max(last.0 as u64);
    }

    /// The next id for which `taken` is false.
    pub fn next(&mut self, taken: impl Fn(SessionId) -> bool) -> SessionId {
        loop {
            self.number = self.number.wrapping_add(1);
            let id = SessionId((self.prefix | (self.number & NUMBER_MASK)) as i64);
            // The least long marks containers where an owner is stored.
            if id != SessionId::NONE && id.0 != i64::MIN && !taken(id) {
                return id;
            }
        }
    }

    /// The next id of a session that only this server knows for which `taken` is false.
    pub fn next_local(&mut self, taken: impl Fn(SessionId) -> bool) -> SessionId {
        loop {
            self.local = LOCAL | (self.local + 1) & NUMBER_MASK;
            let id = SessionId((self.prefix | self.local) as i64);
            if !taken(id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn an_id_shows_its_server_in_the_high_byte() {
        let mut ids = SessionIds::new(Sid(3), Zxid(0x10), WallMs(0x10 * 0xabcd));
        assert_eq!(ids.next(|_| false), SessionId(0x03ab_cd00_0000_0011));
        assert_eq!(ids.next(|_| false), SessionId(0x03ab_cd00_0000_0012));
    }

    #[test]
    fn local_ids_are_apart_from_the_others_and_begin_elsewhere_at_every_start() {
        let mut seen = BTreeSet::new();
        for salt in 0..100 {
            let mut ids = SessionIds::new(Sid(3), Zxid(0x10), WallMs(0x10 * 0xabcd)).with_salt(salt);
            let first = ids.next_local(|_| false);
            assert_eq!(first.0 >> 39, 0x03ab_cd00_0000_0000 >> 39 | 1);
            assert!(seen.insert(first));
            let next = SessionId(first.0 + 1);
            assert_eq!(ids.next_local(|id| id == next), SessionId(first.0 + 2));
        }
    }

    #[test]
    fn servers_that_share_the_high_byte_hand_out_other_ids() {
        let first = |sid| SessionIds::new(Sid(sid), Zxid(7), WallMs(0x10 * 0xabcd)).next(|_| false);
        let ids: BTreeSet<_> = (0..500).map(|n| first(1 + 256 * n)).collect();
        assert_eq!(ids.len(), 500);
        assert!(ids.iter().all(|id| id.0 >> 56 == 1), "{ids:x?}");
    }

    #[test]
    fn what_came_back_from_a_leader_is_not_given_out_again() {
        let mut ids = SessionIds::new(Sid(1), Zxid(0), WallMs(0));
        ids.reach(Zxid(5));
        assert_eq!(ids.next(|_| false), SessionId(0x0100_0000_0000_0006));
        ids.reach(Zxid(2));
        assert_eq!(ids.next(|_| false), SessionId(0x0100_0000_0000_0007));
    }

    #[test]
    fn ids_that_live_or_mean_something_else_are_passed_over() {
        let mut ids = SessionIds::new(Sid(1), Zxid(0), WallMs(0));
        assert_eq!(ids.next(|id| id.0 < 0x0100_0000_0000_0004), SessionId(0x0100_0000_0000_0004));
        let mut ids = SessionIds::new(Sid(0x80), Zxid(-1), WallMs(0));
        assert_eq!(ids.next(|_| false), SessionId(i64::MIN + 1));
        let mut ids = SessionIds::new(Sid(0), Zxid(-1), WallMs(0));
        assert_eq!(ids.next(|_| false), SessionId(1));
    }

    #[test]
    fn ids_are_unique_over_restarts_while_the_clock_stands_still_or_jumps() {
        let mut seen = BTreeSet::new();
        let mut last = Zxid(0);
        for start in 0..50 {
            let wall = [5_000, 5_000, 0, 90_000_000, -3][start % 5];
            let mut ids = SessionIds::new(Sid(1), last, WallMs(wall));
            for _ in 0..start {
                assert!(seen.insert(ids.next(|_| false)));
                last = last.next().unwrap();
            }
        }
    }
}
