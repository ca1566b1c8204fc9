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

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Mutex, MutexGuard};

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

    fn rest(&self) -> MutexGuard<'_, BytesMut> {
        self.rest.try_lock().expect("invariant: only whoever is busy touches it")
    }

    fn write_all(&self, wire: &impl Wire) -> io::Result<Flushed> {
        let mut rest = std::mem::take(&mut *self.rest());
        loop {
            if rest.is_empty() {
                wire.recycle(rest);
                rest = wire.take();
            }
            if rest.is_empty() {
                match self.state.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Ok(Flushed::All),
                    // Something may have come after the look: look again.
                    Err(_) => {
                        self.state.swap(BUSY, Ordering::AcqRel);
                    }
                }
                continue;
            }
            match wire.write(&rest) {
                Ok(n) => rest.advance(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *self.rest() = rest;
                    self.state.swap(BLOCKED, Ordering::AcqRel);
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

#[cfg(all(test, feature = "loom"))]
mod tests {
    use super::*;
    use crate::sync::atomic::AtomicBool;
    use loom::sync::{Arc, Mutex as Watched};
    use loom::thread;

    /// A connection's output and a socket of little room.
    struct Pipe {
        output: Watched<BytesMut>,
        socket: Watched<Socket>,
        rung: AtomicBool,
    }

    struct Socket {
        room: usize,
        written: Vec<u8>,
    }

    impl Pipe {
        fn new(room: usize) -> Self {
            let socket = Socket { room, written: Vec::new() };
            Self {
                output: Watched::new(BytesMut::new()),
                socket: Watched::new(socket),
                rung: AtomicBool::new(false),
            }
        }

        /// What a thread with a reply does.
        fn reply(&self, out: &Outbuf, byte: u8) {
            self.output.lock().unwrap().extend_from_slice(&[byte]);
            self.flush(out);
        }

        fn flush(&self, out: &Outbuf) {
            if out.flush(self).unwrap() == Flushed::Blocked {
                self.rung.store(true, Ordering::Release);
            }
        }

        fn written(&self) -> Vec<u8> {
            self.socket.lock().unwrap().written.clone()
        }
    }

    impl Wire for Pipe {
        fn take(&self) -> BytesMut {
            self.output.lock().unwrap().split()
        }
        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut socket = self.socket.lock().unwrap();
            if socket.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(socket.room);
            socket.room -= n;
            socket.written.extend_from_slice(&bytes[..n]);
            Ok(n)
        }
        fn recycle(&self, _: BytesMut) {}
    }

    #[test]
    fn loom_two_threads_with_replies_leave_none_behind() {
        loom::model(|| {
            let (out, pipe) = (Arc::new(Outbuf::new()), Arc::new(Pipe::new(8)));
            let other = {
                let (out, pipe) = (Arc::clone(&out), Arc::clone(&pipe));
                thread::spawn(move || pipe.reply(&out, 1))
            };
            pipe.reply(&out, 2);
            other.join().unwrap();
            let mut written = pipe.written();
            written.sort_unstable();
            assert_eq!(written, [1, 2]);
            assert!(pipe.output.lock().unwrap().is_empty());
        });
    }

    #[test]
    fn loom_bytes_keep_their_order_whoever_writes_them() {
        loom::model(|| {
            let (out, pipe) = (Arc::new(Outbuf::new()), Arc::new(Pipe::new(8)));
            pipe.output.lock().unwrap().extend_from_slice(&[1, 2]);
            let other = {
                let (out, pipe) = (Arc::clone(&out), Arc::clone(&pipe));
                thread::spawn(move || pipe.flush(&out))
            };
            pipe.reply(&out, 3);
            other.join().unwrap();
            assert_eq!(pipe.written(), [1, 2, 3]);
        });
    }

    #[test]
    fn loom_a_full_socket_is_resumed_by_the_task_alone() {
        loom::model(|| {
            let (out, pipe) = (Arc::new(Outbuf::new()), Arc::new(Pipe::new(1)));
            let other = {
                let (out, pipe) = (Arc::clone(&out), Arc::clone(&pipe));
                thread::spawn(move || pipe.reply(&out, 1))
            };
            pipe.reply(&out, 2);
            other.join().unwrap();
            // One byte did not fit, and somebody told the task.
            assert_eq!(
                (out.state.load(Ordering::Acquire), pipe.rung.load(Ordering::Acquire), pipe.written().len()),
                (BLOCKED, true, 1)
            );
            pipe.socket.lock().unwrap().room = 8;
            assert_eq!(out.resume(&*pipe).unwrap(), Flushed::All);
            let mut written = pipe.written();
            written.sort_unstable();
            assert_eq!(written, [1, 2]);
        });
    }
}
