//! Connections to other servers: bytes in and out by [`zk_core::peer`], snapshots streamed a piece at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_core::action::HangReason;
use zk_core::election::links::{self, AfterGreeting, LinkCommand};
use zk_core::election::port::PortInput;
use zk_core::election::vote::Notification;
use zk_core::ids::{LinkId, Sid, Zxid};
use zk_core::input::{Input, LinkEvent};
use zk_core::peer::election_link::{ElectionReader, Said, put_hello, put_notification};
use zk_core::peer::quorum_link::{self, QuorumReader, SnapshotStream};
use zk_core::time::Mono;
use zk_core::tree::TreeView;
use zk_core::wire::quorum::{QuorumPacket, Sender};

use super::{Context, Effect, Node, NodeEvent, Stop};
use crate::network::Arrival;
use crate::oracle::{Load, Violation};
use crate::wires::{Command, Name};

/// One end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    reader: Reader,
    is_up: bool,
    /// A snapshot is being sent; packets wait behind it.
    sending: Option<Sending>,
    /// The last zxid that was acknowledged on it.
    acked: Zxid,
    /// A learner was told on it to serve.
    is_live: bool,
    /// Since when nobody is at its other end and nothing has arrived, as far as was looked: who hangs up leaves behind what is on
    /// its way, and a slow path may take long for that.
    alone_since: Option<Mono>,
}

#[derive(Clone, Debug)]
enum Reader {
    Election(ElectionReader),
    Quorum(Box<QuorumReader>),
}

#[derive(Clone, Debug)]
struct Sending {
    stream: SnapshotStream,
    behind: VecDeque<Bytes>,
}

/// Bytes of a snapshot that may be on their way on one connection.
const WINDOW: usize = 64 << 10;

/// Bytes: some dozens of packets.
pub(super) const ROOM: usize = 4 << 10;

/// What reading came to.
enum Read {
    Input(Input),
    More,
    Broken(String),
}

impl Node {
    fn link(&self, name: Name) -> Link {
        let frame_max = self.settings.disk.record_max;
        let tree = self.settings.disk.tree;
        let ensemble = self.settings.replica.ensemble.as_ref();
        let own = || ensemble.map(|ensemble| Arc::clone(ensemble.membership.in_force()));
        let reader = match name {
            Name::Election(links::LinkId::Accepted(_)) => {
                Reader::Election(ElectionReader::accepted().knowing(own()))
            }
            Name::Election(links::LinkId::Dialled(_)) => {
                Reader::Election(ElectionReader::dialled().knowing(own()))
            }
            Name::Quorum(link) => {
                let sender = match link {
                    LinkId::Accepted(_) => Sender::Learner,
                    LinkId::Dialled(_) => Sender::Leader,
                };
                let mut reader = QuorumReader::new(sender, frame_max, tree);
                // What comes stays where it is as long as it is needed: room for many packets is made at once.
                *reader.buffer_mut() = BytesMut::with_capacity(ROOM);
                Reader::Quorum(Box::new(reader))
            }
        };
        Link { reader, is_up: false, sending: None, acked: Zxid::ZERO, is_live: false, alone_since: None }
    }

    /// Something arrived on a connection.
    pub fn wire(&mut self, name: Name, arrival: Arrival, cx: &mut Context<'_>) -> Result<(), Stop> {
        match arrival {
            Arrival::Opened => self.opened(name, cx)?,
            Arrival::Bytes(bytes) => {
                if let Some(link) = self.server().links.get_mut(&name) {
                    link.alone_since = None;
                    match &mut link.reader {
                        Reader::Election(reader) => reader.push(&bytes),
                        Reader::Quorum(reader) => reader.push(&bytes),
                    }
                }
                self.read_link(name, cx)?;
            }
            Arrival::Closed => self.closed(name, "closed by the other side", cx)?,
        }
        self.arm(cx);
        Ok(())
    }

    fn opened(&mut self, name: Name, cx: &mut Context<'_>) -> Result<(), Stop> {
        let is_accepted =
            matches!(name, Name::Election(links::LinkId::Accepted(_)) | Name::Quorum(LinkId::Accepted(_)));
        if is_accepted {
            let link = self.link(name);
            self.server().links.insert(name, link);
        }
        let Some(link) = self.server().links.get_mut(&name) else { return Ok(()) };
        link.is_up = true;
        let input = match name {
            Name::Election(link) => {
                let event =
                    if is_accepted { links::LinkEvent::Accepted } else { links::LinkEvent::Connected };
                Input::Election(PortInput::Link { link, event })
            }
            Name::Quorum(link) => Input::Link { link, event: LinkEvent::Up },
        };
        self.input(input, cx)
    }

