//! The museum: bugs that other servers had, to be planted here one at a time, so that it is seen whether the simulator finds
//! them (`cargo xtask museum`; `docs/museum.md` has what came of it).
//!
//! Without the feature `museum` there is nothing here but a macro that says `false`. The feature is for the simulator alone:
//! `server` does not compile with it, and neither does anything without debug assertions.

#[cfg(all(feature = "museum", not(debug_assertions)))]
compile_error!("the feature `museum` plants bugs: it is for simulations, and no release build may have it");

/// Whether this bug is planted: `planted!(config.museum, P08)`.
#[cfg(feature = "museum")]
macro_rules! planted {
    ($museum:expr, $exhibit:ident) => {
        $museum == Some($crate::museum::Exhibit::$exhibit)
    };
}

/// No bug is.
#[cfg(not(feature = "museum"))]
macro_rules! planted {
    ($museum:expr, $exhibit:ident) => {
        false
    };
}

#[cfg(feature = "museum")]
macro_rules! exhibits {
    ($($(#[doc = $doc:literal])+ $name:ident $origin:literal,)+) => {
        /// A bug, by its row in the museum.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Exhibit {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Exhibit {
            /// Every one that can be planted.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// By the row's name.
            pub fn parse(id: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|exhibit| exhibit.id() == id)
            }

            /// The row's name.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// Where the bug was.
            pub const fn origin(self) -> &'static str {
                match self {
                    $(Self::$name => $origin,)+
                }
            }

            /// What is planted.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

#[cfg(feature = "museum")]
exhibits! {
    /// A vote with a larger zxid is better, even if its epoch is smaller.
    P01 "ZOOKEEPER-1419",
    /// Words of FOLLOWING and LEADING servers count in whatever round.
    P02 "ZOOKEEPER-1514",
    /// One server is dialled at a time, and nothing is sent to anybody meanwhile.
    P03 "ZOOKEEPER-2930",
    /// Votes of established members must agree in every field, the round included.
    P04 "ZOOKEEPER-1732, -1805, -1818",
    /// A server that has a link on the election port is not let in again.
    P05 "ZOOKEEPER-2164",
    /// A link that ends ends the hearing of all others.
    P06 "ZOOKEEPER-3769, -4247",
    /// The new epoch is above the leader's own only if a follower has accepted as much.
    P08 "ZOOKEEPER-1343",
    /// Who leads claims the first zxid of its epoch in later elections, whatever became of it.
    P09 "ZOOKEEPER-790",
    /// A leader takes followers that have more than it has.
    P10 "Zab 1.0, leader behind",
    /// A tail that the leader does not know is not cut off before the DIFF.
    P11 "ZOOKEEPER-1154",
    /// A truncation of the log takes the last record that should stay.
    P12 "ZOOKEEPER-1156",
    /// After a truncation the log is written on where it was written before.
    P13 "ZOOKEEPER-1489",
    /// What is committed while a snapshot is under way is in neither snapshot nor stream.
    P14 "ZOOKEEPER-3104, -3589",
    /// NEWLEADER is acknowledged before the history is durable.
    P15 "ZOOKEEPER-4646",
    /// Acknowledgements of proposals overtake that of NEWLEADER, which the leader takes for a breach.
    P16 "ZOOKEEPER-4685",
    /// Proposals behind the sync reach the disk later than memory, and not at all if the leader is lost in between.
    P17 "ZOOKEEPER-4785",
    /// What a sync brought is missing in the window of recent txns, which claims to have it.
    P18 "ZOOKEEPER-4925",
    /// NEWLEADER overtakes the history.
    P19 "ZOOKEEPER-1136, -1324",
    /// A truncation leaves snapshots with what it cuts off.
    P20 "ZOOKEEPER-1549",
    /// A proposal with a quorum is committed before its predecessors have one.
    P21 "textbook: out-of-order commit",
    /// A follower's old link and its new one both count.
    P22 "stale handler's acknowledgement",
    /// While a learner is being synchronised nothing is committed.
    P23 "ZOOKEEPER-2201, -3531",
    /// An election begins while the disk is still at work for the role before.
    P24 "ZOOKEEPER-4712, -4541",
    /// A read is served though a write before it is not committed.
    P25 "ZOOKEEPER-1863",
    /// Requests that were not answered are passed on to the next leader again.
    P26 "duplicated commands after a change of leader",
    /// A newest log file that is shorter than its header is damage.
    P28 "ZOOKEEPER-1621, -2332",
    /// The log ends at the first record that does not check out, whatever follows.
    P29 "protocol-aware recovery; ZOOKEEPER-596",
    /// A failed fsync is tried again.
    P30 "ATC 2020, fsync failures",
    /// A replayed delete lowers its parent's count of creates.
    P32 "ZOOKEEPER-1046",
    /// After a disk error the server looks for a leader with what it has in memory.
    P33 "ZOOKEEPER-4882",
    /// A snapshot is labelled with the zxid applied when it is complete.
    P34 "etcd 13766",
    /// A leader snapshots what nobody has confirmed.
    P35 "ZOOKEEPER-1558",
}

#[cfg(feature = "museum")]
impl core::fmt::Display for Exhibit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.id())
    }
}
