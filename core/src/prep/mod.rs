//! Request → transaction: validates against the tree plus everything prepared and not yet applied.
//!
//! Answers to Java's `PrepRequestProcessor`. It never changes the tree and never sends: it yields a txn for every
//! write, a refused one included, since that takes its zxid too. The session check that Java makes here comes before
//! prep, in [`crate::replica`].

mod create;
mod multi;
mod overlay;

use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::auth::{self, AuthInfo};
use crate::config::quorum_config::QuorumConfig;
use crate::error::OpError;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::time::WallMs;
use crate::tree::{Growth, Tree, check_path, digest};
use crate::wire::records::{Acl, StatPersisted, perms};
use crate::wire::request::Request;
use crate::wire::txn::{CreateKind, Txn, TxnBody, TxnDigest, TxnHeader};
use overlay::{Node, Overlay};

/// Who asks, and the place that the txn will have.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// What has been applied so far; may be ahead of the last [`Prep::applied`].
    pub tree: &'a Tree,
    /// The zxid it takes: after all that came before.
    pub zxid: Zxid,
    /// Becomes ctime and mtime.
    pub time: WallMs,
    /// The session that asks, or that begins or ends.
    pub session: SessionId,
    /// Its number for the request.
    pub cxid: i32,
    /// The identities attached when the request was read.
    pub auth: &'a AuthInfo,
    /// What ephemerals of this session are refused with, if they are.
    pub no_ephemerals: Option<OpError>,
}

/// When containers and TTL nodes without children go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectRules {
    /// `znode.container.maxNeverUsedIntervalMs`: a container that never had a child goes after this time without a change
    /// of its data; `None`: it stays.
    pub never_used_ms: Option<i64>,
}

/// What prep needs to know of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepSettings {
    /// Predict the tree's digest after every txn.
    pub digest: bool,
    /// `zookeeper.skipACL=yes`.
    pub skip_acl: bool,
    /// `zookeeper.enforceQuota`: hard limits are kept.
    pub enforce_quota: bool,
}

/// The validating half of a leader.
#[derive(Clone, Debug)]
pub struct Prep {
    overlay: Overlay,
    settings: PrepSettings,
    /// The last zxid prepared.
    last: Zxid,
}

impl Prep {
    /// Begins over a tree with nothing outstanding.
    pub fn new(tree: &Tree, settings: PrepSettings) -> Self {
        Self { overlay: Overlay::new(tree, settings.digest), settings, last: tree.last_zxid() }
    }

    /// A client's write. Every request yields a txn; for what is no write it is an error txn.
    pub fn request(&mut self, at: &Proposal<'_>, request: Request) -> Txn {
        let body = match request {
            Request::Create(r) => self.create(at, CreateKind::Create, r),
            Request::Create2(r) => self.create(at, CreateKind::Create2, r),
            Request::CreateContainer(r) => self.create(at, CreateKind::Container, r),
            Request::CreateTtl(r) => self.create_ttl(at, r),
            Request::Delete(r) => self.delete(at, r.path, r.version),
            Request::SetData(r) => self.set_data(at, r.path, r.data, r.version),
            Request::SetAcl(r) => self.set_acl(at, r.path, r.acl, r.version),
            Request::Multi(ops) => self.multi(at, ops),
            // Where it is enabled it comes by [`Self::reconfig`].
            Request::Reconfig(_) => Err(OpError::ReconfigDisabled),
            // The front answers these and sends none of them here.
            Request::DeleteContainer(_)
            | Request::Check(_)
            | Request::MultiRead(_)
            | Request::Exists(_)
            | Request::GetData(_)
            | Request::GetAcl(_)
            | Request::GetChildren(_)
            | Request::GetChildren2(_)
            | Request::GetAllChildrenNumber(_)
            | Request::GetEphemerals(_)
            | Request::Sync(_)
            | Request::CheckWatches(_)
            | Request::RemoveWatches(_)
            | Request::AddWatch(_)
            | Request::SetWatches(_)
            | Request::SetWatches2(_)
            | Request::Auth(_)
            | Request::Sasl(_)
            | Request::WhoAmI
            | Request::Ping
            | Request::CreateSession { .. }
            | Request::CloseSession => Err(OpError::Unimplemented),
        };
        self.seal(at, body.unwrap_or_else(|error| TxnBody::Error { err: error.code() }))
    }

