//! Which configs rule, and how they change while a server runs (quorum protocol B8; Java: `QuorumPeer.processReconfig`).
//!
//! ```text
//! PROPOSAL(reconfig)           last seen := new; [file] ─► [log] ─► ACK      both decide from here on
//! COMMITANDACTIVATE(z, leader) in force := new; [file]
//! NEWLEADER(config)            last seen := the leader's; UPTODATE: in force, if its txn is in the history
//! ```
//! The file is written before the txn is logged. So whoever has acknowledged a reconfig never decides without the new config
//! again, until its leader tells it that there is none.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::outbox::Turn;
use super::role::{Leave, PeerFault};
use crate::action::Action;
use crate::config::quorum_config::QuorumConfig;
use crate::event::Event;
use crate::ids::{Sid, Zxid};
use crate::quorum::{Membership, Standing};
use crate::wire::txn::{Txn, TxnBody};

/// What a txn makes the config, if it is a reconfig.
pub(super) fn config_in(txn: &Txn) -> Option<Result<Arc<QuorumConfig>, PeerFault>> {
    let TxnBody::Reconfig { data, .. } = &txn.body else { return None };
    let zxid = txn.header.zxid;
    let parsed = parse(data.as_deref().unwrap_or_default());
    Some(match parsed {
        Ok(config) if config.version() == zxid => Ok(config),
        Ok(config) => Err(PeerFault::WrongConfig { zxid, found: config.version() }),
        Err(error) => Err(PeerFault::NoConfig { zxid, error }),
    })
}

/// A config text as it came.
pub(super) fn parse(text: &[u8]) -> Result<Arc<QuorumConfig>, alloc::string::String> {
    let text = core::str::from_utf8(text).map_err(|error| error.to_string())?;
    QuorumConfig::parse(text).map(Arc::new).map_err(|error| error.to_string())
}

/// Whether who leads in `old` still does in `new`: it votes, may lead, and is reached where it was.
pub(super) fn keeps_leader(old: &QuorumConfig, new: &Membership, leader: Sid) -> bool {
    let places = |config: &QuorumConfig| -> Option<Vec<_>> {
        config.member(leader).map(|member| member.quorum_addresses().collect())
    };
    let rules = new.quorums().in_force();
    rules.is_voter(leader) && rules.may_lead(leader) && places(old) == places(new.in_force())
}

impl Turn<'_> {
    /// The configs that rule.
    pub(super) fn membership(&self) -> &Arc<Membership> {
        let member = self.member.as_deref();
        &member.expect("invariant: only members of an ensemble have these roles").membership
    }

    /// What this server is in the config in force.
    pub(super) fn own_standing(&self) -> Standing {
        self.membership().standing(self.config.sid)
    }

    /// The driver writes the configs down before it does anything that follows.
    fn rule(&mut self, membership: Membership) {
        let membership = Arc::new(membership);
        let member = self.member();
        if *member.membership == *membership {
            return;
        }
        member.membership = membership.clone();
        member.port.set_membership(membership.clone());
        self.out.push(Action::Membership(membership));
    }

    /// A config that may come into force, by a proposal or by a leader that begins: from here on both decide. What this
    /// server saw before and the leader did not is gone with the history that it was in.
    pub(super) fn see_config(&mut self, config: Arc<QuorumConfig>) {
        let in_force = self.membership().in_force().clone();
        if self.config.reconfig.is_enabled() && config.version() >= in_force.version() {
            self.event(Event::ConfigSeen { version: config.version() });
            self.rule(Membership::new(in_force, config));
        }
    }

    /// The same for what a txn holds, if it is a reconfig.
    pub(super) fn see_txn(&mut self, txn: &Txn) -> Result<(), Leave> {
        if let Some(config) = config_in(txn).filter(|_| self.config.reconfig.is_enabled()) {
            let config = config.map_err(Leave::Fault)?;
            if config.version() > self.membership().last_seen().version() {
                self.see_config(config);
            }
        }
        Ok(())
    }

    /// A config is committed: it decides alone, unless a newer one has been seen. The config that it takes the place of.
    pub(super) fn put_in_force(&mut self, config: Arc<QuorumConfig>) -> Arc<QuorumConfig> {
        let membership = self.membership().clone();
        let before = membership.in_force().clone();
        if self.config.reconfig.is_enabled() && config.version() > before.version() {
            let newer = membership.last_seen().version() > config.version();
            let last_seen = if newer { membership.last_seen().clone() } else { config.clone() };
            self.event(Event::ConfigInForce { version: config.version() });
            self.rule(Membership::new(config, last_seen));
        }
        before
    }

    /// A voter that elects told of a newer config that is in force. True if the election is to begin again, among others.
    pub(super) fn adopt_config(&mut self, config: Arc<QuorumConfig>) -> bool {
        let before = self.put_in_force(config);
        !before.same_as(self.membership().in_force())
    }

    /// The configs of a leader that has agreed with a quorum on an epoch. The first config of an ensemble has no version, as
    /// nobody proposed it: it gets one now, by which it is told from what servers believe that want to join.
    pub(super) fn number_config(&mut self, epoch: u32) {
        let membership = self.membership().clone();
        if membership.last_seen().version() == Zxid::ZERO {
            let config = (**membership.in_force()).clone().with_version(Zxid::new(epoch, 0));
            self.see_config(Arc::new(config));
        }
    }
}
