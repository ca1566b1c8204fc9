//! One connection of the quorum port. Any thread may send on it, as on a client's; the threads of the [`Reactor`] read, one at
//! a time, and stream the snapshot behind a SNAP packet, a piece at a time, so that nobody else waits for it and it is never in
//! memory as a whole.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::{info, warn};
use zk_core::ids::{LinkId, Sid};
use zk_core::input::{Input, LinkEvent};
use zk_core::peer::quorum_link::{Arrival, QuorumReader};
use zk_core::tree::TreeView;
use zk_core::wire::quorum::QuorumPacket;

use super::complaints::{About, Port};
use super::outgoing::{CHUNK, Outgoing, Socket, Streamed, Waits, Wants};
use super::reactor::{Reactor, Ready};
use crate::client::socket::{PeerSocket, Read};
use crate::seat::{Coming, Left, Seat};
use crate::shared::Shared;

/// Reads of one link before others have their turn.
const READS_MAX: usize = 8;

/// A link as all threads see it.
#[derive(Debug)]
pub(crate) struct QuorumLink {
    id: LinkId,
    /// Where the other side is, for messages.
    pub(super) peer: String,
    outgoing: Outgoing,
    pub(super) socket: PeerSocket,
    reactor: Arc<Reactor>,
    /// By which the reactor knows it.
    pub(super) key: u64,
    /// `None` once the link has ended.
    receiving: Seat<Option<Receiving>, Ready>,
    /// The socket is dead, or the link was hung up.
    dead: AtomicBool,
    /// Nothing more is to be told of it.
    hung_up: AtomicBool,
    sid: OnceLock<Sid>,
    /// A packet has come: who it is will be clear.
    pub(super) greeted: AtomicBool,
    /// It is among those that wait for relief.
    pub(super) held_back: AtomicBool,
}

/// What comes in on a link, as far as it has come.
#[derive(Debug)]
pub(super) struct Receiving {
    reader: QuorumReader,
    /// The replica knows that the link is up.
    is_told: bool,
    /// A snapshot is coming in.
    loading: bool,
    /// When movement of a snapshot was told last.
    told: Instant,
    told_every: Duration,
    inputs: Vec<Input>,
}