    /// A write that is refused already.
    pub fn refuse(&mut self, at: &Proposal<'_>, error: OpError) -> Txn {
        self.seal(at, TxnBody::Error { err: error.code() })
    }

    /// Other members: what they would be, or why they cannot. Whether the caller may is looked at last, as in Java.
    pub fn reconfig(&mut self, at: &Proposal<'_>, next: Result<Arc<QuorumConfig>, OpError>) -> Txn {
        let body = next.and_then(|next| self.set_config(at, next.text().clone()));
        self.seal(at, body.unwrap_or_else(|error| TxnBody::Error { err: error.code() }))
    }

    /// A session begins.
    pub fn create_session(&mut self, at: &Proposal<'_>, timeout_ms: i32) -> Txn {
        self.seal(at, TxnBody::CreateSession { timeout_ms })
    }

    /// A session ends, and with it all that it owns or is about to own.
    pub fn close_session(&mut self, at: &Proposal<'_>) -> Txn {
        let paths = self.overlay.ephemerals(at.tree, at.session);
        for path in &paths {
            let node = self.overlay.node(at.tree, path).expect("invariant: what a session owns is there");
            let parent = parent_of(path);
            let parent = self.overlay.node(at.tree, &parent).expect("invariant: every node has a parent");
            self.remove(at, path, &node, parent);
        }
        self.seal(at, TxnBody::CloseSession { paths: Some(paths) })
    }

    /// A container or TTL node that is over goes. `None`: this one is not, or is there no more.
    pub fn collect(&mut self, at: &Proposal<'_>, path: Text, rules: CollectRules) -> Option<Txn> {
        let body = self.collected(at, path, rules)?;
        Some(self.seal(at, body))
    }

    /// The tree has everything up to `zxid`.
    pub fn applied(&mut self, zxid: Zxid, tree: &Tree) {
        self.overlay.applied(zxid);
        if let Some(predicted) = self.overlay.digest()
            && tree.last_zxid() == self.last
        {
            let found = tree.digest();
            assert!(
                predicted == found,
                "invariant: the tree's digest after {} is what prep predicted: {predicted:#x}, not {found:#x}",
                self.last
            );
        }
    }

    fn set_data(
        &mut self,
        at: &Proposal<'_>,
        path: Text,
        data: Option<Bytes>,
        version: i32,
    ) -> Result<TxnBody, OpError> {
        check_path(&path)?;
        let mut node = self.overlay.node(at.tree, &path).ok_or(OpError::NoNode)?;
        self.permit(&node, perms::WRITE, at)?;
        let data_len = data.as_ref().map_or(0, |d| d.len());
        let bytes = data_len as i64 - node.data_len as i64;
        self.check_quota(at, &path, Growth { count: 0, bytes })?;
        let version = next_version(node.stat.version, version)?;
        let (old, crc) = (node.stat, node.crc);
        node.stat.version = version;
        node.stat.mzxid = at.zxid;
        node.stat.mtime = at.time;
        node.data_len = data_len;
        node.crc = self.overlay.crc(&path, data.as_deref());
        self.overlay.update(at.zxid, path.clone(), &old, crc, node);
        Ok(TxnBody::SetData { path, data, version })
    }

