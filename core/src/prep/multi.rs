//! multi: all or nothing, each operation seeing those before it (semantics §8).

use alloc::vec::Vec;

use super::create::Flags;
use super::{Prep, Proposal};
use crate::error::OpError;
use crate::wire::client::{CreateRequest, CreateTtlRequest};
use crate::wire::request::MultiOp;
use crate::wire::txn::{CreateKind, TxnBody};

impl Prep {
    /// The whole multi as one txn body. A refused operation makes a failed multi, which is a txn like any other; the
    /// error is for multis that Java does not even begin.
    ///
    /// In a failed multi the entries before the failing one keep type and body, and those after it are -2.
    pub(super) fn multi(&mut self, at: &Proposal<'_>, ops: Vec<MultiOp>) -> Result<TxnBody, OpError> {
        let ops = ops.into_iter().map(Entry::understand).collect::<Result<Vec<_>, _>>()?;
        let mut entries = Vec::with_capacity(ops.len());
        let mut failed = false;
        let mark = self.overlay.begin();
        for op in ops {
            let entry = if failed { Err(OpError::RuntimeInconsistency) } else { self.entry(at, op) };
            failed |= entry.is_err();
            entries.push(entry.unwrap_or_else(|error| TxnBody::Error { err: error.code() }));
        }
        if failed {
            self.overlay.roll_back(mark);
        } else {
            self.overlay.keep(mark);
        }
        Ok(TxnBody::Multi(entries))
    }

    fn entry(&mut self, at: &Proposal<'_>, op: Entry) -> Result<TxnBody, OpError> {
        match op {
            Entry::Create(kind, flags, request) => self.create_in_multi(at, kind, flags, request),
            Entry::CreateTtl(request) => self.create_ttl(at, request),
            Entry::Other(MultiOp::Delete(r)) => self.delete(at, r.path, r.version),
            Entry::Other(MultiOp::SetData(r)) => self.set_data(at, r.path, r.data, r.version),
            Entry::Other(MultiOp::Check(r)) => self.check(at, r.path, r.version),
            Entry::Other(_) => {
                unreachable!("invariant: `understand` lets only deletes, setDatas and checks through")
            }
        }
    }
}

/// An operation with its flags understood.
enum Entry {
    Create(CreateKind, Flags, CreateRequest),
    CreateTtl(CreateTtlRequest),
    Other(MultiOp),
}

impl Entry {
    /// Java decides by the flags which record it has before it, and gives up on the whole multi with -5 when it then
    /// has another (Java: `MultiOperationRecord.deserialize`, `Op.Create`). create2 and createContainer stay what they are
    /// (3.9; to 3.8 they were creates).
    fn understand(op: MultiOp) -> Result<Self, OpError> {
        let plain = |kind, r: CreateRequest| {
            let flags = Flags::decode(r.flags).ok().filter(|flags| !flags.ttl);
            Ok(Self::Create(kind, flags.ok_or(OpError::MarshallingError)?, r))
        };
        match op {
            MultiOp::Create(r) => plain(CreateKind::Create, r),
            MultiOp::CreateContainer(r) => plain(CreateKind::Container, r),
            MultiOp::Create2(r) => plain(CreateKind::Create2, r),
            MultiOp::CreateTtl(r) => {
                // Flags that name no mode are found out when its turn comes (Java: `Op.create`, `CreateMode.fromFlag`).
                let Some(flags) = Flags::decode(r.flags).ok().filter(|flags| !flags.ttl) else {
                    return Ok(Self::CreateTtl(r));
                };
                let CreateTtlRequest { path, data, acl, flags: bits, .. } = r;
                Ok(Self::Create(CreateKind::Create, flags, CreateRequest { path, data, acl, flags: bits }))
            }
            MultiOp::Delete(_) | MultiOp::SetData(_) | MultiOp::Check(_) => Ok(Self::Other(op)),
            MultiOp::GetData(_) | MultiOp::GetChildren(_) => Err(OpError::MarshallingError),
        }
    }
}
