//! Who belongs to an ensemble, and how its members are set up.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use zk_core::address::HostPort;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::ElectionSettings;
use zk_core::election::links::{self, LinkSettings};
use zk_core::ids::Sid;
use zk_core::quorum::Membership;
use zk_core::replica::{
    ClientService, Ensemble, LocalSessions, LogShare, ReplicaConfig, SyncChoice, SyncReads, SyncsMax,
};

use super::Draws;
use crate::node::{Node, Settings};
use crate::oracle;
use crate::scenario::units::{Size, Span};
use crate::scenario::words::Selector;
use crate::scenario::{Cluster, Fault, LeaderServes, Scenario, Scope};

/// The members of an ensemble.
pub(super) struct Members {
    membership: Arc<Membership>,
    count: u32,
}

impl Members {
    /// None: a server alone.
    pub(super) fn of(scenario: &Scenario, voters: u32, observers: u32) -> Result<Option<Self>, String> {
        let cluster = &scenario.cluster;
        let count = voters + observers;
        if count == 1 {
            return Ok(None);
        }
        let mut text = String::new();
        for id in 1..=count {
            let role = if id <= voters { "participant" } else { "observer" };
            let _ = writeln!(text, "server.{id}=n{id}:2888:3888:{role};2181");
        }
        for (i, group) in cluster.groups.iter().flatten().enumerate() {
            let ids: Vec<String> = group.iter().map(u32::to_string).collect();
            let _ = writeln!(text, "group.{}={}", i + 1, ids.join(":"));
        }
        for (id, spec) in &cluster.node {
            if let (Some(weight), Some(_)) = (spec.weight, &cluster.groups) {
                let _ = writeln!(text, "weight.{id}={weight}");
            }
        }
        text.push_str("version=0");
        let config = QuorumConfig::parse(&text)
            .map_err(|error| scenario.places.fail("cluster.groups", &error.to_string()))?;
        Ok(Some(Self { membership: Arc::new(Membership::settled(Arc::new(config))), count }))
    }

    /// What every member is told.
    pub(super) fn join(
        &self,
        cluster: &Cluster,
        settings: &mut Settings,
        draws: &mut Draws<'_>,
    ) -> Result<(), String> {
        let init_limit = draws.value(cluster.init_limit.as_ref(), 10);
        let sync_limit = draws.value(cluster.sync_limit.as_ref(), 5);
        let tick_ms = u64::from(settings.replica.tick_ms);
        let patience_ms = tick_ms * u64::from(sync_limit);
        let log_share = cluster.log_share.map_or(LogShare::OfSnapshot { permille: 330 }, |share| share.0);
        let leader_serves = match cluster.leader_serves {
            LeaderServes::Yes => ClientService::Open,
            LeaderServes::No => ClientService::Closed,
        };
        let read_only_after_ms = cluster.read_only_after.as_ref().map(|after| {
            let span = draws.value(Some(after), Span(0));
            u32::try_from(span.0 / 1_000_000).unwrap_or(u32::MAX)
        });
        let choice = if cluster.force_snapshot_sync { SyncChoice::Snapshot } else { SyncChoice::Least };
        settings.replica.ensemble = Some(Ensemble {
            membership: Arc::clone(&self.membership),
            election: ElectionSettings::default(),
            links: LinkSettings {
                addresses: Vec::new(),
                dial_timeout_ms: patience_ms,
                hello_timeout_ms: patience_ms,
            },
            init_limit,
            sync_limit,
            connect_limit: None,
            window_count: 500,
            window_bytes: draws.value(cluster.window.as_ref(), Size(1 << 20)).0 as usize,
            log_share,
            sync_choice: choice,
            // Few, so that observers are turned away now and then.
            syncs_max: SyncsMax { snap: 1, diff: 2 },
            sync_reads: SyncReads::Confirmed,
            backlog_max: 1 << 20,
            held_max: 1 << 20,
            local_sessions: match cluster.sessions {
                Scope::Global => LocalSessions::Off,
                Scope::Local => LocalSessions::On,
                Scope::Upgrading => LocalSessions::Upgrading,
            },
            read_only_after_ms,
            leader_serves,
            observer_delay_ms: 0,
        });
        Ok(())
    }

    /// What only this one is told.
    pub(super) fn settle(&self, node: &mut Node) {
        let host = format!("n{}", node.id);
        if let Some(ensemble) = &mut node.settings.replica.ensemble {
            ensemble.links.addresses = vec![HostPort { host, port: 3888 }];
        }
    }

    /// Who belongs to it.
    pub(super) fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.membership)
    }

    /// Servers that will get a twin; each has a machine that waits for it behind those of the members.
    pub(super) fn twins(scenario: &Scenario) -> Vec<u32> {
        let twin = |fault: &Fault| match fault.action.twin {
            Some(Selector::Node(id)) => Some(id),
            _ => None,
        };
        let mut twins: Vec<u32> = scenario.fault.iter().filter_map(twin).collect();
        twins.sort_unstable();
        twins.dedup();
        twins
    }

    /// Who watches them.
    pub(super) fn oracle(&self, twins: &[u32]) -> oracle::Ensemble {
        let machines = (1..=self.count).chain(twins.iter().copied()).enumerate();
        let machines = machines.map(|(i, sid)| (i as u32 + 1, Sid(i64::from(sid))));
        oracle::Ensemble::new(self.membership.quorums().clone(), machines)
    }

    /// What a server may hold: of what has a bound in the core that much, and as much again as comes between two looks at it.
    pub(super) fn limits(&self, replica: &ReplicaConfig, clients: usize) -> oracle::Limits {
        let count = self.count as usize;
        let ensemble = replica.ensemble.as_ref().expect("members have joined it");
        let ticks = ensemble.init_limit.max(ensemble.sync_limit) + 2;
        oracle::Limits {
            // Who opens or closes a session is let in without credit.
            requests: replica.outstanding_max as usize + clients,
            election_links: 2 * count + links::UNNAMED_MAX + links::STRANGERS_MAX,
            quorum_links: 2 * count,
            queued: 2 * ensemble.backlog_max,
            alone: Duration::from_millis(u64::from(replica.tick_ms) * u64::from(ticks)),
        }
    }
}
