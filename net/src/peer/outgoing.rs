//! [`Outgoing`]: what is to be sent on a link of the quorum port, in order, whoever sends it.
//!
//! Any thread queues packets and writes them. A snapshot is made a piece at a time by whoever serves the link, whenever all that
//! comes before it is with the socket; what is queued meanwhile comes behind it. Free of sockets and of tokio; `tests` puts it
//! under loom (feature `loom`).

use std::io;
use std::time::Instant;

use bytes::BytesMut;
use zk_core::peer::quorum_link::SnapshotStream;
use zk_core::tree::TreeView;
use zk_core::wire::quorum::QuorumPacket;

use crate::client::outbuf::{Flushed, Outbuf, Wire};
use crate::metrics::Summary;
use crate::sync::Mutex;

/// Bytes handed to the socket at once, and of a snapshot made at a time.
pub(super) const CHUNK: usize = 64 << 10;
/// A buffer larger than this is given back to the allocator.
const KEPT_BUFFER: usize = 256 << 10;

/// A socket, as far as it is written to.
pub(super) trait Socket {
    /// Writes some of the bytes without waiting.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    out: Outbuf,
}

/// What is to be sent.
#[derive(Debug)]
struct Queue {
    bytes: BytesMut,
    /// Comes behind `bytes`.
    snapshot: Option<Snapshot>,
    /// Comes behind the snapshot.
    behind: BytesMut,
    /// Packets since the last ones were taken, and since when the first of them waits.
    packets: u64,
    since: Option<Instant>,
    waits: Waits,
}

/// How packets waited to be written, each batch that was taken together.
#[derive(Clone, Debug)]
pub struct Waits {
    /// `learner_handler_qp_size`: packets in a batch.
    pub sizes: Summary,
    /// `learner_handler_qp_time_ms`: how long the first of them waited, microseconds.
    pub times: Summary,
}

/// A snapshot on its way.
#[derive(Debug)]
struct Snapshot {
    stream: SnapshotStream,
    /// Its last piece is made.
    made: bool,
}

/// What is left for whoever serves the link once a thread has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Nothing.
    Nothing,
    /// To wait for room in the socket, or to make the next piece of a snapshot.
    Task,
}

