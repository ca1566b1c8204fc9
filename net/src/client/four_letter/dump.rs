//! `dump`: sessions and connections by when they end, ephemerals by who owns them. Java: ExpiryQueue.dump.

use std::collections::BTreeMap;
use std::fmt::Write;

use zk_core::ids::SessionId;
use zk_core::replica::RoleKind;
use zk_core::session::SessionInfo;
use zk_core::time::Mono;

use super::date::java_date;
use super::stats::java_address;
use crate::gate::Entry;
use crate::shared::Shared;

pub(super) fn dump(shared: &Shared) -> String {
    let mut out = String::from("SessionTracker dump:\n");
    let (locals, sessions) = shared
        .consensus
        .look(|replica| (replica.has_local_sessions().then(|| replica.local_sessions()), replica.sessions()));
    let global = if let Some(locals) = &locals {
        put_by_end("Local Session", locals, shared, &mut out);
        "Global Session"
    } else {
        "Session"
    };
    match shared.standing().role {
        RoleKind::Following | RoleKind::Observing => put_global(shared, &mut out),
        _ => put_by_end(global, &sessions, shared, &mut out),
    }

    out.push_str("ephemeral nodes dump:\n");
    // The view, so that nobody waits while all paths are put together.
    let view = shared.gate.enter(Entry::of_this_thread()).view();
    let owners = view.ephemeral_owners();
    let _ = writeln!(out, "Sessions with Ephemerals ({}):", owners.len());
    for owner in owners {
        let _ = writeln!(out, "{owner}:");
        for path in view.ephemerals(owner) {
            let _ = writeln!(out, "\t{path}");
        }
    }

    out.push_str("Connections dump:\n");
    let mut sets: BTreeMap<Mono, Vec<String>> = BTreeMap::new();
    for client in shared.table.all() {
        let state = client.state.lock();
        let session = state.session().unwrap_or(SessionId::NONE);
        let line = format!("ip: {} sessionId: {session}", java_address(client.peer));
        sets.entry(state.idle_deadline()).or_default().push(line);
    }
    put_sets("Connections", &sets, shared, &mut out);
    out
}

/// Sessions by when they end: of the ensemble's only leaders know that.
fn put_by_end(kind: &str, sessions: &[SessionInfo], shared: &Shared, out: &mut String) {
    let mut sets: BTreeMap<Mono, Vec<String>> = BTreeMap::new();
    for info in sessions {
        sets.entry(info.expires_at).or_default().push(format!("{}", info.session));
    }
    put_sets(kind, &sets, shared, out);
}

/// Sessions with their timeouts, as learners know them.
fn put_global(shared: &Shared, out: &mut String) {
    let view = shared.gate.enter(Entry::of_this_thread()).view();
    let mut sessions: Vec<_> = view.sessions().collect();
    sessions.sort_unstable();
    let _ = writeln!(out, "Global Sessions({}):", sessions.len());
    for (session, timeout_ms) in sessions {
        let _ = writeln!(out, "{session}\t{timeout_ms}ms");
    }
}

/// `<kind> Sets (n)/(m):` and each set with the date of its end.
fn put_sets(kind: &str, sets: &BTreeMap<Mono, Vec<String>>, shared: &Shared, out: &mut String) {
    let total: usize = sets.values().map(Vec::len).sum();
    let _ = writeln!(out, "{kind} Sets ({})/({total}):", sets.len());
    let now = shared.clock.now();
    for (end, set) in sets {
        let ahead_ms = end.millis() as i64 - now.mono.millis() as i64;
        let _ = writeln!(out, "{} expire at {}:", set.len(), java_date(now.wall.0 + ahead_ms));
        for line in set {
            let _ = writeln!(out, "\t{line}");
        }
    }
}
