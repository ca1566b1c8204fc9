//! The two ports of a member: the election port of every server from its start, the quorum port of whoever leads.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;
use zk_core::address::HostPort;

use super::{BindRetry, ListenOn};
use crate::client::socket::{self, Bound};
use crate::pace::Pace;
use crate::shared::Shared;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// The same for a leader, whose last listener may be about to go.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// Where a port is listened on: the hosts of the own server line, or all addresses of the machine.
pub(super) fn places(own: impl Iterator<Item = HostPort>, on: ListenOn) -> Vec<(Option<String>, u16)> {
    let place = |at: HostPort| match on {
        ListenOn::AllAddresses => (None, at.port),
        ListenOn::OwnAddresses => (Some(at.host), at.port),
    };
    let mut places = Vec::new();
    for place in own.map(place) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Takes the ports at these places, patiently: a name may not resolve yet, and another process may be about to leave.
pub(super) fn take(
    what: &str,
    places: &[(Option<String>, u16)],
    retry: BindRetry,
) -> Result<Vec<Bound>, (String, io::Error)> {
    let mut bound = Vec::new();
    for (host, port) in places {
        let mut tries = 0;
        bound.push(loop {
            let error = match socket::bind(host.as_deref(), *port) {
                Ok(bound) => break bound,
                Err(error) => error,
            };
            tries += 1;
            let at = format!("{}:{port}", host.as_deref().unwrap_or("*"));
            if !retry.allows(tries, &error) {
                return Err((at, error));
            }
            warn!(at, %error, tries, "cannot take the {what} port yet; trying again");
            std::thread::sleep(PAUSE);
        });
    }
    Ok(bound)
}

impl BindRetry {
    fn allows(self, tries: u32, error: &io::Error) -> bool {
        match self {
            Self::Forever => true,
            Self::Tries(most) => tries < most,
            Self::UnlessInUse => error.kind() != io::ErrorKind::AddrInUse || tries < Self::JAVA,
        }
    }
}

/// Takes connections at these ports for ever, each with `take`.
pub(super) async fn accept_all(
    shared: Arc<Shared>,
    ports: Vec<Bound>,
    what: &'static str,
    take: fn(&Arc<Shared>, TcpStream),
) {
    let mut accepting = tokio::task::JoinSet::new();
    for port in ports {
        let shared = Arc::clone(&shared);
        accepting.spawn(async move { accept(shared, port, what, take).await });
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(shared: Arc<Shared>, port: Bound, what: &'static str, take: fn(&Arc<Shared>, TcpStream)) {
    let address = port.address();
    let listener = match port.listen(None) {
        Ok(listener) => listener,
        Err(error) => return warn!(%address, %error, "cannot listen on the {what} port"),
    };
    let mut failures = Pace::default();
    loop {
        match listener.accept_stream().await {
            Ok(stream) => take(&shared, stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if let Some(more) = failures.complain() {
                    warn!(%address, %error, since_last_time = more, "cannot take a server's connection");
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The quorum port of a leader, or an election port that a reconfig moves: takes it, however long that takes, and then
/// connections.
pub(super) async fn open(
    shared: Arc<Shared>,
    places: Vec<(Option<String>, u16)>,
    what: &'static str,
    take_one: fn(&Arc<Shared>, TcpStream),
) {
    let mut failures = Pace::default();
    loop {
        let places = places.clone();
        // Names are looked up by the system, which may take its time.
        let taken = spawn_blocking(move || take(what, &places, BindRetry::Tries(1))).await;
        // Its thread panics only with the whole process.
        let Ok(taken) = taken else { return };
        match taken {
            Ok(ports) => return accept_all(shared, ports, what, take_one).await,
            Err((at, error)) => {
                if let Some(more) = failures.complain() {
                    warn!(at, %error, since_last_time = more, "cannot take the {what} port: no server gets through");
                }
                sleep(SHORT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[test]
    fn a_port_is_listened_on_where_its_line_says_or_everywhere_once() {
        let own = || [at("a", 1), at("b", 1), at("b", 2)].into_iter();
        let named = |host: &str, port| (Some(host.to_owned()), port);
        assert_eq!(places(own(), ListenOn::OwnAddresses), [named("a", 1), named("b", 1), named("b", 2)]);
        assert_eq!(places(own(), ListenOn::AllAddresses), [(None, 1), (None, 2)]);
    }

    #[test]
    fn a_port_in_use_is_given_up_on_and_a_name_that_does_not_resolve_is_not() {
        let (used, unknown) =
            (io::Error::from(io::ErrorKind::AddrInUse), io::Error::from(io::ErrorKind::NotFound));
        assert!(BindRetry::UnlessInUse.allows(2, &used) && !BindRetry::UnlessInUse.allows(3, &used));
        assert!(BindRetry::UnlessInUse.allows(1000, &unknown));
        assert!(BindRetry::Forever.allows(1000, &used));
        assert!(BindRetry::Tries(2).allows(1, &unknown) && !BindRetry::Tries(2).allows(2, &unknown));
    }

    #[test]
    fn a_port_in_use_is_named() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let places = [(Some("127.0.0.1".to_owned()), port)];
        let (at, error) = take("election", &places, BindRetry::Tries(1)).unwrap_err();
        assert_eq!((at, error.kind()), (format!("127.0.0.1:{port}"), io::ErrorKind::AddrInUse));
    }
}
