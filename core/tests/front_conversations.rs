//! Conversations of clients with one server, as text: `front/*.txt`.
//!
//! A file is a list of blocks: commands, `----`, and what the clients heard. `UPDATE=1 cargo test -p core --test
//! front_conversations` writes what they hear now; the diff is the review. Lines that begin with `#` are prose.
//!
//! | command | does |
//! |---|---|
//! | `open [in_flight=N] [output=BYTES]` | a new server, whose disk is slow until told otherwise |
//! | `instantly`, `slowly` | everything is durable and applied as soon as it may be, or only on command |
//! | `durable`, `apply` | the next append is durable; the next batch is applied |
//! | `C: REQUEST; REQUEST; …` | frames of client C that arrive together; C dials if it has not |
//! | `C gone` | its socket goes away |
//! | `+MS` | time passes |
//! | `status` | who is connected and what the server holds for them |
//!
//! Requests: `connect [timeout=MS] [seen=HEX]`, `attach S [password=wrong] [seen=HEX]`, `create /p [data=D] [ephemeral]
//! [sequential] [private]`, `set /p [data=D] [version=N]`, `delete /p`, `get /p [watch]`, `exists /p [watch]`, `children /p [watch]`,
//! `watch /p` and `watch-below /p` (persistent, recursive), `unwatch /p`, `rewatch HEX data=/p exist=/p child=/p`, `multi CREATE, DELETE, …`,
//! `sync /p`, `auth CREDENTIALS`, `whoami`, `ping`, `close`, `opcode N`, `bytes HEX`, `broken OP` (a request of that
//! opcode with an empty body).

mod one_server;
mod written;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use one_server::{Frame, Server, again, frame_of, fresh, front_config};
use zk_core::front::FrontConfig;
use zk_core::ids::{ConnId, SessionId, Zxid};
use zk_core::wire::client::*;
use zk_core::wire::jute::Jute;
use zk_core::wire::multi::MultiResult;
use zk_core::wire::records::{Acl, Id};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::{MultiOp, Request};

#[test]
fn conversations_go_as_written() {
    written::play("front", 10, || {
        let mut scene = Scene::open("open");
        move |command: &str| {
            if command.starts_with("open") {
                scene = Scene::open(command);
                return String::new();
            }
            scene.run(command)
        }
    });
}

/// A request's words.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.split_whitespace().collect())
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
    fn hex(&self, key: &str) -> Zxid {
        self.value(key).map_or(Zxid(0), |v| Zxid(i64::from_str_radix(v, 16).unwrap()))
    }
    fn path(&self) -> &'a str {
        self.0.get(1).copied().unwrap_or_default()
    }
    fn paths(&self, key: &str) -> Option<Vec<zk_core::text::Text>> {
        Some(self.value(key).into_iter().flat_map(|list| list.split(',')).map(Into::into).collect())
    }
}

struct Scene {
    server: Server,
    conns: BTreeMap<String, ConnId>,
    /// In the order in which clients heard of them.
    sessions: Vec<SessionId>,
    xids: BTreeMap<ConnId, i32>,
    told_closed: Vec<ConnId>,
}

impl Scene {
    fn open(command: &str) -> Self {
        let words = Words::of(command);
        let usual = front_config();
        let config = FrontConfig {
            in_flight_max: words.number("in_flight", usual.in_flight_max as i32) as usize,
            output_high: words.number("output", usual.output_high as i32) as usize,
            ..usual
        };
        let mut server = Server::with_config(config);
        server.instantly = false;
        Self { server, conns: BTreeMap::new(), sessions: vec![], xids: BTreeMap::new(), told_closed: vec![] }
    }

    fn run(&mut self, command: &str) -> String {
        if let Some(ms) = command.strip_prefix('+') {
            self.server.pass(ms.parse().unwrap());
        } else if let Some((name, requests)) = command.split_once(": ") {
            let conn = *self.conns.entry(name.to_owned()).or_insert_with(|| self.server.accept());
            let frames = requests.split(';').map(|request| self.frame(conn, request)).collect();
            self.server.send_all(conn, frames);
        } else if let Some(name) = command.strip_suffix(" gone") {
            self.server.hang_up(self.conns[name]);
            self.told_closed.push(self.conns[name]);
        } else {
            match command {
                "instantly" => {
                    self.server.instantly = true;
                    self.server.settle();
                }
                "slowly" => self.server.instantly = false,
                "durable" => assert!(self.server.durable(), "nothing is on its way to the disk"),
                "apply" => assert!(self.server.apply(), "nothing is to be applied"),
                "status" => return self.status(),
                other => panic!("no command {other:?}"),
            }
        }
        self.heard()
    }

