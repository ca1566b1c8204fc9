//! [`Outbuf`]: who writes a connection's output to its socket, so that any thread may, one at a time, in order.
//!
//! Replies are written by the thread that made them: to wake a task for each costs more than the write. Two threads may
//! have something for one connection at once; the second leaves it to the first, which looks again before it goes.
//!
//! ```text
//!          flush            flush by another           nothing left
//!  Idle ─────────► Busy ◄──────────────────► Again     Busy ──► Idle, Again ──► Busy
//!                   │ socket full                      resume
//!                   └────────────────────► Blocked ──────────────► Busy
//! ```
//! While it is blocked nobody writes; the connection's task waits for room and resumes. Free of sockets and of tokio;
//! `tests` puts it under loom (feature `loom`).

use std::io;

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;

use crate::sync::atomic::{AtomicU8, Ordering};

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const AGAIN: u8 = 2;
const BLOCKED: u8 = 3;

/// The writer's seat, and what it took and could not write yet.
#[derive(Debug)]
pub struct Outbuf {
    state: AtomicU8,
    /// Only whoever is busy touches it.
    rest: Mutex<BytesMut>,
}

/// How a flush left the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// All that was there is with the socket.
    All,
    /// Somebody else writes, and will look again; or waits for the socket.
    ByAnother,
    /// The socket is full: the task waits for room and calls [`Outbuf::resume`].
    Blocked,
}

/// Where output comes from and goes to.
pub trait Wire {
    /// Takes the next bytes to write, in order; empty if there are none.
    fn take(&self) -> BytesMut;
    /// Writes some of the bytes without waiting.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Takes back an emptied buffer, for the next output.
    fn recycle(&self, buffer: BytesMut);
}

impl Outbuf {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self { state: AtomicU8::new(IDLE), rest: Mutex::new(BytesMut::new()) }
    }

    /// Writes what there is, unless another thread is at it. An error is the socket's: it is dead.
    pub fn flush(&self, wire: &impl Wire) -> io::Result<Flushed> {
        let entered = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
            IDLE => Some(BUSY),
            BUSY => Some(AGAIN),
            _ => None,
        });
        match entered {
            Ok(IDLE) => self.write_all(wire),
            _ => Ok(Flushed::ByAnother),
        }
    }

    /// The socket has room again. Only the connection's task calls this.
    pub fn resume(&self, wire: &impl Wire) -> io::Result<Flushed> {
        match self.state.compare_exchange(BLOCKED, BUSY, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => self.write_all(wire),
            Err(_) => Ok(Flushed::ByAnother),
        }
    }

    /// True while the socket takes nothing.
    pub fn is_blocked(&self) -> bool {
        self.state.load(Ordering::Acquire) == BLOCKED
    }

    fn write_all(&self, wire: &impl Wire) -> io::Result<Flushed> {
        let mut rest = std::mem::take(&mut *self.rest.lock());
        loop {
            if rest.is_empty() {
                wire.recycle(rest);
                rest = wire.take();
            }
            if rest.is_empty() {
                match self.state.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Ok(Flushed::All),
                    // Something may have come after the look: look again.
                    Err(_) => self.state.store(BUSY, Ordering::Release),
                }
                continue;
            }
            match wire.write(&rest) {
                Ok(n) => rest.advance(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *self.rest.lock() = rest;
                    self.state.store(BLOCKED, Ordering::Release);
                    return Ok(Flushed::Blocked);
                }
                // The state stays busy: nobody writes to a dead socket again.
                Err(error) => return Err(error),
            }
        }
    }
}

impl Default for Outbuf {
    fn default() -> Self {
        Self::new()
    }
}
