//! What the core noticed, as operators read it and as counters have it.

use tracing::{debug, error, info, warn};
use zk_core::event::Event;
use zk_core::replica::{Leave, Phase, RoleKind, Standing};

use crate::shared::Shared;

impl Shared {
    /// Tells operators what the core noticed.
    pub(crate) fn tell(&self, event: &Event) {
        match event {
            Event::SessionCreating { session, timeout_ms } => {
                debug!(%session, timeout_ms, "session begins");
            }
            Event::SessionExpiring { session } => {
                self.metrics.sessions_expired.increment();
                info!(%session, "session expired");
            }
            Event::LocalSessionBegun { session, timeout_ms } => {
                debug!(%session, timeout_ms, "session begins on this server alone");
            }
            Event::LocalSessionUpgraded { session } => debug!(%session, "session becomes the ensemble's"),
            Event::LocalSessionExpired { session } => {
                self.metrics.sessions_expired.increment();
                info!(%session, "session of this server alone expired");
            }
            Event::SnapshotStarted { zxid } => info!(%zxid, "snapshot begins"),
            Event::SnapshotDone { zxid } => info!(%zxid, "snapshot is durable"),
            Event::SnapshotSkipped { file, why } => warn!(file, why, "snapshot skipped"),
            Event::TornTailDropped { file, offset } => {
                info!(file, offset, "the log ends in a record that was never acknowledged; it is dropped");
            }
            Event::DigestMismatch { zxid } => {
                self.metrics.digest_mismatches.increment();
                error!(%zxid, "the tree differs from the digest that was recorded with it");
            }
            event => self.tell_of_ensemble(event),
        }
    }

    fn tell_of_ensemble(&self, event: &Event) {
        let metrics = &self.metrics.ensemble;
        match event {
            Event::ElectionBegun { zxid, epoch } => {
                metrics.election_begins(self.clock.mono());
                info!(%zxid, epoch, "looking for a leader");
            }
            Event::ElectionDecided { leader } => {
                let took_ms = metrics.election_ends(self.clock.mono());
                info!(%leader, took_ms, "a leader is elected");
            }
            Event::EpochProposed { epoch } => info!(epoch, "a new epoch is proposed"),
            Event::EpochAccepted { epoch } => info!(epoch, "the leader's epoch is accepted"),
            Event::SyncChosen { learner, kind, from, to } => {
                info!(%learner, kind = kind.name(), %from, %to, "a learner is brought up to date");
            }
            Event::SyncBegun { kind, zxid } => {
                info!(kind = kind.name(), %zxid, "being brought up to date");
            }
            Event::NewLeaderAcked { epoch, zxid } => {
                debug!(epoch, %zxid, "the leader's history is durable here");
            }
            Event::EpochEstablished { epoch, zxid } => {
                info!(epoch, %zxid, "the epoch is established");
            }
            Event::Committed { .. } => {}
            Event::RoleLeft { why: Leave::LinkDown(why) } => info!(why, "the leader is lost"),
            Event::RoleLeft { why: Leave::Fault(fault) } => error!(%fault, "the leader breaks the protocol"),
            Event::RoleLeft { why } => {
                info!(why = why.to_string(), "the role ends");
                if *why == Leave::Unreachable {
                    self.peers().tell_unreachable();
                }
            }
            Event::LearnerLost { learner: Some(sid), .. } => {
                metrics.learners_lost.increment();
                info!(%sid, "a learner is gone");
            }
            Event::LearnerLost { learner: None, link } => {
                debug!(%link, "a connection is gone that had not said who it is");
            }
            other => warn!(?other, "event"),
        }
    }
}

/// One line for everything that an operator looks for first.
pub(crate) fn tell_standing(standing: &Standing) {
    let Standing { role, phase, leader, .. } = standing;
    let leader = leader.map(tracing::field::display);
    match (role, phase) {
        (RoleKind::Leading, Phase::Broadcast) => info!("LEADING: clients are served"),
        (RoleKind::Following, Phase::Broadcast) => info!(leader, "FOLLOWING: clients are served"),
        (RoleKind::Observing, Phase::Broadcast) => info!(leader, "OBSERVING: clients are served"),
        (RoleKind::Looking, _) => info!("LOOKING: no client is served"),
        (role, phase) => debug!(?role, ?phase, leader, "standing"),
    }
}
