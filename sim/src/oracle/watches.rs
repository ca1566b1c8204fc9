//! What every client should hear of its watches, and when (I35, I36).
//!
//! The judge knows when a watch was registered (the zxid of the reply that set it) and all commits, so it knows the one
//! event that must come, and before which reply at the latest.

use std::collections::{BTreeMap, VecDeque};

use zk_core::ids::Zxid;
use zk_core::text::Text;
use zk_core::tree::ChangeKind;
use zk_core::wire::client::SetWatches;
use zk_core::wire::records::{Id, perms};

use super::commits::Commits;
use super::invariant::{Invariant, Violation, ensure};
use super::judge::may;
use super::states::Told;

/// Which registry a watch is in (semantics §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Registry {
    /// Set by exists and getData.
    Data,
    /// Set by getChildren.
    Child,
}

/// Event types on the wire (client protocol §10).
pub mod event {
    #![allow(missing_docs)]
    pub const CREATED: i32 = 1;
    pub const DELETED: i32 = 2;
    pub const DATA_CHANGED: i32 = 3;
    pub const CHILDREN_CHANGED: i32 = 4;
}

/// An event that must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The change's zxid.
    pub zxid: Zxid,
    /// One of [`event`].
    pub kind: i32,
    /// The node.
    pub path: Text,
    /// Its place among the triggers of one zxid.
    place: usize,
}

/// One connection's watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Watching {
    /// By registry and path: the zxid since which it stands.
    standing: BTreeMap<(Registry, Text), Zxid>,
    due: VecDeque<Due>,
    /// Events of a setWatches whose reply has not come yet.
    caught_up: Vec<(i32, Text)>,
    identities: Vec<Id>,
}

impl Watching {
    /// True if none stands.
    pub(super) fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    /// The identities that events are filtered by.
    pub(super) fn identify(&mut self, identities: &[Id]) {
        self.identities = identities.to_vec();
    }

    /// A reply of zxid `at` says that this watch stands.
    pub(super) fn stand(&mut self, registry: Registry, path: Text, at: Zxid, commits: &Commits) {
        if self.standing.contains_key(&(registry, path.clone())) {
            return;
        }
        // What has happened since then is due already. Two reads may have set the same watch: it fires once.
        for i in commits.after(at)..commits.len() {
            let commit = commits.get(i).expect("an index below the length");
            let mut events = commit.told.iter().enumerate();
            let event = events.find_map(|(i, told)| event_for(registry, &path, told).map(|event| (i, event)));
            if let Some((i, (kind, part, seen_before))) = event {
                let zxid = commit.txn.header.zxid;
                let seen_at = if seen_before { Zxid(zxid.0 - 1) } else { zxid };
                let same = |due: &Due| (due.zxid, due.kind, &due.path) == (zxid, kind, &path);
                if !self.due.iter().any(same) {
                    self.owe(Due { zxid, kind, path, place: 3 * i + part }, seen_at, commits);
                }
                return;
            }
        }
        self.standing.insert((registry, path), at);
    }

    /// A commit's changes, for every connection.
    pub(super) fn fire(&mut self, zxid: Zxid, told: &[Told], commits: &Commits) {
        for (i, (kind, path)) in told.iter().enumerate() {
            let (data_event, parent) = match kind {
                ChangeKind::Created => (event::CREATED, Some(parent_of(path))),
                ChangeKind::Deleted => (event::DELETED, Some(parent_of(path))),
                ChangeKind::DataChanged => (event::DATA_CHANGED, None),
            };
            // A delete is seen with the ACL that the node had.
            let seen_at = if *kind == ChangeKind::Deleted { Zxid(zxid.0 - 1) } else { zxid };
            let heard = self.take(Registry::Data, path, zxid);
            if heard {
                self.owe(Due { zxid, kind: data_event, path: path.clone(), place: 3 * i }, seen_at, commits);
            }
            if *kind == ChangeKind::Deleted && self.take(Registry::Child, path, zxid) && !heard {
                self.owe(
                    Due { zxid, kind: event::DELETED, path: path.clone(), place: 3 * i + 1 },
                    seen_at,
                    commits,
                );
            }
            if let Some(parent) = parent
                && self.take(Registry::Child, &parent, zxid)
            {
                self.owe(
                    Due { zxid, kind: event::CHILDREN_CHANGED, path: parent, place: 3 * i + 2 },
                    zxid,
                    commits,
                );
            }
        }
    }

    /// Consumes a watch that stood before `zxid`.
    fn take(&mut self, registry: Registry, path: &Text, zxid: Zxid) -> bool {
        let key = (registry, path.clone());
        let stood = self.standing.get(&key).is_some_and(|since| *since < zxid);
        if stood {
            self.standing.remove(&key);
        }
        stood
    }

