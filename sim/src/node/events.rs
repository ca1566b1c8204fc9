//! What the core tells, as triggers and searches name it.

use zk_core::event::Event;
use zk_core::replica::{Leave, RoleKind, Standing, SyncKind};

use crate::trace::Trace;

/// Events that `on` may wait for, with what each means.
pub const EVENTS: &[(&str, &str)] = &[
    ("SessionCreating", "a session begins: its createSession is on its way"),
    ("SessionExpiring", "a session showed no life for its timeout: its closeSession is on its way"),
    ("NodeCollecting", "a container or TTL node is over: its deletion is on its way"),
    ("LocalSessionBegun", "a session begins that only this server knows"),
    ("LocalSessionUpgraded", "such a session becomes the ensemble's"),
    ("LocalSessionExpired", "such a session showed no life for its timeout, and is gone"),
    ("SnapshotStarted", "the log is rolled and a snapshot begun"),
    ("SnapshotDone", "a snapshot is durable"),
    ("ElectionBegun", "a server asks for votes"),
    ("ElectionDecided", "a server knows whom it will follow, or that it leads"),
    ("EpochProposed", "a leader has a quorum and a durable epoch that none of it knows"),
    ("EpochAccepted", "a learner has the leader's epoch on its disk"),
    ("SyncChosen", "a leader has decided how to bring a learner up to date"),
    ("SyncBegun", "a learner hears how it is brought up to date"),
    ("NewLeaderAcked", "a learner has the leader's history and epoch on its disk and says so"),
    ("EpochEstablished", "a quorum holds the leader's history, or a learner hears that one does"),
    ("Committed", "a server knows more to be committed"),
    ("RoleLeft", "a server ceases to lead or to learn"),
    ("LearnerLost", "a leader's link to a learner is gone, or another took its place"),
];

/// The event's name in scenarios.
pub(super) const fn name(event: &Event) -> &'static str {
    match event {
        Event::SessionCreating { .. } => "SessionCreating",
        Event::SessionExpiring { .. } => "SessionExpiring",
        Event::NodeCollecting { .. } => "NodeCollecting",
        Event::LocalSessionBegun { .. } => "LocalSessionBegun",
        Event::LocalSessionUpgraded { .. } => "LocalSessionUpgraded",
        Event::LocalSessionExpired { .. } => "LocalSessionExpired",
        Event::SnapshotStarted { .. } => "SnapshotStarted",
        Event::SnapshotDone { .. } => "SnapshotDone",
        Event::ElectionBegun { .. } => "ElectionBegun",
        Event::ElectionDecided { .. } => "ElectionDecided",
        Event::EpochProposed { .. } => "EpochProposed",
        Event::EpochAccepted { .. } => "EpochAccepted",
        Event::SyncChosen { .. } => "SyncChosen",
        Event::SyncBegun { .. } => "SyncBegun",
        Event::NewLeaderAcked { .. } => "NewLeaderAcked",
        Event::EpochEstablished { .. } => "EpochEstablished",
        Event::Committed { .. } => "Committed",
        Event::RoleLeft { .. } => "RoleLeft",
        Event::LearnerLost { .. } => "LearnerLost",
        _ => "Other",
    }
}

/// What the summary of a run says of it; most events are not worth a line there.
pub(super) fn story(event: &Event, standing: Standing, synced: Option<SyncKind>) -> Option<String> {
    match event {
        Event::EpochEstablished { epoch, zxid } if standing.role == RoleKind::Leading => {
            Some(format!("leads epoch {epoch} from {zxid} on"))
        }
        Event::EpochEstablished { epoch, .. } => {
            let role = if standing.role == RoleKind::Observing { "observes" } else { "follows" };
            let leader = standing.leader.map_or_else(|| "nobody".to_owned(), |sid| format!("node {sid}"));
            let how = synced.map_or("nothing", SyncKind::name);
            Some(format!("{role} {leader} in epoch {epoch}, brought up to date by {how}"))
        }
        Event::RoleLeft { why } => Some(format!("looks for a leader: {why}")),
        _ => None,
    }
}

/// Situations that searches look for.
pub(super) fn mark(event: &Event, trace: &mut Trace) {
    match event {
        Event::ElectionBegun { .. } => trace.mark("election"),
        Event::NodeCollecting { .. } => trace.mark("node-collected"),
        Event::EpochEstablished { .. } => trace.mark("epoch-established"),
        Event::SyncBegun { kind, .. } => trace.mark(match kind {
            SyncKind::Diff => "diff-sync",
            SyncKind::Trunc => "trunc-sync",
            SyncKind::Snap => "snap-sync",
        }),
        Event::RoleLeft { why } => trace.mark(match why {
            Leave::NoQuorum(_) => "leader-found-no-quorum",
            Leave::LostQuorum => "leader-lost-its-quorum",
            Leave::CounterUsedUp => "counter-used-up",
            Leave::Unreachable => "leader-unreachable",
            Leave::LinkDown(_) => "leader-lost",
            Leave::LeaderSilent => "leader-silent",
            Leave::EpochBehind => "leader-of-an-old-epoch",
            Leave::CannotTruncate => "cannot-truncate",
            Leave::EpochOutdone { .. } => "epoch-outdone",
            _ => "peer-fault",
        }),
        Event::LearnerLost { .. } => trace.mark("learner-lost"),
        _ => {}
    }
}
