//! The serving order, written once for both drivers: apply a txn → fire its watches → its reply → the reads parked
//! on it → the next txn. Java: NIOServerCnxn, FinalRequestProcessor, CommitProcessor.
//!
//! A driver owns the connections, the watch shards and the tree; `net` puts locks around them, `sim` does not. What
//! happens, and in which order, is decided here. Lock order for drivers: tree gate → connection → watch shard; no
//! function here asks for a connection while it holds another. The driver's table of connections is locked for no
//! longer than a look-up takes: `bind`, `unbind` and `conn_of` may be called while a connection is held.
//!
//! What follows from that order, and from reads that look up, set their watch and append their reply under one hold of
//! the tree: a client hears of a change before it can see it, and after the reply that set the watch; it sees what it
//! wrote itself; its replies come in the order of its requests. Beside that order go only the replies to auth and
//! sasl packets and to opcodes that name nothing (client protocol §15).

mod apply_batch;
pub mod connection;
mod events;
mod handshake;
mod outgoing;
mod own_watches;
mod pipeline;
mod reply;
mod requests;
mod serve_read;
pub mod throttle;

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use crate::action::{CloseReason, Commit, SessionAnswer};
use crate::ids::{ConnId, SessionId};
use crate::input::Input;
use crate::time::{Mono, Now};
use crate::tree::{Changes, Tree};
use crate::watch::{Hearer, WatchShard};
use apply_batch::{Batch, Begun, begin_session};
use connection::{Connection, Phase};
pub use events::EventKind;
use throttle::Handshake;

/// The driver's table of connections.
pub trait Connections {
    /// Runs `f` on the connection, if it is still there. Never called while another connection is held.
    fn with<R>(&self, conn: ConnId, f: impl FnOnce(&mut Connection) -> R) -> Option<R>;
    /// Makes `conn` the session's connection; the one it had before, if any.
    fn bind(&self, session: SessionId, conn: ConnId) -> Option<ConnId>;
    /// Forgets that the session is served by `conn`; no effect if another connection has it by now.
    fn unbind(&self, session: SessionId, conn: ConnId);
    /// The connection that serves the session on this server.
    fn conn_of(&self, session: SessionId) -> Option<ConnId>;
    /// May a connection begin with this handshake? Without a throttle, any may.
    fn admits(&self, what: Handshake, now: Mono) -> bool {
        let _ = (what, now);
        true
    }
    /// A request with this opcode was answered, so long after it came. For a driver's metrics.
    fn answered(&self, op: i32, latency_ns: u64) {
        let _ = (op, latency_ns);
    }
    /// So many connections watch for an event, whose frame is so long. For a driver's metrics.
    fn fired(&self, kind: EventKind, watchers: usize, bytes: usize) {
        let _ = (kind, watchers, bytes);
    }
}

/// The driver's table of watch shards ([`crate::watch::SHARDS`] of them).
pub trait Watches {
    /// Runs `f` on shard `index`.
    fn shard<R>(&self, index: usize, f: impl FnOnce(&mut WatchShard) -> R) -> R;
}

/// What the front needs to know of its configuration.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// Lower clamp of session timeouts, ms.
    pub min_session_timeout_ms: i32,
    /// Upper clamp of session timeouts, ms.
    pub max_session_timeout_ms: i32,
    /// ms; touches are reported at most once per quarter of it.
    pub tick_ms: u32,
    /// Largest frame a client may send, bytes (`jute.maxbuffer`).
    pub frame_max: usize,
    /// Requests of one connection between door and reply; beyond it the connection is not read from.
    pub in_flight_max: usize,
    /// `largeRequestThreshold`: requests longer than that are counted by [`Connection::large_bytes`], bytes.
    pub large_above: Option<usize>,
    /// Output a connection may pile up before it is not read from, bytes.
    pub output_high: usize,
    /// `zookeeper.skipACL=yes`.
    pub skip_acl: bool,
    /// `zookeeper.DigestAuthenticationProvider.superDigest`, as `super:<base64>`.
    pub super_digest: Option<alloc::string::String>,
    /// `zookeeper.enforce.auth.schemes` where `zookeeper.enforce.auth.enabled` is true: whoever has no identity of one of
    /// these is refused everything but auth. Empty: nothing is asked for.
    pub enforced_schemes: Vec<alloc::string::String>,
    /// A bug to plant.
    #[cfg(feature = "museum")]
    pub museum: Option<crate::museum::Exhibit>,
}

/// What a call into the front asks of the driver, besides bytes in connections' output buffers. Reused: the driver
/// empties the lists, and keeps the rest.
#[derive(Debug, Default)]
pub struct Intake {
    /// For [`crate::replica::Replica::step`], in this order.
    pub inputs: Vec<Input>,
    /// Connections whose output was empty and is not any more, or that are to be closed: wake their writers. While
    /// output waits, more of it is not announced: who was told of the first writes all there is.
    pub dirty: Vec<ConnId>,
    /// Other connections to close at once (a session's older connection), with the reason for the log.
    pub close: Vec<(ConnId, CloseReason)>,
    scratch: Scratch,
}

