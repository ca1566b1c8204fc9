//! Random chapters: sequences of steps over a small world of paths, so that requests meet each other's nodes.

use bytes::{BufMut, Bytes, BytesMut};
use zk_core::auth::hash_credentials;
use zk_core::ids::Zxid;
use zk_core::rng::Dice;
use zk_core::text::Text;
use zk_core::wire::client::{
    AddWatchRequest, AuthPacket, CheckVersionRequest, CheckWatchesRequest, CreateRequest, CreateTtlRequest,
    DeleteRequest, ExistsRequest, GetAclRequest, GetAllChildrenNumberRequest, GetChildren2Request,
    GetChildrenRequest, GetDataRequest, GetEphemeralsRequest, GetSaslRequest, ReconfigRequest,
    RemoveWatchesRequest, SetAclRequest, SetDataRequest, SetWatches, SetWatches2, SyncRequest, op,
};
use zk_core::wire::records::{Acl, Id, perms};
use zk_core::wire::request::{MultiOp, Request};

use super::step::{Act, Ask, Before, Password, Reattach, Step};
use super::worlds::{Feature, World};
use crate::java::Release;

/// Sessions of a chapter that take random steps.
pub const SESSIONS: usize = 3;

/// Ordinary nodes. Everybody may always read them; what [`guarded`] names may be hidden from some.
const NODES: [&str; 12] =
    ["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f", "/e/f/h", "/g", "/g/i", "/g/i/j", "/g/k", "/g/l"];
/// Stems of sequential nodes.
const STEMS: [&str; 5] = ["/a/", "/a/s", "/e/f/s-", "/g/s", "/s"];
/// Nodes of the server itself.
const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];
/// Paths that are none, or that name nothing. None has characters beyond the basic plane: Java's echo of those is no UTF-8
/// (client protocol §2).
const STRANGE: [&str; 19] = [
    "",
    "a",
    "a/b",
    "//",
    "/a/",
    "/a//b",
    "/a/.",
    "/a/..",
    "/a/./b",
    "/a/...",
    "/a/.b",
    "/a/b.",
    "/a/\u{0}",
    "/a/\u{1f}",
    "/a/\u{7f}",
    "/a/\u{f8ff}",
    "/a/\u{d7ff}\u{a0}é",
    "/a/\u{fff0}",
    "/ a",
];
const CREDENTIALS: [&str; 3] = ["ann:1", "bob:2", "x"];

/// True of paths whose nodes may be hidden from some sessions. What the releases do differently with what cannot be
/// read stays among these.
pub fn guarded(path: &str) -> bool {
    path.starts_with("/g")
}

/// Draws the steps of a chapter.
#[derive(Debug)]
pub struct Draw<'a> {
    dice: Dice,
    release: Release,
    world: &'a World,
}

impl<'a> Draw<'a> {
    /// The chapter named by `(seed, chapter)`.
    pub fn new(seed: u64, chapter: u64, release: Release, world: &'a World) -> Self {
        Self { dice: Dice::new(seed, chapter), release, world }
    }

    /// Steps with at least this many operations among them.
    pub fn steps(&mut self, operations: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut drawn = 0;
        while drawn < operations {
            let step = self.step();
            drawn += step.operations();
            steps.push(step);
        }
        steps
    }

    fn step(&mut self) -> Step {
        let session = self.below(SESSIONS);
        let act = match self.below(100) {
            0..3 => Act::Reattach(self.reattach()),
            3..6 => Act::Ask(vec![self.alone()]),
            6..50 => Act::Ask(vec![self.ask()]),
            _ => {
                let count = 2 + self.below(5);
                let mut asks: Vec<Ask> = (0..count).map(|_| self.ask()).collect();
                // Java's pending view has the list from before a setACL that is not applied.
                let upto =
                    asks.iter().position(|ask| ask.op() == op::SET_ACL).map_or(asks.len(), |at| at + 1);
                asks.truncate(upto);
                Act::Ask(asks)
            }
        };
        Step { session, act }
    }

