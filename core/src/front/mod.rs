//! The serving order, written once for both drivers: apply a txn → fire its watches → its reply → the reads parked
//! on it → the next txn.
//!
//! A driver owns the connections, the watch shards and the tree; `net` puts locks around them, `sim` does not. What
//! happens, and in which order, is decided here. Lock order for drivers: tree gate → connection → watch shard; no
//! function here asks for a connection while it holds another.

pub mod connection;

use alloc::vec::Vec;

use crate::action::{CloseReason, Commit, SessionAnswer};
use crate::ids::{ConnId, SessionId};
use crate::input::Input;
use crate::time::Now;
use crate::tree::Tree;
use crate::watch::WatchShard;
use connection::Connection;

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
    /// Output a connection may pile up before it is not read from, bytes.
    pub output_high: usize,
    /// `zookeeper.skipACL=yes`.
    pub skip_acl: bool,
    /// `zookeeper.DigestAuthenticationProvider.superDigest`, as `super:<base64>`.
    pub super_digest: Option<alloc::string::String>,
}

/// What a call into the front asks of the driver, besides bytes in connections' output buffers. Reused.
#[derive(Debug, Default)]
pub struct Intake {
    /// For [`crate::replica::Replica::step`], in this order.
    pub inputs: Vec<Input>,
    /// Connections that now have output, or are to be closed: wake their writers.
    pub dirty: Vec<ConnId>,
    /// Other connections to close at once (a session's older connection), with the reason for the log.
    pub close: Vec<(ConnId, CloseReason)>,
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
/// front of it, or passes it on to the replica through `intake.inputs`.
///
/// The caller holds the tree for reading and `conn` itself, and nothing else.
pub fn receive<C: Connections, W: Watches>(
    _conn: &mut Connection,
    _frame: bytes::Bytes,
    _host: &Host<'_, C, W>,
    _intake: &mut Intake,
) {
    unreachable!("written by the front room")
}

/// Applies commits in order; after each its watches, its reply, and the reads parked on it. The caller holds the tree
/// for writing and nothing else.
pub fn apply<C: Connections, W: Watches>(
    _config: &FrontConfig,
    _tree: &mut Tree,
    _commits: &[Commit],
    _conns: &C,
    _watches: &W,
    _now: Now,
    _intake: &mut Intake,
) {
    unreachable!()
}

/// Delivers the replica's verdict on a re-attach, and serves what the client sent behind its handshake. The caller
/// holds the tree for reading and nothing else.
pub fn answer_session<C: Connections, W: Watches>(
    _conn: ConnId,
    _answer: SessionAnswer,
    _host: &Host<'_, C, W>,
    _intake: &mut Intake,
) {
    unreachable!()
}

/// A connection is gone: drops its watches and its binding, and tells the replica. The caller holds nothing; the
/// connection is already out of the driver's table.
pub fn gone<C: Connections, W: Watches>(
    _conn: &mut Connection,
    _conns: &C,
    _watches: &W,
    _intake: &mut Intake,
) {
    unreachable!()
}