/// What came of [`Outgoing::stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streamed {
    /// There is no snapshot, or what is before it has not left yet.
    Nothing,
    /// More follows.
    Piece,
    /// All of it is with the socket.
    All,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        let waits = Waits { sizes: Summary::basic(), times: Summary::advanced() };
        let (bytes, behind) = (BytesMut::new(), BytesMut::new());
        let queue = Queue { bytes, snapshot: None, behind, packets: 0, since: None, waits };
        Self { queue: Mutex::new(queue), out: Outbuf::new() }
    }

    /// Queues a packet; somebody has to [`flush`](Self::flush).
    pub(super) fn put(&self, packet: &QuorumPacket) {
        let mut queue = self.queue.lock();
        let Queue { bytes, snapshot, behind, packets, since, .. } = &mut *queue;
        *packets += 1;
        since.get_or_insert_with(Instant::now);
        packet.encode(if snapshot.is_some() { behind } else { bytes });
    }

    /// Queues SNAP and the view; whoever serves the link has to come.
    pub(super) fn put_view(&self, view: &TreeView) {
        let mut queue = self.queue.lock();
        assert!(queue.snapshot.is_none(), "invariant: a learner is sent one snapshot at a time");
        QuorumPacket::Snap { zxid: view.last_zxid() }.encode(&mut queue.bytes);
        queue.snapshot = Some(Snapshot { stream: SnapshotStream::new(view), made: false });
    }

    /// Writes what there is, up to a snapshot. An error is the socket's: it is dead.
    pub(super) fn flush(&self, socket: &impl Socket) -> io::Result<Wants> {
        let flushed = self.out.flush(&Writing { queue: &self.queue, socket });
        self.after_writing(flushed)
    }

    /// The same when the socket has room again. Only whoever serves the link calls this.
    pub(super) fn resume(&self, socket: &impl Socket) -> io::Result<Wants> {
        let flushed = self.out.resume(&Writing { queue: &self.queue, socket });
        self.after_writing(flushed)
    }

    fn after_writing(&self, flushed: io::Result<Flushed>) -> io::Result<Wants> {
        Ok(match flushed? {
            // The next piece of the snapshot is for whoever serves the link to make, whoever wrote the last one.
            Flushed::All if self.queue.lock().snapshot.is_some() => Wants::Task,
            Flushed::All | Flushed::ByAnother => Wants::Nothing,
            Flushed::Blocked => Wants::Task,
        })
    }

    /// True while the socket takes nothing.
    pub(super) fn is_blocked(&self) -> bool {
        self.out.is_blocked()
    }

    /// True if all that was to be sent is with the socket.
    pub(super) fn is_empty(&self) -> bool {
        let queue = self.queue.lock();
        queue.bytes.is_empty() && queue.snapshot.is_none() && !self.out.is_blocked()
    }

    /// How packets waited.
    pub(super) fn waits(&self) -> Waits {
        self.queue.lock().waits.clone()
    }

    /// Makes the next piece of a snapshot, about so many bytes, if everything before it has been written. To be flushed.
    pub(super) fn stream(&self, budget: usize) -> Streamed {
        let mut queue = self.queue.lock();
        let Queue { bytes, snapshot, behind, .. } = &mut *queue;
        if !bytes.is_empty() || self.out.is_blocked() {
            return Streamed::Nothing;
        }
        match snapshot {
            None => Streamed::Nothing,
            Some(Snapshot { made: true, .. }) => {
                *snapshot = None;
                *bytes = std::mem::take(behind);
                Streamed::All
            }
            Some(Snapshot { stream, made }) => {
                *made = stream.next(budget, bytes);
                Streamed::Piece
            }
        }
    }
}

/// The queue and where it goes.
struct Writing<'a, S> {
    queue: &'a Mutex<Queue>,
    socket: &'a S,
}