    fn reattach(&mut self) -> Reattach {
        Reattach {
            before: *self.one_of(&[Before::Cut, Before::Open]),
            password: *self.one_of(&[Password::Right, Password::Right, Password::Right, Password::Wrong]),
            seen: *self.one_of(&[0, 0, 0, -1, -1_000_000, 1_000_000]),
            timeout_ms: *self.one_of(&[60_000, 80_000, 0, -5, 1, i32::MAX]),
            read_only: *self.one_of(&[Some(false), Some(true), None]),
        }
    }

    /// What overtakes other requests, or ends the connection, or meets Java's pending view of the root.
    fn alone(&mut self) -> Ask {
        let request = match self.below(12) {
            0..5 => {
                let auth = match self.below(8) {
                    0 => None,
                    1 => Some(Bytes::new()),
                    _ => Some(Bytes::from_static(self.one_of(&CREDENTIALS).as_bytes())),
                };
                let scheme = *self.one_of(&["digest", "digest", "digest", "digest", "ip", "world", "nope"]);
                let scheme = if self.below(30) == 0 { None } else { Some(Text::from(scheme)) };
                Request::Auth(AuthPacket { kind: 0, scheme, auth })
            }
            5 => Request::Sasl(GetSaslRequest { token: Some(Bytes::from_static(b"token")) }),
            6 => {
                let ops = [0, -1, 10, 23, 99, 108, 1000, i32::MIN];
                return Ask::Raw(*self.one_of(&ops), Bytes::new());
            }
            7 if self.release.refuses_lone_checks() => {
                let (path, version) = (self.path(), self.version());
                Request::Check(CheckVersionRequest { path, version })
            }
            8 => Request::CloseSession,
            9 => {
                let (path, data, version) = (Text::from("/"), self.data(), self.version());
                Request::SetData(SetDataRequest { path, data, version })
            }
            10 => {
                let acl = self.acl("/");
                Request::SetAcl(SetAclRequest { path: Text::from("/"), acl, version: self.version() })
            }
            _ => self.reconfig(),
        };
        Ask::Whole(request)
    }

    fn ask(&mut self) -> Ask {
        let request = self.request();
        match self.below(60) {
            0 | 2 if self.release.counts_undecodable_writes() && is_write(&request) => Ask::Whole(request),
            0 => Ask::Short(request, 1 + self.below(12)),
            1 => Ask::Long(request, 1 + self.below(12)),
            2 => {
                let ops = [op::CREATE, op::SET_WATCHES2, op::MULTI, op::MULTI_READ, op::GET_DATA];
                let undecodable = if self.release.counts_undecodable_writes() { &ops[1..] } else { &ops[..] };
                let op = *self.one_of(undecodable);
                Ask::Raw(op, self.noise())
            }
            _ => Ask::Whole(request),
        }
    }

    /// A body that says nothing, with lengths that lie.
    fn noise(&mut self) -> Bytes {
        let mut body = BytesMut::new();
        for _ in 0..self.below(4) {
            body.put_i32(*self.one_of(&[-1, 0, 1, -2, 7, i32::MAX, i32::MIN]));
        }
        body.freeze()
    }

