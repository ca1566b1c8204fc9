//! One connection of the election port: the greeting, then messages ([`crate::election::links`] says who sends which).

use alloc::sync::Arc;
use bytes::BytesMut;
use thiserror::Error;

use crate::config::quorum_config::{ConfigTextError, QuorumConfig};
use crate::election::links::Hello;
use crate::election::vote::{Notification, Vote};
use crate::error::DecodeError;
use crate::wire::election::{Handshake, HandshakeForm, Notification as Encoded, NotificationForm};
use crate::wire::framing::{FrameError, FrameReader, put_frame};
use crate::wire::limits::ELECTION_MESSAGE_MAX;

/// Reads what the other side sends.
///
/// SASL runs behind the greeting: a driver that wants it takes its packets from [`Self::buffer_mut`] (after [`Said::Hello`]
/// if it accepted, at once if it dialled) before it asks for messages.
#[derive(Clone, Debug)]
pub struct ElectionReader {
    frames: FrameReader,
    greeted: bool,
    /// The last config that came, or the reader's own: the same text is not read again with every vote.
    known: Option<Arc<QuorumConfig>>,
}

/// What the other side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Who it is.
    Hello(Hello),
    /// A vote.
    Notification {
        /// The vote.
        notification: Notification,
        /// Why the config that came with it is left out, if it does not parse: the vote counts all the same.
        fault: Option<ConfigTextError>,
    },
    /// A message that is none. Its length was right, so the connection goes on, as Java's does.
    Skipped(DecodeError),
}

/// Why nothing that follows on the connection can be understood: it is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkFault {
    /// The greeting is none.
    #[error("greeting: {0}")]
    Greeting(DecodeError),
    /// A length is none.
    #[error("message: {0}")]
    Frame(FrameError),
}

impl ElectionReader {
    /// On a connection that was accepted: the other side greets first.
    pub fn accepted() -> Self {
        Self { frames: FrameReader::new(ELECTION_MESSAGE_MAX), greeted: false, known: None }
    }

    /// On a connection that we dialled: only messages come.
    pub fn dialled() -> Self {
        Self { greeted: true, ..Self::accepted() }
    }

    /// Tells it a config that is likely to come: that of this server.
    #[must_use]
    pub fn knowing(self, config: Option<Arc<QuorumConfig>>) -> Self {
        Self { known: config, ..self }
    }

    /// Appends bytes from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// The receive buffer, to read into or for SASL to take from.
    pub const fn buffer_mut(&mut self) -> &mut BytesMut {
        self.frames.buffer_mut()
    }

    /// Gives the memory of what was read back, to be called when nothing more is there. A vote comes with the config, 10 KB of
    /// it among 255 members; links to them all that are silent for days need not keep that much each.
    pub fn rest(&mut self) {
        let buffer = self.frames.buffer_mut();
        if buffer.is_empty() {
            *buffer = BytesMut::new();
        }
    }

    /// What was said next; `None` until more bytes come. What was received before the connection was closed is asked for
    /// before the close is told.
    pub fn next_said(&mut self) -> Result<Option<Said>, LinkFault> {
        if !self.greeted {
            let handshake = Handshake::take(self.frames.buffer_mut()).map_err(LinkFault::Greeting)?;
            self.greeted = handshake.is_some();
            return Ok(handshake.map(|h| Said::Hello(Hello { sid: h.sid, addresses: h.addresses })));
        }
        let frame = self.frames.next_frame().map_err(LinkFault::Frame)?;
        Ok(frame.map(|frame| match Encoded::decode(frame) {
            Ok(encoded) => self.notification(&encoded),
            Err(fault) => Said::Skipped(fault),
        }))
    }

    fn notification(&mut self, encoded: &Encoded) -> Said {
        let Encoded { state, leader, zxid, round, peer_epoch, .. } = *encoded;
        let (config, fault) = match &encoded.form {
            NotificationForm::Versioned { config: Some(text), .. } => self.config(text),
            NotificationForm::Bare
            | NotificationForm::Unversioned { .. }
            | NotificationForm::Versioned { .. } => (None, None),
        };
        let vote = Vote { leader, zxid, peer_epoch };
        let notification = Notification { state, vote, round, version: encoded.version(), config };
        Said::Notification { notification, fault }
    }

    fn config(&mut self, text: &[u8]) -> (Option<Arc<QuorumConfig>>, Option<ConfigTextError>) {
        if let Some(known) = self.known.as_ref().filter(|known| *known.text() == text) {
            return (Some(Arc::clone(known)), None);
        }
        // Malformed bytes become U+FFFD, which no config can have where it matters.
        match QuorumConfig::parse(&alloc::string::String::from_utf8_lossy(text)) {
            Ok(config) => (Some(Arc::clone(self.known.insert(Arc::new(config)))), None),
            Err(fault) => (None, Some(fault)),
        }
    }
}

