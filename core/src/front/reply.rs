//! The reply to a committed txn (client protocol §5, §8).

use bytes::{BufMut, BytesMut};

use super::outgoing::Outgoing;
use crate::tree::TxnResult;
use crate::wire::client::{MultiHeader, op};
use crate::wire::jute::Jute;
use crate::wire::txn::{CreateKind, Txn, TxnBody};

/// Appends the reply to a request of opcode `op` whose txn gave this result. Its zxid is the txn's own.
pub(super) fn put_txn_reply(out: &mut Outgoing, xid: i32, op: i32, txn: &Txn, result: &TxnResult) {
    let zxid = txn.header.zxid;
    match result {
        TxnResult::Failed { err } => out.header(xid, zxid, *err),
        TxnResult::Done => out.header(xid, zxid, 0),
        TxnResult::Created { path, .. } if op == op::CREATE => out.reply(xid, zxid, |out| path.encode(out)),
        TxnResult::Created { path, stat } => out.reply(xid, zxid, |out| {
            path.encode(out);
            stat.encode(out);
        }),
        TxnResult::Changed { stat } => out.reply(xid, zxid, |out| {
            if let TxnBody::Reconfig { data, .. } = &txn.body {
                data.encode(out);
            }
            stat.encode(out);
        }),
        TxnResult::Multi(results) => {
            let TxnBody::Multi(entries) = &txn.body else {
                unreachable!("invariant: only a multi has several results, not {:?}", txn.body);
            };
            out.reply(xid, zxid, |out| put_multi(entries, results, out));
        }
        TxnResult::SessionCreated | TxnResult::SessionClosed => {
            unreachable!("invariant: sessions begin and end by requests of their own, not by opcode {op}")
        }
    }
}

/// One result per entry; the entries say of which type. createContainer has none of its own.
fn put_multi(entries: &[TxnBody], results: &[TxnResult], out: &mut BytesMut) {
    for (entry, result) in entries.iter().zip(results) {
        match result {
            TxnResult::Failed { err } => {
                MultiHeader { kind: op::ERROR, done: false, err: *err }.encode(out);
                out.put_i32(*err);
            }
            TxnResult::Created { path, stat } => {
                let plain = matches!(entry, TxnBody::Create(create) if create.kind == CreateKind::Create);
                header(if plain { op::CREATE } else { op::CREATE2 }, out);
                path.encode(out);
                if !plain {
                    stat.encode(out);
                }
            }
            TxnResult::Changed { stat } => {
                header(op::SET_DATA, out);
                stat.encode(out);
            }
            TxnResult::Done if matches!(entry, TxnBody::Check { .. }) => header(op::CHECK, out),
            TxnResult::Done => header(op::DELETE, out),
            TxnResult::Multi(_) | TxnResult::SessionCreated | TxnResult::SessionClosed => {
                unreachable!("invariant: prep puts no such entry into a multi: {entry:?}")
            }
        }
    }
    MultiHeader { kind: -1, done: true, err: -1 }.encode(out);
}

fn header(kind: i32, out: &mut BytesMut) {
    MultiHeader { kind, done: false, err: 0 }.encode(out);
}
