//! From a name to a connection. Names are looked up at every attempt: a server that has moved is found where it is now.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use zk_core::address::HostPort;

/// An address that has not answered by then does not keep the next one waiting.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to whichever address of these hosts answers first; they are tried in order, the next one when those before it
/// have had a little time.
pub(super) async fn connect(hosts: &[HostPort], patience: Duration) -> io::Result<TcpStream> {
    let attempt = async {
        let (addresses, unknown) = resolve(hosts).await;
        first_to_answer(addresses, unknown).await
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {patience:?}"));
    timeout(patience, attempt).await.map_err(|_| late())?
}

/// All addresses of the hosts that have any, and what is wrong with the last name that has none.
async fn resolve(hosts: &[HostPort]) -> (Vec<SocketAddr>, io::Error) {
    let mut addresses = Vec::new();
    let mut unknown = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address is configured");
    for HostPort { host, port } in hosts {
        match lookup_host((host.as_str(), *port)).await {
            Ok(found) => addresses.extend(found),
            Err(error) => unknown = io::Error::new(error.kind(), format!("{host}: {error}")),
        }
    }
    (addresses, unknown)
}

async fn first_to_answer(addresses: Vec<SocketAddr>, unknown: io::Error) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for (i, address) in addresses.into_iter().enumerate() {
        attempts.spawn(async move {
            sleep(HEAD_START * u32::try_from(i).unwrap_or(u32::MAX)).await;
            connect_to(address).await
        });
    }
    let mut refused = unknown;
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => refused = error,
            // Its thread panicked, which ends the process anyway.
            Err(_) => {}
        }
    }
    Err(refused)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let stream = TcpStream::connect(address).await.map_err(named)?;
    stream.set_nodelay(true)?;
    // The system may give a dial the very port that it dials, if nobody listens there: then it has reached itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(named(io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn listener() -> (TcpListener, HostPort) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, HostPort { host: "127.0.0.1".to_owned(), port })
    }

    #[tokio::test]
    async fn the_first_host_that_answers_is_taken() {
        let (gone, nobody) = listener().await;
        drop(gone);
        let (_listener, there) = listener().await;
        let nameless = HostPort { host: "no.such.name.invalid".to_owned(), port: 1 };
        let port = there.port;
        let stream = connect(&[nameless, nobody, there], PATIENCE).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn a_failure_names_the_address_or_the_name() {
        let (gone, nobody) = listener().await;
        drop(gone);
        let error = connect(std::slice::from_ref(&nobody), PATIENCE).await.unwrap_err().to_string();
        assert!(error.contains(&nobody.to_string()), "{error}");
        let nameless = HostPort { host: "no.such.name.invalid".to_owned(), port: 1 };
        let error = connect(&[nameless], PATIENCE).await.unwrap_err().to_string();
        assert!(error.contains("no.such.name.invalid"), "{error}");
    }
}
