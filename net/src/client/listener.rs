//! The client port: takes connections, within limits, and never stops doing so.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tracing::{debug, warn};
use zk_core::front::connection::Connection;

use super::limits::Limits;
use super::socket::{Listener, ReadHalf, WriteHalf};
use super::{Client, connection};
use crate::pace::Pace;
use crate::shared::Shared;

/// After an accept that failed for want of something (file descriptors, memory): time for it to come back.
const BREATH: Duration = Duration::from_millis(100);

/// Takes connections for ever. An error of one accept never ends it (ZOOKEEPER-4203): a server that looks alive and
/// takes nobody is worse than a dead one.
pub(crate) async fn accept_all(shared: Arc<Shared>, listener: Listener) {
    let door = Arc::clone(&shared.entrance.door);
    let (mut failures, mut refusals) = (Pace::default(), Pace::default());
    loop {
        match listener.accept().await {
            Ok((read, write, peer)) => match Admission::ask(&door, peer.ip()) {
                Ok(admission) => take(&shared, read, write, peer, admission),
                Err(why) => {
                    shared.metrics.connections_rejected.increment();
                    if let Some(more) = refusals.complain() {
                        warn!(%peer, why, since_last_time = more, "connection refused");
                    }
                }
            },
            // The client was gone before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if let Some(more) = failures.complain() {
                    warn!(%error, since_last_time = more, "cannot take a connection; trying again");
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn take(shared: &Arc<Shared>, read: ReadHalf, write: WriteHalf, peer: SocketAddr, admission: Admission) {
    let id = shared.table.next_id();
    debug!(%peer, conn = id.0, "connection taken");
    let state = Connection::new(id, peer.ip().to_string(), shared.clock.now());
    let client = Arc::new(Client::new(id, peer, state, write));
    shared.table.insert(Arc::clone(&client));
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        connection::serve(shared, client, read).await;
        drop(admission);
    });
}

/// Where clients come in: a reconfig may move it, and those inside stay.
#[derive(Debug)]
pub(crate) struct Entrance {
    door: Arc<Door>,
    place: Mutex<Place>,
}

#[derive(Debug)]
struct Place {
    address: SocketAddr,
    accepting: Option<AbortHandle>,
    moving: Option<AbortHandle>,
}

impl Entrance {
    /// Nobody comes in yet.
    pub(crate) fn new(address: SocketAddr, limits: Limits) -> Self {
        Self {
            door: Arc::new(Door { limits, inside: Mutex::new(Inside::default()) }),
            place: Mutex::new(Place { address, accepting: None, moving: None }),
        }
    }

    /// Where it is now.
    pub(crate) fn address(&self) -> SocketAddr {
        self.place.lock().address
    }

    /// This task takes another port; whichever was about to before does not any more.
    pub(crate) fn moves(&self, task: AbortHandle) {
        if let Some(before) = self.place.lock().moving.replace(task) {
            before.abort();
        }
    }

    /// This task lets clients in, at this address, and no other does.
    pub(crate) fn opened(&self, address: SocketAddr, task: AbortHandle) {
        let mut place = self.place.lock();
        place.address = address;
        if let Some(before) = place.accepting.replace(task) {
            before.abort();
        }
    }

    /// Lets nobody in where the port is this one.
    pub(crate) fn close_if_at(&self, port: u16) {
        let mut place = self.place.lock();
        if place.address.port() == port
            && let Some(task) = place.accepting.take()
        {
            task.abort();
        }
    }
}

/// Who is inside, by address.
#[derive(Debug)]
struct Door {
    limits: Limits,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    total: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// A connection's place among those that are taken; given back when dropped.
#[derive(Debug)]
struct Admission {
    door: Arc<Door>,
    address: IpAddr,
}

impl Admission {
    fn ask(door: &Arc<Door>, address: IpAddr) -> Result<Self, String> {
        let mut inside = door.inside.lock();
        if let Some(limit) = door.limits.total.filter(|limit| inside.total >= *limit) {
            return Err(format!("there are {limit} connections, as many as maxCnxns allows"));
        }
        let from_there = inside.by_address.entry(address).or_default();
        if let Some(limit) = door.limits.per_address.filter(|limit| *from_there >= *limit) {
            return Err(format!("{address} has {limit} connections, as many as maxClientCnxns allows"));
        }
        *from_there += 1;
        inside.total += 1;
        Ok(Self { door: Arc::clone(door), address })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock();
        inside.total -= 1;
        if let Some(from_there) = inside.by_address.get_mut(&self.address) {
            *from_there -= 1;
            if *from_there == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(per_address: Option<u32>, total: Option<u32>) -> Arc<Door> {
        let limits = Limits { per_address, total, ..Limits::NONE };
        Arc::new(Door { limits, inside: Mutex::new(Inside::default()) })
    }

    #[test]
    fn an_address_has_no_more_connections_than_it_may() {
        let (door, a, b) = (door(Some(2), None), IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = Admission::ask(&door, a).unwrap();
        let _second = Admission::ask(&door, a).unwrap();
        assert!(Admission::ask(&door, a).unwrap_err().contains("maxClientCnxns"));
        let other = Admission::ask(&door, b).unwrap();
        drop(first);
        Admission::ask(&door, a).unwrap();
        drop(other);
        assert_eq!(door.inside.lock().by_address.len(), 1);
    }

    #[test]
    fn all_together_have_no_more_than_they_may() {
        let door = door(None, Some(2));
        let taken: Vec<_> =
            (1..=2).map(|n| Admission::ask(&door, IpAddr::from([127, 0, 0, n])).unwrap()).collect();
        assert!(Admission::ask(&door, IpAddr::from([127, 0, 0, 3])).unwrap_err().contains("maxCnxns"));
        drop(taken);
        assert_eq!(door.inside.lock().total, 0);
        Admission::ask(&door, IpAddr::from([127, 0, 0, 3])).unwrap();
    }
}