    fn request(&mut self) -> Request {
        match self.below(100) {
            0..22 => self.create(),
            22..30 => Request::Delete(DeleteRequest { path: self.path(), version: self.version() }),
            30..40 => {
                let (path, data, version) = (self.path_below_root(), self.data(), self.version());
                Request::SetData(SetDataRequest { path, data, version })
            }
            40..45 => {
                let path = self.path_below_root();
                let acl = self.acl(&path);
                Request::SetAcl(SetAclRequest { path, acl, version: self.version() })
            }
            45..54 => Request::Multi(self.multi()),
            54..57 => {
                let ops = (0..self.below(4)).map(|_| self.multi_read_op()).collect();
                Request::MultiRead(ops)
            }
            57..81 => self.read(),
            81..84 => Request::Sync(SyncRequest { path: Some(self.path()) }),
            84..95 => self.watching(),
            95..97 => Request::WhoAmI,
            97..99 => {
                let prefix = *self.one_of(&["", "/", "/a", "/e/f", "/g", " "]);
                let prefix = if self.below(8) == 0 { None } else { Some(Text::from(prefix)) };
                Request::GetEphemerals(GetEphemeralsRequest { prefix })
            }
            _ => self.reconfig(),
        }
    }

    fn create(&mut self) -> Request {
        if self.below(8) == 0 {
            return Request::CreateTtl(self.create_ttl());
        }
        let request = self.create_request();
        match self.below(10) {
            0..5 => Request::Create(request),
            5..9 => Request::Create2(request),
            _ => Request::CreateContainer(self.create_container()),
        }
    }

    fn create_request(&mut self) -> CreateRequest {
        let flags = *self.one_of(&[0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, -1]);
        let path = if matches!(flags, 2 | 3 | 6) || self.below(20) == 0 {
            Text::from(*self.one_of(&STEMS))
        } else {
            self.path()
        };
        let acl = self.acl(&path);
        CreateRequest { path, data: self.data(), acl, flags }
    }

    /// Java's pending view takes a container with the flags of an ephemeral for one. In a multi of 3.8 the flags alone count.
    fn create_container(&mut self) -> CreateRequest {
        let mut request = self.create_in_multi();
        if matches!(request.flags, 1 | 3) || self.release.has_one_mode_per_path() {
            request.flags = 4;
        }
        request
    }

    /// Flags that mean no create fail a whole multi; in 3.8 their operation, in its turn.
    fn create_in_multi(&mut self) -> CreateRequest {
        let mut request = self.create_request();
        if self.release.has_one_mode_per_path() && !matches!(request.flags, 0..=4) {
            request.flags = 0;
        }
        request
    }

    /// A mode without a time to live and with a negative one ends Java's process (client protocol §19).
    fn create_ttl(&mut self) -> CreateTtlRequest {
        let CreateRequest { path, data, acl, flags } = self.create_request();
        let flags = if self.below(4) == 0 { flags } else { *self.one_of(&[5, 6]) };
        let endless = [0, 1, 0xff_ffff_ffff, 0x100_0000_0000, i64::MAX];
        let ttl_ms = match self.below(4) {
            0 => *self.one_of(&endless),
            1 if matches!(flags, 5 | 6) => -1,
            _ => 3_600_000,
        };
        CreateTtlRequest { path, data, acl, flags, ttl_ms }
    }

    fn multi(&mut self) -> Vec<MultiOp> {
        (0..self.below(6)).map(|_| self.multi_op()).collect()
    }

    fn multi_op(&mut self) -> MultiOp {
        match self.below(20) {
            0..5 => MultiOp::Create(self.create_in_multi()),
            5..8 => MultiOp::Create2(self.create_in_multi()),
            8 => MultiOp::CreateContainer(self.create_container()),
            9 => MultiOp::CreateTtl(self.create_ttl()),
            10..13 => MultiOp::Delete(DeleteRequest { path: self.path(), version: self.version() }),
            13..17 => {
                let (path, data, version) = (self.path_below_root(), self.data(), self.version());
                MultiOp::SetData(SetDataRequest { path, data, version })
            }
            _ if self.below(40) == 0 => self.multi_read_op(),
            _ => MultiOp::Check(CheckVersionRequest { path: self.path(), version: self.version() }),
        }
    }

