//! The client port: sockets, frames and the order of bytes. What a frame means is [`zk_core::front`]'s business.

mod arrivals;
mod connection;
pub mod four_letter;
pub mod limits;
pub(crate) mod listener;
pub mod outbuf;
pub(crate) mod socket;
pub(crate) mod sweep;
pub(crate) mod table;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use bytes::BytesMut;
use parking_lot::Mutex;
use zk_core::action::CloseReason;
use zk_core::front::connection::Connection;
use zk_core::ids::ConnId;

use outbuf::{Flushed, Outbuf, Wire};
use socket::WriteHalf;

/// Bytes handed to the socket at once. More waits in the connection, where the limits see it.
const CHUNK: usize = 64 << 10;
/// A buffer larger than this is given back to the allocator rather than kept for the next reply.
const KEPT_BUFFER: usize = 16 << 10;

/// One client's connection as all threads see it; its task alone reads the socket.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ConnId,
    pub(crate) peer: SocketAddr,
    pub(crate) state: Mutex<Connection>,
    out: Outbuf,
    socket: WriteHalf,
    task: Mutex<Option<Waker>>,
    /// The task has something to look at besides the socket.
    rung: AtomicBool,
    /// The task does not read: the connection has enough in flight.
    full: AtomicBool,
    /// Closing, and everything before the close is with the socket.
    drained: AtomicBool,
    /// The socket is dead, or the connection is to go at once.
    dead: AtomicBool,
    /// Bytes written.
    written: AtomicU64,
    /// Rounds of [`sweep`] since it began to close.
    leaving: AtomicU8,
    /// Frames received at the last round.
    heard: AtomicU64,
    /// It came for a four-letter word.
    asks_word: AtomicBool,
    /// It is among those that wait for credit.
    pub(crate) starves: AtomicBool,
    /// Bytes of large requests that count against [`limits::LargeGuard`] for it.
    pub(crate) large: AtomicUsize,
}

impl Client {
    pub(crate) fn new(id: ConnId, peer: SocketAddr, state: Connection, socket: WriteHalf) -> Self {
        Self {
            id,
            peer,
            state: Mutex::new(state),
            out: Outbuf::new(),
            socket,
            task: Mutex::new(None),
            rung: AtomicBool::new(false),
            full: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            written: AtomicU64::new(0),
            leaving: AtomicU8::new(0),
            heard: AtomicU64::new(0),
            asks_word: AtomicBool::new(false),
            starves: AtomicBool::new(false),
            large: AtomicUsize::new(0),
        }
    }

    /// Writes what there is. Called by whoever added output, after letting go of gate and connection.
    pub(crate) fn flush(&self) {
        let flushed = self.out.flush(self);
        if self.wants_a_look(flushed) {
            self.ring();
        }
    }

    /// The same for the task itself, which looks at everything afterwards: to ring would wake it again and again.
    fn flush_by_task(&self) {
        let flushed = self.out.flush(self);
        self.wants_a_look(flushed);
    }

    /// The same once the socket has room again.
    fn resume(&self) {
        let flushed = self.out.resume(self);
        self.wants_a_look(flushed);
    }

    fn wants_a_look(&self, flushed: io::Result<Flushed>) -> bool {
        match flushed {
            Ok(Flushed::All) => self.drained.load(Ordering::Acquire) || self.full.load(Ordering::Acquire),
            // The task has to wait for room.
            Ok(Flushed::Blocked) => true,
            Ok(Flushed::ByAnother) => false,
            Err(_) => {
                self.dead.store(true, Ordering::Release);
                true
            }
        }
    }

    /// Asks for a close after the output.
    pub(crate) fn close(&self, why: CloseReason) {
        self.state.lock().close(why);
        self.flush();
    }

    /// Ends the connection without waiting for the client to read what is left for it.
    pub(crate) fn cut(&self) {
        self.dead.store(true, Ordering::Release);
        self.ring();
    }

    /// Wakes the task.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        let waker = self.task.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.out.is_blocked()
    }

    fn is_over(&self) -> bool {
        self.drained.load(Ordering::Acquire) || self.dead.load(Ordering::Acquire)
    }
}

impl Wire for Client {
    fn take(&self) -> BytesMut {
        let mut state = self.state.lock();
        let closing = state.closing().is_some();
        let output = state.output();
        if output.len() > CHUNK {
            return output.split_to(CHUNK);
        }
        if output.is_empty() {
            if closing {
                self.drained.store(true, Ordering::Release);
            }
            return BytesMut::new();
        }
        std::mem::take(output)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.try_write(bytes)?;
        self.written.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn recycle(&self, mut buffer: BytesMut) {
        if buffer.capacity() == 0 || buffer.capacity() > KEPT_BUFFER {
            return;
        }
        buffer.clear();
        let mut state = self.state.lock();
        if state.output().capacity() == 0 {
            *state.output() = buffer;
        }
    }
}