impl<S: Socket> Wire for Writing<'_, S> {
    fn take(&self) -> BytesMut {
        let mut queue = self.queue.lock();
        if queue.snapshot.is_none()
            && let Some(since) = queue.since.take()
        {
            let packets = std::mem::take(&mut queue.packets);
            queue.waits.sizes.record(packets);
            queue.waits.times.record(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        if queue.bytes.len() > CHUNK {
            return queue.bytes.split_to(CHUNK);
        }
        std::mem::take(&mut queue.bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    fn recycle(&self, mut buffer: BytesMut) {
        if buffer.capacity() == 0 || buffer.capacity() > KEPT_BUFFER {
            return;
        }
        buffer.clear();
        let mut queue = self.queue.lock();
        if queue.bytes.capacity() == 0 {
            queue.bytes = buffer;
        }
    }
}

#[cfg(all(test, feature = "loom"))]
mod tests {
    use super::*;
    use loom::sync::{Arc, Mutex as Watched};
    use loom::thread;
    use zk_core::ids::Zxid;
    use zk_core::tree::Tree;

    /// A link with a socket of little room.
    struct Link {
        outgoing: Outgoing,
        socket: Little,
        /// With a lock, as the waker of the real task has one.
        rung: Watched<bool>,
    }

    struct Little(Watched<(usize, Vec<u8>)>);

    impl Socket for Little {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            let (room, written) = &mut *self.0.lock().unwrap();
            if *room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let n = bytes.len().min(*room);
            *room -= n;
            written.extend_from_slice(&bytes[..n]);
            Ok(n)
        }
    }

    impl Link {
        fn new(room: usize) -> Arc<Self> {
            let socket = Little(Watched::new((room, Vec::new())));
            Arc::new(Self { outgoing: Outgoing::new(), socket, rung: Watched::new(false) })
        }

        fn ring_if(&self, wants: io::Result<Wants>) {
            if wants.unwrap() == Wants::Task {
                *self.rung.lock().unwrap() = true;
            }
        }

        /// What a thread with something to say does.
        fn say(&self, zxid: i64) {
            self.outgoing.put(&ack(zxid));
            self.ring_if(self.outgoing.flush(&self.socket));
        }

        /// What the task does when it is rung, and only then; false if it was not.
        fn come(&self, room: usize) -> bool {
            if !std::mem::take(&mut *self.rung.lock().unwrap()) {
                return false;
            }
            if self.outgoing.is_blocked() {
                self.socket.0.lock().unwrap().0 += room;
                self.ring_if(self.outgoing.resume(&self.socket));
            }
            if self.outgoing.stream(CHUNK) != Streamed::Nothing {
                self.ring_if(self.outgoing.flush(&self.socket));
            }
            true
        }

        fn written(&self) -> Vec<u8> {
            self.socket.0.lock().unwrap().1.clone()
        }
    }

    fn ack(zxid: i64) -> QuorumPacket {
        QuorumPacket::Ack { zxid: Zxid(zxid) }
    }

    fn bytes(packets: &[QuorumPacket]) -> Vec<u8> {
        let mut out = BytesMut::new();
        packets.iter().for_each(|packet| packet.encode(&mut out));
        out.to_vec()
    }

    /// SNAP and what follows it.
    fn snapshot(view: &TreeView) -> Vec<u8> {
        let mut out = BytesMut::new();
        QuorumPacket::Snap { zxid: view.last_zxid() }.encode(&mut out);
        while !SnapshotStream::new(view).next(1 << 20, &mut out) {}
        out.to_vec()
    }

    #[test]
    fn loom_packets_of_two_threads_all_leave_and_keep_their_order() {
        loom::model(|| {
            let link = Link::new(usize::MAX);
            let other = Arc::clone(&link);
            let thread = thread::spawn(move || other.say(1));
            link.say(2);
            link.say(3);
            thread.join().unwrap();
            while link.come(0) {}
            let written = link.written();
            let orders = [[1, 2, 3], [2, 1, 3], [2, 3, 1]].map(|order| bytes(&order.map(ack)));
            assert!(orders.contains(&written), "{written:?}");
            assert!(link.outgoing.is_empty());
        });
    }

    #[test]
    fn loom_a_snapshot_is_streamed_to_its_end_and_what_comes_meanwhile_follows_it() {
        loom::model(|| {
            let (link, tree) = (Link::new(usize::MAX), Tree::new());
            // In one turn of the replica, as a leader does it; NEWLEADER comes behind.
            link.outgoing.put(&ack(1));
            link.outgoing.put_view(&tree.view());
            link.outgoing.put(&ack(2));
            *link.rung.lock().unwrap() = true;
            let other = Arc::clone(&link);
            let thread = thread::spawn(move || other.say(3));
            link.come(0);
            thread.join().unwrap();
            while link.come(0) {}
            let expected = [bytes(&[ack(1)]), snapshot(&tree.view()), bytes(&[ack(2), ack(3)])].concat();
            assert_eq!(link.written(), expected);
            assert!(link.outgoing.is_empty());
        });
    }

    #[test]
    fn loom_a_full_socket_holds_up_nothing_for_ever() {
        loom::model(|| {
            let link = Link::new(10);
            let other = Arc::clone(&link);
            let thread = thread::spawn(move || other.say(1));
            link.say(2);
            link.come(100);
            thread.join().unwrap();
            while link.come(100) {}
            let orders = [[1, 2], [2, 1]].map(|order| bytes(&order.map(ack)));
            let written = link.written();
            assert!(orders.contains(&written), "{written:?}");
            assert!(link.outgoing.is_empty());
        });
    }
}