    fn multi_read_op(&mut self) -> MultiOp {
        let (path, watch) = (self.path(), self.below(4) == 0);
        match self.below(20) {
            0..10 => MultiOp::GetData(GetDataRequest { path, watch }),
            10..19 => MultiOp::GetChildren(GetChildrenRequest { path, watch }),
            _ => MultiOp::Delete(DeleteRequest { path, version: self.version() }),
        }
    }

    fn read(&mut self) -> Request {
        let path = self.path();
        let watch = self.below(3) == 0 && self.standard(&path);
        match self.below(20) {
            0..6 => {
                let watch = watch && !(guarded(&path) && self.release.shows_what_cannot_be_read());
                Request::Exists(ExistsRequest { path, watch })
            }
            6..11 => Request::GetData(GetDataRequest { path, watch }),
            11..14 => Request::GetChildren(GetChildrenRequest { path, watch }),
            14..17 => Request::GetChildren2(GetChildren2Request { path, watch }),
            17..19 => Request::GetAcl(GetAclRequest { path }),
            _ => Request::GetAllChildrenNumber(GetAllChildrenNumberRequest { path }),
        }
    }

    fn watching(&mut self) -> Request {
        match self.below(10) {
            0..4 => {
                let path = self.path();
                let mode = if self.release.has_one_mode_per_path() {
                    // The mode of a path that has standard watches is one that is refused.
                    mode_of(&path).unwrap_or(2)
                } else {
                    *self.one_of(&[0, 0, 0, 1, 1, 1, 2, -1])
                };
                Request::AddWatch(AddWatchRequest { path, mode })
            }
            4..6 => {
                let (path, kind) = self.watcher();
                Request::CheckWatches(CheckWatchesRequest { path, kind })
            }
            6..8 => {
                let (path, kind) = self.watcher();
                Request::RemoveWatches(RemoveWatchesRequest { path, kind })
            }
            8 => Request::SetWatches(SetWatches {
                relative_zxid: self.behind(),
                data: self.watched(None),
                exist: self.watched(None),
                child: self.watched(None),
            }),
            _ => Request::SetWatches2(SetWatches2 {
                relative_zxid: self.behind(),
                data: self.watched(None),
                exist: self.watched(None),
                child: self.watched(None),
                persistent: self.watched(Some(0)),
                recursive: self.watched(Some(1)),
            }),
        }
    }

    fn watcher(&mut self) -> (Text, i32) {
        let path = self.path();
        if self.release.has_one_mode_per_path() {
            let kind = if mode_of(&path).is_none() { *self.one_of(&[1, 2, 3, 0, 6]) } else { 3 };
            return (path, kind);
        }
        (path, *self.one_of(&[1, 2, 3, 4, 5, 0, 6, -1]))
    }

    /// Before the last zxid that the session has seen, as a rule.
    fn behind(&mut self) -> Zxid {
        Zxid(*self.one_of(&[0, 0, -1, -2, -5, -20, 1, -1_000_000]))
    }

    /// Paths for watches of one mode.
    fn watched(&mut self, mode: Option<i32>) -> Option<Vec<Text>> {
        if self.below(40) == 0 {
            return None;
        }
        let one_mode = self.release.has_one_mode_per_path();
        let paths = (0..self.below(3)).map(|_| self.path());
        Some(paths.filter(|path| !one_mode || mode_of(path) == mode).collect())
    }

    /// Whether this path may have a standard watch.
    fn standard(&self, path: &str) -> bool {
        !self.release.has_one_mode_per_path() || mode_of(path).is_none()
    }

    fn reconfig(&mut self) -> Request {
        let joining =
            self.one_of(&[None, Some("server.9=127.0.0.1:1:2;3"), Some("nonsense")]).map(Text::from);
        let leaving = self.one_of(&[None, Some("1"), Some("x")]).map(Text::from);
        Request::Reconfig(ReconfigRequest { joining, leaving, new_members: None, config: -1 })
    }

