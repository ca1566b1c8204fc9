//! One connection's task: it alone reads the socket; it serves what it can on the spot, passes the rest to the replica, and
//! stops reading when the client has enough in flight.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use tracing::{debug, info};
use zk_core::action::CloseReason;
use zk_core::front::{self, Host, Intake};
use zk_core::time::Now;
use zk_core::wire::framing::FrameReader;

use super::Client;
use super::arrivals::{Arrivals, Judgement};
use super::four_letter::{self, Word};
use super::socket::ReadHalf;
use super::table::Desk;
use crate::consensus::requests_in;
use crate::gate::Entry;
use crate::log::Hand;
use crate::metrics::{Tally, Way};
use crate::shared::Shared;

/// Frames served under one entry of the gate.
const FRAMES_MAX: usize = 64;
/// Bytes asked of the socket at once; a client that fills it is asked for more.
const READ: usize = 16 << 10;
const READ_MORE: usize = 128 << 10;

thread_local! {
    /// Buffers of the calls into the core. Every thread serves one connection at a time.
    static SCRATCH: RefCell<(Intake, Tally)> = RefCell::default();
}

/// Why no more frames are served for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// There is no whole frame.
    NeedsBytes,
    /// Enough under one entry of the gate.
    Batch,
    /// The connection has enough in flight, or is closing; it rings when that may have changed.
    Full,
    /// The replica has enough in flight.
    NoCredit,
}

/// What the task waits for.
enum Next {
    Rung,
    Room,
    Read(io::Result<usize>),
}

struct Task {
    shared: Arc<Shared>,
    client: Arc<Client>,
    socket: ReadHalf,
    frames: FrameReader,
    /// The first four bytes are settled: no four-letter word comes any more.
    greeted: bool,
    /// Whether the socket is to be read.
    reads: bool,
    read_size: usize,
    /// Bytes read and not counted yet.
    received: u64,
    /// When what is in `frames` came; only while requests are throttled.
    arrivals: Arrivals,
}

/// Serves a connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, client: Arc<Client>, socket: ReadHalf) {
    let frames = FrameReader::new(shared.front.frame_max);
    let arrivals = Arrivals::new(&shared.requests);
    let mut task = Task {
        shared,
        client,
        socket,
        frames,
        greeted: false,
        reads: true,
        read_size: READ,
        received: 0,
        arrivals,
    };
    let broken = task.run().await;
    task.finish(broken);
}

