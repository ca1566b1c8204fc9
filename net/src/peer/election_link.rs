//! One connection of the election port: a task that carries out what [`zk_core::election::links`] commands, and tells what
//! happens. Messages are few and small; nothing here is in a hurry, and nothing waits for another connection.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{debug, info, warn};
use zk_core::address::HostPort;
use zk_core::election::links::{AfterGreeting, LinkCommand, LinkEvent, LinkId};
use zk_core::election::port::PortInput;
use zk_core::ids::Sid;
use zk_core::input::Input;
use zk_core::peer::election_link::{ElectionReader, Said, put_hello, put_notification};

use super::complaints::{About, Port};
use super::{KeepAlive, dial};
use crate::shared::Shared;

/// Commands for one link. Bounded by the core: it gives the next message when the last has left.
pub(super) type Commands = UnboundedSender<LinkCommand>;

impl Shared {
    /// Does this with a connection of the election port.
    pub(crate) fn command_election(self: &Arc<Self>, link: LinkId, command: LinkCommand) {
        let peers = self.peers();
        match command {
            LinkCommand::Dial { sid, address } => {
                let (commands, orders) = unbounded_channel();
                peers.election.lock().insert(link, commands);
                let shared = Arc::clone(self);
                peers.runtime.spawn(async move { shared.dial_election(link, sid, address, orders).await });
            }
            // Whoever is hung up on hears that its channel is gone.
            LinkCommand::HangUp => drop(peers.election.lock().remove(&link)),
            command => {
                if let Some(commands) = peers.election.lock().get(&link) {
                    // A link that has ended by itself has said so.
                    let _ = commands.send(command);
                }
            }
        }
    }

    /// Somebody dialled us.
    pub(super) fn accept_election(self: &Arc<Self>, stream: TcpStream) {
        let peers = self.peers();
        let link = LinkId::Accepted(peers.next_number());
        let (commands, orders) = unbounded_channel();
        peers.election.lock().insert(link, commands);
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            shared.tell_link(link, LinkEvent::Accepted);
            Serving::new(Arc::clone(&shared), link, None, stream).run(orders).await;
            shared.peers().election.lock().remove(&link);
        });
    }

    async fn dial_election(
        self: Arc<Self>,
        link: LinkId,
        sid: Sid,
        address: HostPort,
        mut orders: UnboundedReceiver<LinkCommand>,
    ) {
        let peers = self.peers();
        let connected = tokio::select! {
            biased;
            // There is no other command before the dial has got through: it is hung up on.
            _ = orders.recv() => return,
            connected = dial::connect(std::slice::from_ref(&address), peers.config.dial_timeout) => connected,
        };
        match connected {
            Ok(stream) => {
                peers.reached(sid);
                self.tell_link(link, LinkEvent::Connected);
                Serving::new(Arc::clone(&self), link, Some(sid), stream).run(orders).await;
            }
            Err(error) => {
                peers.missed(sid, "election", &error);
                self.tell_link(link, LinkEvent::Failed);
            }
        }
        peers.election.lock().remove(&link);
    }

    fn tell_link(self: &Arc<Self>, link: LinkId, event: LinkEvent) {
        self.tell_election(PortInput::Link { link, event });
    }

    fn tell_election(self: &Arc<Self>, input: PortInput) {
        self.hear(&mut vec![Input::Election(input)]);
    }
}

/// A connection that stands.
struct Serving {
    shared: Arc<Shared>,
    link: LinkId,
    /// Who is at the other end, as far as it was said.
    sid: Option<Sid>,
    peer: String,
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    reader: ElectionReader,
    unwritten: BytesMut,
    /// What follows when that is written.
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    TellSent,
    HangUp,
}

/// Bytes: the config of an ensemble of a dozen servers, and what is said of it.
const READ_AT_ONCE: usize = 1 << 10;

/// How a link ends.
enum End {
    /// By command, or as agreed.
    HungUp,
    /// By the other side.
    Closed(String),
}

impl Serving {
    fn new(shared: Arc<Shared>, link: LinkId, sid: Option<Sid>, stream: TcpStream) -> Self {
        // Whoever dials greets.
        let reader = sid.map_or_else(ElectionReader::accepted, |_| ElectionReader::dialled());
        // So that all who have the same list share it in memory.
        let reader = reader.knowing(Some(shared.peers().members()));
        let peer = stream.peer_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
        if shared.peers().config.keep_alive == KeepAlive::On
            && let Err(error) = SockRef::from(&stream).set_keepalive(true)
        {
            warn!(peer, %error, "the connection goes without keepalive");
        }
        let (read, write) = stream.into_split();
        Self { shared, link, sid, peer, read, write, reader, unwritten: BytesMut::new(), then: Then::Nothing }
    }

