//! One connection on the client port: its phase, its FIFO of requests, its output.

use alloc::string::String;
use bytes::BytesMut;

use crate::action::CloseReason;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::time::{Mono, Now};

/// What `cons` and `stat` show of a connection.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStats {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Wall clock at accept, ms.
    pub established_ms: i64,
    /// Last operation's name as Java prints it (`PING`, `GETD`, …; `NA` before the first).
    pub last_op: &'static str,
    /// Last xid.
    pub last_cxid: i64,
    /// Last zxid sent.
    pub last_zxid: Zxid,
    /// Monotonic time of the last reply, ms.
    pub last_response_ms: u64,
    /// Latency of the last request, ms.
    pub last_latency_ms: u64,
    /// Smallest, ms.
    pub min_latency_ms: u64,
    /// Largest, ms.
    pub max_latency_ms: u64,
    /// Sum over `replies`, ms.
    pub total_latency_ms: u64,
    /// Replies that the latencies are over.
    pub replies: u64,
}

/// One client connection. The driver keeps it, feeds it frames through [`super::receive`], and writes out what
/// gathers in [`Connection::output`].
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// A connection just accepted from this remote address (text without port, as ACLs of scheme `ip` see it).
    pub fn new(_id: ConnId, _address: String, _now: Now) -> Self {
        unreachable!("written by the front room")
    }
    /// Its number.
    pub fn id(&self) -> ConnId {
        unreachable!()
    }
    /// The session it serves, once established.
    pub fn session(&self) -> Option<SessionId> {
        unreachable!()
    }
    /// Negotiated timeout, ms; 0 before the handshake.
    pub fn timeout_ms(&self) -> i32 {
        unreachable!()
    }
    /// Bytes to write to the socket, in order. The driver takes them (`split`/`take`) and writes.
    pub fn output(&mut self) -> &mut BytesMut {
        unreachable!()
    }
    /// Set when the connection is to be closed after its output is written.
    pub fn closing(&self) -> Option<&CloseReason> {
        unreachable!()
    }
    /// Asks for a close after the output.
    pub fn close(&mut self, _why: CloseReason) {}
    /// False while the client has too much in flight, or does not read its replies: do not read from the socket.
    pub fn wants_input(&self) -> bool {
        unreachable!()
    }
    /// Requests between door and reply.
    pub fn in_flight(&self) -> usize {
        unreachable!()
    }
    /// When it is to be closed for silence (client protocol §3.6), unless a frame comes before.
    pub fn idle_deadline(&self) -> Mono {
        unreachable!()
    }
    /// Numbers for `cons` and `stat`.
    pub fn stats(&self) -> &ConnectionStats {
        unreachable!()
    }
    /// `crst`.
    pub fn reset_stats(&mut self) {}
    /// How many watches it holds, for `wchs`.
    pub fn watch_count(&self) -> usize {
        unreachable!()
    }
}