    fn set_config(&mut self, at: &Proposal<'_>, text: Bytes) -> Result<TxnBody, OpError> {
        let path = Text::from_static(CONFIG_NODE);
        let mut node = self.overlay.node(at.tree, &path).ok_or(OpError::NoNode)?;
        self.permit(&node, perms::WRITE, at)?;
        let (old, crc) = (node.stat, node.crc);
        node.stat.version = CONFIG_VERSION;
        node.stat.mzxid = at.zxid;
        node.stat.mtime = at.time;
        node.crc = self.overlay.crc(&path, Some(&text));
        self.overlay.update(at.zxid, path.clone(), &old, crc, node);
        Ok(TxnBody::Reconfig { path, data: Some(text), version: CONFIG_VERSION })
    }

    fn set_acl(
        &mut self,
        at: &Proposal<'_>,
        path: Text,
        acl: Vec<Acl>,
        version: i32,
    ) -> Result<TxnBody, OpError> {
        check_path(&path)?;
        let acl = auth::fix_up(acl, at.auth)?;
        let mut node = self.overlay.node(at.tree, &path).ok_or(OpError::NoNode)?;
        self.permit(&node, perms::ADMIN, at)?;
        let version = next_version(node.stat.aversion, version)?;
        let (old, crc) = (node.stat, node.crc);
        node.stat.aversion = version;
        node.acl = self.overlay.share_acl(&acl);
        self.overlay.update(at.zxid, path.clone(), &old, crc, node);
        Ok(TxnBody::SetAcl { path, acl, version })
    }

    fn check(&self, at: &Proposal<'_>, path: Text, version: i32) -> Result<TxnBody, OpError> {
        check_path(&path)?;
        let node = self.overlay.node(at.tree, &path).ok_or(OpError::NoNode)?;
        self.permit(&node, perms::READ, at)?;
        let version = next_version(node.stat.version, version)?;
        Ok(TxnBody::Check { path, version })
    }

    fn permit(&self, node: &Node, perm: i32, at: &Proposal<'_>) -> Result<(), OpError> {
        if auth::allowed(&node.acl, perm, at.auth, self.settings.skip_acl) {
            Ok(())
        } else {
            Err(OpError::NoAuth)
        }
    }

    /// By applied counts, as in Java: what is on its way, in this multi or before it, may overshoot.
    fn check_quota(&self, at: &Proposal<'_>, path: &str, growth: Growth) -> Result<(), OpError> {
        let exceeds = self.settings.enforce_quota && at.tree.exceeds_quota(path, growth);
        if exceeds { Err(OpError::QuotaExceeded) } else { Ok(()) }
    }

    fn seal(&mut self, at: &Proposal<'_>, body: TxnBody) -> Txn {
        let &Proposal { zxid, time, session, cxid, .. } = at;
        assert!(zxid > self.last, "invariant: zxids grow: {zxid} after {}", self.last);
        self.last = zxid;
        let has_digest = !matches!(body, TxnBody::Error { .. });
        let digest = self.overlay.digest().filter(|_| has_digest);
        let digest = digest.map(|sum| TxnDigest { version: digest::VERSION, digest: sum as i64 });
        Txn { header: TxnHeader { session, cxid, zxid, time, kind: body.kind() }, body, digest }
    }
}

/// Where the members stand; its version never changes (semantics §12).
const CONFIG_NODE: &str = "/zookeeper/config";
const CONFIG_VERSION: i32 = -1;

/// The version that follows `current`, if the caller expects it: -1 expects anything.
fn next_version(current: i32, expected: i32) -> Result<i32, OpError> {
    if expected == -1 || expected == current { Ok(current.wrapping_add(1)) } else { Err(OpError::BadVersion) }
}

/// A child of the node is gone.
fn raise_pzxid(stat: &mut StatPersisted, zxid: Zxid) {
    stat.pzxid = stat.pzxid.max(zxid);
}

/// The parent's path, sharing the child's buffer. The root is `""`.
fn parent_of(path: &Text) -> Text {
    let end = path.rfind('/').expect("invariant: a node's path has a slash");
    Text::from_bytes_lossy(path.as_bytes().slice(..end))
}
