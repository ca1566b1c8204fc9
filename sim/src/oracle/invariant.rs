//! The invariants by their numbers (simulation brief §7), and what is said when one breaks.

use std::fmt;

macro_rules! invariants {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal, $statement:literal;)*) => {
        /// A property that holds in every run, whatever is injected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant { $($(#[doc = $doc])+ $id),* }

        impl Invariant {
            /// All that this simulator checks, by number.
            pub const ALL: &[Self] = &[$(Self::$id),*];

            /// Its number, as scenarios name it.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$id => stringify!($id)),* }
            }

            /// A word or two for a headline.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name),* }
            }

            /// The whole statement.
            pub const fn statement(self) -> &'static str {
                match self { $(Self::$id => $statement),* }
            }
        }
    };
}

invariants! {
    /// One leader per epoch.
    I01 = "leadership", "at most one server ever leads an epoch beyond its discovery";
    /// One history.
    I02 = "prefix consistency", "committed histories of any two servers agree entry by entry";
    /// Nothing is committed that nobody asked for.
    I03 = "integrity", "everything committed was broadcast by the leader of its epoch as what it is, was asked for by a session that lives, and is what a serial server makes of it";
    /// Who delivers one delivers the other.
    I04 = "agreement", "of two delivered txns at two servers, one server has delivered both";
    /// One order.
    I05 = "total order", "a server that delivers a txn has delivered every txn before it";
    /// No holes in an epoch.
    I06 = "local primary order", "the txns of a leader are committed in the order of its broadcast, and none is left out";
    /// Epochs come one after the other.
    I07 = "global primary order", "no txn of an epoch is committed behind one of a later epoch";
    /// Leaders know the past.
    I08 = "primary integrity", "a leader beyond discovery has every txn of earlier epochs that is or ever will be committed";
    /// Nothing impossible is said.
    I09 = "no impossible message", "no server breaks the protocol towards another, unless garbage is injected";
    /// Votes get better.
    I10 = "votes get better", "within a round a vote never regresses but to who failed less often, or who lacks no other vote, and while a server elects its rounds only grow";
    /// Decisions rest on quorums.
    I11 = "elected by a quorum", "a server takes a leader only with a quorum of votes for it in one round or one established epoch, and only at that leader's own word or by silence";
    /// The best history leads.
    I12 = "the best history leads", "who is elected by votes claims no less than any member of the quorum had when it voted";
    /// Only voters count.
    I13 = "only voters count", "observers and strangers count in no quorum, and weights and groups are respected";
    /// Epochs only grow.
    I14 = "epochs grow", "acceptedEpoch >= currentEpoch, and neither decreases in the durable image of a node";
    /// Log zxids.
    I15 = "log order", "log zxids strictly increase; within an epoch counters are contiguous";
    /// Nothing committed is lost.
    I16 = "durability", "from its commit on, every txn is in the durable images of a quorum, less what was destroyed on purpose";
    /// Nobody promises what it does not have.
    I17 = "promises", "whatever a server says of its own state is in its durable image when it says so";
    /// Recovery.
    I18 = "recovery", "recovery of a durable image holds everything promised and is a prefix of what was logged; recovering twice changes nothing";
    /// A sick disk makes no promises.
    I19 = "no promise after a failed fsync", "a node that saw an fsync fail promises nothing more in that incarnation";
    /// Digests.
    I20 = "digest", "at equal zxid tree and sessions equal the reference model replayed to that zxid";
    /// Structure.
    I21 = "structure", "parents exist, child lists match, counters and stats follow the rules";
    /// Multi.
    I22 = "multi", "a multi is all or nothing in memory, log, snapshot and replies";
    /// Snapshots.
    I23 = "snapshot", "a snapshot plus the log replayed over it is the live tree";
    /// Replay.
    I24 = "replay", "replaying any suffix of the log that begins before the snapshot's end changes nothing";
    /// Session ids.
    I25 = "session ids", "session ids are unique for ever, and a session is closed once";
    /// After a close.
    I26 = "after a close", "after a closeSession no txn of the session follows, and nothing that it owned is left";
    /// Owners.
    I27 = "owners live", "every ephemeral's owner is a session that lives at that zxid";
    /// No resurrection.
    I28 = "no resurrection", "no closed session is accepted again";
    /// Early expiry.
    I29 = "no early expiry", "a session whose client was heard within its timeout is not expired";
    /// Late expiry.
    I30 = "bounded expiry", "a silent session expires within twice its timeout once the server serves";
    /// One owner.
    I31 = "one owner", "once a session has moved, its old server gets no write of it into the order";
    /// Time does not run backwards.
    I32 = "zxids grow", "the zxid that a session sees never decreases";
    /// Reply order.
    I33 = "reply order", "replies come in request order, one per request, and a read sees the writes before it";
    /// Acknowledged writes.
    I34 = "acknowledged", "an acknowledged write survives, with the result that was acknowledged";
    /// Watch before data.
    I35 = "watch before data", "an event comes before any reply that shows the state after it";
    /// Watches.
    I36 = "watches", "a watch fires once, for the first matching change after its registration, and for none before";
    /// No leaks.
    I37 = "no watch leaks", "watches of connections that are gone are gone";
    /// Honest outcomes.
    I38 = "honest outcomes", "a refused operation has no effect, a lost one has none or one";
    /// Bounds.
    I40 = "bounds", "queues and connections stay within their bounds, a deadline that was dealt with is not due, and nobody waits for a process that is gone beyond its time";
    /// Liveness.
    I41 = "liveness", "once faults have ended, the server serves, writes commit and pending work is done within a bound";
    /// Quiet runs.
    I42 = "quiet without faults", "without faults nobody is disconnected, nothing expires that lives, nothing fails, and one election is enough";
    /// Every step is a step of Zab.
    Zab = "refinement", "every step of a server is a step of the abstract protocol, or none";
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.name())
    }
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was expected, what was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Shorthand for checks.
pub(super) fn ensure(
    held: bool,
    invariant: Invariant,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if held { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}
