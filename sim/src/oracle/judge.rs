//! What a write should have become: the txn that a serial server would have made of a request (semantics §2-§8).
//!
//! Written from the tables of the protocol reference, not from `zk_core::prep`, with which it is compared. It covers what
//! the simulator's clients ask for; a request outside of that is not judged (`None`), and says so.

use std::sync::Arc;

use bytes::Bytes;
use zk_core::error::OpError;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::wire::client::{CreateRequest, CreateTtlRequest, DeleteRequest, SetDataRequest};
use zk_core::wire::records::{Acl, Id, perms};
use zk_core::wire::request::{MultiOp, Request};
use zk_core::wire::txn::{CreateKind, CreateTxn, TxnBody, TxnHeader};

use super::states::{Node, Pending, States};

/// Who asks, and the place in the order that the txn got.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The session.
    pub session: SessionId,
    /// Its identities when the request was read.
    pub identities: Arc<[Id]>,
    /// The txn's zxid.
    pub zxid: Zxid,
    /// The txn's time.
    pub time: WallMs,
    /// The session is one that makes no ephemerals: what they are refused with.
    pub no_ephemerals: Option<OpError>,
    /// Which of its operations was refused for a quota; 0 if there is but one.
    pub over_quota: Option<usize>,
}

/// The body that a serial server makes of the request, as the next txn after `states`. `None`: not judged.
pub(super) fn expected(states: &States, asked: &Asked, request: &Request) -> Option<TxnBody> {
    Judge { pending: Pending::new(states), asked, operation: 0 }.body(request)
}

/// True if the ACL lets somebody with these identities do what needs `perm` (semantics §7.2).
pub(super) fn may(acl: &[Acl], perm: i32, identities: &[Id]) -> bool {
    let holds = |entry: &Acl| {
        entry.perms & perm != 0 && (entry.id == Acl::world(0).id || identities.contains(&entry.id))
    };
    acl.is_empty() || identities.iter().any(|id| id.scheme == *"super") || acl.iter().any(holds)
}

struct Judge<'a> {
    pending: Pending<'a>,
    asked: &'a Asked,
    /// Which one is judged.
    operation: usize,
}

