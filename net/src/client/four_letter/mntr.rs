//! `mntr`: every number that has a meaning here, under Java's name. Order is of no account (in Java it is a
//! hash map's), but version and state come first.

use std::fmt::{Display, Write};
use std::fs;
use std::sync::atomic::Ordering;

use zk_core::front::Watches;
use zk_core::replica::{LearnerRole, Replica, RoleKind};
use zk_core::watch::SHARDS;

use super::mode;
use super::number::{mean, or_minus_one};
use crate::gate::Entry;
use crate::metrics::Summary;
use crate::shared::Shared;

/// Of which a printed millisecond has so many.
const MICROSECONDS: u64 = 1000;

pub(super) fn mntr(shared: &Shared) -> String {
    let mut out = Lines(String::new());
    out.put("version", &shared.facts.version);
    let role = shared.standing().role;
    out.put("server_state", mode(role));
    if role != RoleKind::Standalone {
        put_ensemble(shared, role, &mut out);
    }
    put_gauges(shared, &mut out);
    put_counters(shared, &mut out);
    put_summaries(shared, &mut out);
    out.0
}

/// What members of an ensemble have to tell besides.
fn put_ensemble(shared: &Shared, role: RoleKind, out: &mut Lines) {
    let metrics = &shared.metrics.ensemble;
    out.put(
        "peer_state",
        match role {
            RoleKind::Leading => "leading - broadcast",
            RoleKind::Observing => "observing - broadcast",
            RoleKind::Looking => "looking",
            _ => "following - broadcast",
        },
    );
    out.put("quorum_size", shared.peers().members().voters().count());
    out.put("looking_count", metrics.looking.get());
    out.put("proposal_count", metrics.proposals.get());
    out.put("commit_count", metrics.commits.get());
    out.put("learner_proposal_received_count", metrics.learner_proposals.get());
    out.put("learner_commit_received_count", metrics.learner_commits.get());
    out.put("diff_count", metrics.diffs.get());
    out.put("snap_count", metrics.snaps.get());
    let election = metrics.election.lock().clone();
    out.put_summary("election_time", &election.took, 1);
    out.put_summary("unavailable_time", &metrics.unavailable.lock().clone(), 1);
    out.put_summary("follower_sync_time", &election.follower_syncs, 1);
    out.put_summary("observer_sync_time", &election.observer_syncs, 1);
    let in_flight = metrics.in_flight.lock().clone();
    out.put_summary("inflight_diff_count", &in_flight.diffs, 1);
    out.put_summary("inflight_snap_count", &in_flight.snaps, 1);
    let latencies = metrics.latencies.lock().clone();
    out.put_summary("quorum_ack_latency", &latencies.quorum_ack, 1);
    out.put_summary("proposal_latency", &latencies.proposal, 1);
    out.put_summary("commit_propagation_latency", &latencies.commit, 1);
    out.put_summary("propagation_latency", &latencies.propagation, 1);
    if role == RoleKind::Leading {
        for (sid, waits) in shared.peers().waits() {
            out.put_summary(&format!("{sid}_learner_handler_qp_size"), &waits.sizes, 1);
            out.put_summary(&format!("{sid}_learner_handler_qp_time_ms"), &waits.times, MICROSECONDS);
        }
        let since = election.serves_since.map_or(0, |since| shared.clock.mono().since(since));
        out.put("leader_uptime", since / 1_000_000);
        put_learners(shared, out);
        let sizes = *metrics.sizes.lock();
        out.put("last_proposal_size", or_minus_one(sizes.last));
        out.put("min_proposal_size", or_minus_one(sizes.min));
        out.put("max_proposal_size", or_minus_one(sizes.max));
    }
}

fn put_learners(shared: &Shared, out: &mut Lines) {
    let (learners, syncs) = shared.consensus.look(|replica| (replica.learners(), replica.pending_syncs()));
    let synced = |role| learners.iter().filter(|learner| learner.synced && learner.role == role).count();
    out.put("learners", learners.len());
    out.put("synced_followers", synced(LearnerRole::Voter));
    out.put("synced_non_voting_followers", synced(LearnerRole::NonVotingFollower));
    out.put("synced_observers", synced(LearnerRole::Observer));
    out.put("pending_syncs", syncs);
}

