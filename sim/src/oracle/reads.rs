//! What a read should have answered at a zxid.

use zk_core::error::OpError;
use zk_core::ids::Zxid;
use zk_core::tree::TxnResult;
use zk_core::wire::client::{
    Create2Response, CreateResponse, ExistsResponse, GetAclResponse, GetChildren2Response,
    GetChildrenResponse, GetDataResponse, SetAclResponse, SetDataResponse, SyncResponse, op,
};
use zk_core::wire::multi::MultiResult;
use zk_core::wire::records::{Acl, Id, perms};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;
use zk_core::wire::txn::{TxnBody, kind};

use super::judge::may;
use super::states::{Node, States};

/// A reply as err and body.
pub(super) type Answer = (i32, Option<Reply>);

/// The answer to a read when `at` was the last txn applied; names of children come sorted. `None`: not judged.
pub(super) fn expected(states: &States, at: Zxid, identities: &[Id], request: &Request) -> Option<Answer> {
    let readable = |path: &str| -> Result<&Node, OpError> {
        let node = states.node_at(path, at).ok_or(OpError::NoNode)?;
        if may(&node.acl, perms::READ, identities) { Ok(node) } else { Err(OpError::NoAuth) }
    };
    let answer = match request {
        Request::Exists(r) => {
            readable(&r.path).map(|node| Reply::Exists(ExistsResponse { stat: node.seen() }))
        }
        Request::GetData(r) => readable(&r.path)
            .map(|node| Reply::GetData(GetDataResponse { data: node.data.clone(), stat: node.seen() })),
        Request::GetChildren(r) => readable(&r.path)
            .map(|_| Reply::GetChildren(GetChildrenResponse { children: states.children_at(&r.path, at) })),
        Request::GetChildren2(r) => readable(&r.path).map(|node| {
            let children = states.children_at(&r.path, at);
            Reply::GetChildren2(GetChildren2Response { children, stat: node.seen() })
        }),
        Request::GetAcl(r) => {
            let node = states.node_at(&r.path, at);
            let allowed =
                |node: &&std::sync::Arc<Node>| may(&node.acl, perms::READ | perms::ADMIN, identities);
            match node {
                None => Err(OpError::NoNode),
                Some(node) if !allowed(&node) => Err(OpError::NoAuth),
                Some(node) => {
                    let masked = !may(&node.acl, perms::ADMIN, identities);
                    let acl =
                        node.acl.iter().map(|acl| if masked { mask(acl) } else { acl.clone() }).collect();
                    Ok(Reply::GetAcl(GetAclResponse { acl, stat: node.seen() }))
                }
            }
        }
        Request::Sync(r) => Ok(Reply::Sync(SyncResponse { path: r.path.clone() })),
        Request::Ping | Request::SetWatches(_) => Ok(Reply::Empty),
        _ => return None,
    };
    Some(answer.map_or_else(|error| (error.code(), None), |reply| (0, Some(reply))))
}

/// What those without ADMIN see of an entry: no hashes.
fn mask(acl: &Acl) -> Acl {
    let mut acl = acl.clone();
    if let ("digest", Some((user, _))) = (&*acl.id.scheme, acl.id.id.split_once(':')) {
        acl.id.id = format!("{user}:x").into();
    }
    acl
}

/// The answer to a write that ended so.
pub(super) fn of_write(op: i32, result: &TxnResult) -> Answer {
    let reply = match result {
        TxnResult::Failed { err } => return (*err, None),
        TxnResult::SessionCreated | TxnResult::SessionClosed | TxnResult::Done => Reply::Empty,
        TxnResult::Created { path, .. } if op == op::CREATE => {
            Reply::Create(CreateResponse { path: path.clone() })
        }
        TxnResult::Created { path, stat } => {
            Reply::Create2(Create2Response { path: path.clone(), stat: *stat })
        }
        TxnResult::Changed { stat } if op == op::SET_DATA => Reply::SetData(SetDataResponse { stat: *stat }),
        TxnResult::Changed { stat } => Reply::SetAcl(SetAclResponse { stat: *stat }),
        TxnResult::Multi(_) => unreachable!("multis are answered by `of_multi`"),
    };
    (0, Some(reply))
}

/// The answer to a multi whose entries ended so.
pub(super) fn of_multi(entries: &[TxnBody], results: &[TxnResult]) -> Answer {
    let part = |(entry, result): (&TxnBody, &TxnResult)| match result {
        TxnResult::Failed { err } => MultiResult::Error(*err),
        TxnResult::Created { path, .. } if entry.kind() == kind::CREATE => {
            MultiResult::Create(CreateResponse { path: path.clone() })
        }
        TxnResult::Created { path, stat } => {
            MultiResult::Create2(Create2Response { path: path.clone(), stat: *stat })
        }
        TxnResult::Changed { stat } => MultiResult::SetData(SetDataResponse { stat: *stat }),
        _ if entry.kind() == kind::DELETE => MultiResult::Delete,
        _ => MultiResult::Check,
    };
    (0, Some(Reply::Multi(entries.iter().zip(results).map(part).collect())))
}

/// The same with names of children sorted, as their order means nothing.
pub(super) fn sorted(mut reply: Reply) -> Reply {
    match &mut reply {
        Reply::GetChildren(r) => r.children.sort_unstable(),
        Reply::GetChildren2(r) => r.children.sort_unstable(),
        _ => {}
    }
    reply
}
