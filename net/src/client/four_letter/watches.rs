//! `wchs`, `wchc` and `wchp`: who watches what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use zk_core::front::Watches;
use zk_core::ids::{ConnId, SessionId};
use zk_core::watch::SHARDS;

use crate::shared::Shared;

/// Watched paths and who watches each; several modes on one path are one pair.
fn by_path(shared: &Shared) -> BTreeMap<String, BTreeSet<ConnId>> {
    let mut all: BTreeMap<String, BTreeSet<ConnId>> = BTreeMap::new();
    for index in 0..SHARDS {
        shared.watches.shard(index, |shard| {
            for (path, conn, _) in shard.list() {
                // A path's watches are in one shard but for recursive ones.
                if let Some(conns) = all.get_mut(path) {
                    conns.insert(conn);
                } else {
                    all.insert(path.to_owned(), BTreeSet::from([conn]));
                }
            }
        });
    }
    all
}

fn session_of(shared: &Shared, conn: ConnId) -> SessionId {
    let client = shared.table.get(conn);
    client.and_then(|client| client.state.lock().session()).unwrap_or(SessionId::NONE)
}

pub(super) fn wchs(shared: &Shared) -> String {
    let paths = by_path(shared);
    let conns: BTreeSet<ConnId> = paths.values().flatten().copied().collect();
    let total: usize = paths.values().map(BTreeSet::len).sum();
    format!("{} connections watching {} paths\nTotal watches:{total}\n", conns.len(), paths.len())
}

pub(super) fn wchc(shared: &Shared) -> String {
    let mut by_conn: BTreeMap<ConnId, Vec<String>> = BTreeMap::new();
    for (path, conns) in by_path(shared) {
        for conn in conns {
            by_conn.entry(conn).or_default().push(path.clone());
        }
    }
    let mut out = String::new();
    for (conn, paths) in by_conn {
        let _ = writeln!(out, "{}", session_of(shared, conn));
        for path in paths {
            let _ = writeln!(out, "\t{path}");
        }
    }
    out.push('\n');
    out
}

pub(super) fn wchp(shared: &Shared) -> String {
    let mut out = String::new();
    for (path, conns) in by_path(shared) {
        let _ = writeln!(out, "{path}");
        for conn in conns {
            let _ = writeln!(out, "\t{}", session_of(shared, conn));
        }
    }
    out.push('\n');
    out
}