fn put_gauges(shared: &Shared, out: &mut Lines) {
    let served = shared.metrics.served();
    let stats = &served.stats;
    out.put("min_latency", stats.min / 1000);
    out.put("avg_latency", mean(stats.sum, stats.count, 1000));
    out.put("max_latency", stats.max / 1000);
    out.put("packets_received", served.stats_received);
    out.put("packets_sent", served.stats_sent);
    out.put("last_client_response_size", or_minus_one(served.sizes.last));
    out.put("min_client_response_size", or_minus_one(served.sizes.min));
    out.put("max_client_response_size", or_minus_one(served.sizes.max));
    out.put("num_alive_connections", shared.table.len());
    out.put("outstanding_requests", shared.consensus.look(Replica::outstanding));
    out.put("uptime", shared.clock.mono().millis());
    out.put("open_file_descriptor_count", open_files());
    out.put("max_file_descriptor_count", max_files());
    let view = shared.gate.enter(Entry::of_this_thread()).view();
    out.put("znode_count", view.node_count());
    out.put("ephemerals_count", view.ephemeral_count());
    out.put("approximate_data_size", view.data_size());
    out.put("global_sessions", view.sessions().count());
    let locals = shared.consensus.look(|replica| replica.local_sessions().len());
    out.put("local_sessions", locals);
    let watches: usize = (0..SHARDS).map(|i| shared.watches.shard(i, |shard| shard.count())).sum();
    out.put("watch_count", watches);
    out.put("auth_failed_count", shared.metrics.auth_failed.get());
    let probability = f64::from(shared.drop_probability()) / 1e6;
    out.put("connection_drop_probability", format_args!("{probability:?}"));
}

fn put_counters(shared: &Shared, out: &mut Lines) {
    let metrics = &shared.metrics;
    let clients = shared.table.all();
    let live: u64 = clients.iter().map(|client| client.written.load(Ordering::Relaxed)).sum();
    out.put("bytes_received_count", metrics.served().bytes_received);
    out.put("response_bytes", metrics.bytes_sent.get() + live);
    out.put("connection_request_count", metrics.connection_requests.get());
    out.put("connection_rejected", metrics.connections_rejected.get());
    out.put("connection_drop_count", metrics.connections_dropped.get());
    out.put("sessionless_connections_expired", metrics.sessionless_expired.get());
    out.put("stale_sessions_expired", metrics.sessions_expired.get());
    out.put("request_throttle_wait_count", metrics.throttled.get());
    out.put("large_requests_rejected", metrics.large_rejected.get());
    out.put("throttled_ops", metrics.throttled_ops.get());
    out.put("stale_requests", metrics.stale.get());
    out.put("stale_requests_dropped", metrics.stale_dropped.get());
    out.put("prep_processor_request_queued", metrics.requests.get());
    out.put("sync_processor_request_queued", metrics.txns.get());
    out.put("digest_mismatches_count", metrics.digest_mismatches.get());
    out.put("fsync_threshold_exceed_count", metrics.slow_syncs.get());
    out.put("unrecoverable_error_count", u64::from(shared.has_failed()));
}

fn put_summaries(shared: &Shared, out: &mut Lines) {
    let rare = shared.metrics.rare.lock().clone();
    out.put_summary("fsynctime", &rare.fsync, MICROSECONDS);
    out.put_summary("sync_processor_batch_size", &rare.batch, 1);
    out.put_summary("sync_process_time", &rare.group, MICROSECONDS);
    out.put_summary("sync_processor_queue_size", &rare.queue, 1);
    for (kind, watchers) in ["created", "deleted", "changed", "children"].iter().zip(&rare.watchers) {
        out.put_summary(&format!("node_{kind}_watch_count"), watchers, 1);
    }
    out.put("watch_bytes", rare.watch_bytes);
    out.put_summary("snapshottime", &rare.snapshot, MICROSECONDS);
    out.put_summary("dbinittime", &rare.recovery, MICROSECONDS);
    out.put_summary("startup_txns_loaded", &rare.txns_replayed, 1);
    out.put_summary("connection_token_deficit", &rare.token_deficit, 1);
    out.put_summary("request_throttle_queue_time_ms", &rare.throttle_waits, MICROSECONDS);
    let served = shared.metrics.served();
    out.put_summary("readlatency", &served.reads, MICROSECONDS);
    out.put_summary("updatelatency", &served.writes, MICROSECONDS);
}

/// Lines of `zk_<name>\t<value>`.
struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "zk_{name}\t{value}");
    }

    /// `unit`: how many of the recorded units make one of the printed ones.
    fn put_summary(&mut self, name: &str, summary: &Summary, unit: u64) {
        self.put(&format!("avg_{name}"), mean(summary.sum, summary.count, unit));
        self.put(&format!("min_{name}"), summary.min / unit);
        self.put(&format!("max_{name}"), summary.max / unit);
        self.put(&format!("cnt_{name}"), summary.count);
        self.put(&format!("sum_{name}"), summary.sum / unit);
        for (label, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
            if let Some(value) = summary.quantile(share) {
                self.put(&format!("{label}_{name}"), value / unit);
            }
        }
    }
}

/// -1 where the system does not tell.
fn open_files() -> i64 {
    fs::read_dir("/proc/self/fd").map_or(-1, |fds| fds.count() as i64)
}

/// The soft limit; -1 where the system does not tell.
fn max_files() -> i64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(-1)
}
