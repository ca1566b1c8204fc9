//! One connection of the quorum port. Any thread may send on it, as on a client's; its task alone reads, and streams the
//! snapshot behind a SNAP packet, a piece at a time, so that nobody else waits for it and it is never in memory as a whole.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};
use zk_core::ids::{LinkId, Sid};
use zk_core::input::{Input, LinkEvent};
use zk_core::peer::quorum_link::{Arrival, QuorumReader};
use zk_core::tree::TreeView;
use zk_core::wire::quorum::QuorumPacket;

use super::complaints::{About, Port};
use super::outgoing::{CHUNK, Outgoing, Socket, Streamed, Waits, Wants};
use crate::client::socket::{ReadHalf, WriteHalf};
use crate::shared::Shared;

/// Bytes asked of the socket at once.
const READ: usize = 64 << 10;

/// A link as all threads see it.
#[derive(Debug)]
pub(crate) struct QuorumLink {
    id: LinkId,
    /// Where the other side is, for messages.
    pub(super) peer: String,
    outgoing: Outgoing,
    socket: WriteHalf,
    task: Mutex<Option<Waker>>,
    rung: AtomicBool,
    /// The socket is dead, or the link was hung up.
    dead: AtomicBool,
    /// Nothing more is to be told of it.
    hung_up: AtomicBool,
    sid: OnceLock<Sid>,
    /// A packet has come: who it is will be clear.
    pub(super) greeted: AtomicBool,
}

impl QuorumLink {
    /// `sid`: who is at the other end, if that is known.
    pub(super) fn new(id: LinkId, peer: String, sid: Option<Sid>, socket: WriteHalf) -> Self {
        Self {
            id,
            peer,
            outgoing: Outgoing::new(),
            socket,
            task: Mutex::new(None),
            rung: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
            sid: sid.map(OnceLock::from).unwrap_or_default(),
            greeted: AtomicBool::new(false),
        }
    }

    /// Who is at the other end, by its own word or because it was dialled.
    pub(super) fn sid(&self) -> Option<Sid> {
        self.sid.get().copied()
    }

    /// Queues a packet; somebody has to [`flush`](Self::flush).
    pub(crate) fn put(&self, packet: &QuorumPacket) {
        self.outgoing.put(packet);
    }

    /// Queues SNAP and the view.
    pub(crate) fn put_view(&self, view: &TreeView) {
        self.outgoing.put_view(view);
        self.ring();
    }

    /// Writes what there is, up to a snapshot.
    pub(crate) fn flush(&self) {
        self.after_writing(self.outgoing.flush(&self.socket));
    }

    fn resume(&self) {
        self.after_writing(self.outgoing.resume(&self.socket));
    }

    fn after_writing(&self, wants: io::Result<Wants>) {
        match wants {
            Ok(Wants::Nothing) => {}
            Ok(Wants::Task) => self.ring(),
            Err(_) => self.cut(),
        }
    }

    /// Ends it, and tells nobody.
    pub(crate) fn hang_up(&self) {
        self.hung_up.store(true, Ordering::Release);
        self.cut();
    }

    /// Ends it.
    pub(super) fn cut(&self) {
        self.dead.store(true, Ordering::Release);
        self.ring();
    }

    /// Wakes the task.
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        let waker = self.task.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_over(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// True if all that was to be sent is with the socket.
    pub(crate) fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// How packets waited to be sent.
    pub(super) fn waits(&self) -> Waits {
        self.outgoing.waits()
    }
}

impl Socket for WriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }
}

/// What the task waits for.
enum Next {
    Rung,
    Room,
    Read(io::Result<usize>),
}

