//! The names by which the field knows things: zxid, epoch, session id, connection.

use core::fmt;

/// A ZooKeeper transaction id: the leader's epoch in the high 32 bits, a counter in the low 32.
///
/// Signed, as in Java: clients may send -1 as "nothing seen", and comparison is signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// The state before the first transaction.
    pub const ZERO: Self = Self(0);

    /// Builds a zxid from its halves.
    pub const fn new(epoch: u32, counter: u32) -> Self {
        Self(((epoch as i64) << 32) | counter as i64)
    }

    /// The epoch half.
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The counter half.
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// True if a txn of this zxid may come right behind one of `last`: nothing is left out within an epoch, but the first
    /// txn of an epoch may have any number (quorum protocol, Part D 13).
    pub const fn may_follow(self, last: Self) -> bool {
        let begins = self.epoch() != last.epoch() || (last.counter() == 0 && last.epoch() > 0);
        self.counter() > 0 && self.0 > last.0 && (begins || self.0 == last.0 + 1)
    }

    /// The zxid after this one in the same epoch; `None` when the counter is used up (a new epoch is needed).
    pub const fn next(self) -> Option<Self> {
        if self.counter() == u32::MAX { None } else { Some(Self(self.0 + 1)) }
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A session's identity, unique for ever. The high byte is the id of the server that created it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: what a client sends to ask for a new one, and the owner of server-made transactions.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One TCP connection on the client port, numbered by the driver; never reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ConnId(pub u64);

/// A server's id, as in `myid` and `server.N`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sid(pub i64);

impl Sid {
    /// What a server that is no voter of its own config names as its leader, zxid and epoch: less than any.
    pub const NONE: Self = Self(i64::MIN);
    /// What an anonymous observer claims in its handshake.
    pub const ANONYMOUS: Self = Self(i64::MAX);
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE { f.write_str("none") } else { write!(f, "{}", self.0) }
    }
}

/// What a server says of itself in elections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerState {
    /// Without a leader, and voting.
    Looking,
    /// Behind a leader, with a vote or at least with the whole stream of proposals.
    Following,
    /// Leader, or about to be.
    Leading,
    /// Behind a leader, told of commits only.
    Observing,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Looking => "LOOKING",
            Self::Following => "FOLLOWING",
            Self::Leading => "LEADING",
            Self::Observing => "OBSERVING",
        })
    }
}

/// One TCP connection on the quorum port. The end that opened it numbers it: what a replica dials it numbers itself, what
/// is accepted its driver does. Neither number is used again within a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkId {
    /// Opened by this server, a learner.
    Dialled(u64),
    /// Opened by another, to this server, which leads.
    Accepted(u64),
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialled(n) => write!(f, "d{n}"),
            Self::Accepted(n) => write!(f, "a{n}"),
        }
    }
}
