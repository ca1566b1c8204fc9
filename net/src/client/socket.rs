//! The sockets, in one place: what is not here does not know that they are tokio's.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The system's answer to "as many as allowed": Java's default.
const BACKLOG: u32 = 50;

/// A port that is taken and not listened on yet: clients are refused until the server can serve them.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Socket,
    address: SocketAddr,
}

/// Takes the port: on the named host, or on all addresses.
pub(crate) fn bind(host: Option<&str>, port: u16) -> io::Result<Bound> {
    let candidates: Vec<SocketAddr> = match host {
        Some(host) => (host, port).to_socket_addrs()?.collect(),
        None => vec![([0_u16; 8], port).into(), ([0_u8; 4], port).into()],
    };
    let mut refused = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in candidates {
        match bind_one(address) {
            Ok(bound) => return Ok(bound),
            // A machine without IPv6 has its IPv4 addresses still; a port that is taken is taken.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn bind_one(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(Bound { socket, address })
}

impl Bound {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections are taken from here on. Needs a tokio runtime around it.
    pub(crate) fn listen(self, backlog: Option<u32>) -> io::Result<Listener> {
        let backlog = i32::try_from(backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX);
        self.socket.listen(backlog)?;
        Ok(Listener(TcpListener::from_std(self.socket.into())?))
    }
}

/// A listening port.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// The next connection, with its peer's address (an IPv4 one also where it came through IPv6).
    pub(crate) async fn accept(&self) -> io::Result<(ReadHalf, WriteHalf, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (read, write) = split(stream)?;
        Ok((read, write, peer))
    }

    /// The next connection of another server.
    pub(crate) async fn accept_stream(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Both ways of a connection.
pub(crate) fn split(stream: TcpStream) -> io::Result<(ReadHalf, WriteHalf)> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok((ReadHalf(read), WriteHalf(write)))
}

/// What the connection's task holds.
#[derive(Debug)]
pub(crate) struct ReadHalf(OwnedReadHalf);

impl ReadHalf {
    /// Appends what has arrived, up to `max` bytes; 0 at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        into.reserve(max);
        let spare = into.spare_capacity_mut();
        let mut buffer = ReadBuf::uninit(&mut spare[..max]);
        let polled = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        match polled {
            Poll::Ready(Ok(())) => {
                // SAFETY: the reader has filled (hence initialised) `read` bytes from the beginning of the spare part.
                unsafe { into.advance_mut(read) };
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the socket takes bytes again.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream: &TcpStream = self.0.as_ref();
        stream.poll_write_ready(cx)
    }

    /// Says goodbye. What has arrived and was not read is thrown away: closing a socket over unread bytes resets it, and
    /// the client would lose the answer that was sent just before.
    pub(crate) fn finish(self) {
        let stream: &TcpStream = self.0.as_ref();
        // An error means that the other side is gone already.
        let _ = SockRef::from(stream).shutdown(Shutdown::Write);
        let mut waste = [0; 4096];
        for _ in 0..16 {
            if !matches!(stream.try_read(&mut waste), Ok(n) if n > 0) {
                return;
            }
        }
    }
}

/// A connection between two servers: whoever waits for it, it never waits itself.
#[derive(Debug)]
pub(crate) struct PeerSocket(std::net::TcpStream);

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The end of the stream.
    End,
    /// Bytes, and there may be more.
    Some,
    /// All bytes that had come.
    All,
}

/// What a peer's buffer grows by, bytes, and how little room is worth a read.
const PEER_BUFFER: usize = 32 << 10;
const PEER_ROOM: usize = 4 << 10;

impl PeerSocket {
    /// Takes it from the runtime.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(stream.into_std()?))
    }

    /// Appends what has arrived. What was read before may be in use still: there is a new buffer only when this one is used up.
    pub(crate) fn try_read(&self, into: &mut BytesMut) -> io::Result<Read> {
        if into.capacity() - into.len() < PEER_ROOM {
            into.reserve(PEER_BUFFER);
        }
        let spare = into.spare_capacity_mut();
        let asked = spare.len();
        let read = SockRef::from(&self.0).recv(spare)?;
        // SAFETY: the system has filled (hence initialised) `read` bytes from the beginning of the spare part.
        unsafe { into.advance_mut(read) };
        Ok(match read {
            0 => Read::End,
            read if read < asked => Read::All,
            _ => Read::Some,
        })
    }

    /// Writes without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    /// Says goodbye.
    pub(crate) fn finish(&self) {
        // An error means that the other side is gone already.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

impl AsFd for PeerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What every thread may write to.
#[derive(Debug)]
pub(crate) struct WriteHalf(OwnedWriteHalf);

impl WriteHalf {
    /// Writes without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_socket_says_whether_there_may_be_more_and_when_it_ends() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let socket = PeerSocket(stream);
        let mut came = BytesMut::new();
        other.write_all(b"abc").unwrap();
        assert_eq!(socket.try_read(&mut came).unwrap(), Read::All);
        let kept = came.split();
        let room = came.capacity();
        other.write_all(&vec![7; room]).unwrap();
        let mut there = vec![0; room];
        while socket.0.peek(&mut there).unwrap() < room {}
        assert_eq!((socket.try_read(&mut came).unwrap(), came.len()), (Read::Some, room));
        drop(other);
        assert_eq!(socket.try_read(&mut came).unwrap(), Read::End);
        assert_eq!(kept, b"abc"[..]);
    }
}