    /// The connection is gone, or never came about.
    fn closed(&mut self, name: Name, why: &str, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(link) = self.server().links.remove(&name) else { return Ok(()) };
        let input = match (name, link.is_up) {
            (Name::Election(link), is_up) => {
                let event = if is_up { links::LinkEvent::Closed } else { links::LinkEvent::Failed };
                Input::Election(PortInput::Link { link, event })
            }
            (Name::Quorum(link), true) => Input::Link { link, event: LinkEvent::Down(why.to_owned()) },
            (Name::Quorum(link), false) => Input::Link { link, event: LinkEvent::DialFailed },
        };
        self.input(input, cx)
    }

    fn read_link(&mut self, name: Name, cx: &mut Context<'_>) -> Result<(), Stop> {
        loop {
            let Some(link) = self.server().links.get_mut(&name) else { return Ok(()) };
            match link.next(name) {
                Read::Input(input) => self.input(input, cx)?,
                Read::More => {
                    link.rest();
                    return Ok(());
                }
                Read::Broken(why) => {
                    cx.trace.mark("unreadable-link");
                    cx.trace.tell(cx.at, || self.name(), || format!("cannot read {name:?}: {why}"));
                    cx.effects.push(Effect::Wire(name, Command::Close));
                    return self.closed(name, &why, cx);
                }
            }
        }
    }

    pub(super) fn election_link(
        &mut self,
        link: links::LinkId,
        command: LinkCommand,
        cx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let name = Name::Election(link);
        match command {
            LinkCommand::Dial { sid, .. } => {
                let link = self.link(name);
                self.server().links.insert(name, link);
                cx.effects.push(Effect::Wire(name, Command::Dial(sid)));
            }
            LinkCommand::Greet { hello, then } => {
                let mut bytes = BytesMut::new();
                put_hello(&hello, &mut bytes);
                cx.effects.push(Effect::Wire(name, Command::Send(bytes.freeze())));
                if then == AfterGreeting::HangUp {
                    self.drop_link(name, cx);
                }
            }
            LinkCommand::Send(notification) => {
                let bytes = self.encoded(notification);
                cx.effects.push(Effect::Wire(name, Command::Send(bytes)));
                let event = links::LinkEvent::Sent;
                self.input(Input::Election(PortInput::Link { link, event }), cx)?;
            }
            LinkCommand::HangUp => self.drop_link(name, cx),
        }
        Ok(())
    }

    /// Everybody is told the same, one after the other: that takes memory once.
    fn encoded(&mut self, notification: Notification) -> Bytes {
        let told = &mut self.server().told;
        if let Some((_, bytes)) = told.as_ref().filter(|(last, _)| *last == notification) {
            return bytes.clone();
        }
        let mut bytes = BytesMut::new();
        put_notification(&notification, &mut bytes);
        let bytes = bytes.freeze();
        *told = Some((notification, bytes.clone()));
        bytes
    }

    fn drop_link(&mut self, name: Name, cx: &mut Context<'_>) {
        self.server().links.remove(&name);
        cx.effects.push(Effect::Wire(name, Command::Close));
    }

    pub(super) fn dial(&mut self, sid: Sid, link: LinkId, cx: &mut Context<'_>) {
        let name = Name::Quorum(link);
        let link = self.link(name);
        self.server().links.insert(name, link);
        cx.effects.push(Effect::Wire(name, Command::Dial(sid)));
    }

    pub(super) fn send_packet(&mut self, link: LinkId, packet: &QuorumPacket, cx: &mut Context<'_>) {
        let name = Name::Quorum(link);
        let server = self.server();
        let Some(link) = server.links.get_mut(&name) else { return };
        link.is_live |= matches!(packet, QuorumPacket::UpToDate);
        packet.encode(&mut server.unsent);
        let bytes = server.unsent.split().freeze();
        match &mut link.sending {
            Some(sending) => sending.behind.push_back(bytes),
            None => cx.effects.push(Effect::Wire(name, Command::Send(bytes))),
        }
    }

    pub(super) fn send_view(&mut self, link: LinkId, view: &TreeView, cx: &mut Context<'_>) {
        let name = Name::Quorum(link);
        let Some(link) = self.server().links.get_mut(&name) else { return };
        let snap = QuorumPacket::Snap { zxid: view.last_zxid() }.to_bytes();
        cx.effects.push(Effect::Wire(name, Command::Send(snap)));
        link.sending = Some(Sending { stream: SnapshotStream::new(view), behind: VecDeque::new() });
        self.schedule_stream(name, cx);
    }

    fn schedule_stream(&self, name: Name, cx: &mut Context<'_>) {
        let after = self.settings.snapshot.0.draw(cx.dice, crate::dice::Site::SnapshotDelay, self.id);
        cx.effects.push(Effect::Schedule(cx.at.plus(after), NodeEvent::Stream(name)));
    }

