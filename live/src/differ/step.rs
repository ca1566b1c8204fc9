//! What is done to both servers: steps of one session at a time, as values that can be drawn, left out and printed.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use zk_core::ids::Zxid;
use zk_core::wire::client::{RequestHeader, op};
use zk_core::wire::framing::put_frame;
use zk_core::wire::jute::Jute;
use zk_core::wire::request::Request;

/// One session's turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which session, counted from 0.
    pub session: usize,
    /// What it does.
    pub act: Act,
}

impl Step {
    /// How many operations it is.
    pub const fn operations(&self) -> usize {
        match &self.act {
            Act::Ask(asks) => asks.len(),
            Act::Reattach(_) => 1,
        }
    }

    /// Whether it ends the session.
    pub fn closes(&self) -> bool {
        matches!(&self.act, Act::Ask(asks) if asks.iter().any(|ask| ask.op() == op::CLOSE_SESSION))
    }
}

/// What a session does in its turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Sends these at once, and then a ping.
    Ask(Vec<Ask>),
    /// Comes back on a new connection.
    Reattach(Reattach),
}

/// How a session comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reattach {
    /// What becomes of the connection before.
    pub before: Before,
    /// With which password.
    pub password: Password,
    /// Added to the last zxid that the session has seen.
    pub seen: i64,
    /// Asked for, ms.
    pub timeout_ms: i32,
    /// The handshake's last byte, which old clients leave out.
    pub read_only: Option<bool>,
}

/// What becomes of a session's connection when it comes back on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// The client has closed it.
    Cut,
    /// The client has it still.
    Open,
}

/// A password in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// The session's.
    Right,
    /// Another one.
    Wrong,
}

/// A frame of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A whole request.
    Whole(Request),
    /// One whose body lacks its last bytes.
    Short(Request, usize),
    /// One with bytes behind its body.
    Long(Request, usize),
    /// A body of the caller's own under an opcode.
    Raw(i32, Bytes),
}

impl Ask {
    /// The opcode.
    pub const fn op(&self) -> i32 {
        match self {
            Self::Whole(request) | Self::Short(request, _) | Self::Long(request, _) => request.op(),
            Self::Raw(op, _) => *op,
        }
    }

    /// The request that it was meant to be.
    pub const fn request(&self) -> Option<&Request> {
        match self {
            Self::Whole(request) | Self::Short(request, _) | Self::Long(request, _) => Some(request),
            Self::Raw(..) => None,
        }
    }

    /// Appends the frame. Relative zxids of setWatches count from the last zxid that the session has seen.
    pub fn put(&self, xid: i32, seen: Zxid, out: &mut BytesMut) {
        put_frame(out, |out| {
            RequestHeader { xid, op: self.op() }.encode(out);
            let begins = out.len();
            match self {
                Self::Raw(_, body) => out.put_slice(body),
                Self::Whole(request) | Self::Short(request, _) | Self::Long(request, _) => {
                    at_last(request, seen).encode(out);
                }
            }
            match self {
                Self::Short(_, lacks) => out.truncate(begins.max(out.len().saturating_sub(*lacks))),
                Self::Long(_, more) => out.put_bytes(0x5a, *more),
                Self::Whole(_) | Self::Raw(..) => {}
            }
        });
    }
}

/// The request with its relative zxid made absolute.
fn at_last(request: &Request, seen: Zxid) -> Request {
    let mut request = request.clone();
    match &mut request {
        Request::SetWatches(r) => r.relative_zxid = Zxid(seen.0 + r.relative_zxid.0),
        Request::SetWatches2(r) => r.relative_zxid = Zxid(seen.0 + r.relative_zxid.0),
        _ => {}
    }
    request
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.act {
            Act::Reattach(how) => writeln!(f, "session {}: {how:?}", self.session),
            Act::Ask(asks) => asks.iter().try_for_each(|ask| writeln!(f, "session {}: {ask}", self.session)),
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(request) => write!(f, "{request:?}"),
            Self::Short(request, lacks) => write!(f, "{request:?} without its last {lacks} bytes"),
            Self::Long(request, more) => write!(f, "{request:?} and {more} bytes more"),
            Self::Raw(op, body) => write!(f, "opcode {op} with {body:?}"),
        }
    }
}
