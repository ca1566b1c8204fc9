//! `srvr`, `stat`, `cons`, `hash`, and the resets.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use zk_core::front::connection::ConnectionStats;
use zk_core::ids::SessionId;
use zk_core::replica::{ClientService, RoleKind};

use super::mode;
use super::number::{mean, or_minus_one};
use crate::client::Client;
use crate::gate::Entry;
use crate::shared::Shared;

pub(super) fn srvr(shared: &Shared) -> String {
    format!("Zookeeper version: {}\n{}{}", shared.facts.version, read_only(shared), counts(shared))
}

pub(super) fn stat(shared: &Shared) -> String {
    let mut out = format!("Zookeeper version: {}\n{}Clients:\n", shared.facts.version, read_only(shared));
    for client in shared.table.all() {
        line(&client, Detail::Short, &mut out);
    }
    out.push('\n');
    out + &counts(shared)
}

/// What a server says besides while it has no leader.
fn read_only(shared: &Shared) -> &'static str {
    match shared.standing().clients {
        ClientService::ReadOnly => "READ-ONLY mode; serving only read-only clients\n",
        _ => "",
    }
}

pub(super) fn cons(shared: &Shared) -> String {
    let mut out = String::new();
    for client in shared.table.all() {
        line(&client, Detail::Full, &mut out);
    }
    out.push('\n');
    out
}

pub(super) fn crst(shared: &Shared) -> String {
    shared.table.all().iter().for_each(|client| client.state.lock().reset_stats());
    "Connection stats reset.\n".to_owned()
}

pub(super) fn srst(shared: &Shared) -> String {
    shared.metrics.reset_stats();
    "Server stats reset.\n".to_owned()
}

pub(super) fn hash(shared: &Shared) -> String {
    let mut out = String::new();
    for (zxid, digest) in shared.digests.list() {
        let _ = writeln!(out, "{:x}: {digest}", zxid.0);
    }
    out
}

/// What `srvr` and `stat` have in common.
fn counts(shared: &Shared) -> String {
    let served = shared.metrics.served();
    let (zxid, nodes) = {
        let tree = shared.gate.enter(Entry::of_this_thread());
        (tree.last_zxid(), tree.node_count())
    };
    let outstanding = shared.consensus.look(zk_core::replica::Replica::outstanding);
    let latency = &served.stats;
    let role = shared.standing().role;
    let mut out = format!(
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\nOutstanding: {outstanding}\n\
         Zxid: {zxid}\nMode: {}\nNode count: {nodes}\n",
        latency.min / 1000,
        mean(latency.sum, latency.count, 1000),
        latency.max / 1000,
        served.stats_received,
        served.stats_sent,
        shared.table.len(),
        mode(role),
    );
    if role == RoleKind::Leading {
        let sizes = *shared.metrics.ensemble.sizes.lock();
        let [last, min, max] = [sizes.last, sizes.min, sizes.max].map(or_minus_one);
        let _ = writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// `stat`.
    Short,
    /// `cons`.
    Full,
}

/// ` /address:port[interest](queued=…,recved=…,sent=……)`
fn line(client: &Client, detail: Detail, out: &mut String) {
    // A word counts as one frame received, as in Java.
    let is_word = client.asks_word.load(Ordering::Relaxed);
    let word = u64::from(is_word);
    let reads = !is_word && !client.full.load(Ordering::Relaxed);
    // OP_READ and OP_WRITE of Java's selectors.
    let interest = u8::from(reads) + 4 * u8::from(client.is_blocked());
    let state = client.state.lock();
    let stats = state.stats();
    let (queued, received, sent) = (state.in_flight(), stats.received + word, stats.sent);
    let _ = write!(
        out,
        " {}[{interest}](queued={queued},recved={received},sent={sent}",
        java_address(client.peer)
    );
    if let (Detail::Full, Some(session)) = (detail, state.session()) {
        details(session, state.timeout_ms(), stats, out);
    }
    out.push_str(")\n");
}

fn details(session: SessionId, timeout_ms: i32, stats: &ConnectionStats, out: &mut String) {
    let _ = write!(out, ",sid={session},lop={},est={},to={timeout_ms}", stats.last_op, stats.established_ms);
    if stats.last_cxid >= 0 {
        let _ = write!(out, ",lcxid={:#x}", stats.last_cxid);
    }
    let average = stats.total_latency_ms / stats.replies.max(1);
    let _ = write!(
        out,
        ",lzxid={},lresp={},llat={},minlat={},avglat={average},maxlat={}",
        stats.last_zxid,
        stats.last_response_ms,
        stats.last_latency_ms,
        stats.min_latency_ms,
        stats.max_latency_ms
    );
}

/// As Java prints a socket address without a host name.
pub(super) fn java_address(address: SocketAddr) -> String {
    format!("/{address}")
}