    /// The next piece of a snapshot goes out, if the other side has taken enough of what went before.
    pub(super) fn stream(&mut self, name: Name, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Name::Quorum(id) = name else { return Ok(()) };
        let (node, piece) = (self.id, self.settings.snapshot.1);
        let Some(link) = self.server().links.get_mut(&name) else { return Ok(()) };
        let Some(sending) = &mut link.sending else { return Ok(()) };
        if cx.wires.in_flight(node, name) >= WINDOW {
            self.schedule_stream(name, cx);
            return Ok(());
        }
        let mut bytes = BytesMut::new();
        let done = sending.stream.next(piece, &mut bytes);
        cx.effects.push(Effect::Wire(name, Command::Send(bytes.freeze())));
        if done {
            let sending = link.sending.take().expect("looked at above");
            cx.effects
                .extend(sending.behind.into_iter().map(|bytes| Effect::Wire(name, Command::Send(bytes))));
        } else {
            self.schedule_stream(name, cx);
        }
        self.boundary()?;
        self.input(Input::Link { link: id, event: LinkEvent::SnapshotMoved }, cx)
    }

    /// The oracle sees what this server holds.
    pub(super) fn weigh(&mut self, cx: &mut Context<'_>) -> Result<(), Violation> {
        let (node, now, leads) = (self.id, self.clock.now(cx.at).mono, self.leads());
        let (Some(ensemble), Some(server)) = (&mut *cx.ensemble, &mut self.server) else { return Ok(()) };
        let mut load = Load {
            requests: if leads { 0 } else { server.replica.outstanding() },
            is_overdue: server.replica.deadline().is_some_and(|deadline| deadline <= now),
            ..Load::default()
        };
        for (name, link) in &mut server.links {
            if let Name::Election(_) = name {
                load.election_links += 1;
                continue;
            }
            load.quorum_links += 1;
            link.alone_since = cx.wires.is_alone(node, *name).then(|| link.alone_since.unwrap_or(now));
            let alone = link.alone_since.map_or(0, |since| now.since(since));
            load.alone = load.alone.max(Duration::from_nanos(alone));
            if link.is_live {
                let behind = link.sending.iter().flat_map(|sending| &sending.behind);
                let behind: usize = behind.map(Bytes::len).sum();
                load.queued = load.queued.max(cx.wires.in_flight(node, *name) + behind);
            }
        }
        ensemble.carries(node, &load)
    }

    pub(super) fn hang(&mut self, link: LinkId, why: &HangReason, cx: &mut Context<'_>) {
        cx.trace.tell(cx.at, || self.name(), || format!("hangs up {link}: {why:?}"));
        match why {
            HangReason::Fault(_) => cx.trace.mark("peer-fault"),
            HangReason::TooManySyncs => cx.trace.mark("observer-turned-away"),
            _ => {}
        }
        self.drop_link(Name::Quorum(link), cx);
    }
}

impl Link {
    pub(super) const fn acked(&self) -> Zxid {
        self.acked
    }

    /// Nothing is there to be read.
    fn rest(&mut self) {
        if let Reader::Election(reader) = &mut self.reader {
            reader.rest();
        }
    }

    fn next(&mut self, name: Name) -> Read {
        match (&mut self.reader, name) {
            (Reader::Election(reader), Name::Election(link)) => match reader.next_said() {
                Ok(None) => Read::More,
                Ok(Some(Said::Hello(hello))) => {
                    let event = links::LinkEvent::Heard(hello);
                    Read::Input(Input::Election(PortInput::Link { link, event }))
                }
                Ok(Some(Said::Notification { notification, .. })) => {
                    Read::Input(Input::Election(PortInput::Notification { link, notification }))
                }
                Ok(Some(Said::Skipped(_))) => self.next(name),
                Err(fault) => Read::Broken(fault.to_string()),
            },
            (Reader::Quorum(reader), Name::Quorum(link)) => {
                let event = match reader.next_arrival() {
                    Ok(None) => return Read::More,
                    Ok(Some(quorum_link::Arrival::Packet(packet))) => {
                        if let QuorumPacket::Ack { zxid } = packet {
                            self.acked = zxid;
                        }
                        LinkEvent::Packet(packet)
                    }
                    Ok(Some(quorum_link::Arrival::Snapshot { tree, .. })) => LinkEvent::Snapshot(tree),
                    Err(fault) => return Read::Broken(fault.to_string()),
                };
                Read::Input(Input::Link { link, event })
            }
            _ => unreachable!("a link's reader is of its port"),
        }
    }
}