    fn owe(&mut self, due: Due, seen_at: Zxid, commits: &Commits) {
        let readable = |node: &super::states::Node| may(&node.acl, perms::READ, &self.identities);
        if commits.states().node_at(&due.path, seen_at).is_none_or(|node| readable(node)) {
            let at = self.due.partition_point(|other| (other.zxid, other.place) <= (due.zxid, due.place));
            self.due.insert(at, due);
        }
    }

    /// An event came.
    pub(super) fn heard(&mut self, zxid: Zxid, kind: i32, path: Text) -> Result<(), Violation> {
        if zxid.0 == -1 {
            self.caught_up.push((kind, path));
            return Ok(());
        }
        let expected = self.due.pop_front();
        let came = |due: &Due| (due.zxid, due.kind, &due.path) == (zxid, kind, &path);
        ensure(expected.as_ref().is_some_and(came), Invariant::I36, || {
            format!("event {kind} of {path} at {zxid} came, {expected:?} was due")
        })
    }

    /// A reply with this zxid came: nothing older may still be due.
    pub(super) fn reply(&self, zxid: Zxid) -> Result<(), Violation> {
        let late = self.due.front().filter(|due| due.zxid <= zxid);
        ensure(late.is_none(), Invariant::I35, || format!("a reply of {zxid} came before {late:?}"))
    }

    /// The reply to a setWatches: everything that changed meanwhile was told before it, the rest stands (semantics §9.4).
    pub(super) fn set(&mut self, request: &SetWatches, at: Zxid, commits: &Commits) -> Result<(), Violation> {
        let since = request.relative_zxid;
        let mut expected = Vec::new();
        let mut stand = Vec::new();
        let lists =
            [&request.data, &request.exist, &request.child].map(|list| list.as_deref().unwrap_or_default());
        for path in lists[0] {
            match commits.states().node_at(path, at) {
                None => expected.push((event::DELETED, path.clone())),
                Some(node) if node.stat.mzxid > since => expected.push((event::DATA_CHANGED, path.clone())),
                Some(_) => stand.push((Registry::Data, path.clone())),
            }
        }
        for path in lists[1] {
            match commits.states().node_at(path, at) {
                Some(_) => expected.push((event::CREATED, path.clone())),
                None => stand.push((Registry::Data, path.clone())),
            }
        }
        for path in lists[2] {
            match commits.states().node_at(path, at) {
                None => expected.push((event::DELETED, path.clone())),
                Some(node) if node.stat.pzxid > since => {
                    expected.push((event::CHILDREN_CHANGED, path.clone()))
                }
                Some(_) => stand.push((Registry::Child, path.clone())),
            }
        }
        let found = std::mem::take(&mut self.caught_up);
        ensure(found == expected, Invariant::I36, || {
            format!(
                "setWatches relative to {since}, answered at {at}, should tell {expected:?}, and told {found:?}"
            )
        })?;
        for (registry, path) in stand {
            self.stand(registry, path, at, commits);
        }
        Ok(())
    }

    /// Everything that was due has come, and nothing came unasked.
    pub(super) fn settled(&self) -> Result<(), Violation> {
        ensure(self.due.is_empty() && self.caught_up.is_empty(), Invariant::I36, || {
            format!("still due: {:?}; told without a reply: {:?}", self.due, self.caught_up)
        })
    }
}

/// The event that a change means to a watch, its place among the change's triggers, and whether it is seen with the ACL
/// from before the change.
fn event_for(registry: Registry, path: &Text, (kind, changed): &Told) -> Option<(i32, usize, bool)> {
    match (registry, kind) {
        (Registry::Data, ChangeKind::Created) if changed == path => Some((event::CREATED, 0, false)),
        (Registry::Data, ChangeKind::DataChanged) if changed == path => Some((event::DATA_CHANGED, 0, false)),
        (Registry::Data, ChangeKind::Deleted) if changed == path => Some((event::DELETED, 0, true)),
        (Registry::Child, ChangeKind::Deleted) if changed == path => Some((event::DELETED, 1, true)),
        (Registry::Child, ChangeKind::Created | ChangeKind::Deleted) if parent_of(changed) == *path => {
            Some((event::CHILDREN_CHANGED, 2, false))
        }
        _ => None,
    }
}

/// The parent as watches name it.
fn parent_of(path: &Text) -> Text {
    match path.rsplit_once('/') {
        Some(("", _)) | None => Text::from_static("/"),
        Some((parent, _)) => Text::from(parent),
    }
}
