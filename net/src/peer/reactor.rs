//! [`Reactor`]: a few threads that wait for the sockets of the quorum port together.
//!
//! One of them stands guard: it reads what comes, steps the replica, and writes the log itself. Before it turns to the disk it
//! lets the system wake another one for what comes next. So a packet costs one wake-up, whatever follows from it, and a slow
//! disk keeps nobody from listening. A runtime's worker would have to hand over what must not hold it up.
//!
//! There are two descriptors, one inside the other. The guard waits at the inner one, which has the sockets. The rest wait at
//! the outer one, which is quiet while there is a guard, and wakes one of them when something happens while there is none.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::quorum_link::QuorumLink;
use crate::log::Hand;
use crate::seat::Coming;
use crate::shared::Shared;

/// One that waits for the disk, and one that listens meanwhile.
pub(crate) const THREADS: usize = 2;
/// Sockets that one thread takes at once.
const EVENTS: usize = 8;
/// The key of the end, and at the outer descriptor that of the inner one.
const END: u64 = 0;
const SOCKETS: u64 = 1;
/// The outer descriptor tells once that there is something, the inner one once of each change.
const ONCE: EventFlags = EventFlags::IN.union(EventFlags::ONESHOT);
const CHANGES: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

/// See the module.
#[derive(Debug)]
pub(crate) struct Reactor {
    /// The inner descriptor, and the outer one.
    sockets: OwnedFd,
    standby: OwnedFd,
    end: OwnedFd,
    links: Mutex<HashMap<u64, Weak<QuorumLink>>>,
    keys: AtomicU64,
}

/// What is known of a socket that something has happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// There are bytes, or there is room.
    Moved,
    /// The other side has ended it, at least its half. Nothing more is heard of it.
    Ending,
}

impl Reactor {
    pub(super) fn new() -> io::Result<Self> {
        let standby = epoll::create(CreateFlags::CLOEXEC)?;
        let sockets = epoll::create(CreateFlags::CLOEXEC)?;
        let end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&standby, &end, EventData::new_u64(END), EventFlags::IN)?;
        epoll::add(&sockets, &end, EventData::new_u64(END), EventFlags::IN)?;
        epoll::add(&standby, &sockets, EventData::new_u64(SOCKETS), ONCE)?;
        Ok(Self { standby, sockets, end, links: Mutex::default(), keys: AtomicU64::new(0) })
    }

    /// A key for a link.
    pub(super) fn next_key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Serves a link from now on. Each change of its socket is told once.
    pub(super) fn add(&self, link: &Arc<QuorumLink>) -> io::Result<()> {
        self.links.lock().insert(link.key, Arc::downgrade(link));
        Ok(epoll::add(&self.sockets, &link.socket, EventData::new_u64(link.key), CHANGES)?)
    }

    /// Has it served although nothing may have changed.
    pub(super) fn rouse(&self, link: &QuorumLink) {
        // One that is not there any more has ended.
        let _ = epoll::modify(&self.sockets, &link.socket, EventData::new_u64(link.key), CHANGES);
    }

    /// Its socket is about to be closed, which takes it from the system's list.
    pub(super) fn forget(&self, link: &QuorumLink) {
        self.links.lock().remove(&link.key);
    }

    /// Ends its threads.
    pub(crate) fn close(&self) {
        // Nobody has written to it before, so it is not full.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
    }

    /// Waits until this thread is the guard; false at the end.
    fn stand_by(&self) -> Result<bool, Errno> {
        let mut space = [const { MaybeUninit::<Event>::uninit() }; 2];
        loop {
            let events = wait(&self.standby, &mut space)?;
            if !events.is_empty() {
                return Ok(events.iter().all(|event| key(event) != END));
            }
        }
    }

    /// Waits for something to happen; false at the end. Only the guard does.
    fn take(&self, happened: &mut Vec<(Arc<QuorumLink>, Ready)>) -> Result<bool, Errno> {
        let mut space = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        let events = wait(&self.sockets, &mut space)?;
        let links = self.links.lock();
        for event in events {
            if key(event) == END {
                return Ok(false);
            }
            let flags = event.flags;
            let over = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            let link = links.get(&key(event)).and_then(Weak::upgrade);
            happened.extend(link.map(|link| (link, if over { Ready::Ending } else { Ready::Moved })));
        }
        Ok(true)
    }

    /// From here on another thread is woken for what happens, or has happened.
    fn leave(&self) -> Result<(), Errno> {
        epoll::modify(&self.standby, &self.sockets, EventData::new_u64(SOCKETS), ONCE)
    }
}

/// Waits for events; there may be none after a signal.
fn wait<'a>(epoll: &OwnedFd, space: &'a mut [MaybeUninit<Event>]) -> Result<&'a [Event], Errno> {
    match epoll::wait(epoll, &mut *space, None) {
        Ok((events, _)) => Ok(events),
        Err(Errno::INTR) => Ok(&[]),
        Err(error) => Err(error),
    }
}

fn key(event: &Event) -> u64 {
    // A copy: the fields of the system's record are not aligned.
    let data = event.data;
    data.u64()
}

impl Shared {
    /// One of the threads.
    pub(crate) fn run_links(self: &Arc<Self>) {
        if let Err(error) = self.serve_links() {
            self.fail(format!("cannot wait for other servers: {error}"));
        }
    }

    fn serve_links(self: &Arc<Self>) -> Result<(), Errno> {
        let reactor = &self.peers().reactor;
        let mut happened = Vec::with_capacity(EVENTS);
        while reactor.stand_by()? {
            loop {
                if !reactor.take(&mut happened)? {
                    return Ok(());
                }
                for (link, ready) in happened.drain(..) {
                    link.come(self, ready);
                }
                if self.consensus.is_asked() {
                    self.decide(Hand::Writes);
                }
                if self.log.wants_writer() {
                    break;
                }
            }
            reactor.leave()?;
            self.write_log(Coming::By);
        }
        Ok(())
    }
}
