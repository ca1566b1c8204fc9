//! What clients ask: operations drawn by weight, over paths drawn from a space (simulation brief §6).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use zk_core::text::Text;
use zk_core::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, ExistsRequest, GetAclRequest,
    GetChildren2Request, GetChildrenRequest, GetDataRequest, SetAclRequest, SetDataRequest, SyncRequest,
};
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::request::{MultiOp, Request};

use crate::dice::{Dice, Site};

/// Weights of the operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the operations' own names
pub struct Mix {
    pub create: u32,
    pub set: u32,
    pub delete: u32,
    pub get: u32,
    pub exists: u32,
    pub children: u32,
    pub multi: u32,
    pub sync_get: u32,
    pub acl: u32,
    pub ping: u32,
    /// createContainer.
    pub container: u32,
    /// createTTL.
    pub ttl: u32,
    /// Limits and statistics of quotas are made, changed and deleted.
    pub quota: u32,
}

impl Mix {
    /// Nothing at all.
    pub const NONE: Self = Self {
        create: 0,
        set: 0,
        delete: 0,
        get: 0,
        exists: 0,
        children: 0,
        multi: 0,
        sync_get: 0,
        acl: 0,
        ping: 0,
        container: 0,
        ttl: 0,
        quota: 0,
    };
    /// A little of everything.
    pub const DEFAULT: Self = Self {
        create: 20,
        set: 30,
        delete: 10,
        get: 25,
        exists: 5,
        children: 5,
        multi: 5,
        sync_get: 5,
        acl: 2,
        ..Self::NONE
    };

    const fn weights(&self) -> [u32; 13] {
        [
            self.create,
            self.set,
            self.delete,
            self.get,
            self.exists,
            self.children,
            self.multi,
            self.sync_get,
            self.acl,
            self.ping,
            self.container,
            self.ttl,
            self.quota,
        ]
    }
}

/// One group of clients and what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// How many clients.
    pub clients: u32,
    /// Session timeouts are drawn from this range, ms.
    pub timeout_ms: (u64, u64),
    /// What they do.
    pub mix: Mix,
    /// How many names there are at each level.
    pub space: u32,
    /// How deep paths go.
    pub depth: u32,
    /// One create in so many is ephemeral: numerator, denominator.
    pub ephemeral: (u64, u64),
    /// One create in so many is sequential.
    pub sequential: (u64, u64),
    /// One read in so many sets a watch.
    pub watch: (u64, u64),
    /// How long TTL nodes are to live, ms.
    pub ttl_ms: (u64, u64),
    /// Requests a client may have under way.
    pub pipeline: u32,
    /// Time between requests of one client, on average.
    pub think: Duration,
    /// Data of writes is up to this long, bytes.
    pub data_max: u32,
    /// One client in so many closes its session now and then and begins another.
    pub closing: (u64, u64),
    /// Operations per client; none is no end.
    pub operations: Option<u64>,
    /// Credentials that clients present: half of their creates are for themselves only.
    pub auth: bool,
    /// They are content with a server that has no leader.
    pub read_only: bool,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            clients: 4,
            timeout_ms: (4_000, 10_000),
            mix: Mix::DEFAULT,
            space: 8,
            depth: 2,
            ephemeral: (1, 4),
            sequential: (1, 4),
            watch: (1, 3),
            ttl_ms: (100, 2_000),
            pipeline: 4,
            think: Duration::from_millis(20),
            data_max: 64,
            closing: (0, 1),
            operations: None,
            auth: false,
            read_only: false,
        }
    }
}

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Operation {
    /// One request.
    One(Arc<Request>),
    /// Two in a row, without waiting between them.
    Two(Arc<Request>, Arc<Request>),
}

/// Draws the next operation of client `entity`.
pub fn draw(workload: &Workload, dice: &mut Dice, entity: u32, n: u64) -> Operation {
    let mut drawing = Drawing { workload, dice, entity, n };
    drawing.operation()
}

struct Drawing<'a> {
    workload: &'a Workload,
    dice: &'a mut Dice,
    entity: u32,
    n: u64,
}