/// Buffers that would else be allocated for every txn.
#[derive(Debug, Default)]
struct Scratch {
    changes: Changes,
    hearers: Vec<Hearer>,
    event: BytesMut,
}

/// Everything a connection sees of the server while the driver holds the tree for reading.
#[derive(Debug)]
pub struct Host<'a, C, W> {
    /// Configuration.
    pub config: &'a FrontConfig,
    /// The tree, which does not change while this exists.
    pub tree: &'a Tree,
    /// All connections.
    pub conns: &'a C,
    /// All watches.
    pub watches: &'a W,
    /// Both clocks.
    pub now: Now,
}

/// Takes one frame (without its length prefix) from a connection: serves it at once, parks it behind the writes in
/// front of it, or passes it on to the replica through `intake.inputs`. A closing connection's frames are dropped.
///
/// The caller holds the tree for reading and `conn` itself, and nothing else. It asks [`Connection::wants_input`]
/// before each frame; frames that come regardless are taken.
pub fn receive<C: Connections, W: Watches>(
    conn: &mut Connection,
    frame: Bytes,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    receive_as(conn, frame, Coming::InTime, host, intake);
}

/// The same for a frame that waited at the door for longer than `throttled_op_wait_time`: it is refused in its turn with
/// -127 and not carried out, unless it is a ping, the end of the session, or what begins it.
pub fn receive_late<C: Connections, W: Watches>(
    conn: &mut Connection,
    frame: Bytes,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    receive_as(conn, frame, Coming::Late, host, intake);
}

/// Whether a frame came to its turn in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    InTime,
    Late,
}

fn receive_as<C: Connections, W: Watches>(
    conn: &mut Connection,
    frame: Bytes,
    coming: Coming,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    if conn.closing.is_some() {
        return;
    }
    conn.outgoing.stats.received += 1;
    conn.heard = host.now.mono;
    let before = conn.mark();
    receive_in(conn, frame, coming, host, intake);
    conn.note_dirty(before, &mut intake.dirty);
}

fn receive_in<C: Connections, W: Watches>(
    conn: &mut Connection,
    frame: Bytes,
    coming: Coming,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    if conn.closing.is_some() {
        return;
    }
    match &mut conn.phase {
        Phase::Greeting => handshake::greet(conn, frame, host, intake),
        Phase::Waiting(waiting) => waiting.behind.push_back(frame),
        Phase::Serving { session } => {
            let session = *session;
            requests::take(conn, session, frame, coming, host, intake);
        }
    }
}

/// Applies commits in order; after each its watches, its reply, and the reads parked on it. The caller holds the tree
/// for writing and nothing else.
pub fn apply<C: Connections, W: Watches>(
    config: &FrontConfig,
    tree: &mut Tree,
    commits: &[Commit],
    conns: &C,
    watches: &W,
    now: Now,
    intake: &mut Intake,
) {
    Batch { config, conns, watches, now, intake }.apply(tree, commits);
}

/// Delivers the replica's verdict on a re-attach, and serves what the client sent behind its handshake. The caller
/// holds the tree for reading and nothing else.
pub fn answer_session<C: Connections, W: Watches>(
    conn: ConnId,
    answer: SessionAnswer,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
) {
    match answer {
        SessionAnswer::Attached { session, timeout_ms, scope } => {
            begin_session(conn, Begun { session, timeout_ms, scope }, host, intake);
        }
        SessionAnswer::Invalid => {
            deliver(conn, host, intake, |conn, _| {
                if let (Phase::Waiting(waiting), None) = (&conn.phase, &conn.closing) {
                    let why = CloseReason::Refused("the session is unknown, expired or closing".into());
                    conn.refuse_session(waiting.read_only, why);
                }
            });
        }
    }
}

/// A connection is gone: drops its watches and its binding, and tells the replica. The caller holds nothing; the
/// connection is already out of the driver's table.
pub fn gone<C: Connections, W: Watches>(conn: &mut Connection, conns: &C, watches: &W, intake: &mut Intake) {
    conn.watches.drop_all(watches);
    if let Some(session) = conn.session() {
        conns.unbind(session, conn.id);
    }
    if !matches!(conn.phase, Phase::Greeting) {
        intake.inputs.push(Input::Gone { conn: conn.id });
    }
}

/// Runs `f` on a connection that the caller does not hold, and notes whether its writer is to be woken.
fn deliver<C: Connections, W, R>(
    conn: ConnId,
    host: &Host<'_, C, W>,
    intake: &mut Intake,
    f: impl FnOnce(&mut Connection, &mut Intake) -> R,
) -> Option<R> {
    host.conns.with(conn, |conn| {
        let before = conn.mark();
        let done = f(conn, intake);
        conn.note_dirty(before, &mut intake.dirty);
        done
    })
}

/// A connection's state as its writer knows it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    has_output: bool,
    is_closing: bool,
}

impl Connection {
    fn mark(&self) -> Mark {
        Mark { has_output: !self.outgoing.bytes.is_empty(), is_closing: self.closing.is_some() }
    }

    fn note_dirty(&self, before: Mark, dirty: &mut Vec<ConnId>) {
        let after = self.mark();
        if after.has_output && !before.has_output || after.is_closing && !before.is_closing {
            dirty.push(self.id);
        }
    }
}