impl Judge<'_> {
    fn body(&mut self, request: &Request) -> Option<TxnBody> {
        let judged = match request {
            // On its own the opcode says what comes of it, and a container's flag nothing.
            Request::Create(create) => self.create(CreateKind::Create, create),
            Request::Create2(create) => self.create(CreateKind::Create2, create),
            Request::CreateContainer(create) => self.create(CreateKind::Container, create),
            Request::CreateTtl(create) => self.create_ttl(create),
            Request::Delete(delete) => self.delete(delete),
            Request::SetData(set) => self.set_data(set),
            Request::SetAcl(set) => {
                let acl = self.fixed(&set.acl)?;
                acl.and_then(|acl| {
                    let node = self.pending.node(&set.path).ok_or(OpError::NoNode)?;
                    self.permit(node, perms::ADMIN)?;
                    let version = next(node.stat.aversion, set.version)?;
                    Ok(TxnBody::SetAcl { path: set.path.clone(), acl, version })
                })
            }
            Request::Multi(ops) => return self.multi(ops),
            Request::CloseSession => {
                let paths = self.pending.owned(self.asked.session).into_iter().collect();
                Ok(TxnBody::CloseSession { paths: Some(paths) })
            }
            _ => return None,
        };
        Some(judged.unwrap_or_else(|error| TxnBody::Error { err: error.code() }))
    }

    fn multi(&mut self, ops: &[MultiOp]) -> Option<TxnBody> {
        let is_senseless = |op: &MultiOp| match op {
            MultiOp::Create(r) | MultiOp::Create2(r) | MultiOp::CreateContainer(r) => {
                !(0..=4).contains(&r.flags)
            }
            _ => false,
        };
        if ops.iter().any(is_senseless) {
            return Some(TxnBody::Error { err: OpError::MarshallingError.code() });
        }
        let mut entries = Vec::new();
        let mut failed = false;
        for (i, op) in ops.iter().enumerate() {
            self.operation = i;
            if failed {
                entries.push(TxnBody::Error { err: OpError::RuntimeInconsistency.code() });
                continue;
            }
            let entry = match op {
                MultiOp::CreateContainer(create) => self.create(CreateKind::Container, create),
                // Inside a multi the flags of a container make one.
                MultiOp::Create(create) | MultiOp::Create2(create) if create.flags == 4 => {
                    self.create(CreateKind::Container, create)
                }
                MultiOp::Create(create) => self.create(CreateKind::Create, create),
                MultiOp::Create2(create) => self.create(CreateKind::Create2, create),
                MultiOp::CreateTtl(create) if (0..5).contains(&create.flags) => {
                    let CreateTtlRequest { path, data, acl, flags, .. } = create.clone();
                    let kind = if flags == 4 { CreateKind::Container } else { CreateKind::Create };
                    self.create(kind, &CreateRequest { path, data, acl, flags })
                }
                MultiOp::CreateTtl(create) => self.create_ttl(create),
                MultiOp::Delete(delete) => self.delete(delete),
                MultiOp::SetData(set) => self.set_data(set),
                MultiOp::Check(check) => self.check(&check.path, check.version),
                _ => return None,
            };
            match entry {
                Ok(body) => {
                    let header = TxnHeader {
                        session: self.asked.session,
                        cxid: 0,
                        zxid: self.asked.zxid,
                        time: self.asked.time,
                        kind: body.kind(),
                    };
                    self.pending.apply(&header, &body);
                    entries.push(body);
                }
                Err(error) => {
                    failed = true;
                    entries.push(TxnBody::Error { err: error.code() });
                }
            }
        }
        Some(TxnBody::Multi(entries))
    }

    fn create_ttl(&self, request: &CreateTtlRequest) -> Result<TxnBody, OpError> {
        let CreateTtlRequest { path, data, acl, flags, ttl_ms } = request.clone();
        if !(5..=6).contains(&flags) {
            return Err(OpError::BadArguments);
        }
        if !self.pending.rules().extended_types {
            return Err(OpError::Unimplemented);
        }
        if !(1..1 << 40).contains(&ttl_ms) {
            return Err(OpError::BadArguments);
        }
        let flags = if flags == 6 { 2 } else { 0 };
        self.create(CreateKind::Ttl(ttl_ms), &CreateRequest { path, data, acl, flags })
    }

    fn create(&self, kind: CreateKind, request: &CreateRequest) -> Result<TxnBody, OpError> {
        match request.flags {
            0..=4 => {}
            5 | 6 if !self.pending.rules().extended_types => return Err(OpError::Unimplemented),
            _ => return Err(OpError::BadArguments),
        }
        let (ephemeral, sequential) = (matches!(request.flags, 1 | 3), matches!(request.flags, 2 | 3));
        if let (true, Some(error)) = (ephemeral, self.asked.no_ephemerals) {
            return Err(error);
        }
        let (parent_path, _) = request.path.rsplit_once('/').ok_or(OpError::BadArguments)?;
        let acl = self.fixed(&request.acl).unwrap_or(Err(OpError::InvalidAcl))?;
        let parent = self.pending.node(parent_path).ok_or(OpError::NoNode)?;
        self.permit(parent, perms::CREATE)?;
        let path = if sequential {
            Text::from(format!("{}{:010}", request.path, parent.stat.cversion))
        } else {
            request.path.clone()
        };
        if path != "/" && path.ends_with('/') || path.contains("//") {
            return Err(OpError::BadArguments);
        }
        if self.pending.node(&path).is_some() {
            return Err(OpError::NodeExists);
        }
        if parent.owner().is_some() {
            return Err(OpError::NoChildrenForEphemerals);
        }
        self.within_quota(&path)?;
        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        let ephemeral = ephemeral && matches!(kind, CreateKind::Create | CreateKind::Create2);
        Ok(TxnBody::Create(CreateTxn {
            kind,
            path,
            data: request.data.clone(),
            acl,
            ephemeral,
            parent_cversion,
        }))
    }

    fn delete(&self, request: &DeleteRequest) -> Result<TxnBody, OpError> {
        let (parent_path, _) = request.path.rsplit_once('/').ok_or(OpError::BadArguments)?;
        if ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"].contains(&&*request.path) {
            return Err(OpError::BadArguments);
        }
        let parent = self.pending.node(parent_path).ok_or(OpError::NoNode)?;
        self.permit(parent, perms::DELETE)?;
        let node = self.pending.node(&request.path).ok_or(OpError::NoNode)?;
        next(node.stat.version, request.version)?;
        if node.child_count > 0 {
            return Err(OpError::NotEmpty);
        }
        Ok(TxnBody::Delete { path: request.path.clone() })
    }

    fn set_data(&self, request: &SetDataRequest) -> Result<TxnBody, OpError> {
        let node = self.pending.node(&request.path).ok_or(OpError::NoNode)?;
        self.permit(node, perms::WRITE)?;
        self.within_quota(&request.path)?;
        let version = next(node.stat.version, request.version)?;
        let data: Option<Bytes> = request.data.clone();
        Ok(TxnBody::SetData { path: request.path.clone(), data, version })
    }

    fn check(&self, path: &Text, version: i32) -> Result<TxnBody, OpError> {
        let node = self.pending.node(path).ok_or(OpError::NoNode)?;
        self.permit(node, perms::READ)?;
        let version = next(node.stat.version, version)?;
        Ok(TxnBody::Check { path: path.clone(), version })
    }

    fn within_quota(&self, path: &str) -> Result<(), OpError> {
        let refused = self.asked.over_quota == Some(self.operation) && self.pending.may_be_limited(path);
        if refused { Err(OpError::QuotaExceeded) } else { Ok(()) }
    }

    fn permit(&self, node: &Node, perm: i32) -> Result<(), OpError> {
        if may(&node.acl, perm, &self.asked.identities) { Ok(()) } else { Err(OpError::NoAuth) }
    }

    /// The list as it is stored. `None`: a scheme that the simulator's clients do not use.
    fn fixed(&self, acl: &[Acl]) -> Option<Result<Vec<Acl>, OpError>> {
        let mut fixed: Vec<Acl> = Vec::new();
        if acl.is_empty() {
            return Some(Err(OpError::InvalidAcl));
        }
        for (i, entry) in acl.iter().enumerate() {
            if acl[..i].contains(entry) {
                continue;
            }
            match &*entry.id.scheme {
                "world" if entry.id.id == *"anyone" => fixed.push(entry.clone()),
                "digest" if entry.id.id.split(':').count() == 2 => fixed.push(entry.clone()),
                "auth" => {
                    let proven = self.asked.identities.iter().filter(|id| id.scheme == *"digest");
                    let before = fixed.len();
                    fixed.extend(proven.map(|id| Acl { perms: entry.perms, id: id.clone() }));
                    if fixed.len() == before {
                        return Some(Err(OpError::InvalidAcl));
                    }
                }
                "world" => return Some(Err(OpError::InvalidAcl)),
                _ => return None,
            }
        }
        Some(Ok(fixed))
    }
}

fn next(current: i32, asked: i32) -> Result<i32, OpError> {
    if asked == -1 || asked == current { Ok(current.wrapping_add(1)) } else { Err(OpError::BadVersion) }
}
