//! Length-prefixed frames of the client port (client protocol §1): `i32 length | length bytes`, both directions.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::client::{ReplyHeader, RequestHeader, WatcherEvent, xid};
use super::jute::Jute;
use super::request::Request;
use crate::ids::Zxid;

/// A length prefix for which the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Less than nothing.
    #[error("frame length {0} is negative")]
    Negative(i32),
    /// A frame without even a header.
    #[error("frame of length 0")]
    Empty,
    /// More than `jute.maxbuffer`.
    #[error("frame length {found} exceeds the limit of {limit} bytes")]
    TooLong {
        /// The length in the prefix, bytes.
        found: usize,
        /// The largest that is accepted, bytes.
        limit: usize,
    },
}

/// Cuts a byte stream into frames. A length is judged as soon as its four bytes are there, before the payload comes.
///
/// Frames are slices of the receive buffer: one that arrives whole is not copied again.
#[derive(Clone, Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    frame_max: usize,
}

impl FrameReader {
    /// Accepts frames of up to `frame_max` bytes, prefix not counted.
    pub fn new(frame_max: usize) -> Self {
        Self { buffer: BytesMut::new(), frame_max }
    }

    /// Appends bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The receive buffer, for drivers that read from a socket right into it. They may only append.
    pub const fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The first four unread bytes, once they are there: before the handshake they may be a four-letter word.
    pub fn first_four(&self) -> Option<[u8; 4]> {
        self.buffer.first_chunk().copied()
    }

    /// How long the frame is that comes next, without its prefix, once that is known and acceptable.
    pub fn announced(&self) -> Option<usize> {
        self.judge(i32::from_be_bytes(self.first_four()?)).ok()
    }

    /// Bytes received and not yet handed out.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole frame without its prefix; `None` until more bytes come. After an error the stream has no
    /// frames any more, and the same error comes again.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(prefix) = self.first_four() else { return Ok(None) };
        let len = self.judge(i32::from_be_bytes(prefix))?;
        if self.buffer.len() < 4 + len {
            // No room is made for what was only promised: memory follows the bytes that came.
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    fn judge(&self, found: i32) -> Result<usize, FrameError> {
        match usize::try_from(found) {
            Err(_) => Err(FrameError::Negative(found)),
            Ok(0) => Err(FrameError::Empty),
            Ok(found) if found > self.frame_max => Err(FrameError::TooLong { found, limit: self.frame_max }),
            Ok(len) => Ok(len),
        }
    }
}

/// Appends a frame whose payload `write` appends; the length is filled in afterwards.
pub fn put_frame(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_i32(0);
    write(out);
    let len =
        i32::try_from(out.len() - at - 4).expect("no frame reaches 2 GiB: limits are checked at the door");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// Appends a reply with a body. (`put_frame` with a [`ReplyHeader`] serves bodies that are not one record.)
pub fn put_reply(out: &mut BytesMut, header: ReplyHeader, body: &impl Jute) {
    put_frame(out, |out| {
        header.encode(out);
        body.encode(out);
    });
}

/// Appends a reply that is its header only: errors, and operations that answer with nothing.
pub fn put_reply_header(out: &mut BytesMut, header: ReplyHeader) {
    put_frame(out, |out| header.encode(out));
}

/// Appends a watch notification (§10).
pub fn put_notification(out: &mut BytesMut, zxid: Zxid, event: &WatcherEvent) {
    put_reply(out, ReplyHeader { xid: xid::NOTIFICATION, zxid, err: 0 }, event);
}

/// Appends a client's request.
pub fn put_request(out: &mut BytesMut, xid: i32, request: &Request) {
    put_frame(out, |out| {
        RequestHeader { xid, op: request.op() }.encode(out);
        request.encode(out);
    });
}
