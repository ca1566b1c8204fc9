//! Conversations with a replica, as text: `interaction/*.txt`.
//!
//! A file is a list of blocks: commands, `----`, and what came of them. `UPDATE=1 cargo test -p core --test interaction`
//! writes what comes of them now; the diff is the review. Lines that begin with `#` are prose.
//!
//! | command | does |
//! |---|---|
//! | `open [snap_count=N] [last=HEX] [owner=/path]` | a replica over a new tree, or one whose last zxid is given, or with an ephemeral of a session that is in no table |
//! | `open … [extended] [check=MS] [unused=MS]` | with TTL nodes; how often it is looked for what is over, and when a container is that was never used |
//! | `connect C [timeout=MS]`, `reattach C S [timeout=MS]`, `gone C` | handshakes; sessions are named s1, s2, … in their order |
//! | `create C /path [ephemeral] [sequential] [container] [ttl=MS]`, `delete C /path [version=N]`, `set C /path [data=TEXT] [version=N]` | requests |
//! | `multi C OP; OP; …` | with the operations above, without C, and `check /path [version=N]` |
//! | `sync C`, `close C`, `undecodable C` | requests |
//! | `touch S [timeout=MS]` | a report of life |
//! | `durable [N]` | everything given to the disk so far, or up to token N, survives a power cut |
//! | `apply` | carries out what is to be applied, and reports it |
//! | `+MS` | time passes; a tick if one is due |
//! | `snapshot done`, `disk fails`, `ask snapshot`, `drain` | other inputs |
//! | `power cut` | everything that is not durable is lost; the server starts again |
//! | `status` | what an operator sees |

mod written;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use zk_core::action::{Action, Commit, DiskCommand, LogRecord, SessionAnswer};
use zk_core::auth::AuthInfo;
use zk_core::disk::recovery::Recovered;
use zk_core::error::{DiskFault, OpError};
use zk_core::ids::{ConnId, SessionId, Sid, Zxid};
use zk_core::input::{Access, AdminCommand, ClientRequest, Input, RequestBody, SessionAsk, Token, Touch};
use zk_core::replica::{Outbox, ReaperSettings, Reconfig, Replica, ReplicaConfig};
use zk_core::time::{Mono, Now, WallMs};
use zk_core::tree::{ApplyMode, Changes, NodeTypes, Tree, TreeConfig, TxnResult};
use zk_core::wire::client::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, SetDataRequest, SyncRequest,
};
use zk_core::wire::records::Acl;
use zk_core::wire::request::{MultiOp, Request};
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

const CONFIG: ReplicaConfig = ReplicaConfig {
    sid: Sid(1),
    tick_ms: 2000,
    snap_count: 1000,
    snap_size_limit: 0,
    digest: true,
    skip_acl: false,
    enforce_quota: false,
    reaper: ReaperSettings::JAVAS,
    outstanding_max: 10,
    reconfig: Reconfig::Disabled,
    ensemble: None,
};

#[test]
fn conversations_go_as_written() {
    written::play("interaction", 9, || {
        let mut scene = None;
        move |command: &str| run(&mut scene, command)
    });
}

fn run(scene: &mut Option<Scene>, command: &str) -> String {
    let words = Words::of(command);
    if words.0[0] == "open" {
        let (opened, said) = Scene::open(&words);
        *scene = Some(opened);
        return said;
    }
    scene.as_mut().expect("a conversation begins with `open`").run(command, &words)
}

/// A command's words.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(command: &'a str) -> Self {
        Self(command.split_whitespace().collect())
    }
    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }
    fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
    fn number(&self, key: &str, default: i32) -> i32 {
        self.value(key).map_or(default, |v| v.parse().unwrap())
    }
    fn conn(&self) -> ConnId {
        ConnId(self.0[1].strip_prefix('c').unwrap().parse().unwrap())
    }
    fn path(&self) -> &'a str {
        self.0.iter().find(|word| word.starts_with('/')).unwrap()
    }
}

/// A replica and the part of a driver that the conversation needs.
struct Scene {
    config: ReplicaConfig,
    replica: Replica,
    tree: Tree,
    now: Now,
    /// What is durable at the last start, and what was given to the disk since.
    base: Tree,
    appended: Vec<(Token, Vec<LogRecord>)>,
    durable: Token,
    to_apply: Vec<Vec<Commit>>,
    /// By number, in the order of their beginning.
    sessions: Vec<SessionId>,
    serving: BTreeMap<ConnId, SessionId>,
    xid: i32,
}