impl QuorumLink {
    /// `sid`: who is at the other end, if that is known.
    pub(super) fn new(
        id: LinkId,
        peer: String,
        sid: Option<Sid>,
        socket: PeerSocket,
        reactor: Arc<Reactor>,
        receiving: Receiving,
    ) -> Self {
        Self {
            key: reactor.next_key(),
            reactor,
            receiving: Seat::new(Some(receiving)),
            id,
            peer,
            outgoing: Outgoing::new(),
            socket,
            dead: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
            sid: sid.map(OnceLock::from).unwrap_or_default(),
            greeted: AtomicBool::new(false),
            held_back: AtomicBool::new(false),
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

    /// Has a thread look at it.
    pub(super) fn ring(&self) {
        self.reactor.rouse(self);
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

impl Drop for QuorumLink {
    fn drop(&mut self) {
        self.reactor.forget(self);
    }
}

impl Socket for PeerSocket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }
}

/// How a link ends.
type Ended = Result<&'static str, String>;

impl QuorumLink {
    /// Something has happened to the socket. What follows from it is for the caller to have decided.
    pub(super) fn come(self: &Arc<Self>, shared: &Arc<Shared>, ready: Ready) {
        self.receiving.put_one(ready);
        let left =
            self.receiving.come(Coming::By, |receiving, ready| self.serve(shared, receiving, ready), |()| {});
        if left == Left::Filling {
            self.ring();
        }
    }

    /// The replica gets what has come in its order: before the next thread sits down.
    fn serve(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        receiving: &mut Option<Receiving>,
        ready: &mut Vec<Ready>,
    ) {
        let Some(working) = receiving.as_mut().filter(|_| !ready.is_empty()) else { return ready.clear() };
        let ending = ready.contains(&Ready::Ending);
        ready.clear();
        let ended = working.serve(self, shared, ending);
        let mut inputs = std::mem::take(&mut working.inputs);
        if let Some(why) = ended {
            *receiving = None;
            self.end(shared, why, &mut inputs);
        }
        shared.submit(&mut inputs);
        if let Some(working) = receiving {
            working.inputs = inputs;
        }
    }

    fn end(&self, shared: &Arc<Shared>, why: Ended, inputs: &mut Vec<Input>) {
        self.dead.store(true, Ordering::Release);
        self.socket.finish();
        shared.peers().forget_quorum(self.id);
        if self.hung_up.load(Ordering::Acquire) {
            return;
        }
        let why = why.map_or_else(|why| why, str::to_owned);
        if let (LinkId::Accepted(_), Some(sid)) = (self.id, self.sid()) {
            info!(peer = self.peer, %sid, why, "the connection of a learner ends");
        }
        inputs.push(Input::Link { link: self.id, event: LinkEvent::Down(why) });
    }

    /// The first packet of a learner says who it is.
    fn greet(&self, packet: &QuorumPacket, shared: &Shared) {
        self.greeted.store(true, Ordering::Release);
        if let QuorumPacket::FollowerInfo { learner: Some(info), .. }
        | QuorumPacket::ObserverInfo { learner: Some(info), .. } = packet
            && self.sid.set(info.sid).is_ok()
        {
            shared.peers().judge_learner(&self.peer, info.sid);
        }
    }
}

impl Receiving {
    pub(super) fn new(reader: QuorumReader, tick_ms: u32) -> Self {
        let told_every = Duration::from_millis(u64::from(tick_ms)) / 4;
        Self { reader, is_told: false, loading: false, told: Instant::now(), told_every, inputs: vec![] }
    }

    /// Does what is to be done on a link; why it has ended, if it has. `ending`: nothing more is heard of the socket.
    fn serve(&mut self, link: &Arc<QuorumLink>, shared: &Arc<Shared>, ending: bool) -> Option<Ended> {
        if !std::mem::replace(&mut self.is_told, true) {
            self.note(link, LinkEvent::Up);
        }
        if link.outgoing.is_blocked() {
            link.resume();
        }
        self.stream(link);
        if link.is_over() {
            return Some(Ok("it could not be written to"));
        }
        for _ in 0..READS_MAX {
            if shared.is_pressed() {
                shared.hold_back(link);
                return None;
            }
            match link.socket.try_read(self.reader.buffer_mut()) {
                Ok(Read::End) => return Some(Ok("the other side hung up")),
                Ok(Read::All) => {
                    let taken = self.take_arrivals(link, shared);
                    if ending {
                        // What was there is read, and its end is not told again.
                        link.ring();
                    }
                    return taken.err().map(Err);
                }
                Ok(Read::Some) => {
                    if let Err(fault) = self.take_arrivals(link, shared) {
                        return Some(Err(fault));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error.to_string())),
            }
        }
        link.ring();
        None
    }

    /// Passes on what came.
    fn take_arrivals(&mut self, link: &QuorumLink, shared: &Shared) -> Result<(), String> {
        let fault = loop {
            match self.reader.next_arrival() {
                Ok(None) => break None,
                Ok(Some(Arrival::Packet(packet))) => {
                    link.greet(&packet, shared);
                    self.loading |= matches!(packet, QuorumPacket::Snap { .. });
                    self.note(link, LinkEvent::Packet(packet));
                }
                Ok(Some(Arrival::Snapshot { tree, .. })) => {
                    self.loading = false;
                    self.note(link, LinkEvent::Snapshot(tree));
                }
                Err(fault) => break Some(fault),
            }
        };
        if self.loading && self.told.elapsed() >= self.told_every {
            self.moved(link);
        }
        let Some(fault) = fault else { return Ok(()) };
        let (peer, sid) = (link.peer.as_str(), link.sid());
        shared.peers().complain(About::Garbage(Port::Quorum), sid, |more| {
            let sid = sid.map(tracing::field::display);
            warn!(peer, sid, %fault, since_last_time = more, "not what servers speak on the quorum port: hung up");
        });
        Err(fault.to_string())
    }

    /// Sends the next piece of a snapshot. The next one follows when somebody comes by again, after others had their turn.
    fn stream(&mut self, link: &QuorumLink) {
        let streamed = link.outgoing.stream(CHUNK);
        if streamed == Streamed::Nothing {
            return;
        }
        link.flush();
        if streamed == Streamed::All || self.told.elapsed() >= self.told_every {
            self.moved(link);
        }
    }

    fn moved(&mut self, link: &QuorumLink) {
        self.told = Instant::now();
        self.note(link, LinkEvent::SnapshotMoved);
    }

    fn note(&mut self, link: &QuorumLink, event: LinkEvent) {
        self.inputs.push(Input::Link { link: link.id, event });
    }
}