impl Task {
    /// Until the connection is over; an error if the socket broke.
    async fn run(&mut self) -> io::Result<()> {
        while !self.client.is_over() {
            match poll_fn(|cx| self.poll_next(cx)).await {
                Next::Rung => {}
                Next::Room => self.client.resume(),
                Next::Read(Ok(0)) => return Ok(()),
                Next::Read(Ok(read)) => {
                    self.received += read as u64;
                    self.arrivals.came(read, || self.shared.clock.mono());
                    self.read_size = if read == self.read_size { READ_MORE } else { READ };
                }
                Next::Read(Err(error)) => return Err(error),
            }
            self.serve_frames();
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let client = &self.client;
        {
            let mut task = client.task.lock();
            if !task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        // After the waker is in its place, so that no ring is lost.
        if client.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(Next::Rung);
        }
        if client.is_blocked() && self.socket.poll_room(cx).is_ready() {
            return Poll::Ready(Next::Room);
        }
        if self.reads
            && let Poll::Ready(read) = self.socket.poll_read(cx, self.frames.buffer_mut(), self.read_size)
        {
            return Poll::Ready(Next::Read(read));
        }
        Poll::Pending
    }

    /// Serves the frames that are there, and decides whether to read on.
    fn serve_frames(&mut self) {
        if !self.greeted && !self.greet() {
            return;
        }
        self.client.full.store(false, Ordering::Release);
        self.reads = loop {
            match self.serve_batch() {
                Stop::Batch => {}
                Stop::NeedsBytes => break true,
                // Its own output may have been what filled it, and has been written since.
                Stop::Full if self.client.state.lock().wants_input() => {}
                Stop::Full => break false,
                // Who is throttled is read from a little all the same, so that it is heard if the client goes.
                Stop::NoCredit if self.shared.starve(&self.client) => {
                    break self.shared.is_throttled() && self.frames.buffered() < READ;
                }
                Stop::NoCredit => {}
            }
        };
        if self.frames.buffered() == 0 {
            // Idle connections hold no buffers.
            *self.frames.buffer_mut() = BytesMut::new();
        }
    }

    /// Serves frames under one entry of the gate; then tells the replica, and writes the replies.
    fn serve_batch(&mut self) -> Stop {
        SCRATCH.with_borrow_mut(|(intake, tally)| {
            let now = self.shared.clock.now();
            let stop = self.take_frames(now, intake, tally);
            let (shared, client) = (&self.shared, &self.client);
            let received = std::mem::take(&mut self.received);
            shared.metrics.count(Entry::of_this_thread(), tally, received, now.mono);
            self.arrivals.report(&shared.metrics);
            if !intake.inputs.is_empty() {
                shared.submit(&mut intake.inputs);
                shared.decide(Hand::Rings);
            }
            intake.dirty.clear();
            client.flush_by_task();
            for (conn, why) in intake.close.drain(..) {
                if let Some(other) = shared.table.get(conn) {
                    other.close(why);
                }
            }
            stop
        })
    }

    fn take_frames(&mut self, now: Now, intake: &mut Intake, tally: &Tally) -> Stop {
        let (shared, client) = (&self.shared, &self.client);
        let tree = shared.gate.enter(Entry::of_this_thread());
        let desk = Desk { shared, tally };
        let host = Host { config: &shared.front, tree: &tree, conns: &desk, watches: &shared.watches, now };
        let mut state = client.state.lock();
        for _ in 0..FRAMES_MAX {
            if !state.wants_input() {
                // Under the connection's lock: whoever changes that comes after, and rings.
                client.full.store(true, Ordering::Release);
                return Stop::Full;
            }
            if state.in_flight() > 0 && !shared.consensus.has_credit() || shared.is_throttled() {
                return Stop::NoCredit;
            }
            if !has_room(shared, client, &self.frames) {
                shared.metrics.large_rejected.increment();
                state.close(CloseReason::LargeRequest);
                continue;
            }
            let buffered = self.frames.buffered();
            match self.frames.next_frame() {
                Ok(Some(frame)) => {
                    let before = intake.inputs.len();
                    let timeout_ms = state.timeout_ms();
                    let took = buffered - self.frames.buffered();
                    match self.arrivals.judge(took, now.mono, timeout_ms, &shared.requests, &shared.metrics) {
                        Judgement::InTime => {
                            tally.of(&mut state, |state| front::receive(state, frame, &host, intake));
                        }
                        Judgement::Late => {
                            tally.of(&mut state, |state| front::receive_late(state, frame, &host, intake));
                        }
                        Judgement::Stale => state.close(CloseReason::Stale),
                    }
                    shared.consensus.let_in(requests_in(&intake.inputs[before..]));
                    if let Some(large) = &shared.large {
                        large.settle(&client.large, state.large_bytes());
                    }
                }
                Ok(None) => return Stop::NeedsBytes,
                Err(error) => state.close(CloseReason::Malformed(error.to_string())),
            }
        }
        Stop::Batch
    }

    /// Looks at the first four bytes: a word is answered here, anything else is a frame's length. True once it is clear
    /// that frames come.
    fn greet(&mut self) -> bool {
        let Some(first) = self.frames.first_four() else { return false };
        let Some(word) = Word::parse(first) else {
            self.greeted = true;
            self.shared.metrics.connection_requests.increment();
            return true;
        };
        let metrics = &self.shared.metrics;
        if !self.client.asks_word.swap(true, Ordering::Relaxed) {
            metrics.count_word(Entry::of_this_thread(), Way::In);
        }
        let behind = &self.frames.buffer_mut()[4..];
        let Some(answer) = four_letter::answer(&self.shared, word, behind) else {
            // The mask behind `stmk` is still to come.
            return false;
        };
        debug!(peer = %self.client.peer, ?word, "answered");
        metrics.count_word(Entry::of_this_thread(), Way::Out);
        {
            let mut state = self.client.state.lock();
            state.output().put_slice(answer.as_bytes());
            state.close(CloseReason::SessionClosed);
        }
        self.reads = false;
        self.client.flush_by_task();
        false
    }

    /// The connection is over: nobody finds it any more, its watches go, the replica hears of it.
    fn finish(self, broken: io::Result<()>) {
        let Self { shared, client, socket, greeted, mut frames, arrivals, .. } = self;
        shared.table.remove(client.id);
        if greeted && arrivals.are_noted() {
            while let Ok(Some(_)) = frames.next_frame() {
                shared.metrics.stale_dropped.increment();
            }
        }
        if let Some(large) = &shared.large {
            large.settle(&client.large, 0);
        }
        shared.metrics.bytes_sent.add(client.written.load(Ordering::Relaxed));
        let (mut inputs, session, why) = SCRATCH.with_borrow_mut(|(intake, tally)| {
            let mut state = client.state.lock();
            let desk = Desk { shared: &shared, tally };
            let session = state.session();
            let closing = state.closing().cloned();
            front::gone(&mut state, &desk, &shared.watches, intake);
            intake.dirty.clear();
            (std::mem::take(&mut intake.inputs), session, closing)
        });
        if greeted {
            tell_end(&shared, &client, session, why, broken);
        }
        socket.finish();
        if !inputs.is_empty() {
            shared.submit(&mut inputs);
            shared.decide(Hand::Rings);
        }
    }
}

/// True unless the next frame is large and there is no room for it. The room it needs is taken once it is there.
fn has_room(shared: &Shared, client: &Client, frames: &FrameReader) -> bool {
    let (Some(large), Some(len)) = (&shared.large, frames.announced()) else { return true };
    if frames.buffered() < 4 + len {
        return large.may_come(len);
    }
    let taken = large.take(len);
    client.large.fetch_add(taken.unwrap_or(0), Ordering::Relaxed);
    taken.is_some()
}

/// Once for every connection; loudly only where a client does what it should not.
fn tell_end(
    shared: &Shared,
    client: &Client,
    session: Option<zk_core::ids::SessionId>,
    why: Option<CloseReason>,
    broken: io::Result<()>,
) {
    let (peer, metrics) = (client.peer, &shared.metrics);
    let session = session.map(tracing::field::display);
    match why {
        None => match broken {
            Ok(()) => debug!(%peer, session, "the client hung up"),
            Err(error) => debug!(%peer, session, %error, "the connection broke"),
        },
        Some(CloseReason::SessionClosed | CloseReason::ShuttingDown) => {
            debug!(%peer, session, "connection closed");
        }
        Some(CloseReason::SessionExpired | CloseReason::SessionTakenOver) => {
            info!(%peer, session, reason = ?why, "connection closed");
        }
        Some(CloseReason::Throttled) => {
            metrics.connections_rejected.increment();
            let reason = in_words(&CloseReason::Throttled);
            shared.strangers.about("throttled", |more| {
                info!(%peer, reason, since_last_time = more, "connection refused");
            });
        }
        Some(why) => {
            metrics.connections_dropped.increment();
            if matches!(why, CloseReason::AuthFailed | CloseReason::AuthRequired) {
                metrics.auth_failed.increment();
            }
            let reason = in_words(&why);
            if session.is_some() {
                return info!(%peer, session, reason, "connection dropped");
            }
            // Anybody can connect, again and again.
            shared.strangers.about(kind_of(&why), |more| {
                info!(%peer, reason, since_last_time = more, "connection without a session dropped");
            });
        }
    }
}

/// What strangers are told apart by.
const fn kind_of(why: &CloseReason) -> &'static str {
    match why {
        CloseReason::Refused(_) => "refused",
        CloseReason::Malformed(_) | CloseReason::UnknownOpcode(_) => "malformed",
        CloseReason::Idle => "idle",
        CloseReason::NotServing => "not serving",
        _ => "other",
    }
}

/// A reason as operators read it.
fn in_words(why: &CloseReason) -> String {
    match why {
        CloseReason::Refused(text) => format!("refused: {text}"),
        CloseReason::Malformed(text) => format!("not the protocol: {text}"),
        CloseReason::UnknownOpcode(op) => format!("opcode {op} is unknown"),
        CloseReason::AuthFailed => "authentication failed".to_owned(),
        CloseReason::AuthRequired => {
            "a request came without an identity that enforce.auth.schemes asks for".to_owned()
        }
        CloseReason::Idle => "nothing was heard of it for too long".to_owned(),
        CloseReason::Throttled => "more clients connect than connection_throttle_tokens allows".to_owned(),
        CloseReason::LargeRequest => {
            "the large requests in flight come to more than largeRequestMaxBytes".to_owned()
        }
        CloseReason::Stale => "its requests waited for longer than its session's timeout".to_owned(),
        CloseReason::SlowReader => "it does not read what it asked for".to_owned(),
        CloseReason::NotServing => "this server serves nobody at the moment".to_owned(),
        other => format!("{other:?}"),
    }
}