/// Appends a greeting, to be written in one piece. One address is told in the form that every version reads.
pub fn put_hello(hello: &Hello, out: &mut BytesMut) {
    let form = match hello.addresses.len() {
        0 => HandshakeForm::V0,
        1 => HandshakeForm::V1,
        _ => HandshakeForm::V2,
    };
    Handshake { form, sid: hello.sid, addresses: hello.addresses.clone() }.encode(out);
}

/// Appends a message. Those without a config, which we do not send ourselves, are written as 3.4 writes them.
pub fn put_notification(notification: &Notification, out: &mut BytesMut) {
    let Notification { state, vote, round, version, config } = notification;
    let Vote { leader, zxid, peer_epoch } = *vote;
    let form = match config {
        Some(config) => {
            NotificationForm::Versioned { version: *version, config: Some(config.text().clone()) }
        }
        None => NotificationForm::Unversioned { unread: *version },
    };
    let encoded = Encoded { state: *state, leader, zxid, round: *round, peer_epoch, form };
    put_frame(out, |out| encoded.encode(out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::HostPort;
    use crate::ids::{PeerState, Sid, Zxid};
    use alloc::vec;
    use bytes::BufMut;

    fn notification(config: Option<Arc<QuorumConfig>>) -> Notification {
        let vote = Vote { leader: Sid(3), zxid: Zxid(7), peer_epoch: 1 };
        let version = if config.is_some() { 2 } else { 0 };
        Notification { state: PeerState::Looking, vote, round: 4, version, config }
    }

    fn config() -> Arc<QuorumConfig> {
        Arc::new(QuorumConfig::parse("server.1=h:1:2\nversion=5").unwrap())
    }

    fn said(notification: Notification) -> Option<Said> {
        Some(Said::Notification { notification, fault: None })
    }

    #[test]
    fn what_is_said_is_heard_in_any_pieces() {
        let address = |text| HostPort::parse(text).unwrap();
        for addresses in [vec![], vec![address("h:1")], vec![address("h:1"), address("[::1]:2")]] {
            let hello = Hello { sid: Sid(1), addresses };
            let mut bytes = BytesMut::new();
            put_hello(&hello, &mut bytes);
            put_notification(&notification(Some(config())), &mut bytes);
            put_notification(&notification(None), &mut bytes);
            for piece in [1, 10, 1000] {
                let (mut reader, mut heard) = (ElectionReader::accepted(), vec![]);
                for bytes in bytes.chunks(piece) {
                    reader.push(bytes);
                    while let Some(said) = reader.next_said().unwrap() {
                        heard.push(Some(said));
                    }
                }
                let expected = [
                    Some(Said::Hello(hello.clone())),
                    said(notification(Some(config()))),
                    said(notification(None)),
                ];
                assert_eq!(heard, expected, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_config_that_does_not_parse_takes_nothing_from_the_vote() {
        let mut bytes = BytesMut::new();
        put_notification(&notification(Some(config())), &mut bytes);
        let at = bytes.len() - 1;
        bytes[at] = b'x';
        let mut reader = ElectionReader::dialled();
        reader.push(&bytes);
        let Some(Said::Notification { notification: heard, fault: Some(_) }) = reader.next_said().unwrap()
        else {
            panic!("a vote with a fault in its config");
        };
        assert_eq!(heard, Notification { config: None, ..notification(Some(config())) });
    }

    #[test]
    fn a_config_that_is_known_is_not_read_again_and_silence_takes_no_memory() {
        let (own, other) = (config(), Arc::new(QuorumConfig::parse("server.2=h:1:2\nversion=6").unwrap()));
        let mut reader = ElectionReader::dialled().knowing(Some(Arc::clone(&own)));
        let mut hear = |config| {
            let mut bytes = BytesMut::new();
            put_notification(&notification(Some(config)), &mut bytes);
            reader.push(&bytes);
            let Ok(Some(Said::Notification { notification, .. })) = reader.next_said() else {
                panic!("a vote")
            };
            reader.rest();
            assert_eq!(reader.buffer_mut().capacity(), 0);
            notification.config.expect("it came with the vote")
        };
        assert!(Arc::ptr_eq(&hear(config()), &own));
        let first = hear(Arc::clone(&other));
        assert!(first == other && Arc::ptr_eq(&first, &hear(other)));
        // Half a message stays.
        reader.push(&[0, 0]);
        reader.rest();
        assert_eq!(reader.buffer_mut().len(), 2);
    }

    #[test]
    fn a_message_that_is_none_is_skipped_and_a_length_that_is_none_ends_the_link() {
        let mut reader = ElectionReader::dialled();
        let mut bytes = BytesMut::new();
        bytes.put_i32(3);
        bytes.put_slice(b"???");
        put_notification(&notification(None), &mut bytes);
        bytes.put_i32(ELECTION_MESSAGE_MAX as i32 + 1);
        reader.push(&bytes);
        assert!(matches!(reader.next_said(), Ok(Some(Said::Skipped(_)))));
        assert_eq!(reader.next_said().unwrap(), said(notification(None)));
        assert!(matches!(reader.next_said(), Err(LinkFault::Frame(FrameError::TooLong { .. }))));
    }
}
