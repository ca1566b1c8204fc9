//! One connection on the client port: its phase, its FIFO of requests, its output.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::FrontConfig;
use super::apply_batch::Begun;
use super::outgoing::Outgoing;
use super::own_watches::OwnWatches;
use super::pipeline::Pipeline;
use crate::action::{CloseReason, SessionScope};
use crate::auth::AuthInfo;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::session::{PASSWORD_LEN, password};
use crate::text::Text;
use crate::time::{Mono, Now};
use crate::wire::client::ConnectResponse;
use crate::wire::jute::Jute;
use crate::wire::records::Id;

/// What `cons` and `stat` show of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionStats {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Wall clock at accept, ms.
    pub established_ms: i64,
    /// Last operation's name as Java prints it (`PING`, `GETD`, …; `NA` before the first).
    pub last_op: &'static str,
    /// Last xid of an operation that is no ping or the like; -1 before the first.
    pub last_cxid: i64,
    /// Last zxid sent; -1 before the first.
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

impl Default for ConnectionStats {
    fn default() -> Self {
        Self {
            received: 0,
            sent: 0,
            established_ms: 0,
            last_op: "NA",
            last_cxid: -1,
            last_zxid: Zxid(-1),
            last_response_ms: 0,
            last_latency_ms: 0,
            min_latency_ms: 0,
            max_latency_ms: 0,
            total_latency_ms: 0,
            replies: 0,
        }
    }
}

/// How far a connection has come. Whether it is closing is another matter.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Accepted; the next frame is a ConnectRequest.
    Greeting,
    /// Its ConnectRequest is with the replica. Frames that came behind it wait.
    Waiting(Waiting),
    /// Its session is established.
    Serving {
        /// The session.
        session: SessionId,
    },
}

/// A connection that waits for its session.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The readOnly byte of the request; the response has one if the request had.
    pub(super) read_only: Option<bool>,
    /// When the ConnectRequest came.
    pub(super) since: Mono,
    /// Frames behind the ConnectRequest.
    pub(super) behind: VecDeque<Bytes>,
}

/// What a connection may have in flight; from [`FrontConfig`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    requests: usize,
    request_bytes: usize,
    output: usize,
}

/// Parked reads are answered all at once, each with up to a frame and more; beyond these many no more is read.
const PARKED_MAX: usize = 128;

/// Java's `zookeeper.nio.sessionlessCnxnTimeout` and the interval to which idle deadlines are rounded up, ms.
const IDLE_BUCKET_MS: u64 = 10_000;

impl Limits {
    /// Before a frame has shown the configuration. Nothing is in flight then.
    const NONE: Self = Self { requests: usize::MAX, request_bytes: usize::MAX, output: usize::MAX };

    pub(super) fn of(config: &FrontConfig) -> Self {
        Self {
            requests: config.in_flight_max,
            // Two of the largest requests, so that one can be read while another is under way.
            request_bytes: config.frame_max.saturating_mul(2),
            output: config.output_high,
        }
    }
}

/// One client connection. The driver keeps it, feeds it frames through [`super::receive`], and writes out what
/// gathers in [`Connection::output`].
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) id: ConnId,
    pub(super) phase: Phase,
    pub(super) closing: Option<CloseReason>,
    pub(super) auth: Arc<AuthInfo>,
    pub(super) pipeline: Pipeline,
    pub(super) outgoing: Outgoing,
    pub(super) watches: OwnWatches,
    pub(super) limits: Limits,
    /// Of its session.
    pub(super) scope: SessionScope,
    /// Negotiated, ms; 0 before the handshake.
    pub(super) timeout_ms: i32,
    /// When the last frame came; at first when it was accepted.
    pub(super) heard: Mono,
    /// When the replica was told last that the session is alive.
    pub(super) touch_reported: Option<Mono>,
}

impl Connection {
    /// A connection just accepted from this remote address (text without port, as ACLs of scheme `ip` see it).
    pub fn new(id: ConnId, address: String, now: Now) -> Self {
        let ip = Id { scheme: Text::from_static("ip"), id: Text::from(address) };
        let stats = ConnectionStats { established_ms: now.wall.0, ..ConnectionStats::default() };
        Self {
            id,
            phase: Phase::Greeting,
            closing: None,
            auth: Arc::new(AuthInfo { ids: Vec::from([ip]) }),
            pipeline: Pipeline::default(),
            outgoing: Outgoing { bytes: BytesMut::new(), stats },
            watches: OwnWatches::new(id),
            limits: Limits::NONE,
            scope: SessionScope::Global,
            timeout_ms: 0,
            heard: now.mono,
            touch_reported: None,
        }
    }