impl Scene {
    fn open(words: &Words<'_>) -> (Self, String) {
        let types = if words.has("extended") { NodeTypes::Extended } else { NodeTypes::Plain };
        let mut tree = Tree::with_config(TreeConfig { hash_seed: 0, types });
        let mut plant = |zxid, session: i64, body: TxnBody| {
            let header =
                TxnHeader { session: SessionId(session), cxid: 0, zxid, time: WallMs(0), kind: body.kind() };
            tree.apply(&Txn { header, body, digest: None }, ApplyMode::Replay, &mut Changes::new());
        };
        if let Some(path) = words.value("owner") {
            let (kind, acl) = (CreateKind::Create, vec![Acl::world(31)]);
            let create =
                CreateTxn { kind, path: path.into(), data: None, acl, ephemeral: true, parent_cversion: 1 };
            plant(Zxid(1), 0x77, TxnBody::Create(create));
        }
        if let Some(last) = words.value("last") {
            plant(Zxid(i64::from_str_radix(last, 16).unwrap()), 0, TxnBody::Error { err: -101 });
        }
        let snap_count = words.value("snap_count").map_or(CONFIG.snap_count, |n| n.parse().unwrap());
        let mut reaper = CONFIG.reaper;
        if let Some(ms) = words.value("check") {
            reaper.interval_ms = ms.parse().unwrap();
        }
        reaper.never_used_ms = words.value("unused").map(|ms| ms.parse().unwrap());
        let config = ReplicaConfig { snap_count, reaper, ..CONFIG };
        Self::start(config, tree, Now { mono: Mono::from_millis(0), wall: WallMs(0) })
    }

    fn start(config: ReplicaConfig, tree: Tree, now: Now) -> (Self, String) {
        let recovered = Recovered {
            epochs: None,
            last_zxid: tree.last_zxid(),
            tree: tree.clone(),
            recent: vec![],
            events: vec![],
            repairs: vec![],
        };
        let mut out = Outbox::new();
        let replica = Replica::open(config.clone(), &recovered, 7, now, &mut out);
        let mut scene = Self {
            config,
            replica,
            base: tree.clone(),
            tree,
            now,
            appended: vec![],
            durable: Token(0),
            to_apply: vec![],
            sessions: vec![],
            serving: BTreeMap::new(),
            xid: 0,
        };
        let said = scene.carry_out(out);
        (scene, said)
    }

    fn run(&mut self, command: &str, words: &Words<'_>) -> String {
        if let Some(ms) = command.strip_prefix('+') {
            return self.pass(ms.parse().unwrap());
        }
        match words.0[0] {
            "connect" => {
                let ask = SessionAsk::New { timeout_ms: words.number("timeout", 4000) };
                self.step(Input::Connect { conn: words.conn(), ask, access: Access::ReadWrite })
            }
            "reattach" => {
                let (conn, session) = (words.conn(), self.session(words.0[2]));
                let ask = SessionAsk::Reattach { session, timeout_ms: words.number("timeout", 4000) };
                self.serving.insert(conn, session);
                self.step(Input::Connect { conn, ask, access: Access::ReadWrite })
            }
            "gone" => self.step(Input::Gone { conn: words.conn() }),
            "touch" => {
                let touch =
                    Touch { session: self.session(words.0[1]), timeout_ms: words.number("timeout", 4000) };
                self.step(Input::Touched(vec![touch]))
            }
            "undecodable" => self.request(words.conn(), RequestBody::Refused(OpError::MarshallingError)),
            "create" | "delete" | "set" | "multi" | "sync" | "close" => {
                self.request(words.conn(), RequestBody::Op(parse_request(command, words)))
            }
            "durable" => {
                let last = self.appended.last().map_or(self.durable, |(token, _)| *token);
                self.durable = words.0.get(1).map_or(last, |n| Token(n.parse().unwrap()));
                self.step(Input::Durable(self.durable))
            }
            "apply" => self.apply(),
            "snapshot" => self.step(Input::SnapshotDone { zxid: self.tree.last_zxid() }),
            "disk" => self.step(Input::DiskFailed(DiskFault::Io {
                file: "log.1".into(),
                op: "fdatasync",
                error: "I/O error".into(),
            })),
            "ask" => self.step(Input::Admin(AdminCommand::Snapshot)),
            "drain" => self.step(Input::Admin(AdminCommand::Drain)),
            "power" => self.power_cut(),
            "status" => self.status(),
            other => panic!("no command {other:?}"),
        }
    }

    fn step(&mut self, input: Input) -> String {
        let mut out = Outbox::new();
        self.replica.step(self.now, input, &self.tree, &mut out);
        self.carry_out(out)
    }

    fn request(&mut self, conn: ConnId, body: RequestBody) -> String {
        self.xid += 1;
        let session = self.serving[&conn];
        let auth = Arc::new(AuthInfo::default());
        self.step(Input::Request(ClientRequest { conn, session, xid: self.xid, auth, body }))
    }