/// The task of a link.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) link: Arc<QuorumLink>,
    pub(super) socket: ReadHalf,
    pub(super) reader: QuorumReader,
    /// A snapshot is coming in.
    loading: bool,
    /// When movement of a snapshot was told last.
    told: Instant,
    told_every: Duration,
    inputs: Vec<Input>,
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Arc<QuorumLink>,
        socket: ReadHalf,
        reader: QuorumReader,
    ) -> Self {
        let told_every = Duration::from_millis(u64::from(shared.facts.tick_ms)) / 4;
        Self {
            shared,
            link,
            socket,
            reader,
            loading: false,
            told: Instant::now(),
            told_every,
            inputs: vec![],
        }
    }

    /// Serves the link to its end.
    pub(super) async fn run(mut self) {
        self.tell(LinkEvent::Up);
        let why = match self.serve().await {
            Ok(why) => why.to_owned(),
            Err(why) => why,
        };
        self.shared.peers().forget_quorum(self.link.id);
        if !self.link.hung_up.load(Ordering::Acquire) {
            if let (LinkId::Accepted(_), Some(sid)) = (self.link.id, self.link.sid()) {
                info!(peer = self.link.peer, %sid, why, "the connection of a learner ends");
            }
            self.tell(LinkEvent::Down(why));
        }
    }

    async fn serve(&mut self) -> Result<&'static str, String> {
        while !self.link.is_over() {
            match std::future::poll_fn(|cx| self.poll_next(cx)).await {
                Next::Rung => {}
                Next::Room => self.link.resume(),
                Next::Read(Ok(0)) => return Ok("the other side hung up"),
                Next::Read(Ok(_)) => self.take_arrivals()?,
                Next::Read(Err(error)) => return Err(error.to_string()),
            }
            self.stream();
            if self.shared.is_pressed() {
                self.shared.peers().relief(&self.shared).await;
            }
        }
        Ok("it could not be written to")
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let link = &self.link;
        {
            let mut task = link.task.lock();
            if !task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        // After the waker is in its place, so that no ring is lost.
        if link.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(Next::Rung);
        }
        if link.outgoing.is_blocked() && self.socket.poll_room(cx).is_ready() {
            return Poll::Ready(Next::Room);
        }
        if let Poll::Ready(read) = self.socket.poll_read(cx, self.reader.buffer_mut(), READ) {
            return Poll::Ready(Next::Read(read));
        }
        Poll::Pending
    }

    /// The first packet of a learner says who it is.
    fn greeted(&self, packet: &QuorumPacket) {
        self.link.greeted.store(true, Ordering::Release);
        if let QuorumPacket::FollowerInfo { learner: Some(info), .. }
        | QuorumPacket::ObserverInfo { learner: Some(info), .. } = packet
            && self.link.sid.set(info.sid).is_ok()
        {
            self.shared.peers().judge_learner(&self.link.peer, info.sid);
        }
    }

    /// Passes on what came.
    fn take_arrivals(&mut self) -> Result<(), String> {
        let fault = loop {
            match self.reader.next_arrival() {
                Ok(None) => break None,
                Ok(Some(Arrival::Packet(packet))) => {
                    self.greeted(&packet);
                    self.loading |= matches!(packet, QuorumPacket::Snap { .. });
                    self.note(LinkEvent::Packet(packet));
                }
                Ok(Some(Arrival::Snapshot { tree, .. })) => {
                    self.loading = false;
                    self.note(LinkEvent::Snapshot(tree));
                }
                Err(fault) => break Some(fault),
            }
        };
        if self.loading && self.told.elapsed() >= self.told_every {
            self.moved();
        }
        if !self.inputs.is_empty() {
            self.shared.hear(&mut self.inputs);
        }
        let Some(fault) = fault else { return Ok(()) };
        let (peer, sid) = (self.link.peer.as_str(), self.link.sid());
        self.shared.peers().complain(About::Garbage(Port::Quorum), sid, |more| {
            let sid = sid.map(tracing::field::display);
            warn!(peer, sid, %fault, since_last_time = more, "not what servers speak on the quorum port: hung up");
        });
        Err(fault.to_string())
    }

    /// Sends the next piece of a snapshot. The next one follows when the task comes by again, after others had their turn.
    fn stream(&mut self) {
        let streamed = self.link.outgoing.stream(CHUNK);
        if streamed == Streamed::Nothing {
            return;
        }
        self.link.flush();
        if streamed == Streamed::All || self.told.elapsed() >= self.told_every {
            self.moved();
            self.shared.hear(&mut self.inputs);
        }
    }

    fn moved(&mut self) {
        self.told = Instant::now();
        self.note(LinkEvent::SnapshotMoved);
    }

    fn note(&mut self, event: LinkEvent) {
        self.inputs.push(Input::Link { link: self.link.id, event });
    }

    fn tell(&mut self, event: LinkEvent) {
        self.note(event);
        self.shared.hear(&mut self.inputs);
    }
}