    fn path(&mut self) -> Text {
        match self.below(40) {
            0 => Text::from(*self.one_of(&STRANGE)),
            1 => Text::from(*self.one_of(&RESERVED)),
            2..5 => {
                let stem = *self.one_of(&STEMS);
                Text::from(format!("{stem}{:010}", self.below(6)))
            }
            5..8 if self.world.has(Feature::Quotas) => Text::from(self.quota()),
            _ => Text::from(*self.one_of(&NODES)),
        }
    }

    /// The root is for requests on their own: Java's pending view knows it under two names.
    fn path_below_root(&mut self) -> Text {
        Some(self.path()).filter(|path| *path != "/").unwrap_or(Text::from_static("/a"))
    }

    fn quota(&mut self) -> String {
        let of = *self.one_of(&["", "/a", "/a/b", "/e", "/g"]);
        let name = *self.one_of(&["", "/zookeeper_limits", "/zookeeper_limits", "/zookeeper_stats"]);
        format!("/zookeeper/quota{of}{name}")
    }

    fn version(&mut self) -> i32 {
        *self.one_of(&[-1, -1, -1, -1, -1, 0, 0, 1, 2, 3, -2, i32::MAX])
    }

    fn data(&mut self) -> Option<Bytes> {
        let size = *self.one_of(&[0, 0, 1, 3, 10, 10, 30]);
        if self.below(8) == 0 { None } else { Some(Bytes::from(vec![b'd'; size])) }
    }

    /// A list for a node. Nodes outside of the guarded ones stay readable by everybody.
    fn acl(&mut self, path: &str) -> Vec<Acl> {
        if self.below(3) > 0 {
            return vec![Acl::world(perms::ALL)];
        }
        let mut acl: Vec<Acl> = (0..self.below(4)).map(|_| self.entry()).collect();
        if !guarded(path) && !acl.is_empty() {
            acl.push(Acl::world(perms::READ));
        }
        acl
    }

    fn entry(&mut self) -> Acl {
        let hashes = CREDENTIALS.map(hash_credentials);
        let (scheme, id) = match self.below(12) {
            0..3 => ("world", "anyone".to_owned()),
            3..5 => ("digest", self.one_of(&hashes).to_string()),
            5..7 => ("auth", (*self.one_of(&["", "ignored"])).to_owned()),
            7..9 => {
                let ips = ["127.0.0.1", "127.0.0.0/8", "10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "127.0.0.1/32"];
                ("ip", (*self.one_of(&ips)).to_owned())
            }
            9 => {
                let ips = ["127.0.0", "127.0.0.1/33", "127.0.0.1/-1", "127.0.0.1/", "127.0.0.256", "x"];
                ("ip", (*self.one_of(&ips)).to_owned())
            }
            10 => ("digest", (*self.one_of(&["a:b", "abc", "abc:", "a:b:c", ":", ""])).to_owned()),
            _ => {
                let odd = [
                    ("world", "all"),
                    ("super", ""),
                    ("sasl", "ann"),
                    ("x509", "CN=a"),
                    ("", ""),
                    ("no", "x"),
                ];
                let (scheme, id) = *self.one_of(&odd);
                (scheme, id.to_owned())
            }
        };
        let perms =
            *self.one_of(&[perms::ALL, perms::ALL, perms::READ, perms::WRITE, 6, 9, 16, 17, 0, 32, -1]);
        Acl { perms, id: Id { scheme: Text::from(scheme), id: Text::from(id) } }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.dice.below(bound as u64) as usize
    }

    fn one_of<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[self.below(all.len())]
    }
}

/// Writes but multi.
const fn is_write(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::CreateTtl(_)
            | Request::Delete(_)
            | Request::SetData(_)
            | Request::SetAcl(_)
            | Request::Reconfig(_)
    )
}

/// The mode that a path's watches have where a connection has one mode per path: none is the standard one.
fn mode_of(path: &str) -> Option<i32> {
    [None, None, Some(0), Some(1)][path.len() % 4]
}