    fn pass(&mut self, ms: u64) -> String {
        self.now.mono = Mono::from_millis(self.now.mono.millis() + ms);
        self.now.wall = WallMs(self.now.wall.0 + ms as i64);
        if self.replica.deadline().is_some_and(|deadline| deadline <= self.now.mono) {
            self.step(Input::Tick)
        } else {
            String::new()
        }
    }

    fn apply(&mut self) -> String {
        let mut said = String::new();
        for commits in std::mem::take(&mut self.to_apply) {
            for commit in commits {
                match commit {
                    Commit::Sync { conn } => writeln!(said, "c{}: synced", conn.0).unwrap(),
                    Commit::Refused { .. } | Commit::Closed { .. } => panic!("one server alone: {commit:?}"),
                    Commit::Txn { txn, origin, mode } => {
                        let result = self.tree.apply(&txn, mode, &mut Changes::new());
                        if let (TxnResult::SessionCreated, Some(conn)) = (&result, origin) {
                            self.serving.insert(conn, txn.header.session);
                        }
                        let who = origin.map_or_else(|| "nobody".into(), |conn| format!("c{}", conn.0));
                        writeln!(said, "{who}: {} {}", txn.header.zxid, show_result(&result)).unwrap();
                    }
                }
            }
        }
        said + &self.step(Input::Applied(self.tree.last_zxid()))
    }

    /// Starts again from what was durable.
    fn power_cut(&mut self) -> String {
        let mut tree = self.base.clone();
        let durable = self.appended.iter().filter(|(token, _)| *token <= self.durable);
        for record in durable.flat_map(|(_, records)| records) {
            tree.apply(&Txn::decode(record.bytes.clone()).unwrap(), ApplyMode::Replay, &mut Changes::new());
        }
        let (scene, said) = Self::start(self.config.clone(), tree, self.now);
        let old = std::mem::replace(self, scene);
        self.sessions = old.sessions;
        said
    }

    fn status(&self) -> String {
        let r = &self.replica;
        let mut said = format!(
            "logged {} committed {} applied {} credit {}{}\n",
            r.last_logged(),
            r.last_committed(),
            r.last_applied(),
            r.credit().requests,
            if r.is_drained() { " drained" } else { "" }
        );
        for s in r.sessions() {
            let closing = if s.closing { " closing" } else { "" };
            let (name, until) = (self.name(s.session), s.expires_at.millis());
            writeln!(said, "{name} timeout {} until {until}{closing}", s.timeout_ms).unwrap();
        }
        said
    }

    fn carry_out(&mut self, out: Outbox) -> String {
        let mut said = String::new();
        for action in out {
            let line = self.show(&action);
            writeln!(said, "{line}").unwrap();
            match action {
                Action::Disk(DiskCommand::Append { token, records }) => self.appended.push((token, records)),
                Action::Apply(commits) => self.to_apply.push(commits),
                _ => {}
            }
        }
        said
    }

    fn show(&mut self, action: &Action) -> String {
        match action {
            Action::Disk(DiskCommand::Append { token, records }) => {
                let txns = records.iter().map(|record| {
                    let txn = Txn::decode(record.bytes.clone()).unwrap();
                    assert_eq!(txn.header.zxid, record.zxid);
                    self.show_txn(&txn)
                });
                format!("disk: append {}: {}", token.0, txns.collect::<Vec<_>>().join(", "))
            }
            Action::Disk(DiskCommand::Roll) => "disk: roll".into(),
            Action::Apply(commits) => {
                let commits = commits.iter().map(|commit| match commit {
                    Commit::Txn { txn, .. } => format!("{}", txn.header.zxid),
                    Commit::Sync { conn } => format!("sync of c{}", conn.0),
                    other => format!("{other:?}"),
                });
                format!("to apply: {}", commits.collect::<Vec<_>>().join(", "))
            }
            Action::Snapshot => "snapshot".into(),
            Action::Session { conn, answer: SessionAnswer::Attached { session, timeout_ms, .. } } => {
                format!("c{}: attached to {} timeout {timeout_ms}", conn.0, self.name(*session))
            }
            Action::Session { conn, answer: SessionAnswer::Invalid } => {
                format!("c{}: invalid session", conn.0)
            }
            Action::Close { conn, why } => format!("c{}: closed, {why:?}", conn.0),
            Action::Event(event) => {
                let mut text = format!("event: {event:?}");
                for (n, session) in self.sessions.iter().enumerate() {
                    text = text.replace(&format!("{session}"), &format!("s{}", n + 1));
                }
                text
            }
            Action::Fatal(why) => format!("fatal: {why}"),
            other => panic!("a standalone server has no use for {other:?}"),
        }
    }