    fn frame(&mut self, conn: ConnId, request: &str) -> Bytes {
        let words = Words::of(request);
        match words.0[0] {
            "connect" => {
                let request = fresh(words.number("timeout", 10_000));
                ConnectRequest { last_zxid_seen: words.hex("seen"), ..request }.to_bytes()
            }
            "attach" => {
                let session =
                    self.sessions[words.path().strip_prefix('s').unwrap().parse::<usize>().unwrap() - 1];
                let mut request = again(session, words.number("timeout", 10_000));
                request.last_zxid_seen = words.hex("seen");
                if words.value("password").is_some() {
                    request.password = Some(Bytes::from_static(&[9; 16]));
                }
                request.to_bytes()
            }
            "bytes" => (0..words.path().len() / 2)
                .map(|i| u8::from_str_radix(&words.path()[2 * i..2 * i + 2], 16).unwrap())
                .collect(),
            "opcode" | "broken" => {
                let mut out = BytesMut::new();
                RequestHeader { xid: self.next_xid(conn), op: words.path().parse().unwrap() }
                    .encode(&mut out);
                out.freeze()
            }
            "ping" => frame_of(xid::PING, &Request::Ping),
            "auth" => {
                let auth = Some(Bytes::copy_from_slice(words.path().as_bytes()));
                let packet = AuthPacket { kind: 0, scheme: Some("digest".into()), auth };
                frame_of(xid::AUTH, &Request::Auth(packet))
            }
            _ => frame_of(self.next_xid(conn), &parse_request(request, &words)),
        }
    }

    fn next_xid(&mut self, conn: ConnId) -> i32 {
        let xid = self.xids.entry(conn).or_default();
        *xid += 1;
        *xid
    }

    /// What has come for the clients since, by client.
    fn heard(&mut self) -> String {
        let mut said = String::new();
        for (name, conn) in self.conns.clone() {
            for frame in self.server.take(conn) {
                writeln!(said, "{name} < {}", self.show(&frame)).unwrap();
            }
            if let Some(why) = self.server.closed(conn)
                && !self.told_closed.contains(&conn)
            {
                writeln!(said, "{name} closed: {why:?}").unwrap();
                self.told_closed.push(conn);
            }
        }
        said
    }

    fn status(&mut self) -> String {
        let mut said =
            format!("last zxid {}, {} watches\n", self.server.tree.last_zxid(), self.server.watch_count());
        for (name, conn) in &self.conns {
            let line = self.server.try_with(*conn, |c| {
                format!(
                    "{name}: in flight {}, watches {}, {}, idle until {}",
                    c.in_flight(),
                    c.watch_count(),
                    if c.wants_input() { "reading" } else { "not reading" },
                    c.idle_deadline().millis()
                )
            });
            writeln!(said, "{}", line.unwrap_or_else(|| format!("{name}: gone"))).unwrap();
        }
        said
    }

    fn show(&mut self, frame: &Frame) -> String {
        match frame {
            Frame::Session(response) if response.timeout_ms == 0 => "invalid session".into(),
            Frame::Session(response) => {
                if !self.sessions.contains(&response.session) {
                    self.sessions.push(response.session);
                }
                let at = self.sessions.iter().position(|s| *s == response.session).unwrap();
                format!("session s{} timeout {}", at + 1, response.timeout_ms)
            }
            Frame::Event(header, event) => {
                let kind =
                    ["created", "deleted", "data changed", "children changed"][event.kind as usize - 1];
                format!("event {} {kind} {}", show_zxid(header.zxid), event.path)
            }
            Frame::Reply { header, .. } if header.err != 0 => {
                format!("#{} {} error {}", header.xid, show_zxid(header.zxid), header.err)
            }
            Frame::Reply { header, .. } => {
                format!("#{} {} {}", header.xid, show_zxid(header.zxid), show_reply(&frame.reply()))
            }
        }
    }
}

fn show_zxid(zxid: Zxid) -> String {
    if zxid.0 < 0 { format!("{}", zxid.0) } else { format!("{zxid}") }
}

