//! Random pipelines of several clients against serial execution by a naive model.
//!
//! The replies to writes say which zxid each has; in that order the model executes them one by one, and keeps the state
//! after each. Then the whole stream that a client should have received follows: reply k reflects exactly the state of
//! its own zxid, which is that of the write or sync in front of it if the client did not wait, and that of the server when it was asked
//! if nothing was in front; and before a reply with zxid z come all events, up to z, of watches set by replies before.

mod one_server;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use one_server::{Frame, Server, frame_of};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use zk_core::ids::ConnId;
use zk_core::wire::client::*;
use zk_core::wire::multi::MultiResult;
use zk_core::wire::records::Acl;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::{MultiOp, Request};

#[derive(Clone, Debug)]
enum Write {
    Create(&'static str),
    Set(&'static str, u8, i32),
    Delete(&'static str, i32),
}

#[derive(Clone, Debug)]
enum Ask {
    Write(Write),
    Multi(Vec<Write>),
    Sync,
    Get(&'static str, bool),
    Exists(&'static str, bool),
    Children(&'static str, bool),
    AddWatch(&'static str, bool),
    RemoveWatches(&'static str),
    Ping,
}

#[derive(Clone, Debug)]
enum Step {
    /// Frames of one client that arrive together.
    Send(usize, Vec<Ask>),
    Durable,
    Apply,
}

const CLIENTS: usize = 3;
const PATHS: [&str; 5] = ["/a", "/a/b", "/a/c", "/a/b/d", "/e"];

fn path() -> impl Strategy<Value = &'static str> {
    select(&PATHS[..])
}

fn write() -> impl Strategy<Value = Write> {
    let version = || prop_oneof![4 => Just(-1), 1 => 0..3i32];
    prop_oneof![
        3 => path().prop_map(Write::Create),
        3 => (path(), any::<u8>(), version()).prop_map(|(p, d, v)| Write::Set(p, d, v)),
        2 => (path(), version()).prop_map(|(p, v)| Write::Delete(p, v)),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        8 => write().prop_map(Ask::Write),
        1 => vec(write(), 0..4).prop_map(Ask::Multi),
        1 => Just(Ask::Sync),
        4 => (path(), any::<bool>()).prop_map(|(p, w)| Ask::Get(p, w)),
        3 => (path(), any::<bool>()).prop_map(|(p, w)| Ask::Exists(p, w)),
        3 => (prop_oneof![path(), Just("/")], any::<bool>()).prop_map(|(p, w)| Ask::Children(p, w)),
        1 => (prop_oneof![path(), Just("/")], any::<bool>()).prop_map(|(p, r)| Ask::AddWatch(p, r)),
        1 => path().prop_map(Ask::RemoveWatches),
        1 => Just(Ask::Ping),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CLIENTS, vec(ask(), 1..5)).prop_map(|(c, asks)| Step::Send(c, asks)),
        3 => Just(Step::Durable),
        3 => Just(Step::Apply),
    ]
}

impl Write {
    fn op(&self) -> MultiOp {
        match *self {
            Self::Create(path) => MultiOp::Create(CreateRequest {
                path: path.into(),
                data: Some(Bytes::new()),
                acl: vec![Acl::world(31)],
                flags: 0,
            }),
            Self::Set(path, data, version) => {
                let data = Some(Bytes::copy_from_slice(&[data]));
                MultiOp::SetData(SetDataRequest { path: path.into(), data, version })
            }
            Self::Delete(path, version) => MultiOp::Delete(DeleteRequest { path: path.into(), version }),
        }
    }
}

impl Ask {
    fn request(&self) -> Request {
        match self {
            Self::Write(write) => match write.op() {
                MultiOp::Create(r) => Request::Create(r),
                MultiOp::SetData(r) => Request::SetData(r),
                MultiOp::Delete(r) => Request::Delete(r),
                other => panic!("{other:?}"),
            },
            Self::Multi(writes) => Request::Multi(writes.iter().map(Write::op).collect()),
            Self::Sync => Request::Sync(SyncRequest { path: None }),
            Self::Get(path, watch) => {
                Request::GetData(GetDataRequest { path: (*path).into(), watch: *watch })
            }
            Self::Exists(path, watch) => {
                Request::Exists(ExistsRequest { path: (*path).into(), watch: *watch })
            }
            Self::Children(path, watch) => {
                Request::GetChildren(GetChildrenRequest { path: (*path).into(), watch: *watch })
            }
            Self::AddWatch(path, recursive) => {
                Request::AddWatch(AddWatchRequest { path: (*path).into(), mode: (*recursive).into() })
            }
            Self::RemoveWatches(path) => {
                Request::RemoveWatches(RemoveWatchesRequest { path: (*path).into(), kind: 3 })
            }
            Self::Ping => Request::Ping,
        }
    }
    const fn is_write(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Multi(_))
    }
    const fn holds_up(&self) -> bool {
        self.is_write() || matches!(self, Self::Sync)
    }
}

/// What a client received, as far as the model says anything about it.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Event(i32, String, i64),
    Reply(i32, i64, Outcome),
}

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Error(i32),
    Done,
    Version(i32),
    Data(Vec<u8>, i32),
    Names(BTreeSet<String>),
    Multi(Vec<Self>),
}

fn seen(frame: &Frame) -> Seen {
    let header = frame.header();
    if let Frame::Event(_, event) = frame {
        return Seen::Event(event.kind, event.path.as_str().to_owned(), header.zxid.0);
    }
    let outcome = if header.err != 0 { Outcome::Error(header.err) } else { outcome(frame.reply()) };
    Seen::Reply(header.xid, header.zxid.0, outcome)
}

fn outcome(reply: Reply) -> Outcome {
    match reply {
        Reply::Empty | Reply::Create(_) | Reply::Sync(_) | Reply::AddWatch(_) => Outcome::Done,
        Reply::SetData(r) => Outcome::Version(r.stat.version),
        Reply::Exists(r) => Outcome::Version(r.stat.version),
        Reply::GetData(r) => Outcome::Data(r.data.unwrap().to_vec(), r.stat.version),
        Reply::GetChildren(r) => {
            Outcome::Names(r.children.iter().map(|name| name.as_str().to_owned()).collect())
        }
        Reply::Multi(results) => {
            let results = results.into_iter().map(|result| match result {
                MultiResult::Create(_) | MultiResult::Delete => Outcome::Done,
                MultiResult::SetData(r) => Outcome::Version(r.stat.version),
                MultiResult::Error(err) => Outcome::Error(err),
                other => panic!("{other:?}"),
            });
            Outcome::Multi(results.collect())
        }
        other => panic!("{other:?}"),
    }
}

/// Path → data and version. The root and `/zookeeper` are not in it.
#[derive(Clone, Default)]
struct State(BTreeMap<&'static str, (Vec<u8>, i32)>);

/// (event type, path) in the order of triggers.
type Triggers = Vec<(i32, &'static str)>;

fn parent(path: &'static str) -> &'static str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(slash) => &path[..slash],
        None => panic!("{path}"),
    }
}

impl State {
    fn has(&self, path: &str) -> bool {
        path == "/" || self.0.contains_key(path)
    }

    fn write(&mut self, write: &Write, triggers: &mut Triggers) -> Outcome {
        let fits = |version: i32, expected: i32| expected == -1 || expected == version;
        match *write {
            Write::Create(path) if !self.has(parent(path)) => Outcome::Error(-101),
            Write::Create(path) if self.has(path) => Outcome::Error(-110),
            Write::Create(path) => {
                self.0.insert(path, (vec![], 0));
                triggers.extend([(1, path), (4, parent(path))]);
                Outcome::Done
            }
            Write::Set(path, data, expected) => match self.0.get_mut(path) {
                None => Outcome::Error(-101),
                Some((_, version)) if !fits(*version, expected) => Outcome::Error(-103),
                Some(node) => {
                    *node = (vec![data], node.1 + 1);
                    triggers.push((3, path));
                    Outcome::Version(node.1)
                }
            },
            Write::Delete(path, expected) => match self.0.get(path) {
                None => Outcome::Error(-101),
                Some((_, version)) if !fits(*version, expected) => Outcome::Error(-103),
                Some(_) if self.0.keys().any(|p| parent(p) == path) => Outcome::Error(-111),
                Some(_) => {
                    self.0.remove(path);
                    triggers.extend([(2, path), (4, parent(path))]);
                    Outcome::Done
                }
            },
        }
    }

    fn multi(&mut self, writes: &[Write], triggers: &mut Triggers) -> Outcome {
        let (mut trial, mut heard, mut results) = (self.clone(), vec![], vec![]);
        for write in writes {
            results.push(trial.write(write, &mut heard));
            if let Some(Outcome::Error(_)) = results.last() {
                let failing = results.len() - 1;
                let before = vec![Outcome::Error(0); failing];
                let behind = vec![Outcome::Error(-2); writes.len() - failing - 1];
                return Outcome::Multi([before, vec![results.remove(failing)], behind].concat());
            }
        }
        *self = trial;
        triggers.extend(heard);
        Outcome::Multi(results)
    }

    fn read(&self, ask: &Ask) -> Outcome {
        match ask {
            Ask::Get(path, _) => {
                self.0.get(path).map_or(Outcome::Error(-101), |(d, v)| Outcome::Data(d.clone(), *v))
            }
            Ask::Exists(path, _) => {
                self.0.get(path).map_or(Outcome::Error(-101), |(_, v)| Outcome::Version(*v))
            }
            Ask::Children(path, _) if !self.has(path) => Outcome::Error(-101),
            Ask::Children(path, _) => {
                let below = self.0.keys().filter(|p| parent(p) == *path);
                let names = below.map(|p| p.rsplit('/').next().unwrap().to_owned());
                Outcome::Names(names.chain((*path == "/").then(|| "zookeeper".to_owned())).collect())
            }
            Ask::Sync | Ask::AddWatch(..) | Ask::Ping => Outcome::Done,
            Ask::Write(_) | Ask::Multi(_) | Ask::RemoveWatches(_) => {
                panic!("not of the state alone: {ask:?}")
            }
        }
    }
}

/// How one client watches: a list of (mode, path), searched from end to end.
#[derive(Default)]
struct Watching(BTreeSet<(u8, &'static str)>);

const DATA: u8 = 0;
const CHILD: u8 = 1;
const PERSISTENT: u8 = 2;
const RECURSIVE: u8 = 3;

impl Watching {
    /// True if the client hears of it.
    fn hears(&mut self, kind: i32, path: &'static str) -> bool {
        let mut hears = self.0.contains(&(PERSISTENT, path));
        if kind != 4 {
            hears |= self.0.remove(&(DATA, path));
            hears |= self.0.iter().any(|(mode, at)| {
                *mode == RECURSIVE && (*at == "/" || path == *at || path.starts_with(&format!("{at}/")))
            });
        }
        if kind == 4 || kind == 2 {
            hears |= self.0.remove(&(CHILD, path));
        }
        hears
    }

    /// What a read leaves behind, and its outcome if that depends on the watches.
    fn after(&mut self, ask: &Ask, outcome: Outcome) -> Outcome {
        let found = !matches!(outcome, Outcome::Error(_));
        match *ask {
            Ask::Get(path, true) if found => drop(self.0.insert((DATA, path))),
            Ask::Exists(path, true) => drop(self.0.insert((DATA, path))),
            Ask::Children(path, true) if found => drop(self.0.insert((CHILD, path))),
            Ask::AddWatch(path, recursive) => {
                self.0.insert((if recursive { RECURSIVE } else { PERSISTENT }, path));
            }
            Ask::RemoveWatches(path) => {
                let before = self.0.len();
                self.0.retain(|(_, at)| *at != path);
                return if self.0.len() < before { Outcome::Done } else { Outcome::Error(-121) };
            }
            _ => {}
        }
        outcome
    }
}

/// A request as it was sent.
struct Sent {
    ask: Ask,
    xid: i32,
    /// The client had not heard of an earlier write or sync.
    behind: bool,
    /// The server's zxid when it was sent.
    at: i64,
}

struct Run {
    server: Server,
    conns: Vec<ConnId>,
    sent: Vec<Vec<Sent>>,
    first_zxid: i64,
}

impl Run {
    fn new() -> Self {
        let mut server = Server::new();
        let conns: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        conns.iter().for_each(|conn| drop(server.take(*conn)));
        server.instantly = false;
        let first_zxid = server.tree.last_zxid().0 + 1;
        Self { server, conns, sent: (0..CLIENTS).map(|_| vec![]).collect(), first_zxid }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Durable => drop(self.server.durable()),
            Step::Apply => drop(self.server.apply()),
            Step::Send(client, asks) => {
                let conn = self.conns[client];
                let mut behind = self.server.with(conn, |c| c.in_flight()) > 0;
                let at = self.server.tree.last_zxid().0;
                let mut frames = vec![];
                for ask in asks {
                    let sent = &mut self.sent[client];
                    let xid = if matches!(ask, Ask::Ping) { xid::PING } else { sent.len() as i32 };
                    frames.push(frame_of(xid, &ask.request()));
                    let holds_up = ask.holds_up();
                    sent.push(Sent { ask, xid, behind, at });
                    behind |= holds_up;
                }
                self.server.send_all(conn, frames);
            }
        }
    }

    fn finish(mut self) -> Result<(), TestCaseError> {
        self.server.instantly = true;
        self.server.settle();
        let heard: Vec<Vec<Seen>> =
            self.conns.iter().map(|conn| self.server.take(*conn).iter().map(seen).collect()).collect();
        // Replies are in the order of requests; so each has its zxid.
        let mut replies = vec![];
        for (heard, sent) in heard.iter().zip(&self.sent) {
            let of: Vec<_> = heard
                .iter()
                .filter_map(|s| if let Seen::Reply(xid, zxid, _) = s { Some((*xid, *zxid)) } else { None })
                .collect();
            let asked: Vec<_> = sent.iter().map(|s| s.xid).collect();
            prop_assert_eq!(of.iter().map(|(xid, _)| *xid).collect::<Vec<_>>(), asked);
            replies.push(of.into_iter().map(|(_, zxid)| zxid).collect::<Vec<_>>());
        }
        // Writes, one by one in the order of their zxids, of which none is left out.
        let mut writes = BTreeMap::new();
        for (sent, replies) in self.sent.iter().zip(&replies) {
            for (sent, zxid) in sent.iter().zip(replies).filter(|(s, _)| s.ask.is_write()) {
                prop_assert!(writes.insert(*zxid, &sent.ask).is_none(), "two writes have zxid {}", zxid);
            }
        }
        let all: Vec<_> = (self.first_zxid..=self.server.tree.last_zxid().0).collect();
        prop_assert_eq!(writes.keys().copied().collect::<Vec<_>>(), all);
        let mut states = BTreeMap::from([(self.first_zxid - 1, State::default())]);
        let (mut outcomes, mut triggers) = (BTreeMap::new(), vec![]);
        for (zxid, ask) in writes {
            let mut state = states[&(zxid - 1)].clone();
            let mut told = vec![];
            let outcome = match ask {
                Ask::Write(write) => state.write(write, &mut told),
                Ask::Multi(writes) => state.multi(writes, &mut told),
                other => panic!("{other:?}"),
            };
            outcomes.insert(zxid, outcome);
            states.insert(zxid, state);
            triggers.extend(told.into_iter().map(|(kind, path)| (zxid, kind, path)));
        }
        for client in 0..CLIENTS {
            let expected = expect(&self.sent[client], &replies[client], &states, &outcomes, &triggers)?;
            prop_assert_eq!(&heard[client], &expected, "client {}", client);
        }
        Ok(())
    }
}

/// The whole stream of one client.
fn expect(
    sent: &[Sent],
    replies: &[i64],
    states: &BTreeMap<i64, State>,
    outcomes: &BTreeMap<i64, Outcome>,
    triggers: &[(i64, i32, &'static str)],
) -> Result<Vec<Seen>, TestCaseError> {
    let (mut expected, mut watching) = (vec![], Watching::default());
    let (mut triggers, mut in_front) = (triggers.iter().peekable(), 0);
    let mut events_up_to = |zxid: i64, watching: &mut Watching, expected: &mut Vec<Seen>| {
        while let Some((t, kind, path)) = triggers.next_if(|(t, ..)| *t <= zxid) {
            if watching.hears(*kind, path) {
                expected.push(Seen::Event(*kind, (*path).to_owned(), *t));
            }
        }
    };
    for (sent, zxid) in sent.iter().zip(replies) {
        if sent.holds_up() {
            prop_assert!(*zxid >= in_front, "{:?} has zxid {} behind {}", sent.ask, zxid, in_front);
            in_front = *zxid;
        } else {
            let exactly = if sent.behind { in_front } else { sent.at };
            prop_assert_eq!(*zxid, exactly, "the state that {:?} reflects", sent.ask);
        }
        events_up_to(*zxid, &mut watching, &mut expected);
        let outcome = match &sent.ask {
            Ask::Write(_) | Ask::Multi(_) => outcomes[zxid].clone(),
            Ask::RemoveWatches(_) => Outcome::Done,
            read => states[zxid].read(read),
        };
        let outcome = watching.after(&sent.ask, outcome);
        expected.push(Seen::Reply(sent.xid, *zxid, outcome));
    }
    events_up_to(i64::MAX, &mut watching, &mut expected);
    Ok(expected)
}

impl Sent {
    const fn holds_up(&self) -> bool {
        self.ask.holds_up()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_reply_and_event_is_that_of_serial_execution(steps in vec(step(), 1..60)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|step| run.step(step));
        run.finish()?;
    }
}