    fn show_txn(&mut self, txn: &Txn) -> String {
        let session = txn.header.session;
        if matches!(txn.body, TxnBody::CreateSession { .. }) && !self.sessions.contains(&session) {
            self.sessions.push(session);
        }
        format!("{} {} {}", txn.header.zxid, self.name(session), show_body(&txn.body))
    }

    fn session(&self, name: &str) -> SessionId {
        self.sessions[name.strip_prefix('s').unwrap().parse::<usize>().unwrap() - 1]
    }

    fn name(&self, session: SessionId) -> String {
        let at = self.sessions.iter().position(|s| *s == session);
        at.map_or_else(|| format!("{session}"), |n| format!("s{}", n + 1))
    }
}

fn show_body(body: &TxnBody) -> String {
    match body {
        TxnBody::CreateSession { timeout_ms } => format!("createSession {timeout_ms}"),
        TxnBody::CloseSession { paths } => format!("closeSession {:?}", paths.as_deref().unwrap_or_default()),
        TxnBody::Error { err } => format!("error {err}"),
        TxnBody::Create(create) => {
            let ephemeral = if create.ephemeral { " ephemeral" } else { "" };
            let kind = match create.kind {
                CreateKind::Container => " container".to_owned(),
                CreateKind::Ttl(ms) => format!(" ttl {ms}"),
                CreateKind::Create | CreateKind::Create2 => String::new(),
            };
            format!("create {}{ephemeral}{kind} (parent {})", create.path, create.parent_cversion)
        }
        TxnBody::Delete { path } => format!("delete {path}"),
        TxnBody::DeleteContainer { path } => format!("collect {path}"),
        TxnBody::SetData { path, version, .. } => format!("set {path} v{version}"),
        TxnBody::Check { path, version } => format!("check {path} v{version}"),
        TxnBody::Multi(entries) => {
            format!("multi [{}]", entries.iter().map(show_body).collect::<Vec<_>>().join("; "))
        }
        other => format!("{other:?}"),
    }
}

fn show_result(result: &TxnResult) -> String {
    match result {
        TxnResult::SessionCreated => "session begins".into(),
        TxnResult::SessionClosed => "session ends".into(),
        TxnResult::Created { path, .. } => format!("created {path}"),
        TxnResult::Done => "done".into(),
        TxnResult::Changed { stat } => format!("changed to v{}", stat.version),
        TxnResult::Multi(results) => {
            format!("[{}]", results.iter().map(show_result).collect::<Vec<_>>().join("; "))
        }
        TxnResult::Failed { err } => format!("failed {err}"),
    }
}

fn parse_request(command: &str, words: &Words<'_>) -> Request {
    match words.0[0] {
        "create" if words.has("container") => Request::CreateContainer(parse_create(words)),
        "create" if words.value("ttl").is_some() => {
            let CreateRequest { path, data, acl, .. } = parse_create(words);
            let ttl_ms = words.number("ttl", 0).into();
            Request::CreateTtl(CreateTtlRequest { path, data, acl, flags: 5, ttl_ms })
        }
        "create" => Request::Create(parse_create(words)),
        "delete" => Request::Delete(parse_delete(words)),
        "set" => Request::SetData(parse_set(words)),
        "sync" => Request::Sync(SyncRequest { path: Some("/".into()) }),
        "close" => Request::CloseSession,
        "multi" => {
            let ops = command.splitn(3, ' ').nth(2).unwrap_or_default();
            Request::Multi(ops.split(';').filter(|op| !op.trim().is_empty()).map(parse_op).collect())
        }
        other => panic!("no request {other:?}"),
    }
}

fn parse_op(op: &str) -> MultiOp {
    let words = Words::of(op);
    match words.0[0] {
        "create" => MultiOp::Create(parse_create(&words)),
        "delete" => MultiOp::Delete(parse_delete(&words)),
        "set" => MultiOp::SetData(parse_set(&words)),
        "check" => MultiOp::Check(CheckVersionRequest {
            path: words.path().into(),
            version: words.number("version", -1),
        }),
        other => panic!("no operation {other:?}"),
    }
}

fn parse_create(words: &Words<'_>) -> CreateRequest {
    let flags = i32::from(words.has("ephemeral")) + 2 * i32::from(words.has("sequential"));
    CreateRequest { path: words.path().into(), data: None, acl: vec![Acl::world(31)], flags }
}

fn parse_delete(words: &Words<'_>) -> DeleteRequest {
    DeleteRequest { path: words.path().into(), version: words.number("version", -1) }
}

fn parse_set(words: &Words<'_>) -> SetDataRequest {
    let data = words.value("data").map(|data| Bytes::copy_from_slice(data.as_bytes()));
    SetDataRequest { path: words.path().into(), data, version: words.number("version", -1) }
}
