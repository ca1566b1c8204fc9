//! From changes of the tree to events in the outputs of those who watch (semantics §9.2).

use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};

use super::connection::Connection;
use super::{Connections, FrontConfig, Scratch, Watches};
use crate::action::CloseReason;
use crate::auth;
use crate::ids::{ConnId, Zxid};
use crate::tree::{Change, ChangeKind};
use crate::watch::{Hearer, Modes, RECURSIVE_SHARD, once_each, shard_of};
use crate::wire::client::{ReplyHeader, xid};
use crate::wire::framing::put_frame;
use crate::wire::jute::{Jute, put_len};
use crate::wire::records::{Acl, perms};

/// Event types that a server sends (client protocol §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)] // the names are the field's own
pub enum EventKind {
    Created = 1,
    Deleted = 2,
    DataChanged = 3,
    ChildrenChanged = 4,
}

/// SyncConnected, the only state that a server sends.
const STATE: i32 = 3;

/// Appends a notification without its length prefix.
pub(super) fn put_event(out: &mut BytesMut, zxid: Zxid, kind: EventKind, path: &str) {
    ReplyHeader { xid: xid::NOTIFICATION, zxid, err: 0 }.encode(out);
    out.put_i32(kind as i32);
    out.put_i32(STATE);
    put_len(out, path.len());
    out.put_slice(path.as_bytes());
}

/// Something that those who watch `path` hear of.
struct Trigger<'a> {
    kind: EventKind,
    path: &'a str,
    /// Standard modes that hear of it and are spent by it.
    standard: Modes,
    /// Whoever may not read this, hears nothing.
    acl: &'a [Acl],
}

/// Events that a client may leave unread, as a multiple of the output at which it is not read from any more.
const UNREAD_FACTOR: usize = 8;

/// Rings at every watch that a txn's changes concern.
pub(super) struct Bell<'a, C, W> {
    pub(super) config: &'a FrontConfig,
    pub(super) conns: &'a C,
    pub(super) watches: &'a W,
    pub(super) zxid: Zxid,
    /// Recursive watches were there when the batch began; none can be added while the tree is held for writing.
    pub(super) any_recursive: bool,
    pub(super) scratch: &'a mut Scratch,
    pub(super) dirty: &'a mut Vec<ConnId>,
}

impl<C: Connections, W: Watches> Bell<'_, C, W> {
    /// The events of one change. For a delete, a connection that watches both data and children hears once.
    pub(super) fn ring(&mut self, change: &Change) {
        let Change { kind, path, acl, parent_acl } = change;
        let (kind, standard) = match kind {
            ChangeKind::Created => (EventKind::Created, Modes::DATA),
            ChangeKind::Deleted => (EventKind::Deleted, Modes::DATA.with(Modes::CHILD)),
            ChangeKind::DataChanged => (EventKind::DataChanged, Modes::DATA),
        };
        self.pull(&Trigger { kind, path, standard, acl });
        if let Some(acl) = parent_acl {
            let path = parent_of(path);
            self.pull(&Trigger { kind: EventKind::ChildrenChanged, path, standard: Modes::CHILD, acl });
        }
    }

    fn pull(&mut self, trigger: &Trigger<'_>) {
        let Scratch { hearers, event, .. } = &mut *self.scratch;
        hearers.clear();
        let home = shard_of(trigger.path);
        self.watches.shard(home, |shard| shard.fire(home, trigger.path, trigger.standard, hearers));
        if self.any_recursive && trigger.kind != EventKind::ChildrenChanged {
            self.watches.shard(RECURSIVE_SHARD, |shard| shard.fire_recursive(trigger.path, hearers));
        }
        if hearers.is_empty() {
            return;
        }
        once_each(hearers);
        event.clear();
        put_frame(event, |out| put_event(out, self.zxid, trigger.kind, trigger.path));
        self.conns.fired(trigger.kind, hearers.len(), event.len());
        for Hearer { conn, spent } in hearers.drain(..) {
            self.conns.with(conn, |conn| {
                if let Some(watch) = spent {
                    conn.watches.spent(watch);
                }
                let before = conn.mark();
                conn.hear(event, trigger.acl, self.config);
                conn.note_dirty(before, self.dirty);
            });
        }
    }
}

impl Connection {
    /// An event, unless it may not be heard. A client that lets events pile up is closed.
    fn hear(&mut self, event: &[u8], acl: &[Acl], config: &FrontConfig) {
        if self.closing.is_some() || !auth::allowed(acl, perms::READ, &self.auth, config.skip_acl) {
            return;
        }
        if self.outgoing.bytes.len() > config.output_high.saturating_mul(UNREAD_FACTOR) {
            self.close(CloseReason::SlowReader);
            return;
        }
        self.outgoing.encoded(event);
    }
}

/// The parent as watchers know it: the root is `/`.
fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &path[..slash],
    }
}
