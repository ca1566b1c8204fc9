//! Every frame of the captured client connections, both directions: cut from the stream, decoded, compared with
//! what was recorded about it, encoded again.

mod recorded;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use recorded::{Side, captures};
use zk_core::wire::client::{
    ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader, WatcherEvent, op, xid,
};
use zk_core::wire::framing::{FrameReader, put_frame, put_reply_header, put_request};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::limits::JUTE_MAXBUFFER;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

#[derive(Debug, PartialEq)]
enum Frame {
    ConnectRequest(ConnectRequest),
    ConnectResponse(ConnectResponse),
    Request(i32, Request),
    Reply(ReplyHeader, Reply),
    Failure(ReplyHeader),
    Notification(ReplyHeader, WatcherEvent),
}

impl Frame {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::ConnectRequest(r) => put_frame(&mut out, |out| r.encode(out)),
            Self::ConnectResponse(r) => put_frame(&mut out, |out| r.encode(out)),
            Self::Request(xid, r) => put_request(&mut out, *xid, r),
            Self::Failure(header) => put_reply_header(&mut out, *header),
            Self::Reply(header, body) => put_frame(&mut out, |out| {
                header.encode(out);
                body.encode(out);
            }),
            Self::Notification(header, event) => {
                assert_eq!((header.xid, header.err), (xid::NOTIFICATION, 0));
                zk_core::wire::framing::put_notification(&mut out, header.zxid, event);
            }
        }
        out.freeze()
    }

    /// The note that the recorder wrote beside the frame.
    fn note(&self) -> String {
        match self {
            Self::ConnectRequest(r) => {
                format!("ConnectRequest timeout={} session={:#x}", r.timeout_ms, r.session.0)
            }
            Self::ConnectResponse(r) => {
                format!("ConnectResponse timeout={} session={:#x}", r.timeout_ms, r.session.0)
            }
            Self::Request(xid, r) => format!("xid={xid} {}", op_name(r.op())),
            Self::Failure(h) | Self::Reply(h, _) | Self::Notification(h, _) => {
                let body = self.encode().len() - 4 - 16;
                format!("xid={} zxid={:#x} err={} body={body}", h.xid, h.zxid.0, h.err)
            }
        }
    }
}

fn op_name(op: i32) -> &'static str {
    match op {
        op::CREATE => "create",
        op::DELETE => "delete",
        op::EXISTS => "exists",
        op::GET_DATA => "getData",
        op::SET_DATA => "setData",
        op::GET_ACL => "getACL",
        op::SET_ACL => "setACL",
        op::GET_CHILDREN => "getChildren",
        op::SYNC => "sync",
        op::PING => "ping",
        op::GET_CHILDREN2 => "getChildren2",
        op::MULTI => "multi",
        op::CREATE2 => "create2",
        op::CHECK_WATCHES => "checkWatches",
        op::REMOVE_WATCHES => "removeWatches",
        op::CREATE_CONTAINER => "createContainer",
        op::CREATE_TTL => "createTTL",
        op::MULTI_READ => "multiRead",
        op::AUTH => "auth",
        op::SET_WATCHES => "setWatches",
        op::GET_EPHEMERALS => "getEphemerals",
        op::GET_ALL_CHILDREN_NUMBER => "getAllChildrenNumber",
        op::SET_WATCHES2 => "setWatches2",
        op::ADD_WATCH => "addWatch",
        op::WHO_AM_I => "whoAmI",
        op::CLOSE_SESSION => "closeSession",
        other => panic!("the recorder has no name for opcode {other}"),
    }
}

/// The frames of a connection, decoded: what the client sent, and what the server sent.
fn decode(client: &Side, server: &Side) -> (Vec<Frame>, Vec<Frame>) {
    let mut asked: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let payload = |frame: &Bytes| frame.slice(4..);
    let sent = client.frames.iter().enumerate().map(|(i, frame)| {
        if i == 0 {
            return Frame::ConnectRequest(ConnectRequest::from_bytes(payload(frame)).unwrap());
        }
        let r = &mut Reader::new(payload(frame));
        let header = RequestHeader::decode(r).unwrap();
        asked.entry(header.xid).or_default().push(header.op);
        Frame::Request(header.xid, Request::decode(header.op, r.rest()).unwrap().expect("a known opcode"))
    });
    let sent: Vec<_> = sent.collect();
    let received = server.frames.iter().enumerate().map(|(i, frame)| {
        if i == 0 {
            return Frame::ConnectResponse(ConnectResponse::from_bytes(payload(frame)).unwrap());
        }
        let r = &mut Reader::new(payload(frame));
        let header = ReplyHeader::decode(r).unwrap();
        if header.xid == xid::NOTIFICATION {
            return Frame::Notification(header, WatcherEvent::decode(r).unwrap());
        }
        let op = asked.get_mut(&header.xid).expect("a reply to a request").remove(0);
        if header.err != 0 {
            return Frame::Failure(header);
        }
        Frame::Reply(header, Reply::decode(op, r.rest()).unwrap().expect("an opcode that is answered"))
    });
    let received = received.collect();
    assert!(asked.values().all(Vec::is_empty), "a request without a reply: {asked:?}");
    (sent, received)
}

#[test]
fn every_captured_frame_decodes_to_what_was_noted_and_encodes_to_the_same_bytes() {
    let mut count = 0;
    for capture in captures() {
        for (client, server) in &capture.connections {
            let (sent, received) = decode(client, server);
            for (frames, side) in [(sent, client), (received, server)] {
                for ((frame, bytes), note) in frames.iter().zip(&side.frames).zip(&side.notes) {
                    assert_eq!(&frame.note(), note, "{}", capture.name);
                    assert_eq!(&frame.encode(), bytes, "{}: {note}: {frame:?}", capture.name);
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 464, "frames in the captures");
}

#[test]
fn streams_cut_anywhere_give_the_same_frames() {
    for capture in captures() {
        for (client, server) in &capture.connections {
            for side in [client, server] {
                let stream = side.frames.concat();
                for chunk in [1, 3, 17, 1000, stream.len()] {
                    let mut reader = FrameReader::new(JUTE_MAXBUFFER);
                    let mut frames = Vec::new();
                    for piece in stream.chunks(chunk) {
                        reader.push(piece);
                        while let Some(frame) = reader.next_frame().unwrap() {
                            frames.push(frame);
                        }
                    }
                    let expected: Vec<_> = side.frames.iter().map(|f| f.slice(4..)).collect();
                    assert_eq!(frames, expected, "{} in pieces of {chunk}", capture.name);
                    assert_eq!(reader.buffered(), 0);
                }
            }
        }
    }
}

/// Round trips cannot see two fields that changed places; a reader of this snapshot can.
#[test]
fn a_session_with_every_operation_reads_as_reviewed() {
    let capture = captures().into_iter().find(|c| c.name == "3.9.5/client-all-ops").unwrap();
    let mut text = String::new();
    for (client, server) in &capture.connections {
        let (sent, received) = decode(client, server);
        for frame in sent {
            writeln!(text, "> {frame:?}").unwrap();
        }
        for frame in received {
            writeln!(text, "< {frame:?}").unwrap();
        }
    }
    insta::assert_snapshot!(text);
}
