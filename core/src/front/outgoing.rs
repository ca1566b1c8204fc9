//! [`Outgoing`]: the frames for one client, encoded straight into its output, and what is counted about them.

use bytes::{BufMut, BytesMut};

use super::connection::ConnectionStats;
use crate::error::OpError;
use crate::ids::Zxid;
use crate::time::{Mono, Now};
use crate::wire::client::{ReplyHeader, op};
use crate::wire::framing::put_frame;
use crate::wire::jute::Jute;

/// Output and statistics of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    pub(super) bytes: BytesMut,
    pub(super) stats: ConnectionStats,
}

impl Outgoing {
    /// Appends a frame whose payload `write` appends.
    pub(super) fn frame(&mut self, write: impl FnOnce(&mut BytesMut)) {
        put_frame(&mut self.bytes, write);
        self.stats.sent += 1;
    }

    /// Appends a successful reply with the body that `body` appends.
    pub(super) fn reply(&mut self, xid: i32, zxid: Zxid, body: impl FnOnce(&mut BytesMut)) {
        self.frame(|out| {
            ReplyHeader { xid, zxid, err: 0 }.encode(out);
            body(out);
        });
    }

    /// Appends a reply that is its header only.
    pub(super) fn header(&mut self, xid: i32, zxid: Zxid, err: i32) {
        self.frame(|out| ReplyHeader { xid, zxid, err }.encode(out));
    }

    /// Appends a refusal.
    pub(super) fn refusal(&mut self, xid: i32, zxid: Zxid, error: OpError) {
        self.header(xid, zxid, error.code());
    }

    /// Appends a frame that is encoded already.
    pub(super) fn encoded(&mut self, frame: &[u8]) {
        self.bytes.put_slice(frame);
        self.stats.sent += 1;
    }

    /// Notes that a request was answered just now.
    pub(super) fn answered(&mut self, op: i32, xid: i32, zxid: Zxid, started: Mono, now: Now) {
        let stats = &mut self.stats;
        let latency_ms = now.mono.since(started) / 1_000_000;
        stats.last_op = op_name(op);
        if xid >= 0 {
            // Pings and the like do not hide what the client did last.
            stats.last_cxid = xid.into();
        }
        stats.last_zxid = zxid;
        stats.last_response_ms = now.mono.millis();
        stats.last_latency_ms = latency_ms;
        stats.min_latency_ms =
            if stats.replies == 0 { latency_ms } else { stats.min_latency_ms.min(latency_ms) };
        stats.max_latency_ms = stats.max_latency_ms.max(latency_ms);
        stats.total_latency_ms += latency_ms;
        stats.replies += 1;
    }
}

/// What `cons` calls an operation (Java: `lastOp` in FinalRequestProcessor).
const fn op_name(op: i32) -> &'static str {
    match op {
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => "CREA",
        op::DELETE => "DELE",
        op::EXISTS => "EXIS",
        op::GET_DATA => "GETD",
        op::SET_DATA => "SETD",
        op::GET_ACL => "GETA",
        op::SET_ACL => "SETA",
        op::GET_CHILDREN | op::GET_CHILDREN2 => "GETC",
        op::SYNC => "SYNC",
        op::PING => "PING",
        op::MULTI => "MULT",
        op::MULTI_READ => "MLTR",
        op::RECONFIG => "RECO",
        op::CHECK_WATCHES => "CHKW",
        op::REMOVE_WATCHES => "REMW",
        op::SET_WATCHES => "SETW",
        op::SET_WATCHES2 => "STW2",
        op::ADD_WATCH => "ADDW",
        op::GET_EPHEMERALS => "GETE",
        op::GET_ALL_CHILDREN_NUMBER => "GETACN",
        op::WHO_AM_I => "HOMI",
        op::CREATE_SESSION => "SESS",
        op::CLOSE_SESSION => "CLOS",
        _ => "NA",
    }
}