fn show_reply(reply: &Reply) -> String {
    let data = |data: &Option<Bytes>| {
        data.as_ref().map_or_else(|| "null".to_owned(), |d| format!("{:?}", String::from_utf8_lossy(d)))
    };
    let names = |names: &[zk_core::text::Text]| {
        let mut names: Vec<_> = names.iter().map(|n| n.as_str()).collect();
        names.sort_unstable();
        format!("[{}]", names.join(" "))
    };
    match reply {
        Reply::Empty => "done".into(),
        Reply::Create(r) => format!("created {}", r.path),
        Reply::SetData(r) => format!("version {}", r.stat.version),
        Reply::Exists(r) => format!("exists, version {}", r.stat.version),
        Reply::GetData(r) => format!("data {} version {}", data(&r.data), r.stat.version),
        Reply::GetChildren(r) => format!("children {}", names(&r.children)),
        Reply::Sync(_) => "synced".into(),
        Reply::AddWatch(_) => "watching".into(),
        Reply::WhoAmI(r) => {
            let ids = r.clients.iter().map(|c| format!("{}:{}", c.scheme, c.user));
            format!("I am {}", ids.collect::<Vec<_>>().join(", "))
        }
        Reply::Multi(results) => {
            let results = results.iter().map(|result| match result {
                MultiResult::Create(r) => format!("created {}", r.path),
                MultiResult::Delete => "deleted".into(),
                MultiResult::SetData(r) => format!("version {}", r.stat.version),
                MultiResult::Check => "checked".into(),
                MultiResult::Error(err) => format!("error {err}"),
                other => format!("{other:?}"),
            });
            format!("multi [{}]", results.collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn parse_request(text: &str, words: &Words<'_>) -> Request {
    let (path, watch) = (words.path().into(), words.has("watch"));
    match words.0[0] {
        "create" => Request::Create(parse_create(words)),
        "set" => Request::SetData(parse_set(words)),
        "delete" => Request::Delete(DeleteRequest { path, version: words.number("version", -1) }),
        "get" => Request::GetData(GetDataRequest { path, watch }),
        "exists" => Request::Exists(ExistsRequest { path, watch }),
        "children" => Request::GetChildren(GetChildrenRequest { path, watch }),
        "watch" => Request::AddWatch(AddWatchRequest { path, mode: 0 }),
        "watch-below" => Request::AddWatch(AddWatchRequest { path, mode: 1 }),
        "unwatch" => Request::RemoveWatches(RemoveWatchesRequest { path, kind: 3 }),
        "rewatch" => Request::SetWatches(SetWatches {
            relative_zxid: Zxid(i64::from_str_radix(words.path(), 16).unwrap()),
            data: words.paths("data"),
            exist: words.paths("exist"),
            child: words.paths("child"),
        }),
        "multi" => {
            let ops = text.trim().strip_prefix("multi").unwrap();
            Request::Multi(ops.split(',').filter(|op| !op.trim().is_empty()).map(parse_op).collect())
        }
        "sync" => Request::Sync(SyncRequest { path: Some(path) }),
        "whoami" => Request::WhoAmI,
        "close" => Request::CloseSession,
        other => panic!("no request {other:?}"),
    }
}

fn parse_op(op: &str) -> MultiOp {
    let words = Words::of(op);
    let (path, version) = (words.path().into(), words.number("version", -1));
    match words.0[0] {
        "create" => MultiOp::Create(parse_create(&words)),
        "delete" => MultiOp::Delete(DeleteRequest { path, version }),
        "set" => MultiOp::SetData(parse_set(&words)),
        "check" => MultiOp::Check(CheckVersionRequest { path, version }),
        other => panic!("no operation {other:?}"),
    }
}

fn data(words: &Words<'_>) -> Option<Bytes> {
    let mut data = BytesMut::new();
    data.put_slice(words.value("data").unwrap_or_default().as_bytes());
    Some(data.freeze())
}

/// `private`: for whoever has said `auth anne:pw`, and nobody else.
fn parse_create(words: &Words<'_>) -> CreateRequest {
    let flags = i32::from(words.has("ephemeral")) + 2 * i32::from(words.has("sequential"));
    let anne = Id { scheme: "digest".into(), id: zk_core::auth::hash_credentials("anne:pw").into() };
    let acl = if words.has("private") { Acl { perms: 31, id: anne } } else { Acl::world(31) };
    CreateRequest { path: words.path().into(), data: data(words), acl: vec![acl], flags }
}

fn parse_set(words: &Words<'_>) -> SetDataRequest {
    SetDataRequest { path: words.path().into(), data: data(words), version: words.number("version", -1) }
}