    /// Its number.
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// The session it serves, once established.
    pub const fn session(&self) -> Option<SessionId> {
        if let Phase::Serving { session } = self.phase { Some(session) } else { None }
    }

    /// Negotiated timeout, ms; 0 before the handshake.
    pub const fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// Bytes to write to the socket, in order. The driver takes them (`split`/`take`) and writes; it takes no more
    /// than it can write, since what it holds itself does not count towards the limits here.
    pub const fn output(&mut self) -> &mut BytesMut {
        &mut self.outgoing.bytes
    }

    /// Set when the connection is to be closed after its output is written.
    pub const fn closing(&self) -> Option<&CloseReason> {
        self.closing.as_ref()
    }

    /// Asks for a close after the output. What is in flight is not answered any more; a first reason stays.
    pub fn close(&mut self, why: CloseReason) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(why);
        self.pipeline.clear();
        if let Phase::Waiting(waiting) = &mut self.phase {
            waiting.behind.clear();
        }
    }

    /// False while the client has too much in flight, or does not read its replies: do not read from the socket.
    ///
    /// It may turn true with every reply, that is whenever the connection is named in [`super::Intake::dirty`] or its
    /// output has been written.
    pub fn wants_input(&self) -> bool {
        self.closing.is_none()
            && !matches!(self.phase, Phase::Waiting(_))
            && self.pipeline.len() < self.limits.requests
            && self.pipeline.bytes() < self.limits.request_bytes
            && self.pipeline.parked() < PARKED_MAX
            && self.outgoing.bytes.len() < self.limits.output
    }

    /// Requests between door and reply.
    pub fn in_flight(&self) -> usize {
        match &self.phase {
            Phase::Waiting(waiting) => 1 + waiting.behind.len(),
            Phase::Greeting | Phase::Serving { .. } => self.pipeline.len(),
        }
    }

    /// Bytes of its requests between door and reply that are longer than [`FrontConfig::large_above`].
    pub const fn large_bytes(&self) -> usize {
        self.pipeline.large()
    }

    /// When it is to be closed for silence (client protocol §3.6), unless a frame comes before.
    pub fn idle_deadline(&self) -> Mono {
        let patience_ms = match self.phase {
            Phase::Greeting => IDLE_BUCKET_MS,
            Phase::Waiting(_) | Phase::Serving { .. } => u64::try_from(self.timeout_ms).unwrap_or(0),
        };
        let bucket = (self.heard.millis() + patience_ms) / IDLE_BUCKET_MS + 1;
        Mono::from_millis(bucket * IDLE_BUCKET_MS)
    }

    /// Numbers for `cons` and `stat`.
    pub const fn stats(&self) -> &ConnectionStats {
        &self.outgoing.stats
    }

    /// `crst`: all but when it was established.
    pub fn reset_stats(&mut self) {
        let established_ms = self.outgoing.stats.established_ms;
        self.outgoing.stats = ConnectionStats { established_ms, ..ConnectionStats::default() };
    }

    /// How many watches it holds, for `wchs`.
    pub fn watch_count(&self) -> usize {
        self.watches.len()
    }
}

/// The handshake's end.
impl Connection {
    /// Sends the valid response; from here on requests are served. The frames that came behind the handshake, and when
    /// that began; `None` if the connection does not wait for a session (any more).
    pub(super) fn establish(
        &mut self,
        Begun { session, timeout_ms, scope }: Begun,
    ) -> Option<(VecDeque<Bytes>, Mono)> {
        if self.closing.is_some() {
            return None;
        }
        let Phase::Waiting(waiting) = &mut self.phase else { return None };
        let (read_only, since) = (waiting.read_only.map(|_| scope == SessionScope::ReadOnly), waiting.since);
        let behind = core::mem::take(&mut waiting.behind);
        self.phase = Phase::Serving { session };
        self.timeout_ms = timeout_ms;
        self.scope = scope;
        self.respond(timeout_ms, session, password(session), read_only);
        Some((behind, since))
    }

    /// Sends the invalid response to a handshake, and closes.
    pub(super) fn refuse_session(&mut self, read_only: Option<bool>, why: CloseReason) {
        self.respond(0, SessionId::NONE, [0; PASSWORD_LEN], read_only.map(|_| false));
        self.close(why);
    }

    fn respond(
        &mut self,
        timeout_ms: i32,
        session: SessionId,
        password: [u8; PASSWORD_LEN],
        read_only: Option<bool>,
    ) {
        let password = Some(Bytes::copy_from_slice(&password));
        let response = ConnectResponse { protocol_version: 0, timeout_ms, session, password, read_only };
        self.outgoing.frame(|out| response.encode(out));
    }
}