impl Drawing<'_> {
    fn operation(&mut self) -> Operation {
        let weights = self.workload.mix.weights();
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut left = self.below(Site::ClientOp, total);
        let kind = weights.iter().position(|weight| {
            let found = left < u64::from(*weight);
            left = left.saturating_sub(u64::from(*weight));
            found
        });
        let one = |request| Operation::One(Arc::new(request));
        match kind.unwrap_or(9) {
            0 => one(Request::Create(self.create())),
            1 => one(Request::SetData(self.set())),
            2 => one(Request::Delete(self.delete())),
            3 => {
                let (path, watch) = (self.path(), self.watch());
                one(Request::GetData(GetDataRequest { path, watch }))
            }
            4 => {
                let (path, watch) = (self.path(), self.watch());
                one(Request::Exists(ExistsRequest { path, watch }))
            }
            5 => {
                let (path, watch) = (self.parent(), self.watch());
                if self.chance((1, 2)) {
                    one(Request::GetChildren(GetChildrenRequest { path, watch }))
                } else {
                    one(Request::GetChildren2(GetChildren2Request { path, watch }))
                }
            }
            6 => one(Request::Multi(self.multi())),
            7 => {
                let (path, watch) = (self.path(), self.watch());
                let sync = Request::Sync(SyncRequest { path: Some(path.clone()) });
                Operation::Two(Arc::new(sync), Arc::new(Request::GetData(GetDataRequest { path, watch })))
            }
            8 => {
                let path = self.path();
                if self.chance((1, 2)) {
                    return one(Request::GetAcl(GetAclRequest { path }));
                }
                let acl = self.acl();
                one(Request::SetAcl(SetAclRequest { path, acl, version: -1 }))
            }
            10 => one(Request::CreateContainer(self.container())),
            11 => one(Request::CreateTtl(self.create_ttl())),
            12 => one(self.quota()),
            _ => one(Request::Ping),
        }
    }

    fn below(&mut self, site: Site, bound: u64) -> u64 {
        self.dice.below(site, self.entity, bound)
    }

    fn chance(&mut self, (num, den): (u64, u64)) -> bool {
        self.dice.chance(Site::ClientOp, self.entity, num, den)
    }

    fn watch(&mut self) -> bool {
        self.chance(self.workload.watch)
    }

    /// `/d0/d3`: one to `depth` names.
    fn path(&mut self) -> Text {
        let depth = 1 + self.below(Site::ClientPath, self.workload.depth.into());
        let mut path = String::new();
        for _ in 0..depth {
            let name = self.below(Site::ClientPath, self.workload.space.into());
            path.push_str(&format!("/d{name}"));
        }
        Text::from(path)
    }

    fn parent(&mut self) -> Text {
        if self.chance((1, 3)) { Text::from_static("/") } else { self.path() }
    }

    /// Data that says who wrote it, and when in that client's life.
    fn data(&mut self) -> Option<Bytes> {
        if self.chance((1, 20)) {
            return None;
        }
        let mut data = format!("{}.{}", self.entity, self.n).into_bytes();
        let len = self.below(Site::ClientOp, u64::from(self.workload.data_max) + 1) as usize;
        data.resize(len.max(data.len().min(self.workload.data_max as usize)), b'.');
        Some(Bytes::from(data))
    }

    fn version(&mut self) -> i32 {
        if self.chance((3, 4)) { -1 } else { self.below(Site::ClientOp, 4) as i32 }
    }

    fn acl(&mut self) -> Vec<Acl> {
        if self.workload.auth && self.chance((1, 2)) {
            let mut own = Acl::world(perms::ALL);
            own.id.scheme = Text::from_static("auth");
            own.id.id = Text::EMPTY;
            return vec![own, Acl::world(perms::READ)];
        }
        vec![Acl::world(perms::ALL)]
    }

    fn create(&mut self) -> CreateRequest {
        let ephemeral = self.chance(self.workload.ephemeral);
        let sequential = self.chance(self.workload.sequential);
        let flags = i32::from(ephemeral) | i32::from(sequential) << 1;
        let path = self.path();
        let path = if sequential { Text::from(format!("{path}-")) } else { path };
        CreateRequest { path, data: self.data(), acl: self.acl(), flags }
    }

    /// A container that others may use: its children are creates of the same space.
    fn container(&mut self) -> CreateRequest {
        let sequential = self.chance(self.workload.sequential);
        let path = self.path();
        let path = if sequential { Text::from(format!("{path}-")) } else { path };
        // The flags of its mode, of a sequential node, and of nothing.
        let flags = if sequential { 2 } else { 4 * self.below(Site::ClientOp, 2) as i32 };
        CreateRequest { path, data: self.data(), acl: self.acl(), flags }
    }

    /// Now and then one that no server takes.
    fn create_ttl(&mut self) -> CreateTtlRequest {
        let flags = if self.chance((1, 30)) { self.below(Site::ClientOp, 8) as i32 } else { 5 };
        let flags = if self.chance(self.workload.sequential) { 6 } else { flags };
        let (low, high) = self.workload.ttl_ms;
        let ttl_ms = (low + self.below(Site::ClientOp, high.saturating_sub(low) + 1)) as i64;
        let ttl_ms = if self.chance((1, 30)) { -ttl_ms } else { ttl_ms };
        let path = self.path();
        let path = if flags == 6 { Text::from(format!("{path}-")) } else { path };
        CreateTtlRequest { path, data: self.data(), acl: self.acl(), flags, ttl_ms }
    }

    /// A piece of the quota of one of the first names. They come in no order, so limits may be without statistics.
    fn quota(&mut self) -> Request {
        let name = self.below(Site::ClientPath, self.workload.space.into());
        let top = format!("/zookeeper/quota/d{name}");
        let (limits, stats) = (format!("{top}/zookeeper_limits"), format!("{top}/zookeeper_stats"));
        let most = 1 + self.below(Site::ClientOp, 12);
        let text = match self.below(Site::ClientOp, 4) {
            0 => format!("count={most},bytes={most}"),
            1 => format!("count=-1,bytes=-1=;byteHardLimit={}", 20 * most),
            _ => format!("count=-1,bytes=-1=;countHardLimit={most}"),
        };
        let text = Some(Bytes::from(text));
        let create = |path: String, data| {
            let acl = vec![Acl::world(perms::ALL)];
            Request::Create(CreateRequest { path: path.into(), data, acl, flags: 0 })
        };
        match self.below(Site::ClientOp, 8) {
            0 | 1 => create(top, None),
            2 | 3 => create(limits, text),
            4 => create(stats, Some(Bytes::from_static(b"count=0,bytes=0"))),
            5 => Request::SetData(SetDataRequest { path: limits.into(), data: text, version: -1 }),
            6 => Request::Delete(DeleteRequest { path: limits.into(), version: -1 }),
            _ => Request::Delete(DeleteRequest { path: stats.into(), version: -1 }),
        }
    }

    fn set(&mut self) -> SetDataRequest {
        SetDataRequest { path: self.path(), data: self.data(), version: self.version() }
    }

    fn delete(&mut self) -> DeleteRequest {
        DeleteRequest { path: self.path(), version: self.version() }
    }

    fn multi(&mut self) -> Vec<MultiOp> {
        let n = self.below(Site::ClientOp, 5);
        let with_ends = self.workload.mix.container + self.workload.mix.ttl > 0;
        let mut ops = Vec::new();
        for _ in 0..n {
            ops.push(match self.below(Site::ClientOp, if with_ends { 8 } else { 4 }) {
                0 => MultiOp::Create(self.create()),
                1 => MultiOp::SetData(self.set()),
                2 => MultiOp::Delete(self.delete()),
                4 => MultiOp::CreateContainer(self.container()),
                5 => MultiOp::CreateTtl(self.create_ttl()),
                6 => MultiOp::Create2(self.create()),
                7 => MultiOp::Create(self.container()),
                _ => MultiOp::Check(CheckVersionRequest { path: self.path(), version: self.version() }),
            });
        }
        ops
    }
}