    async fn run(mut self, orders: UnboundedReceiver<LinkCommand>) {
        match self.serve(orders).await {
            Ok(End::HungUp) if self.sid.is_none() => {
                self.shared.peers().complain(About::Silent(Port::Election), None, |more| {
                    info!(
                        peer = self.peer,
                        since_last_time = more,
                        "a connection to the election port does not say who it is: hung up"
                    );
                });
            }
            Ok(End::HungUp) => debug!(peer = self.peer, "election link hung up"),
            Ok(End::Closed(why)) => self.closed(&why),
            Err(error) => self.closed(&error.to_string()),
        }
    }

    fn closed(&self, why: &str) {
        debug!(peer = self.peer, why, "election link closed");
        self.shared.tell_link(self.link, LinkEvent::Closed);
    }

    async fn serve(&mut self, mut orders: UnboundedReceiver<LinkCommand>) -> io::Result<End> {
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    None | Some(LinkCommand::HangUp) => return Ok(End::HungUp),
                    Some(command) => self.obey(command),
                },
                written = self.write.write_buf(&mut self.unwritten), if self.unwritten.has_remaining() => {
                    written?;
                    if let Some(end) = self.after_writing() {
                        return Ok(end);
                    }
                }
                read = self.read.read_buf(room(&mut self.reader)) => {
                    let read = read?;
                    if let Some(end) = self.hear() {
                        return Ok(end);
                    }
                    if read == 0 {
                        return Ok(End::Closed("the other side hung up".to_owned()));
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: LinkCommand) {
        match command {
            LinkCommand::Greet { hello, then } => {
                put_hello(&hello, &mut self.unwritten);
                if then == AfterGreeting::HangUp {
                    self.then = Then::HangUp;
                }
            }
            LinkCommand::Send(notification) => {
                put_notification(&notification, &mut self.unwritten);
                self.then = Then::TellSent;
            }
            LinkCommand::Dial { .. } | LinkCommand::HangUp => {}
        }
    }

    fn after_writing(&mut self) -> Option<End> {
        if self.unwritten.has_remaining() {
            return None;
        }
        match std::mem::replace(&mut self.then, Then::Nothing) {
            Then::Nothing => None,
            Then::TellSent => {
                self.shared.tell_link(self.link, LinkEvent::Sent);
                None
            }
            Then::HangUp => Some(End::HungUp),
        }
    }

    /// Tells what was said; the end, if it cannot be understood.
    fn hear(&mut self) -> Option<End> {
        loop {
            match self.reader.next_said() {
                Ok(None) => {
                    self.reader.rest();
                    return None;
                }
                Ok(Some(Said::Hello(hello))) => {
                    self.sid = Some(hello.sid);
                    self.shared.peers().judge_greeting(&self.peer, &hello);
                    self.shared.tell_link(self.link, LinkEvent::Heard(hello));
                }
                Ok(Some(Said::Notification { notification, fault })) => {
                    if let Some(fault) = fault {
                        debug!(peer = self.peer, %fault, "a vote came with a config that is none");
                    }
                    if let Some(theirs) = &notification.config {
                        self.shared.peers().judge_list(&self.peer, self.sid, theirs);
                    }
                    let link = self.link;
                    self.shared.tell_election(PortInput::Notification { link, notification });
                }
                Ok(Some(Said::Skipped(error))) => {
                    self.shared.peers().complain(About::Skipped, self.sid, |more| {
                        warn!(peer = self.peer, %error, since_last_time = more, "a vote that is none was skipped");
                    });
                }
                Err(fault) => {
                    self.shared.peers().complain(About::Garbage(Port::Election), self.sid, |more| {
                        warn!(peer = self.peer, %fault, since_last_time = more, "not an election peer: hung up");
                    });
                    return Some(End::Closed(fault.to_string()));
                }
            }
        }
    }
}

/// To read into.
fn room(reader: &mut ElectionReader) -> &mut BytesMut {
    let buffer = reader.buffer_mut();
    buffer.reserve(READ_AT_ONCE);
    buffer
}
